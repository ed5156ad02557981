"""Settings of the flow: which keys of params.yaml are changed."""

import pytest

from benchmarks.flow_settings import changed


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
