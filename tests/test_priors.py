"""Priors against planted distributions of codes."""

import numpy as np
import torch

from faces.core.params import parse
from faces.latents import mixture
from faces.latents.pca import gaussian_of_codes
from faces.report.view import PRIORS
from faces.scoring import samples
from faces.scoring.context import Score


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
    drawn = mixture.sample_mixture(axes, mixture.mixture(axes, codes, 3, 1e-4, 0), 6000, rng)
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_allclose(np.bincount(nearest) / 6000, [0.5, 0.3, 0.2], atol=0.03)
    for place, centre in enumerate(centres):
        np.testing.assert_allclose(drawn[nearest == place].mean(0), centre, atol=0.15)
        np.testing.assert_allclose(np.cov(drawn[nearest == place], rowvar=False), np.eye(2), atol=0.15)


def test_the_same_seed_draws_the_same_mixture(rng):
    codes = rng.normal(0, 1, (400, 5)).astype(np.float32)
    axes = gaussian_of_codes(codes, 3, 7)
    first, second = (
        mixture.sample_mixture(axes, mixture.mixture(axes, codes, 2, 1e-3, 7), 50, np.random.default_rng(1))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_portraits_show_the_first_faces_of_each_set():
    red, blue = (
        torch.tensor(colour).view(1, 3, 1, 1).repeat(14, 1, 32, 32)
        for colour in ([1.2, -1.0, -1.0], [-1.0, -1.0, 1.0])
    )
    blue[12:] = torch.tensor([-1.0, 1.0, -1.0]).view(3, 1, 1)  # green beyond those shown
    shown = samples.portraits({"train_faces": red, "standard": blue})
    assert {name: faces.shape for name, faces in shown.items()} == dict.fromkeys(
        ("train_faces", "standard"), (12, 32, 32, 3)
    )
    page = samples.gallery(shown, 32)
    assert page.dtype == np.uint8
    for colour, count in (([255, 0, 0], 12), ([0, 0, 255], 12), ([0, 255, 0], 0)):
        assert (page == colour).all(2).sum() == count * 32 * 32


def test_a_prior_is_there_when_it_is_asked_for(rng, params):
    settings = parse(Score, params["score"] | {"diffusion": 0, "axes": 3, "components": 2})
    codes = rng.normal(0, 1, (60, 5)).astype(np.float32)

    def names(score: Score) -> list[str]:
        found = samples.drawers(None, codes, codes[:9], score, 1, torch.device("cpu"))
        for name, draw in found.items():
            if name != "standard":
                assert draw(7, rng).shape == (7, 5)
        return list(found)

    assert names(settings) == ["standard", "gaussian", "tempered", "mixture"]
    assert names(settings.model_copy(update={"diffusion": 3})) == list(PRIORS)
