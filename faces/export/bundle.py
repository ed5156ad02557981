"""What stands beside the exported networks: numbers in arrays.bin, and bundle.json, which says what everything is (web/API.md).

arrays.bin     float32 little-endian, row-major, one array after another
bundle.json    geometry, attributes, prior, presets, licence, quality, hashes
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

from faces.data.crops import BOX, Geometry
from faces.edits.directions import Directions
from faces.export.attributes import GROUPS, describe

FORMAT = 1

# align_face_celeba.m, less one, as MATLAB counts pixels from 1: left eye, right eye, middle of the mouth corners in a picture of 178 x 218
CELEBA_FRAME, CELEBA_TEMPLATE = (178, 218), np.array([[69.745, 111.0], [107.237, 111.0], [88.432, 152.514]])


def standing(
    codes: np.ndarray, mean: np.ndarray, units: np.ndarray, sigma: np.ndarray, low: float, high: float
) -> np.ndarray:
    """(A, 2): between which sigmas from the mean codes (n, D) lie along each unit direction (A, D), by the quantiles `low` and `high`."""
    return np.quantile((codes - mean) @ units.T / sigma, (low, high), axis=0).T


def template(landmarks: np.ndarray | None, frame: tuple[int, int]) -> np.ndarray:
    """(3, 2): where left eye, right eye and the middle of the mouth belong in pictures of `frame` (width, height).

    The mean of `landmarks` (n, 10) where the data know them, otherwise CelebA's, scaled to the frame's width about its centre.
    """
    if landmarks is not None:
        points = landmarks.mean(0, dtype=np.float64).reshape(5, 2)
        return np.stack([points[0], points[1], (points[3] + points[4]) / 2])
    middle, goal = (np.array(CELEBA_FRAME) - 1) / 2, (np.array(frame) - 1) / 2
    return (CELEBA_TEMPLATE - middle) * (frame[0] / CELEBA_FRAME[0]) + goal


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write `arrays` one after another; an array given under two names is written once. Returns the table of bundle.json."""
    table: dict[str, Any] = {}
    seen: dict[bytes, int] = {}
    with path.open("wb") as file:
        for name, array in arrays.items():
            content = np.ascontiguousarray(array, "<f4").tobytes()
            if content not in seen:
                seen[content] = file.tell()
                file.write(content)
            table[name] = {"offset": seen[content], "shape": list(array.shape)}
    return table


def digest(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as bundle.json lists it."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def png(image: np.ndarray) -> str:
    """uint8 (H, W, 3) as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def describe_attributes(
    directions: Directions,
    measured: pd.DataFrame,
    ranges: np.ndarray,
    reductions: Mapping[str, float],
    meanings: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The entries of bundle.json in the order of `directions`, all but `telling`.

    `measured` holds the rows of vectors.csv of one estimator, `ranges` (A, 2) where train codes stand on each axis in sigmas, `reductions` the share
    of the counterfactual error that an edit removes, where it was measured, `meanings` what the data say about their labels.
    """
    rows = measured.set_index("attribute")
    entries = []
    for name, vector, sigma, (low, high) in zip(
        directions.attributes, directions.vectors, directions.sigma, ranges, strict=True
    ):
        row, shown = rows.loc[name], describe(name)
        entries.append(
            {
                "name": name,
                "label": shown.label,
                "group": shown.group,
                "meaning": meanings.get(name) or shown.meaning,
                "judgemental": shown.judgemental,
                "sigma": float(sigma),
                "length": float(np.linalg.norm(vector)),
                "range": [number(low), number(high)],
                "reach": number(high - low),
                **{key: number(row[key]) for key in ("auroc", "auroc_low", "auroc_high")},
                **{key: int(row[key]) for key in ("positives", "negatives")},
                "error_reduction": number(reductions.get(name)),
            }
        )
    return entries


def choose_telling(entries: Sequence[Mapping[str, Any]], count: int, least_auroc: float) -> list[str]:
    """Names of the `count` attributes to show first: the best known ones among those whose direction is reliable."""
    reliable = [
        entry["name"]
        for entry in entries
        if describe(entry["name"]).rank and (entry["auroc"] or 0) >= least_auroc
    ]
    return sorted(reliable, key=lambda name: describe(name).rank)[:count]


def number(value: float | None) -> float | None:
    """`value` for JSON: nothing where it is unknown."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def order(entry: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    """Where an attribute stands on the page: telling ones by rank, then by group."""
    shown = describe(entry["name"])
    return (
        not entry["telling"],
        shown.rank if entry["telling"] else 0,
        GROUPS.index(shown.group),
        shown.label,
    )


def describe_geometry(cut: Geometry, frame: tuple[int, int], landmarks: np.ndarray) -> dict[str, Any]:
    """How a photograph becomes a face like those of the data, whose pictures measure `frame` and whose landmarks (n, 10), n >= 0, are known.

    `guessed`: where eyes and mouth lie in the data's pictures is not known, so CelebA's face is assumed in a frame that is not CelebA's.
    """
    if (
        cut.box == "square"
    ):  # pictures of any size: no common frame but the square itself, and CelebA's face in it
        side = CELEBA_FRAME[0]
        frame, box, points = (
            (side, side),
            [0, 0, side, side],
            CELEBA_TEMPLATE - np.subtract(CELEBA_FRAME, side) / 2,
        )
    elif cut.box == "auto":  # every face was aligned to CelebA's frame
        frame = CELEBA_FRAME
        box = list(BOX)
        points = CELEBA_TEMPLATE
    else:
        box, points = list(cut.box), template(landmarks if len(landmarks) else None, frame)
    return {
        "frame": list(frame),
        "template": points.round(3).tolist(),
        "box": box,
        "size": cut.size,
        "filter": cut.filter,
        "guessed": cut.box == "square"
        or (cut.box != "auto" and not len(landmarks) and tuple(frame) != CELEBA_FRAME),
    }


def notes(about: Mapping[str, Any], source: Mapping[str, Any], length: int, train: int) -> dict[str, Any]:
    """Sentences for whoever uses the model: `about` is model.json, `source` source.json, `length` D, `train` the number of train faces."""
    size = about["geometry"]["size"]
    return {
        "model": f"{about['model']}: faces of {size} x {size} pixels as {length} numbers, trained on {train:,} faces.",
        "data": f"{source['description']}. {source['licence']}"
        if "description" in source
        else source["licence"],
        "limits": [
            f"A face is seen at {size} x {size} pixels; finer detail is the photograph's own or is lost.",
            "A slider moves what its label went with in the training faces; what is correlated there moves along unless it is locked.",
            "Faces unlike the training faces are encoded worse. Labels are the annotators' view, not facts about a person.",
            "Use photographs of yourself or of people who agreed, and say that a picture was edited.",
        ],
    }
