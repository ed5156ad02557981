"""Sum the scores up as metrics, tables and charts. No network is run.

in    data/crops/     table.parquet
      data/model/     history.csv
      data/latents/   latents.npy
      data/vectors/   vectors.npz, vectors.csv
      data/classifier/, data/scores/   what the classifier's test and the scoring of edits and samples found
      data/guarantee/ ranges of the sliders, and how far they hold
      data/witness/   what networks from elsewhere saw, where they were asked
out   reports/metrics.json   small nested numbers, the same keys on every run over the same source
      reports/plots/         the tables and curves behind them, as CSV for `dvc plots` and as PNG;
                             missing.csv says why a group of metrics is empty or null

Several processes (faces/core/ranks.py) share what is resampled and fitted: editors, attributes, code numbers.
Rank 0 sums up and draws. An interrupted run continues after the finished shards.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from faces.core import ranks
from faces.core.console import stop
from faces.core.files import new_folder, open_npy, read_json, write_csv, write_json
from faces.core.params import Group, load
from faces.data import annotations
from faces.data.crops import Crops
from faces.edits.directions import Directions
from faces.evaluation import disentanglement, guarantee, summary
from faces.metrics import confounding
from faces.metrics.auroc import roc_curve
from faces.metrics.changes import Changes
from faces.metrics.label_stats import phi
from faces.viz import charts
from faces.viz.images import sheet, write_png

SCORES = (
    "reconstruction",
    "curves",
    "levels",
    "counterfactuals",
    "joint",
    "truth_cosine",
    "identity",
    "priors",
    "missing",
)
WITNESS = ("edits", "agreement", "sets")
COSTS = {
    "leakage_total": "change of the other attributes, std. dev.",
    "identity": "distance from the face (1: another face)",
}


class Evaluate(Group):
    """The group `evaluate`."""

    roc_points: Annotated[int, Field(ge=2)]
    resamples: Annotated[int, Field(ge=2)]
    disentanglement: disentanglement.Settings


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    evaluate: Evaluate
    primary: str = Field(alias="vectors.primary")
    min_active_units: int = Field(alias="train.min_active_units")


class Scores(NamedTuple):
    """data/scores: tables by name, the code's figures, each edit's changes, and the shown faces
    of each set.
    """

    tables: dict[str, pd.DataFrame]
    code: dict[str, int]
    changes: Changes
    faces: dict[str, np.ndarray]

    @classmethod
    def open(cls, folder: Path) -> "Scores":
        with np.load(folder / "new_faces.npz", allow_pickle=False) as file:
            faces = dict(file)
        return cls(
            {name: pd.read_csv(folder / f"{name}.csv") for name in SCORES},
            read_json(folder / "code.json"),
            Changes.open(folder / "changes.npz"),
            faces,
        )


def numbers(row: pd.Series) -> dict[str, float]:
    """A table row as metrics: rounded, because the tenth decimal of a PSNR is noise in a diff."""
    return {
        name: round(float(value), 4)
        for name, value in row.items()
        if isinstance(value, (int, float, np.number)) and np.isfinite(value)
    }


def model_metrics(params: Params, history: pd.DataFrame, scores: Scores, plots: Path) -> dict[str, Any]:
    """Training, reconstruction and use of the code."""
    write_csv(plots / "history.csv", history)
    charts.history(history, plots / "history.png")
    rebuilt = scores.tables["reconstruction"]
    write_csv(plots / "reconstruction.csv", rebuilt.describe().rename_axis("statistic").reset_index())
    valid = history.iloc[-1].filter(like="valid_").rename(lambda name: name.removeprefix("valid_"))
    active = scores.code["active_units"]
    return {
        "reconstruction": numbers(rebuilt.mean()),
        "code": scores.code | {"collapsed": int(active < params.min_active_units)},
        "valid": numbers(valid),
    }


class Shared(NamedTuple):
    """What the processes share."""

    roc: pd.DataFrame
    disentanglement: dict[str, float | None]
    common: summary.Common  # attributes on which editors are compared
    carried: pd.DataFrame | None  # confounding.table; None where no edit was scored

    @classmethod
    def of(
        cls,
        params: Params,
        crops: Crops,
        codes: np.ndarray,
        directions: Directions,
        scores: Scores,
        work: Path,
    ) -> "Shared":
        """By way of shards in `work`."""
        return cls(
            roc(crops, codes, directions, params.evaluate.roc_points, work / "roc"),
            disentangled(crops, codes, params.evaluate.disentanglement, params.seed, work),
            *carried(params, crops, scores, work / "carried"),
        )


def direction_metrics(
    params: Params, table: pd.DataFrame, attributes: tuple[str, ...], shared: Shared, plots: Path
) -> dict[str, Any]:
    """How well directions, and single code numbers, tell attributes apart on the test split."""
    table = table[table["attribute"].isin(attributes)]  # measured labels have no two sides
    primary = table[table["estimator"] == params.primary].dropna(subset=["auroc"])
    write_csv(plots / "auroc.csv", primary)
    if len(primary):
        charts.auroc(primary, plots / "auroc.png")
    write_csv(plots / "roc.csv", shared.roc)
    return {
        "auroc": {
            "mean": summary.figure(primary["auroc"].mean()),
            **numbers(primary.set_index("attribute")["auroc"]),
        },
        "auroc_by_estimator": numbers(table.groupby("estimator")["auroc"].mean()),
        "disentanglement": shared.disentanglement,
    }


def classifier_metrics(classifier: Path, plots: Path) -> dict[str, Any]:
    """The first classifier's own figures; means are over the attributes that it can read."""
    table = pd.read_csv(classifier / "scores.csv")
    write_csv(plots / "classifier.csv", table)
    if table.empty:
        return {"classifier": {"attributes": 0}}
    first = table[(table["width"] == table["width"].iloc[0])]
    usable = first[first["usable"]]
    means = numbers(usable[["auroc", "balanced_accuracy", "calibration_error"]].mean())
    return {"classifier": {"attributes": len(usable), **means}}


def carried(
    params: Params, crops: Crops, scores: Scores, work: Path
) -> tuple[summary.Common, pd.DataFrame | None]:
    """The attributes on which editors are compared, and what edits of them bring along; by way of shards in
    `work`.
    """
    tables = scores.tables
    if tables["levels"].empty:
        return {}, None
    names = scores.changes.attributes
    expected = phi(crops.labels[crops.rows("train")][:, [crops.attributes.index(name) for name in names]])
    common = summary.common_sets(tables["levels"], names, set(tables["counterfactuals"]["attribute"]))
    drawing = (params.evaluate.resamples, params.seed, work)
    return common, confounding.table(scores.changes, common, np.nan_to_num(expected), *drawing)


def edit_metrics(params: Params, scores: Scores, shared: Shared, plots: Path) -> dict[str, Any]:
    """Editors at equal effect. A second classifier's metrics have a group of their own."""
    tables = scores.tables
    write_csv(plots / "identity.csv", tables["identity"])
    if shared.carried is None:
        write_csv(plots / "levels.csv", tables["levels"])
        return {"edits": {params.primary: summary.unscored()}}
    changes = scores.changes
    carried = shared.carried
    common = shared.common
    visible = set(tables["counterfactuals"]["attribute"])
    levels = summary.detailed(tables["levels"], tables["counterfactuals"], changes, common)
    for name, table in {"levels": levels, "carried": carried, "curves": tables["curves"]}.items():
        write_csv(plots / f"{name}.csv", table)
    metrics: dict[str, Any] = {}
    numbered = sorted(tables["identity"]["classifier"].unique())
    for number in numbered:
        of = {name: tables[name][tables[name]["classifier"] == number] for name in ("curves", "identity")}
        own = levels[levels["classifier"] == number]
        group = "edits" if number == 0 else f"edits_classifier_{number + 1}"
        rows = carried[carried["classifier"] == number]
        metrics[group] = summary.compare(own, rows, of["identity"], visible)
        if number == 0:
            draw_edits(changes, of["curves"], own, plots)
    if len(numbered) > 1:
        metrics["classifiers_agree"] = summary.agreement(levels, carried)
    if visible:
        metrics |= truth_metrics(params, tables, common.get((0, "plain"), ()), plots)
    return metrics


def draw_edits(changes: Changes, curves: pd.DataFrame, levels: pd.DataFrame, plots: Path) -> None:
    """Charts of what edits change beside their attribute, in the eyes of the first classifier."""
    for editor, kind in changes.editors(0):
        charts.leakage(summary.matrix(changes, 0, editor, kind), plots / f"leakage_{editor}_{kind}.png")
    for cost, label in COSTS.items():
        path = plots / f"effect_{cost.removesuffix('_total')}.png"
        charts.trade(summary.trade(curves, levels, cost), cost, label, path)


def truth_metrics(
    params: Params, tables: dict[str, pd.DataFrame], common: tuple[str, ...], plots: Path
) -> dict[str, Any]:
    """Edits against true counterfactuals."""
    for name in ("counterfactuals", "joint", "truth_cosine"):
        write_csv(plots / f"{name}.csv", tables[name])
    charts.counterfactuals(tables["counterfactuals"], params.primary, plots / "counterfactuals.png")
    return {
        "counterfactual": summary.counterfactual(tables["counterfactuals"], params.primary),
        "counterfactual_joint": summary.joint(tables["joint"]),
        "truth_cosine": summary.truth_cosine(tables["truth_cosine"], common, params.primary),
    }


def sample_metrics(scores: Scores, size: int, plots: Path) -> dict[str, Any]:
    """Reconstructions and samples against real faces."""
    priors = scores.tables["priors"]
    write_csv(plots / "priors.csv", priors)
    bounded = [name for name in priors if f"{name}_low" in priors]
    for distance in bounded:
        charts.distances(priors.dropna(subset=[distance]), distance, plots / f"{distance}.png")
    rows = [name.replace("_", " ") for name in scores.faces]
    write_png(plots / "new_faces.png", sheet(np.stack(list(scores.faces.values())), size, rows=rows))
    return {"generation": summary.generation(priors)}


def guarantee_metrics(folder: Path | None, plots: Path) -> dict[str, Any]:
    """Ranges with a guarantee, and refusals; nothing without the `folder` of stage `guarantee`."""
    if folder is None:
        return {}
    found = guarantee.Guarantees.open(folder)
    write_csv(plots / "guarantee.csv", found.table)
    write_csv(plots / "refusals.csv", found.refusals)
    if len(found.ranges):
        charts.guarantee(found.table, found.about["level"], plots / "guarantee.png")
    return {"guarantee": guarantee.metrics(found)}


def witness_metrics(folder: Path | None, plots: Path) -> dict[str, Any]:
    """What the witness saw; no figures where it was not asked."""
    if folder is None or not read_json(folder / "witness.json")["enabled"]:
        return {"witness": {}}
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in WITNESS}
    for name, table in tables.items():
        write_csv(plots / f"witness_{name}.csv", table)
    found = summary.witness(read_json(folder / "witness.json"), **tables)
    roc = pd.read_csv(folder / "roc.csv")
    if len(roc):
        write_csv(plots / "witness_roc.csv", roc)
    if (folder / "sliders.csv").is_file():
        sliders = pd.read_csv(folder / "sliders.csv")
        write_csv(plots / "witness_sliders.csv", sliders)
        found["sliders"] = summary.sliders(sliders)
    return {"witness": found}


def disentangled(
    crops: Crops, codes: np.ndarray, settings: disentanglement.Settings, seed: int, work: Path
) -> dict[str, float | None]:
    """How far single code numbers stand for single attributes: fitted on train faces, asked of test faces; by
    way of shards in `work`.
    """
    if not crops.attributes:
        return {}
    rng = np.random.default_rng(seed)
    train = np.sort(rng.permutation(crops.rows("train"))[: settings.faces])
    test = crops.rows("test")
    sides = disentanglement.shortened(codes[train], codes[test], settings.longest, seed)
    found = disentanglement.scores(*sides, crops.labels[train], crops.labels[test], settings, work)
    return {name: summary.figure(value) for name, value in found.items()}


def roc(crops: Crops, codes: np.ndarray, directions: Directions, points: int, work: Path) -> pd.DataFrame:
    """ROC curve of every attribute's projection: attribute, false_positive_rate, true_positive_rate; by way
    of shards in `work`.
    """
    rows = crops.rows("test")
    columns = ["false_positive_rate", "true_positive_rate"]

    def curve(name: str) -> dict[str, np.ndarray]:
        labels = crops.labels[rows, crops.attributes.index(name)]
        if not ((labels == 1).any() and (labels == -1).any()):
            return {column: np.zeros(0) for column in columns}
        known = labels != 0
        projection = codes[rows[known]] @ directions.unit(name)
        return dict(zip(columns, roc_curve(projection, labels[known] == 1, points), strict=True))

    names = [name for name in directions.attributes if name in crops.attributes]
    shards = ranks.dealt_jobs("evaluate curves", "attributes", work, names, curve)
    found = [pd.DataFrame({"attribute": name, **arrays}) for name, arrays in zip(names, shards, strict=True)]
    curves = [table for table in found if len(table)]
    return pd.concat(curves) if curves else pd.DataFrame(columns=["attribute", *columns])


def missing(scores: Scores, metrics: dict[str, Any]) -> pd.DataFrame:
    """missing.csv: group of metrics and reason, of what could not be measured."""
    table = scores.tables["missing"]
    if metrics["auroc"]["mean"] is None:
        table.loc[len(table)] = ("auroc", "no direction, or no test faces on both sides of an attribute")
    return table


def run(
    params: Params,
    crops_folder: Path,
    weights: Path,
    latents: Path,
    vectors: Path,
    classifier: Path,
    scores_folder: Path,
    guarantee_folder: Path | None,
    witness: Path | None,
    metrics_file: Path,
    plots: Path,
) -> None:
    """The stage with these params; `witness` is None where there was none to ask. Raises ValueError where an
    input is missing or does not fit.
    """
    crops = Crops.open(crops_folder)
    directions = Directions.open(vectors, params.primary)
    codes = open_npy(latents / "latents.npy")
    scores = Scores.open(scores_folder)
    history = pd.read_csv(weights / "history.csv")
    table = pd.read_csv(vectors / "vectors.csv")
    inputs = [
        crops_folder / annotations.TABLE,
        latents / "latents.npy",
        vectors / "vectors.npz",
        *(scores_folder / name for name in ("levels.csv", "counterfactuals.csv", "changes.npz")),
    ]
    work = ranks.unfinished(params.model_dump(), inputs)
    with ranks.joined():
        shared = Shared.of(params, crops, codes, directions, scores, work)
    if ranks.rank() > 0:
        return
    with new_folder(plots) as folder:
        metrics = {
            **model_metrics(params, history, scores, folder),
            **direction_metrics(params, table, crops.attributes, shared, folder),
            **classifier_metrics(classifier, folder),
            **edit_metrics(params, scores, shared, folder),
            **sample_metrics(scores, crops.geometry.size, folder),
            **guarantee_metrics(guarantee_folder, folder),
            **witness_metrics(witness, folder),
        }
        write_csv(folder / "missing.csv", missing(scores, metrics))
    write_json(metrics_file, metrics)
    ranks.discard(work)


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.evaluate")
    main(*map(Path, sys.argv[1:]))
