"""Coverage on many faces: which pairs calibrate and which check."""

import numpy as np

from benchmarks.coverage import halves
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
