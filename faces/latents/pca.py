"""Principal component analysis of codes, and the low-rank Gaussian that it gives."""

from collections.abc import Mapping

import numpy as np

from facemorph.gaussian import LowRankGaussian
from faces.latents.codes import Codes, blocks
from faces.latents.moments import LARGEST_COVARIANCE, Moments

SAMPLE = 2048  # codes from which a covariance is taken where it was not kept
SPARE = 10  # directions carried beyond those asked for (Halko et al. 2011, section 1.3)
PASSES = 4  # multiplications by the covariance, each a pass over the codes


def principal_components(
    codes: Codes, mean: np.ndarray, covariance: np.ndarray | None, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` principal components (K, D), unit rows by falling sigma, and sigma (K,) of the codes
    (N, D).

    From the covariance (D, D) where there is one; of few codes from their products (N, N); otherwise by
    subspace iteration over blocks, which never forms either (Halko, Martinsson, Tropp 2011, algorithm 4.4).
    The largest entry of each component is positive. K is at most D and N - 1.
    """
    count = min(count, codes.shape[1], len(codes) - 1)
    if covariance is not None:
        return widest_axes(covariance, count)
    if len(codes) <= LARGEST_COVARIANCE:
        return _from_products(codes[:] - mean, count)
    return _from_blocks(codes, mean, count, rng)


def widest_axes(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` eigenvectors (K, D) of a covariance (D, D), and deviations (K,) along them."""
    values, vectors = np.linalg.eigh(covariance)
    return _signed(vectors.T[::-1][:count]), _roots(values[::-1][:count])


def gaussian_of_moments(mean: np.ndarray, covariance: np.ndarray, rank: int) -> LowRankGaussian:
    """Gaussian of a mean (D,) and covariance (D, D): `rank` principal axes, and independent variances for the
    rest.
    """
    return LowRankGaussian.of_axes(mean, *widest_axes(covariance, rank), np.diag(covariance))


def gaussian_of_codes(codes: np.ndarray, rank: int, seed: int) -> LowRankGaussian:
    """Gaussian of codes (N, D): `rank` principal components, and independent variances for the rest."""
    moments = Moments.of(codes, np.arange(len(codes)))
    rng = np.random.default_rng(seed)
    found = principal_components(Codes.all(codes), moments.mean(), moments.covariance(), rank, rng)
    return LowRankGaussian.of_axes(moments.mean(), *found, np.square(moments.std()))


def gaussian_of_train(
    moments: Mapping[str, np.ndarray], codes: np.ndarray, train: np.ndarray, rank: int
) -> LowRankGaussian:
    """Gaussian of the train codes: from the covariance in `moments` where it was kept, else from some of the
    codes (N, D) in rows `train`.
    """
    if "covariance" in moments:
        return gaussian_of_moments(moments["mean"], moments["covariance"], rank)
    return gaussian_of_codes(codes[train[:SAMPLE]], rank, 0)


def _from_products(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Components and sigma of a few codes about their mean (N, D), through their products (N, N)."""
    values, sides = np.linalg.eigh(centred @ centred.T / len(centred))
    sigma = _roots(values[::-1][:count])
    vectors = sides.T[::-1][:count] @ centred / (np.maximum(sigma, 1e-12) * np.sqrt(len(centred)))[:, None]
    return _signed(vectors), sigma


def _from_blocks(
    codes: Codes, mean: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    start = rng.standard_normal((codes.shape[1], min(count + SPARE, codes.shape[1])))
    basis = np.linalg.qr(start)[0]
    for _ in range(PASSES):
        basis = np.linalg.qr(_times_covariance(codes, mean, basis))[0]
    values, turn = np.linalg.eigh(basis.T @ _times_covariance(codes, mean, basis))
    return _signed((basis @ turn).T[::-1][:count]), _roots(values[::-1][:count])


def _times_covariance(codes: Codes, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Covariance of the codes times basis (D, K), in one pass: (D, K)."""
    product = np.zeros(basis.shape)
    centre = mean.astype(np.float32)
    narrow = basis.astype(np.float32)
    for _, block in blocks(codes):
        moved = block - centre
        product += moved.T @ (moved @ narrow)
    return product / len(codes)


def _signed(vectors: np.ndarray) -> np.ndarray:
    """Vectors (K, D) with signs such that the largest entry is positive."""
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(1)[:, None], 1)
    return vectors * np.where(largest < 0, -1, 1)


def _roots(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(values, 0))
