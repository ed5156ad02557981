"""Rates, correlation and mean faces against counts by hand and against numpy."""

import numpy as np
import pytest

from faces.metrics.label_stats import phi, rates
from faces.viz import grids
from faces.viz.grids import class_means


def test_rates_leave_the_unknown_out():
    labels = np.array([[1, 0, 1], [-1, 0, 1], [1, 0, 0], [0, 0, 1]], np.int8)
    np.testing.assert_array_equal(rates(labels), [2 / 3, np.nan, 1])


def test_phi_of_a_table_by_hand():
    """Cells 4 (both), 1, 2, 3 (neither): (12 - 2) / sqrt(5 * 5 * 6 * 4)."""
    cells = [[1, 1]] * 4 + [[1, -1]] + [[-1, 1]] * 2 + [[-1, -1]] * 3 + [[0, 1]] * 9
    assert phi(np.array(cells, np.int8))[0, 1] == pytest.approx(10 / np.sqrt(600), abs=1e-15)


def test_phi_is_the_correlation_of_the_labels(rng):
    labels = np.where(rng.normal(size=(500, 4)) + 0.5 * rng.normal(size=(500, 1)) > 0.2, 1, -1)
    np.testing.assert_allclose(phi(labels), np.corrcoef(labels.T), atol=1e-12)


def test_phi_of_what_never_varies_is_nan():
    matrix = phi(np.array([[1, 1], [-1, 1]], np.int8))
    assert matrix[0, 0] == 1
    assert np.isnan(matrix[[0, 1, 1], [1, 0, 1]]).all()


def test_class_means_against_numpy(rng, monkeypatch):
    monkeypatch.setattr(grids, "CHUNK", 7)
    values = rng.integers(0, 256, (60, 4, 4, 3)).astype(np.uint8)
    rows = rng.permutation(60)[:40]
    labels = rng.choice((-1, 0, 1), (40, 3)).astype(np.int8)
    labels[:, 2] = np.abs(labels[:, 2])  # nobody is without the third
    without, with_it = class_means(values, rows, labels)
    for attribute in range(3):
        np.testing.assert_allclose(
            with_it[attribute], values[rows[labels[:, attribute] == 1]].mean(axis=0), rtol=1e-12
        )
    np.testing.assert_allclose(without[0], values[rows[labels[:, 0] == -1]].mean(axis=0), rtol=1e-12)
    assert np.isnan(without[2]).all()
