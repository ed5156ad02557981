"""New codes by the flow, where it is known how codes lie."""

import numpy as np
import pytest
import torch

from faces.flow.editor import FlowEditor
from faces.flow.prior import FlowPrior
from tests.faces.flow.test_flow import fitted


@pytest.fixture(scope="module")
def worlds() -> dict[str, tuple[np.ndarray, np.ndarray, FlowEditor]]:
    """Codes, labels and a flow: two rings, of radius 3 with the label and 1 without; and two labels that go
    together, with linear-Gaussian codes of six numbers.
    """
    rng = np.random.default_rng(2)
    angle = rng.random(6000) * 2 * np.pi
    labels = np.where(rng.random(6000) < 0.3, 1, -1)
    radius = np.where(labels > 0, 3.0, 1.0) + 0.1 * rng.standard_normal(6000)
    rings = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), labels[:, None]
    first = np.where(rng.random(4000) < 0.3, 1, -1)
    both = np.stack([first, np.where(rng.random(4000) < 0.8, first, -first)], 1)
    straight = both @ rng.standard_normal((2, 6)) + rng.standard_normal((4000, 6)) @ rng.standard_normal(
        (6, 6)
    )
    return {
        "rings": (*rings, fitted(*rings, steps=1500)),
        "gaussian": (straight, both, fitted(straight, both, steps=60)),
    }


def drawn(world: tuple[np.ndarray, np.ndarray, FlowEditor], count: int, **settings: float) -> np.ndarray:
    codes, labels, editor = world
    told = FlowPrior.of_faces(editor, codes, labels)
    return told.sample(count, np.random.default_rng(0), **({"guidance": 1.0, "temperature": 1.0} | settings))


def off_the_rings(codes: np.ndarray) -> float:
    """Mean distance from the nearer of the two."""
    radius = np.hypot(*codes.T)
    return float(np.minimum(np.abs(radius - 1), np.abs(radius - 3)).mean())


def test_new_codes_lie_on_the_rings_as_often_as_the_faces(worlds):
    """Gaussians of the same mean and variance, which an untrained flow draws, lie four times as far off."""
    codes, labels, _ = worlds["rings"]
    found = drawn(worlds["rings"], 3000)
    untrained = drawn((codes, labels, fitted(codes, labels, steps=0)), 3000)
    assert np.mean(np.hypot(*found.T) > 2) == pytest.approx(0.3, abs=0.03)
    assert off_the_rings(found) < 0.3 * off_the_rings(untrained)


def test_guidance_draws_codes_to_their_heaps(rng):
    """Four heaps round the middle, and a network that was trained too little to part them; one that was not
    trained at all is not guided.
    """
    labels = np.where(rng.random((4000, 1)) < 0.5, 1, -1)
    codes = 3 * rng.choice([-1.0, 1.0], (4000, 2)) + 0.3 * rng.standard_normal((4000, 2))
    trained, untrained = (
        [
            drawn((codes, labels, fitted(codes, labels, steps=steps)), 3000, guidance=each)
            for each in (1.0, 2.0)
        ]
        for steps in (300, 0)
    )
    off = [np.abs(np.arctan2(*np.abs(found.T)) - np.pi / 4).mean() for found in trained]
    assert off[1] < 0.9 * off[0]
    np.testing.assert_allclose(*untrained, atol=1e-5)


def test_gaussian_codes_keep_mean_and_covariance(worlds):
    codes, _, _ = worlds["gaussian"]
    found = drawn(worlds["gaussian"], 20_000)
    np.testing.assert_allclose(found.mean(0), codes.mean(0), atol=0.12)
    np.testing.assert_allclose(np.cov(found.T), np.cov(codes.T), atol=0.12 * np.cov(codes.T).max())


def test_temperature_narrows_what_labels_do_not_say(worlds):
    """With one label for all, the deviation falls by the temperature."""
    codes, labels, editor = worlds["gaussian"]
    one = FlowPrior.of_faces(editor, codes[:1], labels[:1])
    wide, narrow = (one.sample(5000, np.random.default_rng(0), 1.0, each) for each in (1.0, 0.5))
    np.testing.assert_allclose(narrow.std(0) / wide.std(0), 0.5, atol=0.05)


def test_what_lies_beyond_the_axes_is_drawn_too(rng):
    """Codes of 40 numbers along 8 axes: the deviation of the others is that of the faces."""
    labels = np.where(rng.random((1000, 1)) < 0.5, 1, -1)
    codes = rng.standard_normal((1000, 40)) * np.linspace(5, 0.2, 40)
    found = drawn((codes, labels, fitted(codes, labels, axes=8, steps=0)), 4000)
    np.testing.assert_allclose(found.std(0), codes.std(0), rtol=0.15)


def test_read_back_it_draws_the_same(worlds):
    codes, labels, editor = worlds["rings"]
    told = FlowPrior.of_faces(editor, codes, labels)
    again = FlowPrior.of(told.arrays(), torch.device("cpu"))
    first, second = (each.sample(700, np.random.default_rng(3), 1.5, 0.8) for each in (told, again))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
