"""What is shown of an edit, by the threshold `detail.noise` (faces/edits/detail.py).

    python -m benchmarks.shown DATA [0.04 0.06 ...] [--faces 48] [--attributes Smiling Eyeglasses]

DATA is a folder of outputs (`data` after `dvc repro`). Of each attribute that the classifier can read, the
flow switches the label of `--faces` valid faces, at strength 1. Of the decoded edits, and of what is shown of
them at each threshold, the table tells, as means over all attributes and for those of `--attributes`:

    turns      share of the faces that the classifier reads as labelled before and otherwise after
    others     change of the other attributes over that of the asked one, sizes of the evidence's deviations
    reduction  error reduction inside what truly changes, where the data have counterfactuals
    outside    PSNR in dB outside of it
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from benchmarks.flow_settings import context_of
from faces.core.files import open_npy
from faces.data.crops import Crops
from faces.edits.detail import keep_detail
from faces.flow.editor import FlowEditor
from faces.scoring.context import Context
from faces.scoring.counterfactuals import (
    Counterfactuals,
    changed_region,
    labels_for,
    pooled_psnr,
    squared_error,
)
from faces.scoring.editors import SwitchEditor

DECODED = "decoded"
FIGURES = ("turns", "others", "reduction", "outside")


def faces_of(
    crops: Crops, pairs: Counterfactuals | None, attribute: str, count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows (F,) of valid faces, as many of either label, and their true pictures where there are pairs."""
    if pairs is not None:
        chosen = pairs.of(attribute)
        sides = [chosen[pairs.value[chosen] == value][: count // 2] for value in (1, -1)]
        places = np.sort(np.concatenate(sides))
        return pairs.rows[places], pairs.images[places]
    rows = crops.rows("valid")
    labels = crops.labels[rows, crops.attributes.index(attribute)]
    return np.sort(np.concatenate([rows[labels == value][: count // 2] for value in (1, -1)])), None


class Faces(NamedTuple):
    """Faces with `label` (F,), 1 or -1, and their true pictures with the other one, where there are some."""

    attribute: str
    label: np.ndarray
    original: Tensor
    truth: Tensor | None


def compared(context: Context, faces: Faces, start: Tensor, shown: Tensor) -> dict[str, float]:
    """The FIGURES of what is shown of edits that begin at the pictures `start`."""
    _, label, original, truth = faces
    column = context.attributes.index(faces.attribute)
    before, after = (context.read(0, images)[0] for images in (start, shown))
    right = before[:, column] * label > 0
    turned = after[right, column] * label[right] < 0
    change = np.abs(after - before).mean(0) / context.deviations[0]
    asked = change[column]
    figures = {"turns": turned.mean() if right.any() else math.nan}
    figures["others"] = np.delete(change, column).mean() / max(asked, 1e-12)
    if truth is None:
        return figures | {"reduction": math.nan, "outside": math.nan}
    region = changed_region(original, truth, context.params.region_threshold)
    nothing, _ = squared_error(original, truth, region)
    inside, outside = squared_error(shown, truth, region)
    figures["reduction"] = 1 - inside / max(nothing, 1e-12)
    return figures | {"outside": pooled_psnr(outside, region.numel() - region.sum().item())}


def measure(data: Path, thresholds: list[float], count: int) -> pd.DataFrame:
    """A row for each attribute and way of showing its edits."""
    crops = Crops.open(data / "crops")
    pairs = Counterfactuals.open(data / "crops", crops.column("name"), "calibration")
    context = context_of(data, count)
    codes = open_npy(data / "latents" / "latents.npy")
    editor = SwitchEditor(FlowEditor.open(data / "flow", context.codec.device), (1.0,))
    names = [name for name in context.attributes if name in editor.attributes]
    lines = []
    for attribute in names if pairs is None else [name for name in names if name in set(pairs.attribute)]:
        rows, drawn = faces_of(crops, pairs, attribute, count)
        original = context.codec.pictures(crops.images[rows])
        truth = None if drawn is None else context.codec.pictures(drawn)
        before = context.codec.decode(codes[rows])
        moved = editor.edited(codes[rows], labels_for(editor, crops, rows), attribute, 1.0)
        after = context.codec.decode(moved)
        label = crops.labels[rows, crops.attributes.index(attribute)]
        faces = Faces(attribute, label, original, truth)
        ways = {DECODED: (before, after)} | {
            f"{noise:g}": (original, keep_detail(original, before, after, settings))
            for noise in thresholds
            for settings in [context.detail.model_copy(update={"noise": noise})]
        }
        for way, (start, shown) in ways.items():
            lines.append({"shown": way, "attribute": attribute} | compared(context, faces, start, shown))
    return pd.DataFrame(lines)


def summary(table: pd.DataFrame, attributes: list[str]) -> pd.DataFrame:
    """Means over all attributes, and the rows of `attributes`, by way of showing."""
    every = table.groupby("shown", sort=False)[list(FIGURES)].mean()
    parts = {"all": every} | {
        name: rows.set_index("shown")[list(FIGURES)]
        for name, rows in table.groupby("attribute")
        if name in attributes
    }
    return pd.concat(parts, axis=1).dropna(axis=1, how="all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("thresholds", nargs="*", type=float, default=[0.04, 0.06, 0.08, 0.12])
    parser.add_argument("--faces", type=int, default=48)
    parser.add_argument("--attributes", nargs="*", default=["Smiling", "Eyeglasses"])
    asked = parser.parse_args()
    table = measure(asked.data, asked.thresholds, asked.faces)
    with pd.option_context("display.width", 200):
        print(summary(table, asked.attributes).round(3).to_string())


if __name__ == "__main__":
    main()
