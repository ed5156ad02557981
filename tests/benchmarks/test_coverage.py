"""Coverage on many faces: which pairs calibrate and which check."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.coverage import halves, shares
from faces.scoring.counterfactuals import Counterfactuals


def test_every_other_pair_of_an_attribute_and_way_checks():
    attribute = np.array(["Smiling", "Bald", "Smiling", "Smiling", "Bald", "Smiling", "Smiling"])
    value = np.array([1, 1, 1, -1, 1, -1, 1])
    pairs = Counterfactuals(
        np.arange(7, dtype=np.uint8)[:, None, None, None], np.arange(7) + 10, attribute, value, np.full(7, "")
    )
    first, second = halves(pairs)
    assert first.rows.tolist() == [10, 11, 13, 16] and second.rows.tolist() == [12, 14, 15]
    for half in (first, second):
        np.testing.assert_array_equal(half.images[:, 0, 0, 0] + 10, half.rows)
        np.testing.assert_array_equal(half.attribute, attribute[half.rows - 10])
        np.testing.assert_array_equal(half.value, value[half.rows - 10])


def test_each_half_is_checked_by_ranges_of_the_other():
    """Ways keep their order; a way that one half promises nothing of has one range."""
    lines = [("Smiling", 1, 0.8, 2.0, 100, 91, 0), ("Bald", 1, 1.0, 1.2, 50, 45, 0)]
    lines += [("Smiling", 1, 0.9, 1.8, 100, 87, 1)]
    columns = ["attribute", "value", "low", "high", "faces_checked", "held", "half"]
    found = shares(pd.DataFrame(lines, columns=columns))
    assert found["attribute"].tolist() == ["Smiling", "Bald"]
    assert found["ranges"].tolist() == [2, 1] and found["faces"].tolist() == [200, 50]
    assert found["share"].tolist() == [0.89, 0.9]
    assert found.loc[0, ["low", "high"]].tolist() == pytest.approx([0.85, 1.9])
    assert (found["share_low"] < found["share"]).all() and (found["share"] < found["share_high"]).all()
