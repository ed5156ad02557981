"""Score edits, estimator by estimator, and new faces, prior by prior. Costly, so that `evaluate`, which draws and sums up, can be cheap.

in    data/crops/        images.npy, table.csv, and counterfactuals where the source draws them
      data/model/        the trained model
      data/latents/      latents.npy
      data/vectors/      vectors.npz
      data/classifier/   the judges
out   data/scores/       curves.csv    per judge, estimator, kind, attribute and strength: flips, effect, leakage, kept, identity
                         levels.csv    the same where a share of the faces has flipped, and at the last such level what the pictures say
                         leakage.csv   at the last level: the change of every other attribute, in spreads; the true counterfactuals' beside it
                         carried.csv   what each estimator's edits bring along where labels are correlated, and where not
                         identity.csv  the marks of the identity scale, by judge and attribute
                         priors.csv    distance of reconstructions and of samples to real faces, and smoothness
                         new_faces.npz some faces of each of these sets, and the same as a picture, new_faces.png

Faces are of the test split. An edit adds an attribute to the faces without it and removes it from those with it, and takes with it what cannot stay
(faces/edits/exclusions.py); `plain` is the decoded edit, `detail` the original plus what the edit changed. A face counts where the judge sees, before the edit, what
its label says.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faces import checkpoints
from faces.classifier import Ensemble
from faces.core.console import Progress, stop
from faces.core.files import new_folder
from faces.core.params import Group, load, one_of
from faces.data.crops import Crops
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.metrics import confounding, edit_effects
from faces.nn import perceptual
from faces.nn.device import pick_device
from faces.scoring import inception, samples
from faces.scoring.context import Bench, Sample, Scales, Score
from faces.scoring.counterfactuals import Counterfactuals
from faces.scoring.edit_curves import Rows, score_edit
from faces.scoring.identity import identity_scales
from faces.scoring.truths import against_truth, true_changes
from faces.viz.images import write_png

WHERE = ("judge", "estimator", "kind", "attribute")
COLUMNS = {
    "curves": (*WHERE, "faces", "strength", "flips", "effect", "leakage", "kept", "identity"),
    "levels": (
        *(*WHERE, "faces", "level", "strength", "effect", "leakage", "kept", "identity"),
        *("perceptual", "realism", "realism_unedited", "path_length", "error_reduction", "psnr_outside"),
    ),
    "leakage": (*WHERE, "faces", "other", "change"),
}


class Params(Group):
    seed: int
    score: Score
    detail: Detail
    estimators: tuple[str, ...] = Field(alias="vectors.estimators")
    region_threshold: float = Field(alias="evaluate.region_threshold")


def score_edits(
    bench: Bench,
    sample: Sample,
    scales: Scales,
    directions: dict[str, Directions],
    labels: dict[str, np.ndarray],
    real: dict[str, np.ndarray],
) -> dict[str, Rows]:
    """Rows of curves.csv, levels.csv and leakage.csv of every estimator and attribute.

    labels (F, A) of the sample's faces, by estimator, are in the order of its directions; real (n, 1280) holds, by attribute, features of faces that have it.
    """
    names = bench.panel.attributes
    tables: dict[str, Rows] = {"curves": [], "levels": [], "leakage": []}
    bar, done = Progress("score edits", len(directions) * len(names), "edits"), 0
    for estimator, found in directions.items():
        for target, name in enumerate(names):
            if name in found.attributes:
                step = found.edit_sigma(name, -sample.labels[:, target], labels[estimator])
                for table, lines in score_edit(bench, sample, scales, step, target, real[name]).items():
                    tables[table] += [{"estimator": estimator, **line} for line in lines]
            done += 1
            bar.update(done)
    bar.close()
    return tables


def score_all(
    bench: Bench,
    crops: Crops,
    pairs: Counterfactuals | None,
    codes: np.ndarray,
    directions: dict[str, Directions],
    networks: dict[str, samples.Features],
    params: Params,
) -> tuple[dict[str, pd.DataFrame], dict[str, np.ndarray]]:
    """Every table, by name, and some faces of each set, likewise."""
    score, names, rng = params.score, bench.panel.attributes, np.random.default_rng(params.seed)
    torch.manual_seed(params.seed)
    order, known = (
        rng.permutation(crops.rows("test")),
        crops.labels[:, [crops.attributes.index(name) for name in names]],
    )
    real_rows, rows = np.sort(order[: score.samples]), np.sort(order[: score.faces])
    real: Tensor = bench.pictures(crops.images[real_rows])
    features = bench.features(real)
    marks, units = identity_scales(bench, crops, pairs, real, rng)
    scales = Scales(units, float(np.median(edit_effects.distances(features, np.roll(features, 1, 0)))))
    sample = Sample.of(bench, crops.images[rows], codes[rows], known[rows])
    labels = {
        name: found.arranged(crops.attributes, crops.labels[rows]) for name, found in directions.items()
    }
    with_it = {name: features[known[real_rows, target] == 1] for target, name in enumerate(names)}
    tables = score_edits(bench, sample, scales, directions, labels, with_it)
    truth_rows, truth = true_changes(bench, crops, pairs)
    found = {name: pd.DataFrame(lines, columns=COLUMNS[name]) for name, lines in tables.items()}
    levels = found["levels"]
    if pairs is not None and len(levels):
        reached = levels[
            (levels["judge"] == 0) & (levels["level"] == score.levels[-1]) & np.isfinite(levels["strength"])
        ]
        against = against_truth(bench, crops, pairs, codes, directions, reached, params.region_threshold)
        against, where = (
            against.assign(judge=0, level=score.levels[-1]),
            ["judge", "level", "estimator", "kind", "attribute"],
        )
        levels = levels.drop(columns=["error_reduction", "psnr_outside"]).merge(against, "left", where)
        found["levels"] = levels.reindex(columns=COLUMNS["levels"])
    splits = {split: crops.rows(split) for split in (("train", "valid") if score.diffusion else ("train",))}
    expected = edit_effects.correlations(known[crops.rows("train")])
    new = samples.sets(bench, crops.images, codes, splits, real_rows, params.seed)
    tables = found | {
        "leakage": pd.concat([pd.DataFrame(truth_rows, columns=COLUMNS["leakage"]), found["leakage"]]),
        "carried": confounding.table(found["leakage"], truth, expected, names, score.resamples, rng),
        "identity": pd.DataFrame(marks),
        "priors": samples.score_priors(bench, new, real, codes[real_rows], networks, scales),
    }
    return tables, samples.portraits(new)


def main(crops_folder: Path, weights: Path, latents: Path, vectors: Path, judges: Path, out: Path) -> None:
    try:
        params, crops, device = load(Params), Crops.open(crops_folder), pick_device()
        model, _ = checkpoints.load(weights)
        names = [one_of("score.estimators", name, params.estimators) for name in params.score.estimators]
        directions = {name: Directions.open(vectors, name) for name in names}
        panel, network = Ensemble.open(judges).to(device), perceptual.load("efficientnet_lite0", "", device)
        pairs = Counterfactuals.open(crops_folder, crops.table["name"])
        bench = Bench(
            params.score,
            params.detail,
            model.to(device, memory_format=torch.channels_last),
            panel,
            network,
            device,
        )
        networks: dict[str, samples.Features] = {"lite0": bench.features}
        if params.score.inception:
            eye = inception.load(Path(params.score.inception), device)
            networks["inception"] = partial(inception.features, eye, batch=params.score.batch)
    except ValueError as error:
        raise stop(error) from None
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    tables, portraits = score_all(bench, crops, pairs, codes, directions, networks, params)
    with new_folder(out) as folder:
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
        np.savez(folder / "new_faces.npz", **portraits)
        write_png(folder / "new_faces.png", samples.gallery(portraits, crops.geometry.size))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
