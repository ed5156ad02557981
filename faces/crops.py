"""data/crops: every face as pixels, ready to train on.

images.npy      uint8 (N, H, W, 3), a memory map
table.csv       row i describes image i: the columns of labels.csv
rejects.csv     what was refused, and why
geometry.json   how the faces were cut: whoever uses a model later must cut alike
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from faces import raw
from faces.params import Group, parse


class Geometry(Group):
    """How a picture becomes a face of the model's size: cut `box`, resize to a square."""

    box: tuple[int, int, int, int] | Literal["square"]  # left, top, right, bottom in pixels; "square": the largest centred square
    size: Literal[32, 64, 128, 256]
    filter: Literal["bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Crops:
    """An opened data/crops. `labels` (N, A) int8 holds 1, -1, 0 for unknown; `rows(split)` gives row numbers in ascending order."""

    images: np.ndarray  # uint8 (N, H, W, 3)
    table: pd.DataFrame
    geometry: Geometry
    attributes: tuple[str, ...]
    labels: np.ndarray

    @classmethod
    def open(cls, folder: Path) -> "Crops":
        """Map data/crops without reading the pixels. Raises RawError where images and table disagree."""
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        table = raw.read_labels(folder / "table.csv")
        if len(images) != len(table):
            raise raw.RawError(f"{folder}: {len(images)} images but {len(table)} rows in table.csv; run `dvc repro -f crop`")
        attributes = raw.attributes(table)
        labels = table[list(attributes)].to_numpy(np.int8)
        return cls(images, table, read_geometry(folder / "geometry.json"), attributes, labels)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of one split. Raises RawError where it is empty."""
        rows = np.flatnonzero(self.table["split"].to_numpy() == split)
        if not len(rows):
            raise raw.RawError(f"the data have no {split} images; every split needs some (column `split` of labels.csv)")
        return rows


def read_geometry(path: Path) -> Geometry:
    """geometry.json, checked."""
    return parse(Geometry, json.loads(path.read_text(encoding="utf-8")), path.name)
