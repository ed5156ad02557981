"""Guarantees on exchangeable faces whose failures are known."""

import numpy as np
import pytest
from scipy.stats import binom

from faces.metrics import conformal

STRENGTHS = np.array([0.5, 1.0, 1.5, 2.0])


def faces(count: int, rng: np.random.Generator, breaks: float = 1.8) -> np.ndarray:
    """Margins (count, 4) of faces that flip at about .7 and break something from about `breaks` on."""
    flips = rng.normal(0.7, 0.1, count)
    ends = rng.normal(breaks, 0.3, count)
    return np.minimum(STRENGTHS - flips[:, None], ends[:, None] - STRENGTHS)


def ranged(margins: np.ndarray, level: float = 0.9) -> tuple[float, float] | None:
    """The range that a third of the faces starts and the others calibrate."""
    choosing = conformal.chooses(len(margins))
    place = conformal.first_strength(margins[choosing], level)
    if place is None:
        return None
    return conformal.guaranteed(STRENGTHS, margins[~choosing], level, STRENGTHS[place])


def held(margins: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which faces hold all along [low, high], by the straight lines between strengths."""
    at = np.linspace(low, high, 40)
    values = np.array([np.interp(at, STRENGTHS, margin) for margin in margins])
    return (values > -1e-9).all(1)


@pytest.mark.parametrize("breaks", [1.8, 9.0])
def test_of_exchangeable_faces_as_many_hold_as_promised(breaks, rng):
    """600 calibrations of 99 faces, each asked of 60 new ones: 66 calibrate, so 6 of 67 may fail, which is
    exact for losses without ties. The mean coverage is 1 - 6 / 67 to within 4 standard errors, where faces
    break something at some strength, and where none does at any that is tried.
    """
    shares = []
    for _ in range(600):
        low, high = ranged(faces(99, rng, breaks))
        assert (high == 2.0 and 0.5 < low < 1.0) if breaks > 2 else (high < 2.0 and low == 1.0)
        shares.append(held(faces(60, rng, breaks), low, high).mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - (1 - 6 / 67)) < 4 * error < 0.01
    assert np.mean(shares) > 0.9


def test_a_range_widens_downwards_where_it_cannot_upwards():
    """Of 19 faces one may fail: the second to fail on the way down, at .8, ends the range."""
    flips = np.array([*[0.4] * 17, 0.8, 0.9])
    margins = STRENGTHS - flips[:, None]
    assert conformal.guaranteed(STRENGTHS, margins, 0.9, 1.0) == pytest.approx((0.8, 2.0))
    assert conformal.guaranteed(STRENGTHS, margins[:17], 0.9, 1.0) is not None
    all_along = conformal.guaranteed(STRENGTHS, np.full((19, 4), 1.0), 0.9, 1.0)
    assert all_along == (0.5, 2.0)


def test_the_correction_for_few_faces():
    """(k + 1) / (n + 1) <= .1: none of 9 may fail, one of 19, nine of 99; of 8 nothing can be said."""
    found = [conformal.failures_allowed(count, 0.1) for count in (8, 9, 19, 99)]
    assert found == [-1, 0, 1, 9]
    assert conformal.largest_reach(np.ones(8), 0.1) == -np.inf
    assert conformal.largest_reach(np.array([*[2.0] * 18, 0.5]), 0.1) == 2.0
    assert conformal.largest_reach(np.array([*[2.0] * 17, 0.5, 0.6]), 0.1) == 0.6


def test_a_face_that_fails_once_holds_no_more():
    """It is not made good by what comes later, and strengths between are on straight lines."""
    margins = np.array(
        [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -3.0]]
    )
    found = conformal.reach_borne(STRENGTHS, margins)
    np.testing.assert_allclose(found, [2.0, 0.75, -np.inf, 1.625])


def test_a_range_starts_at_the_least_strength_that_does(rng):
    margins = np.where(rng.random((400, 4)) < [0.2, 0.92, 0.98, 0.99], 1.0, -1.0)
    assert conformal.first_strength(margins, 0.9) == 2
    assert conformal.first_strength(margins[:, :2], 0.9) == 1  # none does: the best
    assert conformal.first_strength(margins[:, :1], 0.9) is None
    assert conformal.first_strength(margins[:0], 0.9) is None


def test_what_barely_holds_is_not_promised_by_luck(rng):
    """Six faces in a hundred or eleven fail at every strength. Where eleven do, a promise is a lucky draw of
    those that calibrate; faces that choose apart from them make it rare, and of new ones 89% hold it.
    """
    promised = {}
    for fails in (0.06, 0.11):
        margins = np.where(rng.random((300, 300)) < fails, -1.0, 1.0)[..., None].repeat(4, 2)
        promised[fails] = np.mean([ranged(one) is not None for one in margins])
    calibrated_alone = binom.cdf(conformal.failures_allowed(200, 0.1), 200, 0.11)
    assert promised[0.11] < 0.6 * calibrated_alone < 0.2 and promised[0.06] > 0.85


def test_an_editor_that_breaks_things_gets_no_range(rng):
    """However well it flips: something else is changed in a third of the faces."""
    margins = faces(99, rng)
    margins[rng.random(99) < 0.33] = -1.0
    assert ranged(margins) is None
    assert ranged(faces(99, rng)) is not None
    assert ranged(faces(9, rng)) is None  # six faces can promise nothing


def test_p_values_of_exchangeable_faces_are_even(rng):
    calibration = rng.normal(size=99)
    assert conformal.p_values(np.array([np.inf, -np.inf]), calibration).tolist() == [0.01, 1.0]
    found = np.concatenate([conformal.p_values(rng.normal(size=5), rng.normal(size=99)) for _ in range(2000)])
    for p in (0.05, 0.1, 0.5):
        assert abs((found <= p).mean() - p) < 4 * np.sqrt(p * (1 - p) / 5000)


def test_the_interval_of_a_share_is_exact():
    """At its ends the count that was seen, or a rarer one, has a chance of 2.5%."""
    low, high = conformal.binomial_interval(90, 100)
    assert binom.sf(89, 100, low) == pytest.approx(0.025) == binom.cdf(90, 100, high)
    assert conformal.binomial_interval(0, 10)[0] == 0 and conformal.binomial_interval(10, 10)[1] == 1
