"""A picture like the training faces is let in, one that is unlike them refused."""

import numpy as np
import pytest

from facemorph.gaussian import LowRankGaussian
from facemorph.likeness import Likeness, statistics

SIDE = 16
LENGTH = 10


@pytest.fixture
def gaussian(rng) -> LowRankGaussian:
    axes = np.linalg.qr(rng.normal(size=(LENGTH, LENGTH)))[0]
    return LowRankGaussian(
        rng.normal(size=LENGTH), axes * np.arange(LENGTH, 0, -1)[:, None], np.zeros(LENGTH)
    )


def look(gaussian: LowRankGaussian, rng: np.random.Generator, count: int, error: float, far: float = 1.0):
    """Statistics of pictures that are drawn with `error` levels of noise, codes `far` as far out as usual."""
    crops = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    codes = gaussian.mean + far * (gaussian.draw(count, rng, 1.0) - gaussian.mean)
    return statistics(gaussian, crops, codes, crops + rng.normal(0, error, crops.shape))


def test_near_is_let_in_and_far_is_refused(gaussian, rng):
    """Of pictures like the calibration's about 1% are refused, of those drawn four times as badly, or eight
    times as far out, all.
    """
    like = Likeness.of(look(gaussian, rng, 2000, 5.0), 0.01, 0.1)
    near = like.p_values(look(gaussian, rng, 4000, 5.0))
    assert abs((near <= 0.01).mean() - 0.01) < 0.008
    for strange in (look(gaussian, rng, 100, 20.0), look(gaussian, rng, 100, 5.0, far=8.0)):
        assert all(like.refused(p) for p in like.p_values(strange))


def test_the_statistics_are_what_they_say(gaussian):
    """A grey picture has no colour and no detail; its code one standard deviation along every axis."""
    crops = np.full((1, SIDE, SIDE, 3), 100, np.uint8)
    codes = gaussian.mean + gaussian.factor.sum(0)[None]
    found = np.exp(statistics(gaussian, crops, codes, crops + 25.5))[0]
    np.testing.assert_allclose(found, [0.01 + 1e-7, 1.001, 1.001, 1e-4, 1e-5], rtol=1e-6)


def test_ranges_shrink_to_nothing():
    """Whole from `gradual` on, half way at half way, about the strength nearest 1, and none where refused."""
    like = Likeness(np.zeros(5), np.eye(5), np.zeros(99), 0.02, 0.1)
    assert like.range_of(0.6, 1.4, 1.0) == pytest.approx((0.6, 1.4))
    assert like.range_of(0.6, 1.4, 0.06) == pytest.approx((0.8, 1.2))
    assert like.range_of(1.2, 1.6, 0.06) == pytest.approx((1.2, 1.4))
    assert like.range_of(0.6, 1.4, 0.02) is None


def test_a_handful_of_faces_refuses_nobody(gaussian, rng):
    assert Likeness.of(look(gaussian, rng, 39, 5.0), 0.01, 0.1) is None
    assert Likeness.of(look(gaussian, rng, 40, 5.0), 0.01, 0.1) is not None
