"""Directions from labels of which some are wrong, with and without relabelling, against the truth.

    python -m benchmarks.relabelling data [--wrong 0 0.02 0.05 0.1 0.15] [--log-odds 1 2] [--pairs 40]

In a project with a finished run on faces that have true counterfactuals: a share of all labels of the train
and valid faces is turned, then directions are estimated as the stage `vectors` does it (params.yaml). The
figure of an estimator is its mean cosine, over the attributes, with the mean displacement of the codes of
`pairs` valid pairs of each attribute, half of them to gain it; `left` is the share of labels that are still
wrong.
"""

import argparse
from pathlib import Path

import numpy as np

from faces import checkpoints
from faces.core.files import open_npy
from faces.core.params import load
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.estimators.estimators import ESTIMATORS
from faces.estimators.relabelling import relabelled
from faces.latents.codes import Codes
from faces.nn.device import pick_device
from faces.scoring.context import Codec
from faces.scoring.counterfactuals import Counterfactuals, cosine, displacements
from stages.vectors import Labelled, Params, pose

ROWS = ("mean_difference", "balanced", "partial")
BATCH = 64


def true_displacements(data: Path, crops: Crops, codes: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """(D,) of each attribute that has pairs: what gaining it changes in a valid face's code, on average."""
    pairs = Counterfactuals.open(data / "crops", crops.column("name"), "calibration")
    if pairs is None:
        raise SystemExit(f"error: {data / 'crops'} has no true counterfactuals of valid faces")
    device = pick_device()
    moved = displacements(Codec(checkpoints.load(data / "model")[0].to(device), device, BATCH), pairs, codes)
    found = {}
    for name in crops.attributes:
        every = pairs.of(name)
        some = np.concatenate([every[pairs.value[every] == side][: count // 2] for side in (1, -1)])
        if len(some):
            found[name] = moved[some].mean(0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--wrong", type=float, nargs="+", default=[0, 0.02, 0.05, 0.1, 0.15])
    parser.add_argument("--log-odds", type=float, nargs="+", default=[1.0, 2.0])
    parser.add_argument("--pairs", type=int, default=40)
    asked = parser.parse_args()
    params = load(Params)
    settings = params.vectors
    crops = Crops.open(asked.data / "crops")
    none = Measures((), np.zeros((len(crops.labels), 0), np.int8))
    codes = open_npy(asked.data / "latents" / "latents.npy")
    truth = true_displacements(asked.data, crops, codes, asked.pairs)
    train = crops.rows("train")
    own = Codes(codes, train)
    print(f"{'wrong':>7} {'turned from':>12} " + " ".join(f"{name:>16}" for name in ROWS) + f" {'left':>7}")
    for wrong in asked.wrong:
        rng = np.random.default_rng([params.seed, 1])
        labels = np.where(rng.random(crops.labels.shape) < wrong, -crops.labels, crops.labels).astype(np.int8)
        for log_odds in (None, *asked.log_odds):
            given = labels[train]
            if log_odds is not None:
                given = relabelled(
                    own, given, log_odds, settings.boundary, np.random.default_rng(params.seed)
                )
            labelled = Labelled(crops.attributes, labels, none)
            rng = np.random.default_rng(params.seed)
            problem, usable, _ = pose(settings, codes, (own, given), crops, labelled, rng)
            names = [crops.attributes[column] for column in usable]
            figures = []
            for estimator in ROWS:
                vectors = ESTIMATORS[estimator](problem).vectors
                cosines = [cosine(vectors[names.index(a)], truth[a]) for a in names if a in truth]
                figures.append(float(np.mean(cosines)))
            left = (given != crops.labels[train]).mean()
            kind = "none" if log_odds is None else f"{log_odds:g}"
            row = " ".join(f"{figure:16.3f}" for figure in figures)
            print(f"{wrong:7.1%} {kind:>12} {row} {left:7.1%}", flush=True)


if __name__ == "__main__":
    main()
