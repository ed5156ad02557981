"""The sheet of new faces that were asked for by their labels."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from faces.edits.exclusions import Exclusions
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow
from faces.flow.readouts import Readouts
from faces.viz import grids
from faces.viz.selection import Absent


@pytest.fixture
def studio():
    """New faces of codes (x, y), a hat where x > 0 and a smile where y > 0: 5 have both, 20 the hat alone.
    Those with both are drawn dark. An edit moves x or y by 6.
    """
    readouts = Readouts(("Hat", "Smile"), 4 * np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    flow = Flow(2, 2, 2, 8, 1, 0, 0)
    for name in ("inward", "outward"):
        getattr(flow, name).copy_(torch.eye(2))
    flow.slopes.copy_(3 * torch.eye(2))
    codes = np.full((60, 2), -1, np.float32)
    codes[:25, 0] = 1
    codes[20:25, 1] = 1
    return SimpleNamespace(
        editor=FlowEditor(("Hat", "Smile"), Exclusions.none(2), flow.eval(), 2, readouts, 0.0),
        priors=SimpleNamespace(best="flow"),
        new_codes=lambda prior, count: codes,
        decode=lambda found: np.tile(
            np.where((found > 0).all(1), 60, 200).astype(np.uint8)[:, None, None, None], (1, 32, 32, 3)
        ),
    )


def shown(page: np.ndarray, value: int) -> int:
    """Faces of one grey."""
    return int((page == value).all(2).sum()) // 32**2


def test_a_row_has_faces_with_the_labels_and_edits_what_they_lack(studio):
    """Of twelve places in two rows; a row that asks for what the data do not have is left out."""
    show = SimpleNamespace(faces=3, tile=32, asked=(("Hat", "Smile"), ("Nose?",), ("Hat", "-Smile?")))
    page = grids.asked_for(studio, show, studio.editor)
    assert (shown(page, 60), shown(page, 200)) == (6, 6)


def test_where_no_row_is_left_there_is_no_sheet(studio):
    show = SimpleNamespace(faces=3, tile=32, asked=(("Nose?",),))
    with pytest.raises(Absent, match=r"none of the labels of render\.asked"):
        grids.asked_for(studio, show, studio.editor)
