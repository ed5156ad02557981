"""Settings of the flow, by the edits that come of them, on faces that are in no split.

    python -m benchmarks.flow_settings PLACE DATA [KEY=VALUE,KEY=VALUE ...] [--count 2000] [--pairs 40]

DATA is a folder of outputs (`data` after `dvc repro`) whose source draws counterfactuals. In PLACE, `--count`
new faces are drawn by that source under another seed, with `--pairs` pairs of each attribute and all their
variants, and encoded by the model of DATA. For each argument a flow is fitted to the train codes of DATA, by
params.yaml with these keys changed, such as flow.steps=3000,flow.width=512; without any, by params.yaml. Its
edits are decoded at strength 1, from the labels that were drawn. `--wrong` turns a share of the labels that
the flow is fitted to, as labels of photographs are often wrong, and `--labels` leaves it these alone.

The table has, for each of them, seconds of the fit, the least held-out loss, and means over the attributes:
error reduction against each face's own truth and the nearest, and PSNR in dB outside the change. PLACE/found
keeps all attributes.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks.coverage import draw
from faces import checkpoints
from faces.classifier import Ensemble
from faces.core.files import new_folder, open_npy, write_csv
from faces.core.params import FILE, Group, load, parse, pick, read
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.edits.detail import Detail
from faces.nn import perceptual
from faces.nn.device import pick_device
from faces.scoring.context import Codec, Context, FeatureNetwork, Score
from faces.scoring.counterfactuals import PICTURE, REBUILT, Counterfactuals, compare_attribute
from faces.scoring.editors import SwitchEditor
from stages import flow

FIGURES = ("error_reduction", "error_reduction_nearest", "psnr_outside")
SHARES = {"valid": 0.05, "test": 0.5}  # of the new faces; pairs are drawn of the second


class Params(Group):
    score: Score
    detail: Detail


def changed(values: dict[str, Any], changes: str) -> dict[str, Any]:
    """`values` of params.yaml with KEY=VALUE,KEY=VALUE. Raises SystemExit at a key that is not there."""
    values = yaml.safe_load(yaml.safe_dump(values))
    for change in filter(None, changes.split(",")):
        key, _, value = change.partition("=")
        *groups, name = key.split(".")
        group = values
        for part in groups:
            group = group.get(part, {})
        if name not in group:
            raise SystemExit(f"error: {key} is not in {FILE}")
        group[name] = yaml.safe_load(value)
    return values


def context_of(data: Path, pairs: int) -> Context:
    """What looks at the edits of `pairs` pairs of each attribute."""
    params = load(Params)
    score = params.score.model_copy(update={"faces": pairs})
    device = pick_device()
    model, _ = checkpoints.load(data / "model")
    codec = Codec(model.to(device, memory_format=torch.channels_last), device, score.batch)
    lite1 = FeatureNetwork(perceptual.load("efficientnet_lite1", "", device), score.side, score.batch)
    return Context(score, params.detail, codec, Ensemble.open(data / "classifier").to(device), lite1)


def scored(place: Path, context: Context, editor: SwitchEditor | None) -> pd.DataFrame:
    """Rows of counterfactuals.csv: the editor's decoded edits at strength 1, or without one the truths
    themselves, encoded and decoded.
    """
    crops = Crops.open(place / "crops")
    pairs = Counterfactuals.open(place / "crops", crops.column("name"))
    if pairs is None:
        raise SystemExit(f"error: {place / 'crops'} has no pairs: the data source draws no counterfactuals")
    codes = open_npy(place / "latents" / "latents.npy")
    lines = []
    known = set(editor.attributes if editor else pairs.attribute)
    for attribute in dict.fromkeys(name for name in pairs.attribute if name in known):
        edit = {"estimator": "flow", "kind": "plain", "attribute": attribute, "strength": 1.0}
        reached = pd.DataFrame([edit] if editor else [], columns=list(edit))
        editors = {"flow": editor} if editor else {}
        found, _ = compare_attribute(context, crops, pairs, codes, editors, reached, attribute)
        wanted = ("flow", "plain") if editor else (REBUILT, PICTURE)
        lines += [line for line in found if (line["estimator"], line["kind"]) == wanted]
    return pd.DataFrame(lines)


def told(crops: Crops, labels: tuple[str, ...], wrong: float) -> Crops:
    """The faces with some of their labels, all where none are named, a share `wrong` of which is turned."""
    names = labels or crops.attributes
    kept = crops.labels[:, [crops.attributes.index(name) for name in names]]
    turned = np.random.default_rng(0).random(kept.shape) < wrong
    return dataclasses.replace(crops, attributes=names, labels=np.where(turned, -kept, kept).astype(np.int8))


def fitted(data: Path, crops: Crops, values: dict[str, Any]) -> tuple[SwitchEditor, float, float]:
    """A flow of these faces by `values` of params.yaml, the seconds it took, and its least held-out loss."""
    measures = Measures.open(data / "measures", len(crops.labels))
    path = data / "latents" / "mirrored.npy"
    mirrored = open_npy(path) if path.is_file() else None
    start = time.monotonic()
    params = parse(flow.Params, pick(flow.Params, values))
    codes = open_npy(data / "latents" / "latents.npy")
    found = flow.fit(params, crops, measures, codes, mirrored, pick_device())
    if params.flow.compensation:
        model, _ = checkpoints.load(data / "model")
        flow.compensate(params, found.editor, model, crops, measures, codes)
    least = min(row["held_out"] for row in found.history)
    return SwitchEditor(found.editor, (1.0,)), time.monotonic() - start, least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("place", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", nargs="*", default=[""])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--wrong", type=float, default=0.0)
    parser.add_argument("--labels", nargs="+", default=[])
    asked = parser.parse_args()
    values = read(Path(FILE))
    tried = {settings or FILE: changed(values, settings) for settings in asked.settings}
    asked.place.mkdir(parents=True, exist_ok=True)
    new = {"count": asked.count, "counterfactuals": asked.pairs, "variants": asked.pairs, **SHARES}
    draw(asked.place, asked.data / "model", new)
    context = context_of(asked.data, asked.pairs)
    tables = {"truth, rebuilt": scored(asked.place, context, None)}
    print(f"{'':50} {'fit, s':>7} {'loss':>6} {'own':>6} {'nearest':>8} {'outside':>8}")

    def show(name: str, seconds: float, loss: float) -> None:
        own, nearest, outside = tables[name][list(FIGURES)].mean()
        print(f"{name:50} {seconds:7.0f} {loss:6.3f} {own:6.3f} {nearest:8.3f} {outside:8.2f}", flush=True)

    show("truth, rebuilt", math.nan, math.nan)
    crops = told(Crops.open(asked.data / "crops"), tuple(asked.labels), asked.wrong)
    for name, settings in tried.items():
        editor, seconds, loss = fitted(asked.data, crops, settings)
        tables[name] = scored(asked.place, context, editor)
        show(name, seconds, loss)
    every = pd.concat(tables, names=["settings"]).reset_index("settings")
    with new_folder(asked.place / "found") as folder:
        write_csv(folder / "edits.csv", every)


if __name__ == "__main__":
    main()
