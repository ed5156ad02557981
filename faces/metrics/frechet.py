"""Fréchet and kernel distance (FID, KID) between two sets of pictures, from features (n, F) of each.

Everything is computed from inner products between pictures, never from an F x F matrix: hundreds of pictures
in thousands of features cost what hundreds cost. Sets need not be equally large.
"""

from collections.abc import Callable

import numpy as np

Grams = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # inner products within a (n, n), between (n, m), within b (m, m)
Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def grams(a: np.ndarray, b: np.ndarray) -> Grams:
    """Inner products of features a (n, F) and b (m, F), in float64, about their common mean
    against rounding.
    """
    centre = (a.mean(0, dtype=np.float64) + b.mean(0, dtype=np.float64)) / 2
    a = a - centre
    b = b - centre
    return a @ a.T, a @ b.T, b @ b.T


def frechet(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray) -> float:
    """Squared Frechet distance |m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of the Gaussians with the sets' means
    and covariances.

    Dowson & Landau 1982, eq. 4; Heusel et al. 2017, eq. 6. With C = A^T A and C' = B^T B the trace of the
    root is the sum of the singular values of A B^T. Small sets bias it upwards (Binkowski et al. 2018): at
    500 pictures most of it can be bias. Compare only sets of one size, and see `frechet_infinity`.
    """
    n, m = ab.shape
    means = aa.mean() + bb.mean() - 2 * ab.mean()
    traces = (np.trace(aa) - n * aa.mean()) / (n - 1) + (np.trace(bb) - m * bb.mean()) / (m - 1)
    centred = ab - ab.mean(0) - ab.mean(1, keepdims=True) + ab.mean()
    return float(
        means + traces - 2 * np.linalg.svd(centred, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    )


def frechet_infinity(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray) -> float:
    """Fréchet distance extrapolated to infinitely many pictures: twice that of the sets minus the mean of
    their halves'.

    The bias of n pictures goes as 1 / n (Chong & Forsyth, CVPR 2020, section 3), so the line through both
    meets n = infinity there. With fewer pictures than features the bias grows more slowly at first, and some
    of it stays: real faces against real ones, 500 each in 1,280 features, are 232 apart before and 88 after.
    """
    halves = []
    for start in (0, 1):
        i = np.arange(start, ab.shape[0], 2)
        j = np.arange(start, ab.shape[1], 2)
        halves.append(frechet(aa[np.ix_(i, i)], ab[np.ix_(i, j)], bb[np.ix_(j, j)]))
    return float(2 * frechet(aa, ab, bb) - np.mean(halves))


def kernel(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy from kernel values: KID with those of `polynomial`.

    Zero on average, and as often below, for two samples of one distribution. Gretton et al. 2012, lemma 6.
    """
    n, m = ab.shape
    return float(
        (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * ab.mean()
    )


def polynomial(a: np.ndarray, b: np.ndarray) -> Grams:
    """Values of the kernel (x . y / F + 1)^3 within a (n, F), between a and b (m, F), and within b.

    Binkowski et al., "Demystifying MMD GANs", 2018.
    """
    a = a.astype(np.float64)
    b = b.astype(np.float64)
    return tuple((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (a, b), (b, b)))


def with_interval(distance: Distance, products: Grams, groups: int) -> tuple[float, float, float]:
    """The distance and its 95% interval, +- 1.96 standard errors of the delete-a-group jackknife over both
    sets.

    Efron & Stein 1981. Not the bootstrap, whose repeated pictures lower the rank of a covariance and count as
    pairs at distance zero. The interval of a biased distance covers the biased value.
    """
    aa, ab, bb = products
    whole = distance(aa, ab, bb)
    left_out = []
    for group in range(groups):
        i, j = (np.flatnonzero(np.arange(count) % groups != group) for count in ab.shape)
        left_out.append(distance(aa[np.ix_(i, i)], ab[np.ix_(i, j)], bb[np.ix_(j, j)]))
    error = np.sqrt((groups - 1) * np.var(left_out))
    return whole, whole - 1.96 * error, whole + 1.96 * error
