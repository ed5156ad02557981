"""Priors against planted distributions of codes."""

import numpy as np
import pytest
import torch
from torch import nn

from faces.core.params import parse
from faces.latents.mixture import Mixture
from faces.latents.pca import gaussian_of_codes
from faces.latents.priors import Draw, PriorError, Priors, Settings
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


def test_portraits_show_the_first_faces_of_each_set():
    red = torch.tensor([1.2, -1.0, -1.0]).view(1, 3, 1, 1).repeat(14, 1, 8, 8)
    red[12:] = -1.0  # black beyond those shown
    shown = samples.portraits({"train_faces": samples.FaceSet(red)})
    assert shown["train_faces"].shape == (12, 8, 8, 3)
    assert (shown["train_faces"] == [255, 0, 0]).all()


def test_a_set_is_scored_by_every_network_and_by_its_codes(rng, params):
    """The real faces again: KID and extrapolated FD about 0, all of them covered, as sharp, codes as the
    train codes.
    """
    score = parse(Score, params["score"] | {"groups": 4, "neighbours": 3})
    real = torch.from_numpy(rng.uniform(-1, 1, (64, 3, 8, 8)).astype(np.float32))
    codes = rng.normal(0, 1, (64, 3)).astype(np.float32)
    faces = {"train_faces": samples.FaceSet(real), "gaussian": samples.FaceSet(real, codes)}
    networks = {"lite1": lambda images: images.flatten(1)[:, :5].numpy()}
    first, second = samples.score_sets(faces, real, codes, codes + 0.1, networks, score)
    assert first["faces"] == 64 and "variance" not in first
    assert abs(first["frechet_inf_lite1"]) < 0.1
    assert first["coverage_lite1"] == first["recall_lite1"] == first["precision_lite1"] == 1
    assert first["sharpness"] == pytest.approx(1)
    assert second["variance"] == pytest.approx(1, rel=1e-5)
    assert second["nearest_01"] == pytest.approx(1)


class Normal(nn.Module):
    """A model whose own prior is a standard normal of five numbers."""

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> torch.Tensor:
        return temperature * torch.randn(count, 5, generator=generator)


def settings(params: dict, **changes: object) -> Settings:
    return parse(Settings, params["prior"] | {"diffusion": 0, "axes": 3, "components": 2} | changes)


def test_a_prior_is_there_when_it_is_asked_for(rng, params):
    codes = rng.normal(0, 1, (60, 5)).astype(np.float32)
    cpu = torch.device("cpu")

    def names(held: np.ndarray, **changes: object) -> list[str]:
        found = Priors.fit(Normal(), codes, held, settings(params, **changes), 1, cpu)
        samplers = found.samplers(Normal(), 1)
        assert all(draw(7, rng).shape == (7, 5) for draw in samplers.values())
        assert (found.best, found.distances) == ("gaussian", {})
        return list(samplers)

    assert names(codes[:9]) == ["standard", "gaussian", "tempered", "mixture"]
    assert names(codes[:9], diffusion=3) == list(PRIORS)
    assert names(codes[:0], diffusion=3) == ["standard", "gaussian", "tempered", "mixture"]


@pytest.mark.parametrize(("spread", "best"), [(1.0, "standard"), (3.0, "gaussian"), (2.1, "tempered")])
def test_the_best_prior_is_that_of_the_least_distance(rng, params, spread, best):
    """Codes of deviation 3: the Gaussian has it, tempered .7 of it, the model's own prior has 1."""
    codes = rng.normal(0, 3, (200, 5)).astype(np.float32)

    def distance(draw: Draw) -> float:
        return abs(float(draw(2000, np.random.default_rng(0)).std()) - spread)

    found = Priors.fit(
        Normal(),
        codes,
        codes[:9],
        settings(params, axes=5, components=1, temperature=0.7),
        1,
        torch.device("cpu"),
        distance,
    )
    assert found.best == best or (best == "gaussian" and found.best == "mixture")  # one component: the same
    assert found.distances[best] < 0.2


def test_priors_are_read_back_as_they_were_written(rng, params, tmp_path):
    codes = rng.normal(0, 1, (60, 5)).astype(np.float32)
    cpu = torch.device("cpu")
    fitted = Priors.fit(Normal(), codes, codes[:9], settings(params, diffusion=3), 1, cpu)
    fitted.save(tmp_path)
    found = Priors.open(tmp_path, cpu)
    assert found.best == fitted.best and found.guidance == fitted.guidance
    for name, draw in found.samplers(Normal(), 1).items():
        again = fitted.samplers(Normal(), 1)[name](6, np.random.default_rng(3))
        np.testing.assert_array_equal(draw(6, np.random.default_rng(3)), again)
    with pytest.raises(PriorError, match="dvc repro prior"):
        Priors.open(tmp_path / "none", cpu)
