"""Train a conditional flow of the codes, given all labels: the editor whose edits are counterfactuals.

in    data/crops/     images.npy; table.parquet: labels and splits
      data/measures/  labels that were measured, beside those of the table
      data/latents/   latents.npy; mirrored.npy, where there is one: each train face then counts twice, as it
      is and mirrored
out   data/flow/      flow.safetensors, flow.json, readouts.safetensors, readouts.csv, exclusions.npz,
      history.csv; measured.csv where there are measured labels
                      (faces/flow/editor.py)

Trained on the train split; the valid split says which of the weights are kept.
"""

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faces.core.console import Progress, say, stop
from faces.core.files import new_folder
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.edits.exclusions import Exclusions, Exclusive
from faces.estimators.linear import Boundary
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow
from faces.flow.readouts import Readouts, fit_measured, fit_readouts
from faces.flow.training import FlowSettings, find_kinds, interactions, linear_map, train
from faces.nn.device import pick_device

PICTURES = 8192  # train faces whose pictures say how much each axis of the codes is seen
SIDE = 32  # pixels a side at which they are looked at


class ReadoutSettings(Group):
    folds: Annotated[int, Field(ge=2)]
    min_faces: Annotated[int, Field(ge=2)]
    ridge: Annotated[float, Field(gt=0)]
    iterations: Annotated[int, Field(ge=1)]


class FlowParams(FlowSettings):
    faces: Annotated[int, Field(ge=2)]
    soft: Annotated[float, Field(ge=0, le=1)]
    integration_steps: Annotated[int, Field(ge=1)]
    readouts: ReadoutSettings


class Params(Group):
    seed: int
    flow: FlowParams
    exclusive: Exclusive = Field(alias="vectors.exclusive")


def wanted_attributes(params: Params) -> list[tuple[str, tuple[str, ...]]]:
    """Which keys name attributes that the data must have."""
    return [("vectors.exclusive.sets", params.exclusive.names())]


class Read(NamedTuple):
    """Readouts of all attributes, what they say of the train faces by cross-fitting, and their tables."""

    readouts: Readouts
    expected: np.ndarray  # (N, A)
    table: list[dict[str, float | str]]
    measured: list[dict[str, float | str]]


def sampled(rows: np.ndarray, faces: int, seed: int) -> np.ndarray:
    """At most `faces` of `rows`, drawn at random, in ascending order."""
    if len(rows) <= faces:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, faces, replace=False))


def labels_of(crops: Crops, measures: Measures, rows: np.ndarray) -> np.ndarray:
    """(n, A) float32: the table's labels and the measured ones of some faces."""
    return np.concatenate([crops.labels[rows], measures.labels[rows]], 1, dtype=np.float32)


def read_out(params: Params, crops: Crops, measures: Measures, rows: np.ndarray, codes: np.ndarray) -> Read:
    """Readouts from the codes (n, D) of the faces `rows`, of the table's labels and of the measured ones."""
    settings = params.flow.readouts
    boundary = Boundary(ridge=settings.ridge, faces=len(rows), iterations=settings.iterations)
    readouts, expected, table = fit_readouts(
        crops.attributes,
        codes,
        crops.labels[rows],
        settings.folds,
        settings.min_faces,
        boundary,
        params.seed,
    )
    if not measures.scales:
        return Read(readouts, expected, table, [])
    own, seen, lines = fit_measured(
        measures.names, codes, measures.labels[rows], settings.folds, boundary, params.seed
    )
    return Read(readouts.joined(own), np.concatenate([expected, seen], 1), table, lines)


def fit(
    params: Params,
    crops: Crops,
    measures: Measures,
    codes: np.ndarray,
    mirrored: np.ndarray | None,
    device: torch.device,
) -> tuple[FlowEditor, Read, list]:
    """The editor, its readouts and the rows of history.csv, from the codes (N, D) of all faces, and those of
    their mirror images.
    """
    rows = sampled(crops.rows("train"), params.flow.faces, params.seed)
    held_rows = crops.rows("valid")
    settings = params.flow
    attributes = (*crops.attributes, *measures.names)
    labels = labels_of(crops, measures, rows)
    own = np.ascontiguousarray(codes[rows], np.float32)
    held = np.ascontiguousarray(codes[held_rows], np.float32)
    ruled_out = Exclusions.of("vectors.exclusive.sets", params.exclusive, attributes, labels)
    read = read_out(params, crops, measures, rows, own)
    given = (1 - settings.soft) * labels + settings.soft * read.expected
    told = labels_of(crops, measures, held_rows)
    held_given = (1 - settings.soft) * told + settings.soft * read.readouts.labels(held)
    if mirrored is not None:
        own = np.concatenate([own, np.asarray(mirrored[rows], np.float32)])
        turned = given.copy()
        turned[:, len(crops.attributes) :] *= measures.signs
        given = np.concatenate([given, turned])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        axes = min(settings.axes, own.shape[1], len(own) - 1)
        flow = Flow(
            own.shape[1],
            axes,
            len(attributes),
            settings.width,
            settings.blocks,
            min(settings.leading, axes // 4),
            min(settings.kinds, axes),
        )
    seen = np.sort(np.random.default_rng(params.seed).permutation(len(rows))[:PICTURES])
    linear_map(flow, own, given, seen, small_pictures(crops.images[rows[seen]]), settings.whitening)
    train_codes = tensor(own, device)
    train_labels = tensor(given, device)
    held_codes = tensor(held, device)
    held_labels = tensor(held_given, device)
    flow.to(device)
    interactions(flow, train_codes, train_labels, held_codes, held_labels)
    bar = Progress("flow", settings.steps, "steps")
    history = train(
        flow,
        train_codes,
        train_labels,
        (held_codes, held_labels),
        settings,
        params.seed,
        lambda step, loss: bar.update(step, f"held-out loss {loss:.4f}"),
    )
    bar.close()
    find_kinds(flow, train_codes, train_labels, settings.integration_steps, len(measures.scales))
    editor = FlowEditor(
        attributes,
        ruled_out,
        flow.eval(),
        settings.integration_steps,
        read.readouts,
        settings.soft,
        measures.names,
    )
    return editor, read, history


def small_pictures(images: np.ndarray) -> np.ndarray:
    """Images uint8 (M, H, W, 3) as float32 (M, P), each channel the mean over squares, at most SIDE pixels a
    side.
    """
    count, side = images.shape[:2]
    cells = min(side, SIDE)
    squares = images.reshape(count, cells, side // cells, cells, side // cells, 3)
    return squares.mean((2, 4), dtype=np.float32).reshape(count, -1) / 255


def tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32)).to(device)


def run(params: Params, crops_folder: Path, latents: Path, measures_folder: Path, out: Path) -> None:
    """The stage with these params. Raises ValueError where an input is missing or does not fit."""
    crops = Crops.open(crops_folder)
    measures = Measures.open(measures_folder, len(crops.labels))
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    path = latents / "mirrored.npy"
    mirrored = np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
    editor, read, history = fit(params, crops, measures, codes, mirrored, pick_device())
    losses = [row["held_out"] for row in history]
    with new_folder(out) as folder:
        editor.save(folder, {"held_out_gaussian": round(losses[0], 6), "held_out": round(min(losses), 6)})
        tables = {"readouts": read.table, "history": history}
        if read.measured:
            tables["measured"] = read.measured
        for name, rows in tables.items():
            pd.DataFrame(rows).to_csv(
                folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g"
            )
    unread = [row["attribute"] for row in read.table if row["auroc"] is None]
    if unread:
        say(
            f"flow: too few labelled faces to read {', '.join(unread)} off codes; "
            "without a label they stay unknown"
        )


def main(*paths: Path) -> None:
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
