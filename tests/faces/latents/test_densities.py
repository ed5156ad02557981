"""Densities of codes against planted distributions."""

import numpy as np

from faces.latents.mixture import Mixture
from faces.latents.pca import gaussian_of_codes


def test_gaussian_samples_have_the_codes_mean_and_covariance(rng):
    root = np.array([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.5, 0.3]])
    codes = (rng.normal(0, 1, (20_000, 3)) @ root.T + [1, -2, 3]).astype(np.float32)
    axes = gaussian_of_codes(codes, 3, 0)
    assert (axes.residual == 0).all()
    for temperature in (1.0, 0.5):
        drawn = axes.draw(40_000, rng, temperature)
        np.testing.assert_allclose(drawn.mean(0), [1, -2, 3], atol=0.05)
        np.testing.assert_allclose(np.cov(drawn, rowvar=False), temperature**2 * root @ root.T, atol=0.12)


def test_axes_there_and_back(rng):
    codes = (rng.normal(0, 1, (500, 6)) * [5, 4, 3, 2, 1, 0.5]).astype(np.float32)
    axes = gaussian_of_codes(codes, 6, 0)
    np.testing.assert_allclose(axes.colour(axes.whiten(codes), rng, 1.0), codes, atol=1e-4)
    np.testing.assert_allclose(axes.whiten(codes).std(0), 1, atol=1e-5)


def test_few_axes_keep_the_whole_variance(rng):
    """Two wide directions of eight are described; the six of variance 0.25 are drawn by their variances."""
    codes = (rng.normal(0, 1, (20_000, 8)) * [6, 4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]).astype(np.float32)
    axes = gaussian_of_codes(codes, 2, 0)
    np.testing.assert_allclose(axes.residual[2:], 0.5, rtol=0.05)
    drawn = axes.draw(20_000, rng, 1.0)
    np.testing.assert_allclose(drawn.std(0), [6, 4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], rtol=0.05)
    cold = axes.draw(20_000, rng, 0.5)
    np.testing.assert_allclose(cold.std(0), [3, 2, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25], rtol=0.05)


def test_the_mixture_recovers_planted_clusters(rng):
    centres = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 9.0]])
    which = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    codes = (centres[which] + rng.normal(0, 1, (6000, 2))).astype(np.float32)
    axes = gaussian_of_codes(codes, 2, 0)
    drawn = Mixture.fit(axes, codes, 3, 1e-4, 0).sample(axes, 6000, rng)
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / 6000, [0.5, 0.3, 0.2], atol=0.03)
    for place, centre in enumerate(centres):
        np.testing.assert_allclose(drawn[nearest == place].mean(0), centre, atol=0.15)
        np.testing.assert_allclose(np.cov(drawn[nearest == place], rowvar=False), np.eye(2), atol=0.15)


def test_the_same_seed_draws_the_same_mixture(rng):
    codes = rng.normal(0, 1, (400, 5)).astype(np.float32)
    axes = gaussian_of_codes(codes, 3, 7)
    first, second = (
        Mixture.fit(axes, codes, 2, 1e-3, 7).sample(axes, 50, np.random.default_rng(1)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
