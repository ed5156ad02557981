"""Measure the model, its directions and its edits on the test split.

in    data/crops/     images.npy, table.csv, and counterfactuals where the source draws them
      data/model/     the trained model, history.csv
      data/latents/   latents.npy
      data/vectors/   vectors.npz, vectors.csv
      data/classifier/, data/scores/   what the judge and the scoring of edits and samples found
out   reports/metrics.json   small nested numbers, the same keys on every run over the same source
      reports/plots/         the tables and curves behind them, as CSV for `dvc plots` and as PNG
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from faces import charts, checkpoints, comparisons, similarity
from faces.counterfactuals import Counterfactuals, changed_region, squared_error
from faces.crops import Crops
from faces.devices import batches, pick_device, to_device
from faces.directions import Directions
from faces.files import new_folder, write_json
from faces.moments import active_units
from faces.params import Group, load
from faces.scores import roc_curve
from faces.terminal import Progress, stop


class Evaluate(Group):
    batch: Annotated[int, Field(ge=1)]
    region_threshold: Annotated[float, Field(gt=0, lt=1)]
    roc_points: Annotated[int, Field(ge=2)]


class Params(Group):
    evaluate: Evaluate
    primary: str = Field(alias="vectors.primary")
    min_active_units: int = Field(alias="train.min_active_units")


def unit(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [0, 1], the range of faces/similarity.py."""
    return to_device(images, device).add(1).div(2)


@torch.no_grad()
def reconstruction(model: torch.nn.Module, images: np.ndarray, codes: np.ndarray, rows: np.ndarray, batch: int) -> pd.DataFrame:
    """PSNR in dB, SSIM and MS-SSIM of the decoded codes of `rows`, one line a face."""
    device, scores = next(model.parameters()).device, []
    bar = Progress("evaluate reconstructions", len(rows), "faces")
    for where in batches(len(rows), batch):
        original = unit(images[rows[where]], device)
        decoded = decode(model, codes[rows[where]])
        scores.append(
            torch.stack([measure(decoded, original) for measure in (similarity.psnr, similarity.ssim, similarity.ms_ssim)], 1).cpu()
        )
        bar.update(where.stop)
    bar.close()
    return pd.DataFrame(torch.cat(scores).numpy(), columns=["psnr", "ssim", "ms_ssim"])


def decode(model: torch.nn.Module, codes: np.ndarray) -> torch.Tensor:
    """Codes (B, D) -> float (B, 3, H, W) in [0, 1]."""
    device = next(model.parameters()).device
    return model.decode(torch.from_numpy(np.ascontiguousarray(codes, np.float32)).to(device)).clamp(-1, 1).add(1).div(2)


@torch.no_grad()
def counterfactual(
    model: torch.nn.Module, crops: Crops, pairs: Counterfactuals, codes: np.ndarray, directions: Directions, params: Evaluate
) -> pd.DataFrame:
    """One line per pair: squared errors against the true counterfactual, inside and outside the region that truly changed.

    `nothing` leaves the original as it is, `edit` decodes z + v (v at native length, towards the flipped label), `detail` adds the change that the
    edit makes to the original, and `rebuilt` is the truth itself through the model: no edit of this model can be nearer on average.
    """
    device, rows = next(model.parameters()).device, []
    usable = np.flatnonzero(np.isin(pairs.attribute, directions.attributes))
    bar = Progress("evaluate counterfactuals", len(usable), "pairs")
    for where in batches(len(usable), params.batch):
        chosen = usable[where]
        original, truth = unit(crops.images[pairs.rows[chosen]], device), unit(pairs.images[chosen], device)
        z = codes[pairs.rows[chosen]]
        steps = np.stack([directions.native(name) for name in pairs.attribute[chosen]]) * pairs.value[chosen, None]
        before, after = decode(model, z), decode(model, z + steps)
        rebuilt = model.decode(model.encode(truth * 2 - 1)).clamp(-1, 1).add(1).div(2)
        region = changed_region(original, truth, params.region_threshold)
        table = {"attribute": pairs.attribute[chosen], "value": pairs.value[chosen], "pixels": region.sum((1, 2, 3)).cpu().numpy()}
        for name, image in {
            "nothing": original,
            "edit": after,
            "detail": (original + after - before).clamp(0, 1),
            "rebuilt": rebuilt,
        }.items():
            inside, outside = squared_error(image, truth, region)
            table[f"{name}_inside"], table[f"{name}_outside"] = inside.cpu().numpy(), outside.cpu().numpy()
        rows.append(pd.DataFrame(table))
        bar.update(where.stop)
    bar.close()
    return pd.concat(rows, ignore_index=True)


def summarise(pairs: pd.DataFrame, pixels: int) -> pd.DataFrame:
    """Per attribute: PSNR in dB inside and outside the changed region for each kind of edit, and by how much the error fell below doing nothing.

    `pixels` is the number of pixels of a picture. Errors are pooled over the attribute's pairs before the logarithm.
    """
    sums = pairs.groupby("attribute").sum(numeric_only=True)
    sums.insert(0, "pairs", pairs.groupby("attribute").size())
    outside = sums["pairs"] * pixels - sums["pixels"]
    table = {"pairs": sums["pairs"], "region": sums["pixels"] / (sums["pairs"] * pixels)}
    for kind in ("nothing", "edit", "detail", "rebuilt"):
        table[f"psnr_inside_{kind}"] = -10 * np.log10(np.maximum(sums[f"{kind}_inside"] / sums["pixels"], 1e-10))
        table[f"psnr_outside_{kind}"] = -10 * np.log10(np.maximum(sums[f"{kind}_outside"] / outside, 1e-10))
    for kind in ("edit", "detail"):
        table[f"error_reduction_{kind}"] = 1 - sums[f"{kind}_inside"] / sums["nothing_inside"]
    return pd.DataFrame(table).reset_index()


def numbers(row: pd.Series) -> dict[str, float]:
    """A table row as metrics: rounded, because the tenth decimal of a PSNR is noise in a diff."""
    return {
        name: round(float(value), 4) for name, value in row.items() if isinstance(value, (int, float, np.number)) and np.isfinite(value)
    }


def main(
    crops_folder: Path, weights: Path, latents: Path, vectors: Path, judges: Path, scores: Path, metrics_file: Path, plots: Path
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
    quality = reconstruction(model, crops.images, codes, test, params.evaluate.batch)
    active = active_units(codes[test])
    primary = table[table["estimator"] == params.primary].dropna(subset=["auroc"])
    metrics = {
        "reconstruction": numbers(quality.mean()),
        "code": {"length": codes.shape[1], "active_units": active, "collapsed": int(active < params.min_active_units)},
        "valid": numbers(history.iloc[-1].filter(like="valid_").rename(lambda name: name.removeprefix("valid_"))),
        "auroc": {"mean": round(float(primary["auroc"].mean()), 4), **numbers(primary.set_index("attribute")["auroc"])},
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
        quality.describe().round(4).to_csv(folder / "reconstruction.csv", lineterminator="\n")
        metrics |= judged(judges, folder) | scored(scores, folder)
        if pairs is not None:
            compared = counterfactual(model, crops, pairs, codes, directions, params.evaluate)
            summary = summarise(compared, crops.images.shape[1] * crops.images.shape[2])
            summary.to_csv(folder / "counterfactuals.csv", index=False, lineterminator="\n", float_format="%.6g")
            charts.counterfactuals(summary, folder / "counterfactuals.png")
            metrics["counterfactual"] = {
                "mean": numbers(summary.drop(columns=["attribute", "pairs", "region"]).mean()),
                "error_reduction": numbers(summary.set_index("attribute")["error_reduction_edit"]),
                "error_reduction_detail": numbers(summary.set_index("attribute")["error_reduction_detail"]),
            }
    write_json(metrics_file, metrics)


def judged(judges: Path, plots: Path) -> dict[str, Any]:
    """The judge's own figures, as metrics and as plots/judge.csv. Means are over the attributes that it can judge."""
    table = pd.read_csv(judges / "scores.csv")
    table.to_csv(plots / "judge.csv", index=False, lineterminator="\n")
    first = table[table["width"] == table["width"].iloc[0]]
    means = numbers(first[first["judges"]][["auroc", "balanced_accuracy", "calibration_error"]].mean())
    return {"judge": {"attributes": int(first["judges"].sum()), **means}}


def scored(scores: Path, plots: Path) -> dict[str, Any]:
    """What the scoring of edits and samples found: groups of metrics, and tables and charts in `plots`. A second judge's metrics have a group of their own."""
    tables = {name: pd.read_csv(scores / f"{name}.csv") for name in ("curves", "levels", "leakage", "carried", "identity", "priors")}
    for name, table in tables.items():
        table.to_csv(plots / f"{name}.csv", index=False, lineterminator="\n")
    metrics: dict[str, Any] = {}
    for judge in tables["identity"]["judge"].unique():
        of = {name: table[table["judge"] == judge] for name, table in tables.items() if "judge" in table}
        group = "edits" if judge == 0 else f"edits_judge_{judge + 1}"
        metrics[group] = comparisons.compare(of["levels"], of["carried"], of["identity"])
        if judge == 0:
            for estimator, kind in of["leakage"][["estimator", "kind"]].drop_duplicates().itertuples(index=False):
                charts.leakage(comparisons.matrix(of["leakage"], estimator, kind), plots / f"leakage_{estimator}_{kind}.png")
            charts.trade(of["curves"], "leakage", "change of the other attributes, std. dev.", plots / "effect_leakage.png")
            charts.trade(of["curves"], "identity", "distance from the face (1: another person)", plots / "effect_identity.png")
    priors = tables["priors"]
    for distance in ("frechet_lite0", "kernel_lite0"):
        charts.distances(priors.dropna(subset=[distance]), distance, plots / f"{distance}.png")
    return metrics | {"generation": {row["set"]: numbers(row) for _, row in priors.iterrows()}}


def roc(crops: Crops, codes: np.ndarray, directions: Directions, rows: np.ndarray, points: int) -> pd.DataFrame:
    """ROC curve of every attribute's projection, as one long table: attribute, false_positive_rate, true_positive_rate."""
    curves, projections = [], codes[rows] @ np.stack([directions.unit(name) for name in directions.attributes]).T
    for column, name in enumerate(directions.attributes):
        labels = crops.labels[rows, crops.attributes.index(name)]
        if (labels == 1).any() and (labels == -1).any():
            known = labels != 0
            false, true = roc_curve(projections[known, column], labels[known] == 1, points)
            curves.append(pd.DataFrame({"attribute": name, "false_positive_rate": false, "true_positive_rate": true}))
    return pd.concat(curves)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
