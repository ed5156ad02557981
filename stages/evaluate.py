"""Measure the model, its directions and its edits on the test split.

in    data/crops/     images.npy, table.csv, and counterfactuals where the source draws them
      data/model/     the trained model, history.csv
      data/latents/   latents.npy
      data/vectors/   vectors.npz, vectors.csv
      data/classifier/, data/scores/   what the judge and the scoring of edits and samples found
out   reports/metrics.json   small nested numbers, the same keys on every run over the same source
      reports/plots/         the tables and curves behind them, as CSV for `dvc plots` and as PNG
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from faces import checkpoints
from faces.core.batches import batches
from faces.core.console import Progress, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.evaluation import disentanglement, summary
from faces.metrics.auroc import roc_curve
from faces.nn import quality
from faces.nn.device import pick_device, to_device
from faces.nn.quality import active_units
from faces.scoring import drawn
from faces.scoring.counterfactuals import Counterfactuals
from faces.viz import charts


class Evaluate(Group):
    batch: Annotated[int, Field(ge=1)]
    region_threshold: Annotated[float, Field(gt=0, lt=1)]
    roc_points: Annotated[int, Field(ge=2)]
    disentanglement: disentanglement.Settings


class Params(Group):
    seed: int
    evaluate: Evaluate
    detail: Detail
    primary: str = Field(alias="vectors.primary")
    min_active_units: int = Field(alias="train.min_active_units")


@torch.no_grad()
def reconstruction(
    model: torch.nn.Module, images: np.ndarray, codes: np.ndarray, rows: np.ndarray, batch: int
) -> pd.DataFrame:
    """PSNR in dB, SSIM and MS-SSIM of the decoded codes of `rows`, one line a face."""
    device, scores = next(model.parameters()).device, []
    bar = Progress("evaluate reconstructions", len(rows), "faces")
    for where in batches(len(rows), batch):
        original = drawn.unit(to_device(images[rows[where]], device))
        decoded = decode(model, codes[rows[where]])
        scores.append(
            torch.stack(
                [measure(decoded, original) for measure in (quality.psnr, quality.ssim, quality.ms_ssim)], 1
            ).cpu()
        )
        bar.update(where.stop)
    bar.close()
    return pd.DataFrame(torch.cat(scores).numpy(), columns=["psnr", "ssim", "ms_ssim"])


def decode(model: torch.nn.Module, codes: np.ndarray) -> torch.Tensor:
    """Codes (B, D) -> float (B, 3, H, W) in [0, 1]."""
    device = next(model.parameters()).device
    return drawn.unit(
        model.decode(torch.from_numpy(np.ascontiguousarray(codes, np.float32)).to(device)).clamp(-1, 1)
    )


def numbers(row: pd.Series) -> dict[str, float]:
    """A table row as metrics: rounded, because the tenth decimal of a PSNR is noise in a diff."""
    return {
        name: round(float(value), 4)
        for name, value in row.items()
        if isinstance(value, (int, float, np.number)) and np.isfinite(value)
    }


def main(
    crops_folder: Path,
    weights: Path,
    latents: Path,
    vectors: Path,
    judges: Path,
    scores: Path,
    metrics_file: Path,
    plots: Path,
) -> None:
    try:
        params = load(Params)
        crops, device = Crops.open(crops_folder), pick_device()
        model, _ = checkpoints.load(weights)
        directions = Directions.open(vectors, params.primary)
        pairs = Counterfactuals.open(crops_folder, crops.table["name"])
    except ValueError as error:
        raise stop(error) from None
    model = model.to(device, memory_format=torch.channels_last)
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    history, table = pd.read_csv(weights / "history.csv"), pd.read_csv(vectors / "vectors.csv")
    test = crops.rows("test")
    rebuilt = reconstruction(model, crops.images, codes, test, params.evaluate.batch)
    active = active_units(codes[test])
    primary = table[table["estimator"] == params.primary].dropna(subset=["auroc"])
    metrics = {
        "reconstruction": numbers(rebuilt.mean()),
        "code": {
            "length": codes.shape[1],
            "active_units": active,
            "collapsed": int(active < params.min_active_units),
        },
        "valid": numbers(
            history.iloc[-1].filter(like="valid_").rename(lambda name: name.removeprefix("valid_"))
        ),
        "auroc": {
            "mean": round(float(primary["auroc"].mean()), 4),
            **numbers(primary.set_index("attribute")["auroc"]),
        },
        "auroc_by_estimator": numbers(table.groupby("estimator")["auroc"].mean()),
    }
    with new_folder(plots) as folder:
        history.to_csv(folder / "history.csv", index=False, lineterminator="\n")
        charts.history(history, folder / "history.png")
        primary.to_csv(folder / "auroc.csv", index=False, lineterminator="\n", float_format="%.6g")
        charts.auroc(primary, folder / "auroc.png")
        roc(crops, codes, directions, test, params.evaluate.roc_points).to_csv(
            folder / "roc.csv", index=False, lineterminator="\n", float_format="%.6g"
        )
        rebuilt.describe().round(4).to_csv(folder / "reconstruction.csv", lineterminator="\n")
        metrics |= judged(judges, folder) | scored(scores, folder)
        metrics["disentanglement"] = disentangled(crops, codes, params.evaluate.disentanglement, params.seed)
        if pairs is not None:
            compared = drawn.compare(
                model,
                crops,
                pairs,
                codes,
                directions,
                params.detail,
                params.evaluate.region_threshold,
                params.evaluate.batch,
            )
            compared = drawn.summarise(compared, crops.images.shape[1] * crops.images.shape[2])
            compared.to_csv(
                folder / "counterfactuals.csv", index=False, lineterminator="\n", float_format="%.6g"
            )
            charts.counterfactuals(compared, folder / "counterfactuals.png")
            metrics["counterfactual"] = {
                "mean": numbers(compared.drop(columns=["attribute", "pairs", "region"]).mean()),
                "error_reduction": numbers(compared.set_index("attribute")["error_reduction_edit"]),
                "error_reduction_detail": numbers(compared.set_index("attribute")["error_reduction_detail"]),
            }
    write_json(metrics_file, metrics)


def judged(judges: Path, plots: Path) -> dict[str, Any]:
    """The judge's own figures, as metrics and as plots/judge.csv. Means are over the attributes that it can judge."""
    table = pd.read_csv(judges / "scores.csv")
    table.to_csv(plots / "judge.csv", index=False, lineterminator="\n")
    first = table[table["width"] == table["width"].iloc[0]]
    means = numbers(first[first["usable"]][["auroc", "balanced_accuracy", "calibration_error"]].mean())
    return {"judge": {"attributes": int(first["usable"].sum()), **means}}


def scored(scores: Path, plots: Path) -> dict[str, Any]:
    """What the scoring of edits and samples found: groups of metrics, and tables and charts in `plots`. A second judge's metrics have a group of their own."""
    tables = {
        name: pd.read_csv(scores / f"{name}.csv")
        for name in ("curves", "levels", "leakage", "carried", "identity", "priors")
    }
    for name, table in tables.items():
        table.to_csv(plots / f"{name}.csv", index=False, lineterminator="\n")
    metrics: dict[str, Any] = {}
    visible = set(tables["leakage"].loc[tables["leakage"]["estimator"] == "truth", "attribute"])
    for judge in tables["identity"]["judge"].unique():
        of = {name: table[table["judge"] == judge] for name, table in tables.items() if "judge" in table}
        group = "edits" if judge == 0 else f"edits_judge_{judge + 1}"
        metrics[group] = summary.compare(of["levels"], of["carried"], of["identity"], visible)
        if judge == 0:
            for estimator, kind in (
                of["leakage"][["estimator", "kind"]].drop_duplicates().itertuples(index=False)
            ):
                charts.leakage(
                    summary.matrix(of["leakage"], estimator, kind), plots / f"leakage_{estimator}_{kind}.png"
                )
            charts.trade(
                of["curves"],
                "leakage",
                "change of the other attributes, std. dev.",
                plots / "effect_leakage.png",
            )
            charts.trade(
                of["curves"],
                "identity",
                "distance from the face (1: another person)",
                plots / "effect_identity.png",
            )
    if tables["identity"]["judge"].nunique() > 1:
        metrics["judges_agree"] = summary.agreement(tables["levels"], tables["carried"])
    priors = tables["priors"]
    for distance in (
        name
        for name in priors
        if name.startswith(("frechet", "kernel")) and not name.endswith(("_low", "_high"))
    ):
        charts.distances(priors.dropna(subset=[distance]), distance, plots / f"{distance}.png")
    shutil.copyfile(scores / "new_faces.png", plots / "new_faces.png")
    return metrics | {"generation": {row["set"]: numbers(row) for _, row in priors.iterrows()}}


def disentangled(
    crops: Crops, codes: np.ndarray, settings: disentanglement.Settings, seed: int
) -> dict[str, float | None]:
    """How far single code numbers stand for single attributes: fitted on some train faces, and asked of the test faces where a fit can be."""
    rng = np.random.default_rng(seed)
    train, test = np.sort(rng.permutation(crops.rows("train"))[: settings.faces]), crops.rows("test")
    sides = disentanglement.shortened(codes[train], codes[test], settings.longest, seed)
    found = disentanglement.scores(*sides, crops.labels[train], crops.labels[test], settings)
    return {name: summary.figure(value) for name, value in found.items()}


def roc(
    crops: Crops, codes: np.ndarray, directions: Directions, rows: np.ndarray, points: int
) -> pd.DataFrame:
    """ROC curve of every attribute's projection, as one long table: attribute, false_positive_rate, true_positive_rate."""
    curves, projections = (
        [],
        codes[rows] @ np.stack([directions.unit(name) for name in directions.attributes]).T,
    )
    for column, name in enumerate(directions.attributes):
        labels = crops.labels[rows, crops.attributes.index(name)]
        if (labels == 1).any() and (labels == -1).any():
            known = labels != 0
            false, true = roc_curve(projections[known, column], labels[known] == 1, points)
            curves.append(
                pd.DataFrame({"attribute": name, "false_positive_rate": false, "true_positive_rate": true})
            )
    return pd.concat(curves)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
