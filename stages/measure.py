"""Measure what each face shows, expression, pose and light, as labels beside those of the data.

in    data/crops/      images.npy, table.parquet
out   data/measures/   measures.json, measures.parquet (faces/data/measured.py)

Optional: without `measure.enabled` nothing is measured, and later stages do what they do without this one.
The network is face-api's larger one of 68 landmarks; its weights are fetched by `python -m ops.witnesses`.
Light is measured on the pixels (faces/data/lighting.py).
Scales come from the train split.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from faces.core.batches import batches
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data import lighting
from faces.data.crops import Crops
from faces.data.measured import Measures, Scale, scale_of
from faces.metrics.rank_correlation import spearman
from faces.nn.device import pick_device, to_device
from faces.witnesses import labelling, weights
from faces.witnesses.labelling import KINDS, Reading
from faces.witnesses.networks import Landmarks
from faces.witnesses.witness import Pointer

FACES = 256  # looked at between two reports of progress
LANDMARKS = weights.NETWORKS[1]
CONSTANT = 1e-6  # range of a measure that does not vary, in its unit


class Measure(Group):
    """The group `measure`."""

    enabled: bool
    clip: Annotated[float, Field(gt=0, lt=0.25)]
    apart: Annotated[float, Field(gt=0)]
    least: Annotated[float, Field(ge=0, le=1)]
    batch: Annotated[int, Field(ge=1)]


class Params(Group):
    """The keys that this stage reads."""

    measure: Measure
    weights: str = Field(alias="witness.weights")


def read_all(pointer: Pointer, crops: Crops) -> tuple[Reading, np.ndarray]:
    """What two looks at every face give, and the light (N, 2)."""
    device = next(pointer.landmarks.buffers()).device
    bar = Progress("measure", len(crops.images), "faces")
    found = []
    light = []
    for rows in batches(len(crops.images), FACES):
        images = np.asarray(crops.images[rows])
        found.append(labelling.read(pointer, to_device(images, device)))
        light.append(lighting.lighting(images))
        bar.update(rows.stop)
    bar.close()
    return Reading(*(np.concatenate(parts) for parts in zip(*found, strict=True))), np.concatenate(light)


def reliable(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of two looks at the same faces (n,); 0 where nothing varies."""
    if len(first) < 2 or min(np.ptp(first), np.ptp(second)) < CONSTANT:
        return 0.0
    return spearman(first, second)


def measured(
    params: Params, crops: Crops, reading: Reading, light: np.ndarray
) -> tuple[Measures, dict[str, float]]:
    """The measures that the data lack and that two looks agree about, and how far they agree about each;
    then the light (N, 2).
    """
    values = reading.values(params.measure.apart)
    known = np.isfinite(values[:, 0])
    train = crops.rows("train")
    agreement = {
        name: round(reliable(reading.first[known, place], reading.second[known, place]), 3)
        for place, name in enumerate(KINDS)
    }
    scales: list[Scale] = []
    columns = []
    for name in labelling.offered(crops.attributes):
        place = list(KINDS).index(name)
        kind = KINDS[name]
        scale = scale_of(name, kind.unit, values[train, place], kind.mirrored, params.measure.clip)
        if scale is not None and agreement[name] >= params.measure.least:
            scales.append(scale)
            columns.append(values[:, place])
    for column, (name, mirrored) in zip(light.T, lighting.KINDS.items(), strict=True):
        scale = scale_of(name, "%", column[train], mirrored, params.measure.clip)
        if scale is not None and name not in crops.attributes:
            scales.append(scale)
            columns.append(column)
    table = np.stack(columns, 1) if columns else np.zeros((len(values), 0))
    return Measures(tuple(scales), table.round(3)), agreement


def run(params: Params, crops_folder: Path, out: Path) -> None:
    """The stage with these params. Raises ValueError where the weights are missing."""
    if not params.measure.enabled:
        with new_folder(out) as folder:
            write_json(folder / "measures.json", {"enabled": False})
        return
    home = Path(params.weights) if params.weights else weights.home()
    network = Landmarks(weights.read(home, LANDMARKS)).eval().to(pick_device())
    crops = Crops.open(crops_folder)
    reading, light = read_all(Pointer(network, params.measure.batch), crops)
    found, agreement = measured(params, crops, reading, light)
    share = float((reading.apart < params.measure.apart).mean())
    about = {
        "enabled": True,
        "network": f"@vladmandic/face-api {weights.VERSION}, {LANDMARKS}",
        "sha256": weights.digest(home, [LANDMARKS]),
        "faces": len(crops.images),
        "known": round(share, 4),
        "agreement": agreement,
    }
    with new_folder(out) as folder:
        found.save(folder, about)
    say(f"measure: {share:.0%} of {len(crops.images)} faces measured: {', '.join(found.names) or 'nothing'}")
    for name, value in agreement.items():
        if name not in found.names:
            say(f"measure: {name} left out: two looks agree by {value:.2f}, or the data have such a label")


def main(crops_folder: Path, out: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), crops_folder, out)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
