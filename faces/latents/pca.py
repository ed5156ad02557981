"""Principal components of the codes: the directions along which faces differ most, whatever they are called."""

import numpy as np

from faces.latents.codes import Codes, blocks

SPARE = 10  # directions carried beyond those asked for (Halko et al. 2011, section 1.3)
PASSES = 4  # multiplications by the covariance, each a pass over the codes


def principal_components(
    codes: Codes, mean: np.ndarray, covariance: np.ndarray | None, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` components (K, D), unit rows, by falling sigma, and sigma (K,), the standard deviation of the codes along each.

    From the covariance (D, D) where there is one; otherwise by subspace iteration over blocks (Halko, Martinsson, Tropp 2011, algorithm 4.4), which never
    forms it. Of the two signs, each component has the one that makes its largest entry positive. K is at most D and N - 1.
    """
    count = min(count, codes.shape[1], len(codes) - 1)
    if covariance is None:
        basis = np.linalg.qr(rng.standard_normal((codes.shape[1], min(count + SPARE, codes.shape[1]))))[0]
        for _ in range(PASSES):
            basis = np.linalg.qr(_times_covariance(codes, mean, basis))[0]
        values, turn = np.linalg.eigh(basis.T @ _times_covariance(codes, mean, basis))
        vectors = basis @ turn
    else:
        values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:count], vectors.T[::-1][:count]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1)
    return vectors * np.sign(largest), np.sqrt(np.maximum(values, 0))


def _times_covariance(codes: Codes, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Covariance of the codes times basis (D, K), in one pass: (D, K)."""
    product, centre, narrow = np.zeros(basis.shape), mean.astype(np.float32), basis.astype(np.float32)
    for _, block in blocks(codes):
        moved = block - centre
        product += moved.T @ (moved @ narrow)
    return product / len(codes)
