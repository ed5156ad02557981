"""The export's description of itself, beside the networks. web/API.md is its specification.

arrays.safetensors   directions, readouts of labels, moments and prior of the codes, the flow's regression,
                     codes of the presets; float32
bundle.json          geometry, editor, attributes, prior, presets, licence, hashes: what all of it is
"""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import save

from facemorph.likeness import Likeness
from faces.data.crops import BOX, FRAME, TEMPLATE, Geometry
from faces.data.measured import Scale
from faces.edits.directions import Directions
from faces.export.attributes import GROUPS, describe

FORMAT = 5
GUARANTEE = ("level", "excess", "truth", "promised", "ranges")  # of metrics.json, for quality.json
READING = (
    "Expression and pose are a network's reading of {size} x {size} pixels: the opening of the eyes is "
    "rough, and where they look cannot be seen."
)


def template(landmarks: np.ndarray | None, frame: tuple[int, int]) -> np.ndarray:
    """(3, 2): places of left eye, right eye and middle of the mouth in pictures of `frame` (width, height).

    The mean of `landmarks` (n, 10) where the data have them; otherwise CelebA's, scaled to the frame's width
    about its centre.
    """
    if landmarks is not None:
        points = landmarks.mean(0, dtype=np.float64).reshape(5, 2)
        return np.stack([points[0], points[1], (points[3] + points[4]) / 2])
    middle = (np.array(FRAME) - 1) / 2
    goal = (np.array(frame) - 1) / 2
    return (TEMPLATE - middle) * (frame[0] / FRAME[0]) + goal


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` as float32 in one safetensors file."""
    path.write_bytes(save({name: np.ascontiguousarray(array, "<f4") for name, array in arrays.items()}))


def digest(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as bundle.json lists it."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def made_from(weights: Path, vectors: Path, flow: Path) -> dict[str, str]:
    """SHA-256 of the model and the editors behind an export: which figures (quality.json) are about it."""
    return {
        "model": digest(weights / "model.safetensors")["sha256"],
        "vectors": digest(vectors / "vectors.npz")["sha256"],
        "flow": digest(flow / "flow.safetensors")["sha256"],
    }


def quality(
    reconstruction: Mapping[str, float | None],
    counterfactuals: pd.DataFrame,
    editor: str,
    made_from: Mapping[str, str],
    guarantee: Mapping[str, Any],
) -> dict[str, Any]:
    """quality.json: what was measured of the model `made_from` and of the edits that are served.

    `error_reduction` is the share of the counterfactual error that an edit removes, by attribute: of
    `counterfactuals` (counterfactuals.csv) the rows of `editor`, "flow" or an estimator. `guarantee` is of
    metrics.json: level, excess, truth, and the ranges; {} where there was no calibration.
    """
    found = {}
    if len(counterfactuals):
        own = (counterfactuals["estimator"] == editor) & (counterfactuals["kind"] == "plain")
        rows = counterfactuals[own].set_index("attribute")["error_reduction"]
        found = {name: number(value) for name, value in rows.items()}
    return {
        "made_from": made_from,
        "editor": editor,
        "reconstruction": reconstruction,
        "error_reduction": found,
        "guarantee": {name: guarantee[name] for name in GUARANTEE if name in guarantee},
    }


def describe_likeness(like: Likeness) -> dict[str, Any]:
    """The group `likeness`, all but its scores."""
    return {
        "mean": like.mean.tolist(),
        "precision": like.precision.tolist(),
        "refuse": like.refuse,
        "gradual": like.gradual,
    }


def png(image: np.ndarray) -> str:
    """uint8 (H, W, 3) as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def describe_attributes(
    directions: Directions,
    measured: pd.DataFrame,
    meanings: Mapping[str, str],
    scales: Sequence[Scale] = (),
) -> list[dict[str, Any]]:
    """The entries of bundle.json in the order of `directions`, all but `telling`.

    `measured` has the rows of vectors.csv of one estimator, `meanings` what the data say about their labels,
    `scales` those labels that networks measured.
    """
    rows = measured.set_index("attribute")
    units = {one.name: {"unit": one.unit, "low": one.low, "high": one.high} for one in scales}
    entries = []
    for name, vector in zip(directions.attributes, directions.vectors, strict=True):
        row = rows.loc[name]
        shown = describe(name)
        entries.append(
            {
                "name": name,
                "label": shown.label,
                "group": shown.group,
                "meaning": meanings.get(name) or shown.meaning,
                "judgemental": shown.judgemental,
                "length": float(np.linalg.norm(vector)),
                **{key: number(row[key]) for key in ("auroc", "auroc_low", "auroc_high")},
                **{key: int(row[key]) for key in ("positives", "negatives")},
                **({"measure": units[name]} if name in units else {}),
            }
        )
    return entries


def choose_telling(entries: Sequence[Mapping[str, Any]], count: int, least_auroc: float) -> list[str]:
    """Names of the `count` attributes to show first: by rank, among those whose direction is reliable."""
    reliable = [
        entry["name"]
        for entry in entries
        if describe(entry["name"]).rank and (entry["auroc"] or 0) >= least_auroc
    ]
    return sorted(reliable, key=lambda name: describe(name).rank)[:count]


def number(value: float | None) -> float | None:
    """`value` for JSON: null where it is unknown."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def order(entry: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    """Sort key of an attribute on the page: telling ones by rank, then by group."""
    shown = describe(entry["name"])
    return (
        not entry["telling"],
        shown.rank if entry["telling"] else 0,
        GROUPS.index(shown.group),
        shown.label,
    )


def describe_geometry(cut: Geometry, frame: tuple[int, int], landmarks: np.ndarray) -> dict[str, Any]:
    """The group `geometry`: how a photograph becomes a face like those of the data.

    The data's pictures measure `frame` (width, height), and landmarks (n, 10) of n >= 0 of them are known.
    `guessed`: eyes and mouth of the data's pictures are not known, so CelebA's face is assumed in a frame
    that is not CelebA's.
    """
    if cut.box == "square":  # pictures of any size: the square is the common frame, with CelebA's face in it
        side = FRAME[0]
        frame = (side, side)
        box = [0, 0, side, side]
        points = TEMPLATE - np.subtract(FRAME, side) / 2
    elif cut.box == "auto":  # every face was aligned to CelebA's frame
        frame = FRAME
        box = list(BOX)
        points = TEMPLATE
    else:
        box = list(cut.box)
        points = template(landmarks if len(landmarks) else None, frame)
    return {
        "frame": list(frame),
        "template": points.round(3).tolist(),
        "box": box,
        "size": cut.size,
        "filter": cut.filter,
        "guessed": cut.box == "square"
        or (cut.box != "auto" and not len(landmarks) and tuple(frame) != FRAME),
    }


def notes(
    about: Mapping[str, Any], source: Mapping[str, Any], length: int, train: int, measured: bool
) -> dict[str, Any]:
    """Sentences for people, from model.json, source.json, the code length, the number of train faces, and
    whether labels were measured.
    """
    size = about["geometry"]["size"]
    described = f"{source['description']}. " if "description" in source else ""
    return {
        "model": f"{about['model']}: faces of {size} x {size} pixels as {length} numbers, "
        f"trained on {train:,} faces.",
        "data": described + source["licence"],
        "limits": [
            f"A face is seen at {size} x {size} pixels; finer detail is the photograph's own or is lost.",
            "A slider changes what its label stands for in the training faces and holds other labels still, "
            "as far as the model has learnt to; what no label says may change with it.",
            "Faces unlike the training faces are encoded worse. "
            "Labels are the annotators' view, not facts about a person.",
            *([READING.format(size=size)] if measured else []),
            "Use photographs of yourself or of people who agreed, and say that a picture was edited.",
        ],
    }
