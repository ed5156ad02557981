"""Sliders of measured labels in the eyes of networks that did not label: what was asked against what came.

A measured label has no other side to flip to. So faces are asked for changes of it, and the change that comes
is read by the witness: the tiny network of landmarks, and for a smile the network of expressions too.
"""

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from faces.data.measured import Scale
from faces.metrics.rank_correlation import spearman
from faces.scoring.served import Served
from faces.witnesses.labelling import KINDS, shown
from faces.witnesses.testimony import trimmed
from faces.witnesses.witness import Witness

ASKED = (-1.0, -0.5, 0.5, 1.0)  # changes of the label; its scale, from end to end, is 2
SMILE = "smile_expression"  # the chance of a happy face
Row = dict[str, float | str | int]


def read_off_points(scales: tuple[Scale, ...]) -> tuple[Scale, ...]:
    """The scales of what landmarks say: all but the light."""
    return tuple(scale for scale in scales if scale.name in KINDS)


def judged(witness: Witness, images: Tensor, frames: np.ndarray) -> np.ndarray:
    """(n, M + 1) KINDS in their units by the witness's landmarks, and the chance of a happy face."""
    return np.c_[shown(witness.points(images, frames)), witness.read(images, frames)[:, 0]]


def slider_rows(
    editor: str,
    served: Served,
    codes: np.ndarray,
    decode: Callable[[np.ndarray], Tensor],
    witness: Witness,
    scales: tuple[Scale, ...],
) -> Iterator[Row]:
    """Rows of sliders.csv of the faces with codes (F, D), one for each measure and reading of it.

    `correlation` is the rank correlation of asked and achieved changes over faces and ASKED; `gain` the
    median of achieved over asked, 1 where all came that was asked for, absent for a smile by its expression,
    which has another unit; `leakage` the mean size of the (trimmed) mean changes of the other measures where
    1 was asked for, in changes of their labels.
    """
    names = list(KINDS)
    scales = read_off_points(scales)
    halves = np.array([(scale.high - scale.low) / 2 for scale in scales])
    columns = [names.index(scale.name) for scale in scales]
    start = decode(codes)
    frames = witness.frames(start)
    before = judged(witness, start, frames)
    everyone = np.arange(len(codes))
    asked = np.repeat(ASKED, len(codes))
    for place, scale in enumerate(scales):
        if scale.name not in served.names:
            continue
        came = []
        for change in ASKED:
            walk = served.walk(codes, scale.name, np.full(len(codes), np.sign(change)))
            edited = decode(walk(everyone, abs(change) / 2))
            came.append(judged(witness, edited, frames) - before)
        found = np.array(came)  # (S, F, M + 1)
        changes = found[:, :, columns] / halves  # in changes of the labels
        towards = (changes * np.sign(ASKED)[:, None, None])[np.abs(ASKED) == 1].reshape(-1, len(scales))
        others = np.abs(np.delete(trimmed(towards)[0], place))
        row: Row = {"estimator": editor, "measure": scale.name, "faces": len(codes)}
        own = changes[:, :, place].ravel()
        yield row | {
            "correlation": spearman(asked, own),
            "gain": float(np.median(own / asked)),
            "leakage": float(others.mean()) if len(others) else np.nan,
        }
        if scale.name == "smile":
            happy = found[:, :, -1].ravel()
            yield row | {"measure": SMILE, "correlation": spearman(asked, happy)}


def agreement_with_labels(labels: np.ndarray, seen: np.ndarray, scales: tuple[Scale, ...]) -> Iterator[Row]:
    """Rows of sliders.csv of unedited faces: rank correlation of labels (n, M), 0 for unknown, and what the
    witness sees (n, of KINDS and a happy face).
    """
    names = list(KINDS)
    for scale in read_off_points(scales):
        place = scales.index(scale)
        known = labels[:, place] != 0
        readings = {scale.name: names.index(scale.name)}
        if scale.name == "smile":
            readings[SMILE] = -1
        for name, column in readings.items():
            yield {
                "estimator": "labels",
                "measure": name,
                "faces": int(known.sum()),
                "correlation": spearman(labels[known, place], seen[known, column]),
            }
