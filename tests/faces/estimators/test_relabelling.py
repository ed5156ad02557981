"""Labels that codes contradict: which are turned, and what becomes of directions."""

from statistics import NormalDist

import numpy as np
import pytest

from faces.estimators.estimators import partial
from faces.estimators.linear import Boundary
from faces.estimators.relabelling import relabelled
from faces.latents.codes import Codes
from tests.faces.estimators.test_estimators import confounded, pose

BOUNDARY = Boundary(ridge=1e-5, faces=10**9, iterations=200)


def wrong_in(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(labels.shape) < share, -labels, labels).astype(np.int8)


@pytest.mark.parametrize("log_odds", [0.5, 1.0, 2.0])
def test_of_right_labels_those_are_turned_that_overlap(rng, log_odds):
    """Unit noise about means d apart: the log-odds for the own label are normal with mean d^2 / 2 and
    deviation d, so that Phi(-(t + d^2 / 2) / d) of the labels are turned.
    """
    d = 2.0
    labels = rng.choice([-1, 1], (20_000, 1)).astype(np.int8)
    codes = (rng.standard_normal((20_000, 6)) + labels * d / 2 * np.eye(6)[2]).astype(np.float32)
    found = relabelled(Codes.all(codes), labels, log_odds, BOUNDARY, rng)
    assert found.dtype == np.int8
    assert (found != labels).mean() == pytest.approx(NormalDist().cdf(-(log_odds + d**2 / 2) / d), abs=0.005)


def test_wrong_labels_of_clear_codes_are_put_right_and_unknown_ones_stay(rng):
    truth = rng.choice([-1, 1], (4_000, 3)).astype(np.int8)
    codes = (rng.standard_normal((4_000, 8)) + 3 * truth @ np.eye(3, 8)).astype(np.float32)
    given = wrong_in(truth, 0.1, rng)
    given[:500, 1] = 0
    found = relabelled(Codes.all(codes), given, 1.0, BOUNDARY, rng)
    assert (found[:500, 1] == 0).all()
    known = given != 0
    assert (given != truth)[known].mean() > 0.09
    assert (found != truth)[known].mean() < 0.01


def test_a_boundary_fitted_to_a_sample_does_as_well(rng):
    truth = rng.choice([-1, 1], (6_000, 1)).astype(np.int8)
    codes = (rng.standard_normal((6_000, 4)) + 3 * truth).astype(np.float32)
    sampled = BOUNDARY.model_copy(update={"faces": 500})
    found = relabelled(Codes.all(codes), wrong_in(truth, 0.1, rng), 1.0, sampled, rng)
    assert (found != truth).mean() < 0.005


def test_a_direction_carries_less_of_the_other_label(rng):
    """Of labels that correlate by .6 with 10% of each wrong, a's direction carries a quarter of b's effect
    (tests of the estimators); with the labels put right, a third of that at most.
    """
    codes, labels, effects = confounded(rng, 40_000, 16, 0.3)
    codes += (np.where(labels > 0, 1, 0) @ effects).astype(np.float32)  # twice as far apart
    given = wrong_in(labels, 0.1, rng)

    def carried(some: np.ndarray) -> float:
        found = partial(pose(codes, some)).vectors[0]
        return (found @ effects[1]) / (found @ effects[0])

    before = carried(given)
    assert before > 0.2
    assert abs(carried(relabelled(Codes.all(codes), given, 1.0, BOUNDARY, rng))) < before / 3
