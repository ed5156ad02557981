"""Warnings about labels, before training: problems that no model can learn around."""

from pathlib import Path

import numpy as np

from faces.core import parquet
from faces.data.annotations import SPLITS, places, read_attributes

FEW = 200  # train faces below which a model learns little more than their mean
NAMED = 4  # attributes that a line names


def warnings(path: Path) -> list[str]:
    """Warnings about a table of labels, one line each.

    An attribute that is the same for every face has no direction; one that is the same for a whole split
    cannot be learnt or measured there.
    """
    names = read_attributes(path)
    faces, sides = counts(path, names)
    lines = []
    constant = [name for name, both in zip(names, sides.sum(0) > 0, strict=True) if not both.all()]
    if constant:
        lines.append(
            f"{_list(constant)}: the same for every face, so that there is nothing to learn; "
            "it gets no slider and no score"
        )
    missing = [split for split, count in zip(SPLITS, faces, strict=True) if not count]
    if missing:
        lines.append(
            f"no {' and no '.join(missing)} images among {faces.sum()}; "
            "every split needs some (column `split`)"
        )
    for split, count, there in zip(SPLITS, faces, sides > 0, strict=True):
        one_sided = [
            name
            for name, both in zip(names, there, strict=True)
            if name not in constant and count and not both.all()
        ]
        if one_sided:
            lines.append(
                f"{_list(one_sided)}: the same for all {count} faces of the {split} split; "
                "no score can be told"
            )
    if (train := faces[SPLITS.index("train")]) < FEW:
        lines.append(
            f"{train} train faces are few: expect blurred faces and figures that vary from run to run"
        )
    return lines


def counts(path: Path, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Faces of each split (3,), and of them those without and with each attribute (3, A, 2), int64."""
    faces = np.zeros(len(SPLITS), np.int64)
    sides = np.zeros((len(SPLITS), len(names), 2), np.int64)
    for block in parquet.blocks(path, ["split", *names]):
        split = places(block["split"])
        faces += [(split == place).sum() for place in range(len(SPLITS))]
        for column, name in enumerate(names):
            labels = block[name].to_numpy()
            for side, value in enumerate((-1, 1)):
                known = split[(labels == value) & (split >= 0)]
                sides[:, column, side] += np.bincount(known, minlength=len(SPLITS))
    return faces, sides


def _list(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
