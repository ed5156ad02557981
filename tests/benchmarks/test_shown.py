"""What is shown of an edit: figures of edits that are known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.shown import Faces, compared, faces_of, summary


@pytest.fixture
def context():
    """Two attributes, whose evidence is the mean of a channel each."""
    return SimpleNamespace(
        attributes=("red", "green"),
        deviations=np.array([[1.0, 2.0]]),
        params=SimpleNamespace(region_threshold=0.1),
        read=lambda number, images: (images[:, :2].mean((2, 3)).numpy(), None),
    )


def test_figures_of_edits_that_are_known(context):
    """Of three faces one is read otherwise than its label says, and one does not turn."""
    original = torch.zeros(3, 3, 16, 16)
    original[:, 0] = torch.tensor([-0.5, -0.5, 0.5])[:, None, None]
    truth = original.clone()
    truth[:, :, :4] = 0.9
    shown = original.clone()
    shown[0, 0] = 0.5
    shown[0, 1] = 0.5
    faces = Faces("red", -np.ones(3), original, truth)
    found = compared(context, faces, original, shown)
    assert found["turns"] == 0.5
    assert found["others"] == pytest.approx((0.5 / 2) / 1.0)
    assert found["reduction"] < 1
    right = compared(context, faces, original, truth)
    assert (right["reduction"], right["outside"]) == (1, 100)
    assert compared(context, faces, original, original)["reduction"] == 0
    assert compared(context, faces, shown, original)["reduction"] == 0, "whatever the edit began at"
    unknown = compared(context, faces._replace(truth=None), original, shown)
    assert np.isnan(unknown["reduction"]) and unknown["turns"] == 0.5


def test_faces_without_pairs_are_valid_ones_of_both_labels():
    labels = np.resize([1, -1, 0], 60)[:, None]
    crops = SimpleNamespace(attributes=("red",), labels=labels, rows=lambda split: np.arange(30, 60))
    rows, truth = faces_of(crops, None, "red", 8)
    assert truth is None and (rows >= 30).all()
    assert sorted(labels[rows, 0]) == [-1] * 4 + [1] * 4


def test_a_column_that_nothing_was_measured_in_is_left_out():
    figures = {"turns": 1.0, "others": 0.1, "reduction": np.nan, "outside": np.nan}
    table = pd.DataFrame([{"shown": "0.06", "attribute": name} | figures for name in ("red", "green")])
    assert list(summary(table, ["red"]).columns) == [
        ("all", "turns"),
        ("all", "others"),
        ("red", "turns"),
        ("red", "others"),
    ]
