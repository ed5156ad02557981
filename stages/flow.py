"""Train a conditional flow of the codes, given all labels: the editor whose edits are counterfactuals.

in    data/crops/     images.npy; table.parquet: labels and splits
      data/model/     the trained model, which draws edited faces where compensation is measured
      data/measures/  labels that were measured, beside those of the table
      data/latents/   latents.npy; mirrored.npy, where there is one: each train face then counts twice, as it
      is and mirrored
out   data/flow/      flow.safetensors, flow.json, readouts.safetensors, readouts.csv, forms.safetensors,
      exclusions.npz, history.csv; forms.csv where there are forms, measured.csv where there are measured
      labels (faces/flow/editor.py)

Trained on the train split; the valid split says which of the weights are kept.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from facemorph.forms import Forms
from faces import checkpoints
from faces.core.batches import batches
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.edits.exclusions import Exclusions, Exclusive
from faces.estimators.linear import Boundary
from faces.flow.compensation import compensation
from faces.flow.editor import FlowEditor
from faces.flow.forms import FormSettings, find, told_apart, with_lots
from faces.flow.network import Flow
from faces.flow.outlines import batched, beyond_labels, outlines
from faces.flow.readouts import Readouts, calibrated_on, fit_measured, fit_readouts
from faces.flow.training import (
    FlowSettings,
    find_kinds,
    interactions,
    linear_map,
    noise_of,
    train,
)
from faces.latents.codes import Codes
from faces.nn.device import pick_device
from faces.nn.model import Model

BATCH = 64  # faces that are drawn at once; speed and memory only
PICTURES = 8192  # train faces whose pictures say how much each axis of the codes is seen
SIDE = 32  # pixels a side at which they are looked at
OUTLINES = 50000  # faces among whose outlines forms are sought, at most, mirror images counted


class ReadoutSettings(Group):
    folds: Annotated[int, Field(ge=2)]
    calibration: Literal["train", "valid"]
    min_faces: Annotated[int, Field(ge=2)]
    ridge: Annotated[float, Field(gt=0)]
    iterations: Annotated[int, Field(ge=1)]


class FlowParams(FlowSettings):
    faces: Annotated[int, Field(ge=2)]
    soft: Annotated[float, Field(ge=0, le=1)]
    integration_steps: Annotated[int, Field(ge=1)]
    compensation: Annotated[int, Field(ge=0)]
    forms: FormSettings
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


class Fitted(NamedTuple):
    """The editor, and the rows of its tables."""

    editor: FlowEditor
    read: Read
    forms: list[dict[str, Any]]
    history: list[dict[str, float]]


def sampled(rows: np.ndarray, faces: int, seed: int) -> np.ndarray:
    """At most `faces` of `rows`, drawn at random, in ascending order."""
    if len(rows) <= faces:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, faces, replace=False))


def labels_of(crops: Crops, measures: Measures, rows: np.ndarray) -> np.ndarray:
    """(n, A) float32: the table's labels and the measured ones of some faces."""
    return np.concatenate([crops.labels[rows], measures.labels[rows]], 1, dtype=np.float32)


def read_out(
    params: Params,
    crops: Crops,
    measures: Measures,
    rows: np.ndarray,
    codes: np.ndarray,
    held_rows: np.ndarray,
    held: np.ndarray,
) -> Read:
    """Readouts from the codes (n, D) of the faces `rows`, of the table's labels and of the measured ones; the
    held-out ones with codes (V, D) calibrate them where the params say so.
    """
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
    if settings.calibration == "valid":
        readouts, expected = calibrated_on(
            readouts, expected, held, crops.labels[held_rows], settings.min_faces
        )
    if not measures.scales:
        return Read(readouts, expected, table, [])
    own, seen, lines = fit_measured(
        measures.names, codes, measures.labels[rows], settings.folds, boundary, params.seed
    )
    return Read(readouts.joined(own), np.concatenate([expected, seen], 1), table, lines)


class Told(NamedTuple):
    """Train codes and the valid ones that decide, and what the flow is told of them."""

    codes: np.ndarray  # (N, D) float32; with mirrored faces behind the others, where there are any
    labels: np.ndarray  # (N, A) or, with forms, (N, C)
    held_codes: np.ndarray  # (V, D)
    held_labels: np.ndarray  # (V, A) or (V, C)


def fit(
    params: Params,
    crops: Crops,
    measures: Measures,
    codes: np.ndarray,
    mirrored: np.ndarray | None,
    device: torch.device,
) -> Fitted:
    """The editor and its tables, from the codes (N, D) of all faces, and those of their mirror images."""
    rows = sampled(crops.rows("train"), params.flow.faces, params.seed)
    held_rows = crops.rows("valid")
    settings = params.flow
    attributes = (*crops.attributes, *measures.names)
    labels = labels_of(crops, measures, rows)
    own = np.ascontiguousarray(codes[rows], np.float32)
    held = np.ascontiguousarray(codes[held_rows], np.float32)
    ruled_out = Exclusions.of("vectors.exclusive.sets", params.exclusive, attributes, labels)
    read = read_out(params, crops, measures, rows, own, held_rows, held)
    given = (1 - settings.soft) * labels + settings.soft * read.expected
    held_given = labels_of(crops, measures, held_rows)
    held_given = (1 - settings.soft) * held_given + settings.soft * read.readouts.labels(held)
    if mirrored is not None:
        own = np.concatenate([own, np.asarray(mirrored[rows], np.float32)])
        turned = given.copy()
        turned[:, len(crops.attributes) :] *= measures.signs
        given = np.concatenate([given, turned])
    told = Told(own, given, held, held_given)
    seen = np.sort(np.random.default_rng(params.seed).permutation(len(rows))[:PICTURES])
    pictures = small_pictures(crops.images[rows[seen]])
    flow = begun(params, told, seen, pictures)
    forms = forms_of(params, crops, rows, told, flow)
    if len(forms):
        told = told._replace(
            labels=np.concatenate([given, forms.read(own, given)], 1, dtype=np.float32),
            held_labels=np.concatenate([held_given, forms.read(held, held_given)], 1, dtype=np.float32),
        )
        flow = begun(params, told, seen, pictures)
    train_codes, train_labels, *held_out = parts = [tensor(array, device) for array in told]
    interactions(flow.to(device), *parts)
    bar = Progress("flow", settings.steps, "steps")
    history = train(
        flow,
        train_codes,
        train_labels,
        tuple(held_out),
        settings,
        params.seed,
        lambda step, loss: bar.update(step, f"held-out loss {loss:.4f}"),
    )
    bar.close()
    noise = noise_of(flow, train_codes, train_labels, settings.integration_steps)
    find_kinds(flow, noise, train_labels, len(crops.attributes))
    forms = with_lots(forms, noise, train_labels, params.seed)
    editor = FlowEditor(
        attributes,
        ruled_out,
        flow.eval(),
        settings.integration_steps,
        read.readouts,
        settings.soft,
        forms,
        measures.names,
    )
    return Fitted(editor, read, form_rows(forms, attributes, told.labels), history)


def begun(params: Params, told: Told, seen: np.ndarray, pictures: np.ndarray) -> Flow:
    """A flow that knows the linear regression alone. `pictures` (M, P) are of rows `seen` (M,)."""
    settings = params.flow
    axes = min(settings.axes, told.codes.shape[1], len(told.codes) - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        flow = Flow(
            told.codes.shape[1],
            axes,
            told.labels.shape[1],
            settings.width,
            settings.blocks,
            min(settings.leading, axes // 4),
            min(settings.kinds, axes),
        )
    linear_map(flow, told.codes, told.labels, seen, pictures, settings.whitening)
    return flow


def forms_of(params: Params, crops: Crops, rows: np.ndarray, told: Told, flow: Flow) -> Forms:
    """The forms of the table's labels (faces/flow/forms.py). The first of the told faces are the `rows`, and
    where there are more, the rest are their mirror images.
    """
    settings = params.flow.forms
    if not settings.separation:
        return Forms.none()
    some = sampled(np.arange(len(told.codes)), OUTLINES, params.seed)
    labels = np.sign(told.labels[some, : len(crops.attributes)])
    seen = outlines(batched(crops.images, rows[some % len(rows)], some >= len(rows)))
    parts = find(beyond_labels(seen, labels), labels, settings)
    return told_apart(
        flow, told.codes, [(place, side, [some[part] for part in found]) for place, side, found in parts]
    )


def form_rows(forms: Forms, attributes: Sequence[str], conditions: np.ndarray) -> list[dict[str, Any]]:
    """The rows of forms.csv, from the conditions (N, C) of the train faces: the label, "-" in front where
    faces without it have forms, the form's number, the faces that have it, and their share of those on that
    side.
    """
    rows = []
    side = forms.told(conditions) > 0
    has = conditions[:, len(attributes) :] > 0
    first = np.searchsorted(forms.groups, forms.groups)
    for f, name in enumerate(forms.names(attributes)):
        faces = int(has[:, f].sum())
        rows.append(
            {"label": name, "form": f - first[f] + 1, "faces": faces, "share": faces / side[:, f].sum()}
        )
    return rows


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


@torch.no_grad()
def compensate(
    params: Params, editor: FlowEditor, model: Model, crops: Crops, measures: Measures, codes: np.ndarray
) -> None:
    """Give the editor's flow its compensation, by train faces with codes (N, D)."""
    device = editor.flow.mean.device
    model = model.to(device, memory_format=torch.channels_last)

    def seen(some: np.ndarray) -> np.ndarray:
        found = [
            model.encode(model.decode(tensor(some[rows], device)).clamp(-1, 1)).float().cpu().numpy()
            for rows in batches(len(some), BATCH)
        ]
        return np.concatenate(found)

    rows = sampled(crops.rows("train"), params.flow.faces, params.seed)
    labels = labels_of(crops, measures, rows)
    faces = params.flow.compensation
    found = compensation(editor, Codes(codes, rows), labels, seen, faces, params.seed)
    editor.flow.compensation = torch.from_numpy(found).to(device)


def run(
    params: Params, crops_folder: Path, weights: Path, latents: Path, measures_folder: Path, out: Path
) -> None:
    """The stage with these params. Raises ValueError where an input is missing or does not fit."""
    crops = Crops.open(crops_folder)
    measures = Measures.open(measures_folder, len(crops.labels))
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    path = latents / "mirrored.npy"
    mirrored = np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
    editor, read, forms, history = fit(params, crops, measures, codes, mirrored, pick_device())
    if params.flow.compensation:
        model, _ = checkpoints.load(weights)
        compensate(params, editor, model, crops, measures, codes)
    losses = [row["held_out"] for row in history]
    with new_folder(out) as folder:
        editor.save(folder, {"held_out_gaussian": round(losses[0], 6), "held_out": round(min(losses), 6)})
        tables = {"readouts": read.table, "history": history}
        if read.measured:
            tables["measured"] = read.measured
        if forms:
            tables["forms"] = forms
        for name, rows in tables.items():
            pd.DataFrame(rows).to_csv(
                folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g"
            )
    if forms:
        owners = ", ".join(dict.fromkeys(row["label"] for row in forms))
        say(f"flow: {len(forms)} forms of {owners}")
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
