"""Precision, recall, density, coverage, variance and nearest train codes of sets whose overlap is known."""

import numpy as np
import pytest

from faces.metrics import coverage


def test_two_samples_of_one_distribution(rng):
    """Naeem et al. 2020, lemma 2: coverage is 1 - (1/2)^k on average; density is 1."""
    found = [coverage.support(rng.normal(size=(300, 3)), rng.normal(size=(300, 3)), 5) for _ in range(5)]
    assert np.mean([one["coverage"] for one in found]) == pytest.approx(1 - 0.5**5, abs=0.02)
    assert np.mean([one["density"] for one in found]) == pytest.approx(1, abs=0.1)
    assert np.mean([one["precision"] for one in found]) > 0.9


def test_a_prior_that_forgets_half_of_the_faces(rng):
    """Two clusters of real faces, samples in one of them: all look real, half of the real ones are missed."""
    real = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 100])
    found = coverage.support(rng.normal(size=(400, 2)), real, 5)
    assert found["precision"] > 0.95
    assert found["recall"] == pytest.approx(0.5, abs=0.05)
    assert found["coverage"] == pytest.approx(0.5, abs=0.05)


def test_samples_from_elsewhere(rng):
    found = coverage.support(rng.normal(size=(50, 2)) + 100, rng.normal(size=(50, 2)), 5)
    assert found == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_an_under_dispersed_prior_is_seen(rng):
    codes = rng.normal(size=(20_000, 4)) * [3, 2, 1, 0.5]
    assert coverage.variance_ratio(0.8 * codes, codes) == pytest.approx(0.64)


def test_nearest_against_all_pairs(rng):
    a = rng.normal(size=(300, 5))
    b = rng.normal(size=(40, 5)) + 50  # far from the origin, where rounding would show
    expected = np.linalg.norm(a[:, None] - b, axis=2).min(1)
    np.testing.assert_allclose(coverage.nearest(a, b), expected, rtol=1e-6)


def test_copies_show_in_the_low_quantiles_alone(rng):
    """Every fiftieth sample is a train code: the 1% quantile falls to 0, the 5% quantile stays near 1."""
    train = rng.normal(size=(2000, 6))
    held_out = rng.normal(size=(2000, 6))
    samples = rng.normal(size=(2000, 6))
    samples[::50] = train[::50]
    found = coverage.nearness(samples, held_out, train)
    assert found["nearest_01"] == pytest.approx(0, abs=1e-3)
    assert found["nearest_05"] == pytest.approx(1, abs=0.1)
