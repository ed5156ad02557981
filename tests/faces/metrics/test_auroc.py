"""AUROC and its uncertainty against closed forms."""

from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from faces.metrics.auroc import auroc, resamples, roc_curve


def test_auroc_of_two_gaussians(rng):
    """Scores N(0, 1) and N(d, 1): AUROC = Phi(d / sqrt 2)."""
    n = 20_000
    d = 1.0
    scores = np.r_[rng.normal(0, 1, n), rng.normal(d, 1, n)]
    positive = np.repeat([False, True], n)
    assert auroc(scores, positive)[0] == pytest.approx(NormalDist().cdf(d / 2**0.5), abs=0.006)


def test_auroc_counts_ties_half():
    assert auroc(np.array([1.0, 1.0, 2.0, 0.0]), np.array([True, False, True, False]))[0] == pytest.approx(
        (0.5 + 1 + 1 + 1) / 4
    )


def test_auroc_equals_scikit_learn_with_ties_and_weights(rng):
    scores = rng.integers(0, 20, 500).astype(float)
    positive = rng.random(500) < 0.3
    weights = resamples(500, 3, rng)
    ours = auroc(scores, positive, weights)
    theirs = [roc_auc_score(positive, scores, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_resamples_draw_as_many_as_there_are(rng):
    draws = resamples(50, 10, rng)
    assert draws.shape == (10, 50)
    np.testing.assert_array_equal(draws.sum(1), 50)


def test_the_bootstrap_interval_covers(rng):
    """The spread of the bootstrap equals the spread of AUROC over fresh samples of the same size."""
    fresh = [
        auroc(np.r_[rng.normal(0, 1, 200), rng.normal(1, 1, 200)], np.repeat([False, True], 200))[0]
        for _ in range(300)
    ]
    scores = np.r_[rng.normal(0, 1, 200), rng.normal(1, 1, 200)]
    booted = auroc(scores, np.repeat([False, True], 200), resamples(400, 300, rng))
    assert booted.std() == pytest.approx(np.std(fresh), rel=0.25)


def test_an_empty_class_is_not_a_number():
    assert np.isnan(auroc(np.arange(3.0), np.array([True, True, True]))[0])


def test_roc_curve_of_perfect_scores():
    false, true = roc_curve(np.arange(10.0), np.arange(10) >= 5, 11)
    np.testing.assert_allclose(false, np.linspace(0, 1, 11))
    np.testing.assert_allclose(true, 1.0)


def test_the_area_under_the_drawn_curve_is_the_auroc_with_ties(rng):
    """Scores of six values: drawn one face after another, the curve would depend on the faces' order."""
    scores = rng.integers(0, 6, 2000).astype(float)
    positive = rng.random(2000) < 0.3 + 0.05 * scores
    order = np.argsort(~positive, kind="stable")  # all positives first: the order that flatters most
    false, true = roc_curve(scores[order], positive[order], 2001)
    assert np.trapezoid(true, false) == pytest.approx(auroc(scores, positive)[0], abs=1e-3)
