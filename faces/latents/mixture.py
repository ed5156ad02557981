"""Where to draw new codes from once a model is trained: distributions fitted to the train codes ("ex-post density estimation").

Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020, section 4: a model's codes rarely fill the prior it was trained with, and drawing
from what they do fill gives better faces. A long code (Glow's) is described in its `axes` principal directions and by one variance for all the others
(Tipping & Bishop 1999), since its covariance would not fit into memory.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.utils.extmath import randomized_svd


@dataclass(frozen=True)
class Axes:
    """Principal axes of train codes: code = mean + axes^T (scale * y) + rest * noise, with y (K,) of unit variance and uncorrelated."""

    mean: np.ndarray  # (D,)
    axes: np.ndarray  # (K, D) orthonormal
    scale: np.ndarray  # (K,) standard deviation along each
    rest: float  # standard deviation along every other direction

    @classmethod
    def of(cls, codes: np.ndarray, count: int, seed: int) -> "Axes":
        """The first `count` axes of codes (N, D), fewer where the codes have fewer."""
        mean = codes.mean(0, dtype=np.float64)
        centred = codes - mean.astype(np.float32)
        count = min(count, *centred.shape)
        if count < centred.shape[1]:
            _, lengths, axes = randomized_svd(centred, count, random_state=seed)
        else:
            squares, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
            lengths, axes = np.sqrt(np.maximum(squares[::-1], 0)), vectors[:, ::-1].T
        missing = np.square(centred, dtype=np.float64).sum() - np.square(lengths, dtype=np.float64).sum()
        rest = np.sqrt(max(missing, 0) / (len(codes) * max(codes.shape[1] - count, 1)))
        return cls(mean, axes, lengths / np.sqrt(len(codes)), float(rest) if count < codes.shape[1] else 0.0)

    def reduce(self, codes: np.ndarray) -> np.ndarray:
        """codes (N, D) -> y (N, K)."""
        return (codes - self.mean) @ self.axes.T / np.maximum(self.scale, 1e-12)

    def restore(self, y: np.ndarray, rng: np.random.Generator, temperature: float) -> np.ndarray:
        """y (n, K) -> codes (n, D) float32; the directions beyond the axes are drawn at `temperature`."""
        codes = self.mean + (y * self.scale) @ self.axes
        if self.rest:
            noise = rng.standard_normal(codes.shape) * self.rest * temperature
            codes += noise - (noise @ self.axes.T) @ self.axes
        return codes.astype(np.float32)


def gaussian(axes: Axes, count: int, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Codes (count, D) from the Gaussian with the train codes' mean and `temperature`^2 times their covariance."""
    return axes.restore(temperature * rng.standard_normal((count, len(axes.scale))), rng, temperature)


def mixture(axes: Axes, codes: np.ndarray, components: int, ridge: float, seed: int) -> GaussianMixture:
    """A mixture of full-covariance Gaussians fitted to train codes (N, D) along the axes by expectation maximisation.

    `ridge` is added to the variances, whose unit is the codes' own along each axis: a component of few faces would collapse onto them.
    """
    return GaussianMixture(components, reg_covar=ridge, max_iter=100, tol=1e-3, random_state=seed).fit(
        axes.reduce(codes)
    )


def sample_mixture(axes: Axes, fitted: GaussianMixture, count: int, rng: np.random.Generator) -> np.ndarray:
    """Codes (count, D)."""
    chosen = rng.choice(len(fitted.weights_), size=count, p=fitted.weights_ / fitted.weights_.sum())
    roots = np.linalg.cholesky(fitted.covariances_)  # (components, K, K)
    noise = rng.standard_normal((count, fitted.means_.shape[1]))
    return axes.restore(fitted.means_[chosen] + np.einsum("nij,nj->ni", roots[chosen], noise), rng, 1.0)
