"""Drift figures against planted drifts."""

import numpy as np
import pytest

from ops.retrain import drift


def test_rates_against_the_two_proportion_test():
    """30 of 100 before, 30 of 50 new: pooled 0.4, error sqrt(0.24 (1/100 + 1/50)), z = 0.3 / error."""
    old = np.repeat([1, -1, 0], [30, 70, 5])
    new = np.repeat([1, -1, 0], [30, 20, 9])
    labels = np.stack([np.concatenate([old, new]), np.zeros(len(old) + len(new), int)], 1)
    fresh = np.arange(len(labels)) >= len(old)
    found = drift.rates(labels, fresh, ("Smiling", "Unknown"))
    assert found == {
        "Smiling": {
            "others": 0.3,
            "new": 0.6,
            "difference": 0.3,
            "z": pytest.approx(0.3 / np.sqrt(0.24 * 0.03), abs=0.01),
        }
    }


def test_codes_of_the_same_faces_are_as_far_apart_as_usual(rng):
    found = drift.compare(rng.normal(size=(400, 4)), rng.normal(size=(800, 4)))
    assert found["shift"] < 0.1 and 0.3 < found["ratio"] < 3


def test_a_shift_of_the_mean_is_found(rng):
    """One deviation in one of four dimensions: shift sqrt(1/4), squared Frechet distance 1 and a little."""
    new = rng.normal(size=(500, 4)) + np.array([1.0, 0, 0, 0])
    found = drift.compare(new, rng.normal(size=(1000, 4)))
    assert (
        found["shift"] == pytest.approx(0.5, abs=0.05)
        and found["frechet"] == pytest.approx(1.0, abs=0.25)
        and found["ratio"] > 10
    )


def test_one_new_face_has_no_spread(rng):
    found = drift.compare(rng.normal(size=(1, 3)), rng.normal(size=(10, 3)))
    assert found["frechet"] is None and found["ratio"] is None and np.isfinite(found["shift"])
