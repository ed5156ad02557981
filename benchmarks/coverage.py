"""Does the guarantee of each slider hold for as many faces as it says? More faces than a run has to spare.

    python -m benchmarks.coverage PLACE DATA --faces 500 --count 20000

DATA is a folder of outputs (`data` after `dvc repro`) whose source draws counterfactuals. In PLACE, `--count`
new faces are drawn by that source under another seed, each attribute flipped either way on up to twice
`--faces` of them. Every other pair calibrates ranges, as the stage guarantee does on valid faces, and the
others check them; then the two halves change places. Nothing else is fitted: model, flow and classifier are
those of DATA. Each step is kept in PLACE, and a run that was stopped goes on.

Beside the steps: coverage.csv. `level` is params.yaml's. Split conformal calibration promises that share on
average over calibration sets; with n faces to calibrate on, the share of one set strays by about
sqrt(level (1 - level) / n) (Vovk 2012), and what is measured on as many faces by as much again.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from faces import checkpoints
from faces.classifier import Ensemble
from faces.core.console import say
from faces.core.files import open_npy, write_csv
from faces.core.params import FILE, load, read
from faces.data.crops import Crops
from faces.edits.directions import Directions
from faces.flow.editor import FlowEditor
from faces.metrics import conformal
from faces.nn.device import pick_device
from faces.scoring.context import Codec
from faces.scoring.counterfactuals import Counterfactuals
from faces.scoring.guarantee import Setting, calibrated, checked
from faces.scoring.served import Served
from stages import crop, download, encode, guarantee

VALID = 0.9  # share of the new faces that pairs are drawn of
TEST = 0.05


def draw(place: Path, weights: Path, changes: dict[str, float]) -> None:
    """New faces of the data source with `changes` of its settings and no pairs but those that they ask for,
    cropped, and encoded by the model in `weights`: raw, crops, latents.
    """
    values = read(Path(FILE))
    name = values["data"]["source"]
    none = dict.fromkeys(("counterfactuals", "variants", "both", "calibration"), 0)
    config = values["sources"][name] | none | changes
    asked = {"seed": values["seed"] + 1, "data": values["data"], "sources": {name: config}}
    if not (place / "raw").is_dir():
        download.run(download.Params.model_validate(asked), place / "raw")
    if not (place / "crops").is_dir():
        crop.run(load(crop.Params), place / "raw", place / "crops")
    if not (place / "latents").is_dir():
        encode.run(load(encode.Params), place / "crops", weights, place / "latents")


def halves(pairs: Counterfactuals) -> tuple[Counterfactuals, Counterfactuals]:
    """Every other pair of each attribute and way, and the rest."""
    order = pd.DataFrame({"attribute": pairs.attribute, "value": pairs.value})
    odd = order.groupby(["attribute", "value"]).cumcount().to_numpy() % 2 == 1
    return part(pairs, ~odd), part(pairs, odd)


def part(pairs: Counterfactuals, taken: np.ndarray) -> Counterfactuals:
    """The pairs that are `taken` (M,)."""
    places = np.flatnonzero(taken)
    return dataclasses.replace(
        pairs,
        images=pairs.images[places],
        rows=pairs.rows[places],
        attribute=pairs.attribute[places],
        value=pairs.value[places],
        forms=pairs.forms[places],
    )


def setting(place: Path, data: Path) -> Setting:
    """The new faces, and what edits and looks at them."""
    params = load(guarantee.Params)
    device = pick_device()
    model, _ = checkpoints.load(data / "model")
    codec = Codec(model.to(device, memory_format=torch.channels_last), device, params.batch)
    straight = params.edits.primary == "directions"
    directions = Directions.open(data / "vectors", params.primary) if straight else None
    return Setting(
        params.guarantee,
        Crops.open(place / "crops"),
        open_npy(place / "latents/latents.npy"),
        codec,
        Ensemble.open(data / "classifier").to(device),
        Served(FlowEditor.open(data / "flow", device), directions),
    )


def half(found: Setting, place: Path, number: int) -> pd.DataFrame:
    """The checked faces of each range that the half `number`, 0 or 1, calibrates, and the range."""
    kept = place / f"half{number}.csv"
    if not kept.is_file():
        pairs = Counterfactuals.open(place / "crops", found.crops.column("name"), "calibration")
        if pairs is None:
            raise SystemExit(f"{place}/crops has no pairs: the data source draws no counterfactuals")
        parts = halves(pairs)
        ranges = calibrated(found, parts[number])
        table = ranges.dropna(subset=["low"]).merge(
            checked(found, parts[1 - number], ranges), on=["attribute", "value"], suffixes=("", "_checked")
        )
        write_csv(kept, table.assign(half=number))
    return pd.read_csv(kept)


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """Of each way: the mean ends of its ranges, the faces that are checked, and the share that hold."""
    way = table.groupby(["attribute", "value"], sort=False)
    found = way.agg(
        low=("low", "mean"),
        high=("high", "mean"),
        ranges=("half", "size"),
        faces=("faces_checked", "sum"),
        held=("held", "sum"),
    ).reset_index()
    found["share"] = found["held"] / found["faces"]
    bounds = [conformal.binomial_interval(*line) for line in zip(found["held"], found["faces"], strict=True)]
    found[["share_low", "share_high"]] = np.reshape(bounds, (-1, 2))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("place", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--faces", type=int, default=500, help="to calibrate each range on, at most")
    parser.add_argument("--count", type=int, default=20000, help="new faces")
    asked = parser.parse_args()
    asked.place.mkdir(parents=True, exist_ok=True)
    new = {"count": asked.count, "valid": VALID, "test": TEST, "calibration": 2 * asked.faces}
    draw(asked.place, asked.data / "model", new)
    found = setting(asked.place, asked.data)
    table = shares(pd.concat([half(found, asked.place, number) for number in (0, 1)]))
    write_csv(asked.place / "coverage.csv", table)
    say(table.round(3).to_string(index=False))
    say(f"all together: {table['held'].sum()} of {table['faces'].sum()} hold")


if __name__ == "__main__":
    main()
