"""Priors of codes: which there are, which is the best, and what is drawn of each."""

import numpy as np
import pytest
import torch
from torch import nn

from faces.core.params import parse
from faces.edits.exclusions import Exclusions
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow
from faces.flow.prior import FlowPrior
from faces.flow.readouts import Readouts
from faces.flow.training import linear_map
from faces.priors import Draw, PriorError, Priors, Settings
from faces.report.view import PRIORS
from faces.scoring import samples
from faces.scoring.context import Score


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


def flow_prior(codes: np.ndarray, rng: np.random.Generator) -> FlowPrior:
    """A flow along three axes, for two labels, that knows the regression alone."""
    labels = rng.choice([-1.0, 1.0], (len(codes), 2))
    flow = Flow(codes.shape[1], 3, 2, 8, 2, 1, 1)
    linear_map(flow, codes, labels, np.arange(len(codes)), codes, 1.0)
    readouts = Readouts(("a", "b"), np.zeros((2, codes.shape[1]), np.float32), np.zeros(2, np.float32))
    editor = FlowEditor(("a", "b"), Exclusions.none(2), flow.eval(), 3, readouts, 0.0)
    return FlowPrior.of_faces(editor, codes, labels)


def test_a_prior_is_there_when_it_is_asked_for(rng, params):
    codes = rng.normal(0, 1, (60, 5)).astype(np.float32)
    cpu = torch.device("cpu")

    def names(held: np.ndarray, told: FlowPrior | None = None, **changes: object) -> list[str]:
        found = Priors.fit(Normal(), codes, held, settings(params, **changes), 1, cpu, flow=told)
        samplers = found.samplers(Normal(), 1)
        assert all(draw(7, rng).shape == (7, 5) for draw in samplers.values())
        assert (found.best, found.distances) == ("gaussian", {})
        return list(samplers)

    always = ["standard", "gaussian", "tempered", "mixture"]
    assert names(codes[:9]) == always
    assert names(codes[:9], diffusion=3) == [*always, "diffusion"]
    assert names(codes[:0], diffusion=3) == always
    assert names(codes[:0], told=flow_prior(codes, rng)) == [*always, "flow"]
    assert names(codes[:9], diffusion=3, told=flow_prior(codes, rng)) == list(PRIORS)


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
    told = flow_prior(codes, rng)
    fitted = Priors.fit(Normal(), codes, codes[:9], settings(params, diffusion=3), 1, cpu, flow=told)
    fitted.save(tmp_path)
    found = Priors.open(tmp_path, cpu)
    assert (found.best, found.settings) == (fitted.best, fitted.settings)
    assert list(found.samplers(Normal(), 1)) == list(PRIORS)
    for name, draw in found.samplers(Normal(), 1).items():
        again = fitted.samplers(Normal(), 1)[name](6, np.random.default_rng(3))
        np.testing.assert_array_equal(draw(6, np.random.default_rng(3)), again)
    with pytest.raises(PriorError, match="dvc repro prior"):
        Priors.open(tmp_path / "none", cpu)
