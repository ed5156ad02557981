"""Cropped faces as pixels, ready to train on: the folder data/crops.

images.npy      uint8 (N, H, W, 3), a memory map; what is beyond crop.rows lies in images.1.npy, images.2.npy,
                ...
table.parquet   row i describes image i: the columns of labels.parquet
rejects.csv     what was refused, and why
geometry.json   how the faces were cut: whoever uses a model later must cut alike
sheet.png       some of the crops, for a person to look at before training
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from faces.core.params import Group, parse
from faces.data import annotations
from faces.data.sharded_array import Parts, open_parts

FRAME = (178, 218)  # width and height of CelebA's aligned pictures
BOX = (15, 35, 163, 183)  # left, top, right, bottom of the face in them
# left eye, right eye and middle of the mouth corners in them: align_face_celeba.m, less one, as MATLAB counts
# pixels from 1
TEMPLATE = np.array([[69.745, 111.0], [107.237, 111.0], [88.432, 152.514]])


class Geometry(Group):
    """Crop of a picture: cut `box`, resize to a square."""

    # left, top, right, bottom in pixels; "square": the largest centred square; "auto": BOX of FRAME, to which
    # each face is aligned
    box: tuple[int, int, int, int] | Literal["square", "auto"]
    size: Literal[32, 64, 128, 256]
    filter: Literal["bilinear", "bicubic", "lanczos"]


def framed(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """BOX scaled to a picture of `size` (width, height), whose largest central part of FRAME's shape counts
    as FRAME.
    """
    scale = min(size[0] / FRAME[0], size[1] / FRAME[1])
    offsets = [(side - part * scale) / 2 for side, part in zip(size, FRAME, strict=True)]
    left, top, right, bottom = (edge * scale + offsets[place % 2] for place, edge in enumerate(BOX))
    return left, top, right, bottom


@dataclass(frozen=True)
class Crops:
    """An opened data/crops. `labels` (N, A) int8 holds 1, -1, 0 for unknown; `rows(split)` gives row numbers
    in ascending order.
    """

    folder: Path
    images: np.ndarray | Parts  # uint8 (N, H, W, 3)
    geometry: Geometry
    attributes: tuple[str, ...]
    labels: np.ndarray
    splits: np.ndarray  # (N,) int8, places in raw.SPLITS

    @classmethod
    def open(cls, folder: Path) -> "Crops":
        """Map data/crops without reading the pixels. Raises RawError where images and table disagree,
        ValueError where files of images do.
        """
        images = open_parts(folder / "images.npy")
        path = folder / annotations.TABLE
        labels, splits = annotations.read_numbers(path, len(images))
        return cls(
            folder,
            images,
            read_geometry(folder / "geometry.json"),
            annotations.read_attributes(path),
            labels,
            splits,
        )

    def column(self, name: str) -> pd.Series:
        """One column of the table, such as names, read anew by each call."""
        return self.columns(name)[name]

    def columns(self, *names: str) -> pd.DataFrame:
        """Some columns of the table, all where none is named; read anew by each call."""
        return annotations.read_labels(self.folder / annotations.TABLE, names or None)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of one split. Raises RawError where it is empty."""
        rows = np.flatnonzero(self.splits == annotations.SPLITS.index(split))
        if not len(rows):
            raise annotations.RawError(
                f"the data have no {split} images; every split needs some (column `split` of the labels)"
            )
        return rows


def read_geometry(path: Path) -> Geometry:
    """geometry.json, checked."""
    return parse(Geometry, json.loads(path.read_text(encoding="utf-8")), path.name)
