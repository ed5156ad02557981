"""Settings of the flow: which keys of params.yaml are changed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.flow_settings import changed, told
from faces.data.crops import Crops, Geometry


def test_keys_are_changed_in_a_copy(params):
    found = changed(params, "flow.steps=7,flow.learning_rate=0.002,flow.readouts.folds=3")
    assert (found["flow"]["steps"], found["flow"]["learning_rate"]) == (7, 0.002)
    assert found["flow"]["readouts"]["folds"] == 3
    assert found["flow"]["width"] == params["flow"]["width"]
    assert params["flow"]["steps"] != 7 and params["flow"]["readouts"]["folds"] != 3
    assert changed(params, "") == params


@pytest.mark.parametrize("key", ["flow.stepz", "flows.steps", "steps"])
def test_a_key_that_is_not_there_is_named(params, key):
    with pytest.raises(SystemExit, match=f"error: {key} is not in params.yaml"):
        changed(params, f"{key}=1")


def test_a_share_of_the_labels_that_are_told_is_turned():
    """Of those that are named alone, in their order; unknown ones stay unknown."""
    labels = np.ones((4000, 3), np.int8)
    labels[:, 1] = 0
    geometry = Geometry(box="square", size=32, filter="lanczos")
    pixels = np.zeros((4000, 1, 1, 3), np.uint8)
    crops = Crops(Path("crops"), pixels, geometry, ("a", "b", "c"), labels, np.zeros(4000, np.int8))
    found = told(crops, ("c", "b"), 0.25)
    assert found.attributes == ("c", "b") and found.labels.dtype == np.int8
    assert (found.labels[:, 0] == -1).mean() == pytest.approx(0.25, abs=0.03)
    assert not found.labels[:, 1].any()
    np.testing.assert_array_equal(told(crops, (), 0.0).labels, labels)
