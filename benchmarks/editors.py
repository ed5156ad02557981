"""Both editors beside the truth, in one sheet.

    python -m benchmarks.editors data reports/editors.jpg [--attributes Smiling Bangs ...] [--faces 6]

For each attribute, of the first test faces that have a true counterfactual: the face, its reconstruction, the
straight line of `vectors.primary` and the flow, both at strength 1, and the truth. Nothing is chosen by hand.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import Field

from faces import checkpoints
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.edits.directions import Directions
from faces.edits.editor import LinearEditor
from faces.flow.editor import FlowEditor
from faces.nn.device import to_uint8
from faces.scoring.counterfactuals import Counterfactuals
from faces.viz.images import below, beside, sheet, words

ATTRIBUTES = ("Smiling", "Eyeglasses", "Wearing_Hat", "Bald", "Bangs", "No_Beard", "Blond_Hair", "Black_Hair")
SIDE = 64  # pixels a face
ROWS = ("face", "drawn by the model", "line", "flow", "truth")


class Params(Group):
    primary: str = Field(alias="vectors.primary")


def block(
    attribute: str,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    model: torch.nn.Module,
    editors: tuple[LinearEditor, FlowEditor],
    count: int,
) -> np.ndarray:
    """The rows of one attribute, uint8 (h, w, 3)."""
    chosen = pairs.of(attribute, count)
    rows = pairs.rows[chosen]
    z = np.ascontiguousarray(codes[rows], np.float32)
    edited = [
        editor.switch(
            attribute, z, editor.arranged(crops.attributes, crops.labels[rows]), pairs.value[chosen], 1.0
        )
        for editor in editors
    ]
    with torch.no_grad():
        drawn = [to_uint8(model.decode(torch.from_numpy(each))) for each in (z, *edited)]
    faces = np.stack([crops.images[rows], *drawn, pairs.images[chosen]])
    return sheet(faces, SIDE, rows=ROWS, title=words(attribute))


def opened(data: Path, stem: str = "counterfactuals") -> tuple[Crops, Counterfactuals, torch.nn.Module]:
    """The faces of a run, their counterfactuals ("calibration": those of valid faces) and the model.

    Raises SystemExit where there are none.
    """
    crops = Crops.open(data / "crops")
    pairs = Counterfactuals.open(data / "crops", crops.column("name"), stem)
    if pairs is None:
        raise SystemExit(f"{data / 'crops'}: these data have no counterfactuals")
    model, _ = checkpoints.load(data / "model")
    return crops, pairs, model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--attributes", nargs="+", default=ATTRIBUTES)
    parser.add_argument("--faces", type=int, default=6)
    asked = parser.parse_args()
    crops, pairs, model = opened(asked.data)
    codes = np.load(asked.data / "latents/latents.npy", mmap_mode="r", allow_pickle=False)
    editors = (
        LinearEditor.of(Directions.open(asked.data / "vectors", load(Params).primary)),
        FlowEditor.open(asked.data / "flow", torch.device("cpu")),
    )
    sheets = [block(name, crops, pairs, codes, model, editors, asked.faces) for name in asked.attributes]
    lines = [beside(*sheets[start : start + 2]) for start in range(0, len(sheets), 2)]
    Image.fromarray(below(*lines)).save(asked.out, quality=88)


if __name__ == "__main__":
    main()
