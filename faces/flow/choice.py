"""The editor of the pictures, by the group `edits` of params.yaml."""

from pathlib import Path
from typing import Literal

import torch

from faces.core.params import Group
from faces.edits.directions import Directions
from faces.edits.editor import Editor, LinearEditor
from faces.flow.editor import FlowEditor


class Edits(Group):
    """The group `edits`."""

    primary: Literal["flow", "directions"]


def open_editor(edits: Edits, directions: Directions, flow: Path, device: torch.device) -> Editor:
    """The chosen editor: the flow in folder `flow`, or straight lines (`directions`). Raises FlowError."""
    if edits.primary == "directions":
        return LinearEditor.of(directions)
    return FlowEditor.open(flow, device)
