"""Gaussian mixture of codes, fitted after training ("ex-post density estimation").

Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020, section 4: codes rarely match the
prior that a model was trained with, and samples from their own density give better faces.
"""

from dataclasses import dataclass

import numpy as np

from facemorph.gaussian import LowRankGaussian


@dataclass(frozen=True)
class Mixture:
    """Full-covariance Gaussians along the K axes of a low-rank one: weights (C,), means (C, K), and Cholesky
    factors of the covariances (C, K, K).
    """

    weights: np.ndarray
    means: np.ndarray
    roots: np.ndarray

    @classmethod
    def fit(
        cls, gaussian: LowRankGaussian, codes: np.ndarray, components: int, ridge: float, seed: int
    ) -> "Mixture":
        """By expectation maximisation, of codes (N, D), along the axes of `gaussian`.

        `ridge` is added to the variances, in units of the codes' own variance along each axis, so that a
        component of few faces does not collapse. There are at most as many components as codes.
        """
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415 (a second, and only needed here)

        fitted = GaussianMixture(
            min(components, len(codes)), reg_covar=ridge, max_iter=100, tol=1e-3, random_state=seed
        ).fit(gaussian.whiten(codes))
        return cls(fitted.weights_, fitted.means_, np.linalg.cholesky(fitted.covariances_))

    def sample(self, gaussian: LowRankGaussian, count: int, rng: np.random.Generator) -> np.ndarray:
        """Codes (count, D)."""
        chosen = rng.choice(len(self.weights), size=count, p=self.weights / self.weights.sum())
        noise = rng.standard_normal((count, self.means.shape[1]))
        y = self.means[chosen] + np.einsum("nij,nj->ni", self.roots[chosen], noise)
        return gaussian.colour(y, rng, 1.0)
