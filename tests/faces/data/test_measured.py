"""Measured labels: numbers between the ends of a scale, unknown ones zero, kept through a file."""

import numpy as np
import pytest

from faces.data.measured import MIDDLE, Measures, MeasuresError, Scale, scale_of


def test_labels_lie_between_the_ends_of_the_scale():
    """Beyond the ends they are clipped, unknown is 0, and the exact middle is not."""
    values = np.array([[5.0], [10.0], [30.0], [15.0], [np.nan], [20.0]])
    found = Measures((Scale("yaw", "°", 10.0, 20.0, -1),), values)
    np.testing.assert_allclose(found.labels[:, 0], [-1, -1, 1, MIDDLE, 0, 1])
    assert found.sides[:, 0].tolist() == [-1, -1, 1, 0, 0, 1]


def test_a_scale_leaves_out_the_tails():
    """The 2% and 98% quantiles; a measure that changes sides has its zero in the middle."""
    values = np.append(np.linspace(0, 100, 101), np.nan)
    assert scale_of("smile", "%", values, 1, 0.02) == Scale("smile", "%", 2.0, 98.0, 1)
    assert scale_of("yaw", "°", values, -1, 0.02) == Scale("yaw", "°", -96.0, 96.0, -1)
    assert scale_of("smile", "%", np.ones(9), 1, 0.02) is None


def test_measures_come_back_from_their_folder(tmp_path):
    values = np.array([[1.5], [np.nan]])
    Measures((Scale("smile", "%", 0.0, 4.0, 1),), values).save(tmp_path, {"enabled": True})
    found = Measures.open(tmp_path, 2)
    assert found.names == ("smile",)
    np.testing.assert_array_equal(found.values, values)
    with pytest.raises(MeasuresError, match="2 rows for 3 faces; run `dvc repro -f measure`"):
        Measures.open(tmp_path, 3)
