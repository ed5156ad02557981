"""The sheet of forms: faces in the row of the form that is read off their codes."""

from types import SimpleNamespace

import numpy as np
import torch

from facemorph.forms import Forms
from faces.edits.exclusions import Exclusions
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow
from faces.flow.readouts import Readouts
from faces.viz import grids


def test_faces_stand_in_the_row_of_their_form():
    """Of 40 faces 20 have the hat: 16 dark ones its first form, 4 light ones its second. Places stay empty
    where faces are too few.
    """
    forms = Forms(
        np.array([0]),
        np.array([1]),
        np.array([0, 0]),
        np.array([[0.0, 0], [0, 8]]),
        np.zeros(2),
        np.zeros((1, 2)),
        np.array([0.0, 1e9]),
    )
    readouts = Readouts(("Hat",), np.zeros((1, 2), np.float32), np.zeros(1, np.float32))
    editor = FlowEditor(
        ("Hat",), Exclusions.none(1), Flow(2, 2, 3, 8, 1, 0, 0).eval(), 2, readouts, 0.0, forms
    )
    second = np.arange(40) % 10 == 0
    labels = np.where(np.arange(40) % 2 == 0, 1, -1)[:, None]
    codes = np.stack([np.zeros(40), np.where(second, 1, -1)], 1).astype(np.float32)
    pictures = np.where(second, 200, 60).astype(np.uint8)[:, None, None, None]
    crops = SimpleNamespace(
        attributes=("Hat",),
        labels=labels,
        images=np.tile(pictures, (1, 32, 32, 3)),
        rows=lambda split: np.arange(40) if split == "train" else np.arange(0),
    )
    studio = SimpleNamespace(crops=crops, codes=codes, editor=editor, seed=1, device=torch.device("cpu"))
    page = grids.forms(studio, SimpleNamespace(faces=3, tile=32), editor)
    shown = {
        value: (page == value).all(2).sum(1) // 32 for value in (60, 200)
    }  # faces on each line of pixels
    lines = {value: np.flatnonzero(faces) for value, faces in shown.items()}
    assert {value: len(places) for value, places in lines.items()} == {60: 32, 200: 32}
    assert (shown[60].max(), shown[200].max()) == (6, 4)
    assert lines[60].max() < lines[200].min()
