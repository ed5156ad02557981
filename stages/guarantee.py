"""Find the range of strengths that each slider can promise, and which pictures the model is to refuse.

in    data/crops/       images.npy, table.parquet, and the pairs that the source draws of valid and test faces
      data/model/       the trained model
      data/latents/     latents.npy, moments.npz
      data/vectors/     vectors.npz
      data/flow/        the flow of codes, an editor, and its readouts of labels
      data/classifier/  the attribute classifiers, of which the first is asked
out   data/guarantee/   ranges.csv    per attribute and way: from valid faces, the guaranteed strengths
                        coverage.csv  per attribute and way: how many test faces hold what is promised
                        refusals.csv  pictures from elsewhere, and test faces: AUROC, share refused
                        about.json    level, excess, and whether true counterfactuals or the classifier alone
                                      told what else may change

The edits are those that are served (faces/scoring/guarantee.py). Several processes (faces/core/ranks.py)
share the edits and the kinds of pictures; an interrupted run continues after the finished shards.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from facemorph.likeness import Likeness, statistics
from faces import checkpoints
from faces.classifier import Ensemble
from faces.core import ranks
from faces.core.console import say, stop
from faces.core.files import new_folder, open_npy, write_csv, write_json
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.edits.directions import Directions
from faces.edits.likeness import FACES, Calibration
from faces.flow.choice import Edits
from faces.flow.editor import FlowEditor
from faces.latents.pca import gaussian_of_train
from faces.metrics.auroc import auroc
from faces.nn.device import pick_device, side_by_side
from faces.scoring.context import Codec
from faces.scoring.counterfactuals import Counterfactuals
from faces.scoring.guarantee import Guarantee, Setting, calibrated, checked
from faces.scoring.served import Served
from faces.scoring.strangers import strangers


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    guarantee: Guarantee
    likeness: Calibration
    edits: Edits
    primary: str = Field(alias="vectors.primary")
    rank: int = Field(alias="export.rank")
    batch: int = Field(alias="score.batch")


ELSEWHERE = 200  # pictures of each kind from elsewhere, at most


def refusals(params: Params, setting: Setting, moments: dict[str, np.ndarray], work: Path) -> pd.DataFrame:
    """refusals.csv: kind, pictures, AUROC against test faces, and the share that is refused.

    The first row is of the test faces themselves. No rows where too few valid faces could say what is usual.
    By way of shards in `work`.
    """
    crops = setting.crops
    codec = setting.codec
    gaussian = gaussian_of_train(moments, setting.codes, crops.rows("train"), params.rank)

    def looked_at(images: np.ndarray) -> np.ndarray:
        codes = codec.encode(codec.pictures(images))
        drawn = codec.decode(codes).add(1).mul(127.5).permute(0, 2, 3, 1).cpu().numpy()
        return statistics(gaussian, images, codes, drawn)

    columns = ["kind", "pictures", "auroc", "refused"]
    valid = crops.rows("valid")[:FACES]
    tested = crops.rows("test")[:FACES]
    pictures = {
        "valid faces": crops.images[valid],
        "test faces": crops.images[tested],
        **strangers(crops.images[tested[:ELSEWHERE]], params.seed),
    }

    def seen_of(kind: str) -> dict[str, np.ndarray]:
        return {"seen": looked_at(pictures[kind])}

    run = side_by_side(codec.device)
    shards = ranks.dealt_jobs("look at pictures", "kinds", work, list(pictures), seen_of, run)
    seen = dict(zip(pictures, (arrays["seen"] for arrays in shards), strict=True))
    like = Likeness.of(seen.pop("valid faces"), params.likeness.refuse, params.likeness.gradual)
    if like is None:
        return pd.DataFrame(columns=columns)
    own = seen.pop("test faces")
    usual = like.distances(own)
    lines = [("test faces", len(own), np.nan, float((like.p_values(own) <= like.refuse).mean()))]
    for kind, found in seen.items():
        scores = np.concatenate([usual, like.distances(found)])
        area = auroc(scores, np.arange(len(scores)) >= len(usual))[0]
        refused = (like.p_values(found) <= like.refuse).mean()
        lines.append((kind.replace("_", " "), len(found), float(area), float(refused)))
    return pd.DataFrame(lines, columns=columns)


def run(
    params: Params,
    crops_folder: Path,
    weights: Path,
    latents: Path,
    vectors: Path,
    flow: Path,
    classifier: Path,
    out: Path,
) -> None:
    """The stage with these params. Raises ValueError where an input is missing or does not fit."""
    device = pick_device()
    crops = Crops.open(crops_folder)
    model, _ = checkpoints.load(weights)
    codec = Codec(model.to(device, memory_format=torch.channels_last), device, params.batch)
    directions = Directions.open(vectors, params.primary) if params.edits.primary == "directions" else None
    served = Served(FlowEditor.open(flow, device), directions)
    ensemble = Ensemble.open(classifier).to(device)
    codes = open_npy(latents / "latents.npy")
    setting = Setting(params.guarantee, crops, codes, codec, ensemble, served)
    names = crops.column("name")
    calibration = Counterfactuals.open(crops_folder, names, "calibration")
    pairs = Counterfactuals.open(crops_folder, names)
    truth = calibration is not None and pairs is not None
    folders = (crops_folder, weights, latents, vectors, flow, classifier)
    work = ranks.unfinished(params.model_dump(), folders)
    with np.load(latents / "moments.npz", allow_pickle=False) as file:
        moments = dict(file)
    with ranks.joined(device):
        ranges = calibrated(setting, calibration if truth else None, work / "ranges")
        coverage = checked(setting, pairs if truth else None, ranges, work / "coverage")
        refused = refusals(params, setting, moments, work / "refusals")
    if ranks.rank() > 0:
        return
    with new_folder(out) as folder:
        write_csv(folder / "ranges.csv", ranges)
        write_csv(folder / "coverage.csv", coverage)
        write_csv(folder / "refusals.csv", refused)
        write_json(
            folder / "about.json",
            {"level": params.guarantee.level, "excess": params.guarantee.excess, "truth": truth},
        )
    ranks.discard(work)
    given = ranges["low"].notna().sum()
    say(f"guarantee: {given} of {len(ranges)} edits have a guaranteed range")


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.guarantee")
    main(*map(Path, sys.argv[1:]))
