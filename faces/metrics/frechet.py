"""How far one set of pictures is from another, through features (n, F) of each picture. Sets need not be equally large.

Everything is computed from inner products between pictures, never from an F x F matrix: a set of hundreds of pictures in thousands of features costs what
hundreds cost.
"""

from collections.abc import Callable

import numpy as np

Grams = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # inner products within a (n, n), between a and b (n, m), within b (m, m)
Distance = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def grams(a: np.ndarray, b: np.ndarray) -> Grams:
    """Inner products of features a (n, F) and b (m, F), in float64, about their common mean, so that little is lost to rounding."""
    centre = (a.mean(0, dtype=np.float64) + b.mean(0, dtype=np.float64)) / 2
    a, b = a - centre, b - centre
    return a @ a.T, a @ b.T, b @ b.T


def frechet(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray) -> float:
    """Squared Frechet distance |m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of the Gaussians with the sets' means and covariances.

    Dowson & Landau 1982, eq. 4; Heusel et al. 2017, eq. 6. With C = A^T A and C' = B^T B the trace of the root is the sum of the singular values of
    A B^T. It is biased upwards by small sets (Binkowski et al. 2018): compare only distances between sets of the same sizes.
    """
    n, m = ab.shape
    means = aa.mean() + bb.mean() - 2 * ab.mean()
    traces = (np.trace(aa) - n * aa.mean()) / (n - 1) + (np.trace(bb) - m * bb.mean()) / (m - 1)
    centred = ab - ab.mean(0) - ab.mean(1, keepdims=True) + ab.mean()
    return float(
        means + traces - 2 * np.linalg.svd(centred, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    )


def kernel(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy from kernel values: zero on average, and as often below, for two samples of one distribution.

    Gretton et al. 2012, lemma 6. `polynomial` turns features into the values that the kernel distance KID uses.
    """
    n, m = ab.shape
    return float(
        (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * ab.mean()
    )


def polynomial(a: np.ndarray, b: np.ndarray) -> Grams:
    """Values of the kernel (x . y / F + 1)^3 within a (n, F), between a and b (m, F), and within b: Binkowski et al., "Demystifying MMD GANs", 2018."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return tuple((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (a, b), (b, b)))


def with_interval(distance: Distance, products: Grams, groups: int) -> tuple[float, float, float]:
    """The distance and its 95% interval: +- 1.96 standard errors of the delete-a-group jackknife over `groups` groups of both sets.

    Efron & Stein 1981. Not the bootstrap, whose repeated pictures lower the rank of a covariance and count as pairs at distance zero: both would bias it.
    """
    aa, ab, bb = products
    whole, left_out = distance(aa, ab, bb), []
    for group in range(groups):
        i, j = (np.flatnonzero(np.arange(count) % groups != group) for count in ab.shape)
        left_out.append(distance(aa[np.ix_(i, i)], ab[np.ix_(i, j)], bb[np.ix_(j, j)]))
    error = np.sqrt((groups - 1) * np.var(left_out))
    return whole, whole - 1.96 * error, whole + 1.96 * error
