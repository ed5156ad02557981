"""Rank correlation as scipy has it, ties and all."""

import numpy as np
import pytest
from scipy import stats

from faces.metrics.rank_correlation import ranked, spearman


def test_ranks_and_their_correlation_are_scipys():
    rng = np.random.default_rng(0)
    first = rng.integers(6, size=(50, 3))  # many ties
    second = first[:, 0] + rng.normal(size=50)
    np.testing.assert_array_equal(ranked(first), stats.rankdata(first, axis=0))
    np.testing.assert_array_equal(ranked(second), stats.rankdata(second))
    assert spearman(first[:, 0], second) == pytest.approx(stats.spearmanr(first[:, 0], second)[0])


def test_what_does_not_vary_has_no_correlation():
    assert np.isnan(spearman(np.ones(4), np.arange(4)))
