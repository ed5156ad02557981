"""Gaussian mixture of codes, fitted after training ("ex-post density estimation").

Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020, section 4: codes rarely match the
prior that a model was trained with, and samples from their own density give better faces.
"""

import numpy as np
from sklearn.mixture import GaussianMixture

from faces.latents.gaussian import LowRankGaussian


def mixture(
    gaussian: LowRankGaussian, codes: np.ndarray, components: int, ridge: float, seed: int
) -> GaussianMixture:
    """Mixture of full-covariance Gaussians of codes (N, D), along the axes of `gaussian`, by expectation
    maximisation.

    `ridge` is added to the variances, in units of the codes' own variance along each axis, so that a
    component of few faces does not collapse.
    """
    fitted = GaussianMixture(components, reg_covar=ridge, max_iter=100, tol=1e-3, random_state=seed)
    return fitted.fit(gaussian.whiten(codes))


def sample_mixture(
    gaussian: LowRankGaussian, fitted: GaussianMixture, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Codes (count, D)."""
    chosen = rng.choice(len(fitted.weights_), size=count, p=fitted.weights_ / fitted.weights_.sum())
    roots = np.linalg.cholesky(fitted.covariances_)  # (components, K, K)
    noise = rng.standard_normal((count, fitted.means_.shape[1]))
    y = fitted.means_[chosen] + np.einsum("nij,nj->ni", roots[chosen], noise)
    return gaussian.colour(y, rng, 1.0)
