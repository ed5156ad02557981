"""The animation at the head of the README: faces edited there and back by the flow, the detail kept.

    python -m benchmarks.animation data docs/edits.gif [--edits Smiling Eyeglasses=-1 ...]

An edit is an attribute that comes, or goes where =-1 stands behind it. Each is shown on the first valid face
with that counterfactual that no edit before it has shown; nothing is chosen, and no figure is taken from it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.editors import opened
from faces.core.params import Group, load
from faces.edits.detail import Detail, keep_detail
from faces.flow.editor import FlowEditor
from faces.nn.device import to_uint8
from faces.scoring.context import Codec
from faces.viz.images import resize, write_gif
from faces.viz.interpolation import eased, there_and_back

EDITS = ("Smiling", "Eyeglasses", "No_Beard=-1", "Black_Hair", "Wearing_Hat", "Eyeglasses=-1")
FRAMES = 12  # from one end to the other
MS = 80  # a frame
REST = 600  # more at either end
SIDE = 120  # pixels a face


class Params(Group):
    detail: Detail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--edits", nargs="+", default=EDITS)
    asked = parser.parse_args()
    crops, pairs, model = opened(asked.data, "calibration")
    codec = Codec(model, torch.device("cpu"), FRAMES)
    editor = FlowEditor.open(asked.data / "flow", torch.device("cpu"))
    settings = load(Params).detail
    strengths = eased(FRAMES)
    shown: set[int] = set()
    films = []
    for edit in asked.edits:
        attribute, _, sign = edit.partition("=")
        value = int(sign or 1)
        ways = pairs.of(attribute)
        row = next(int(row) for row in pairs.rows[ways[pairs.value[ways] == value]] if int(row) not in shown)
        shown.add(row)
        original = codec.pictures(crops.images[row : row + 1])
        code = codec.encode(original)
        labels = np.repeat(editor.arranged(crops.attributes, crops.labels[row : row + 1]), FRAMES, 0)
        codes = np.repeat(code, FRAMES, 0)
        edited = editor.switch(attribute, codes, labels, np.full(FRAMES, value), strengths)
        kept = keep_detail(original, codec.decode(code), codec.decode(edited), settings)
        films.append(resize(to_uint8(kept), SIDE))
    order = there_and_back(FRAMES)
    durations = [MS + (REST if frame in (0, FRAMES - 1) else 0) for frame in order]
    write_gif(asked.out, np.concatenate(films, axis=2), order, durations)


if __name__ == "__main__":
    main()
