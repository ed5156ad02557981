"""Directions recovered from codes in which they were planted."""

from statistics import NormalDist

import numpy as np
import pytest

from faces.estimators import mean_difference, project, sample
from faces.moments import Moments, active_units
from faces.scores import auroc


def test_mean_difference_recovers_a_planted_direction(rng):
    """n codes at +-d/2 along v: the estimate's squared error is 4 D / n in expectation, and the projection's AUROC is Phi(d / sqrt 2)."""
    n, dims, d = 20_000, 32, 1.5
    v = np.eye(dims)[3] * d
    labels = rng.choice([-1, 1], (n, 1)).astype(np.int8)
    codes = (rng.standard_normal((n, dims)) + labels * v / 2).astype(np.float32)
    found = mean_difference(codes, labels)
    assert np.square(found[0] - v).sum() == pytest.approx(4 * dims / n, rel=0.8)
    scores = project(codes, found / np.linalg.norm(found))[:, 0]
    assert auroc(scores, labels[:, 0] == 1)[0] == pytest.approx(NormalDist().cdf(d / 2**0.5), abs=0.006)


def test_unknown_labels_count_on_neither_side():
    codes = np.array([[1.0], [3.0], [100.0], [0.0]], np.float32)
    labels = np.array([[1], [1], [0], [-1]], np.int8)
    assert mean_difference(codes, labels)[0, 0] == pytest.approx(2.0)


def test_blocks_do_not_matter(rng, monkeypatch):
    codes, labels = rng.standard_normal((1000, 8)).astype(np.float32), rng.choice([-1, 0, 1], (1000, 5)).astype(np.int8)
    whole = mean_difference(codes, labels)
    monkeypatch.setattr("faces.estimators.ROWS", 77)
    np.testing.assert_allclose(mean_difference(codes, labels), whole, atol=1e-5)


def test_sample_keeps_as_many_with_as_without(rng):
    labels = rng.choice([-1, 1], (500, 2), p=[0.9, 0.1]).astype(np.int8)
    kept = sample(labels, 20, rng)
    assert ((kept == 1).sum(0) == 20).all() and ((kept == -1).sum(0) == 20).all()
    assert (kept[kept != 0] == labels[kept != 0]).all()


def test_moments_equal_numpy(rng, monkeypatch):
    monkeypatch.setattr("faces.moments.ROWS", 64)
    codes = (1000 + rng.standard_normal((500, 6))).astype(np.float32)  # far from zero: sums of squares alone would lose it
    rows = np.arange(0, 500, 2)
    moments = Moments.of(codes, rows)
    chosen = codes[rows].astype(np.float64)
    np.testing.assert_allclose(moments.mean(), chosen.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std(), chosen.std(0), rtol=1e-9)
    np.testing.assert_allclose(moments.covariance(), np.cov(chosen.T, bias=True), atol=1e-9)


def test_active_units_counts_the_dimensions_that_move(rng):
    codes = rng.standard_normal((1000, 4)).astype(np.float32) * np.array([1, 0.5, 0.05, 0], np.float32)
    assert active_units(codes) == 2
