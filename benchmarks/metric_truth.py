"""Which metrics rank edits as the truth does? Kendall's tau of each metric in use with the true error.

    python -m benchmarks.metric_truth build/metric_truth NAME=DATA [NAME=DATA ...] [--faces 32]

DATA is a folder of outputs (`data` after `dvc repro`) whose source draws counterfactuals; several, such as
those of two drawing styles or two systems, are ranked apart. Every editor edits the first test faces of each
attribute that have a true counterfactual, at five strengths. A cell, one editor and one attribute, is one
JSON file, so that a run that was stopped goes on, and editors can be left out of the ranking afterwards
(`--without flow random`). Beside the cells: cells.csv, taus.csv, scatter.png, table.md with the intervals,
and by_run.md, the taus alone, for many runs side by side.

The true error is the squared error of the decoded edit to the nearest of all pictures that are true, mean
over faces. Two rankings of one attribute's edits are asked for:

strengths   all editors at all strengths: would the metric find the best edit?
editors     each editor at the least strength at which 90% of the faces flip, as the field compares them

Tau (Kendall 1938, tau-b) is computed within an attribute and averaged over attributes; its 95% interval
resamples attributes (bootstrap, Efron 1979). Every metric is turned so that more is better: tau is 1 where it
orders edits as the truth does, 0 where it says nothing.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from pydantic import Field
from scipy.stats import kendalltau

from faces import checkpoints
from faces.classifier import Ensemble
from faces.core.console import say
from faces.core.files import new_file, open_npy, write_csv, write_json
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.flow.editor import FlowEditor
from faces.metrics import edit_effects
from faces.metrics.frechet import frechet, grams, kernel, polynomial
from faces.nn import perceptual, quality
from faces.nn.device import pick_device
from faces.scoring import counterfactuals
from faces.scoring.context import Codec, Context, FeatureNetwork, Score
from faces.scoring.counterfactuals import Counterfactuals, Truths, labels_for
from faces.scoring.editors import Oracle, ScoredEditor, SigmaEditor, SwitchEditor

ESTIMATORS = ("mean_difference", "balanced", "partial", "logistic", "svm", "random")
SIGMAS = (1.5, 3.0, 4.0, 5.0, 7.0)  # strengths of straight lines
SWITCHES = (0.5, 0.75, 1.0, 1.5, 2.0)  # of the flow, in changes of the label
LEVEL = 0.9  # share of flipped faces at which editors are compared
RESAMPLES = 2000

# Metric -> 1 where more is better, -1 where less is; what it is.
METRICS = {
    "flips": (1, "share of faces that the classifier reads as asked for (effectiveness)"),
    "effect": (1, "change of the attribute, as the classifier reads it"),
    "leakage_total": (-1, "mean change of the other attributes (InterFaceGAN's re-scoring)"),
    "dependency": (-1, "Attribute Dependency (StyleSpace)"),
    "kept": (1, "share of the other attributes read as before"),
    "identity": (-1, "distance of the classifier's features, the edited axis left out"),
    "perceptual": (-1, "distance of deep features (Lite1) from the unedited face"),
    "minimality": (-1, "squared change of the pixels"),
    "kid": (-1, "KID (Lite1) of faces given the attribute to real faces with it"),
    "fd": (-1, "Frechet distance (Lite1) of faces given the attribute to real faces with it"),
    "reversibility": (1, "PSNR after the edit is encoded and taken back"),
    "auroc": (1, "held-out AUROC of the direction"),
    "truth_cosine": (1, "cosine with the true displacement; needs the truth"),
    "leakage": (-1, "change of the other attributes beyond the truth's; needs the truth"),
}
CONSTANT = ("auroc", "truth_cosine")  # the same at all strengths of an editor


class Params(Group):
    score: Score
    detail: Detail
    fit: int = Field(alias="prior.fit")


@dataclass(frozen=True)
class Run:
    """The outputs of one run of the pipeline, opened."""

    crops: Crops
    codes: np.ndarray  # (N, D)
    pairs: Counterfactuals
    context: Context
    editors: dict[str, ScoredEditor]
    constants: pd.DataFrame  # index (editor, attribute), columns CONSTANT

    @classmethod
    def open(cls, data: Path, params: Params, state: Path) -> "Run":
        """The outputs in `data`; what takes long to compute is kept in the folder `state`."""
        device = pick_device()
        crops = Crops.open(data / "crops")
        pairs = Counterfactuals.open(data / "crops", crops.column("name"))
        if pairs is None:
            raise SystemExit(f"{data / 'crops'}: these data have no counterfactuals; draw avatars")
        model, _ = checkpoints.load(data / "model")
        codec = Codec(model.to(device), device, params.score.batch)
        lite1 = FeatureNetwork(
            perceptual.load("efficientnet_lite1", "", device), params.score.side, params.score.batch
        )
        ensemble = Ensemble.open(data / "classifier").to(device)
        context = Context(params.score, params.detail, codec, ensemble, lite1)
        codes = open_npy(data / "latents/latents.npy")
        kept = state / "displacements.npy"
        if not kept.is_file():
            state.mkdir(parents=True, exist_ok=True)
            with new_file(kept) as draft, draft.open("wb") as file:
                np.save(file, counterfactuals.displacements(codec, pairs, codes))
        moved = np.load(kept, allow_pickle=False)
        table = pd.read_csv(data / "vectors/vectors.csv")
        known = [name for name in ESTIMATORS if name in set(table["estimator"])]
        editors: dict[str, ScoredEditor] = {
            name: SigmaEditor(Directions.open(data / "vectors", name), SIGMAS) for name in known
        }
        editors["flow"] = SwitchEditor(FlowEditor.open(data / "flow", device), SWITCHES)
        changes = counterfactuals.oracle_changes(context, pairs, moved)
        if changes:
            train = codes[crops.rows("train")[: params.fit]]
            editors["oracle"] = Oracle.of(changes, train, SIGMAS)
        cosines = counterfactuals.truth_cosines(pairs, moved, codes, editors, crops)
        where = ["estimator", "attribute"]
        constants = cosines.rename(columns={"cosine": "truth_cosine"}).set_index(where)[["truth_cosine"]]
        constants = constants.join(table.set_index(where)["auroc"])
        return cls(crops, codes, pairs, context, editors, constants)

    def cells(self, most: int | None) -> Iterator[tuple[str, str]]:
        """Editor and attribute of each cell: of the first `most` attributes that have pairs; None: of all."""
        least = self.context.params.min_faces
        paired = [name for name in self.context.attributes if len(self.pairs.of(name)) >= least]
        for attribute in paired[:most]:
            for name, editor in self.editors.items():
                if attribute in editor.attributes:
                    yield name, attribute


def measured(run: Run, name: str, attribute: str, faces: int) -> list[dict[str, float]]:
    """One cell: the true error and every metric at each strength."""
    context = run.context
    codec = context.codec
    editor = run.editors[name]
    chosen = run.pairs.of(attribute, faces)
    rows = run.pairs.rows[chosen]
    side = run.pairs.value[chosen]
    target = context.attributes.index(attribute)
    labels = labels_for(editor, run.crops, rows)
    codes = run.codes[rows]
    original = codec.pictures(run.crops.images[rows])
    truths = Truths.of(context, run.pairs, chosen, original)
    start = codec.decode(codes)
    evidence, seen = context.read(0, start)
    features = context.features(start)
    evidence_of_truth, _ = context.read(0, truths.images[truths.starts])
    evidence_before, _ = context.read(0, original)
    deviation = context.deviations[0]
    true_change = edit_effects.changes(evidence_before, evidence_of_truth, side, deviation).mean(0)
    along = edit_effects.entailed(true_change[None], np.array([target]))[0]
    real = run.crops.rows("valid")
    column = run.crops.labels[real, run.crops.attributes.index(attribute)]
    real = context.features(codec.pictures(run.crops.images[np.sort(real[column == 1][:200])]))
    constant = run.constants.loc[(name, attribute)] if (name, attribute) in run.constants.index else {}
    lines = []
    for strength in editor.strengths:
        edited = editor.edited(codes, labels, attribute, strength)
        images = codec.decode(edited)
        evidence_after, seen_after = context.read(0, images)
        after = context.features(images)
        change = edit_effects.changes(evidence, evidence_after, side, deviation)
        back = editor.returned(codec.encode(images), labels, attribute, strength)
        back = codec.decode(back)
        added = side > 0
        enough = min(added.sum(), len(real)) >= 8
        lines.append(
            {
                "editor": name,
                "attribute": attribute,
                "strength": strength,
                "faces": len(rows),
                "error": nearest_error(truths, images),
                "flips": float((evidence_after[:, target] * side > 0).mean()),
                "effect": float(change[:, target].mean()),
                "leakage_total": float(edit_effects.leakage(change.mean(0), target)),
                "leakage": float(edit_effects.leakage(change.mean(0), target, along)),
                "dependency": edit_effects.dependency(change, target)[0],
                "kept": float(edit_effects.kept(evidence, evidence_after, target)),
                "identity": float(edit_effects.distances(seen_after, seen, context.axes(0)[target]).mean()),
                "perceptual": float(edit_effects.distances(after, features).mean()),
                "minimality": float(((images - start) / 2).square().mean()),
                "kid": kernel(*polynomial(after[added], real)) if enough else np.nan,
                "fd": frechet(*grams(after[added], real)) if enough else np.nan,
                "reversibility": float(quality.psnr(back.add(1).div(2), start.add(1).div(2)).mean()),
                **{key: float(constant.get(key, np.nan)) for key in CONSTANT},
            }
        )
    return lines


def nearest_error(truths: Truths, images: torch.Tensor) -> float:
    """Squared error of pictures (P, 3, H, W) to each one's nearest truth, over the whole picture."""
    errors = ((images[truths.owner] - truths.images) / 2).square().mean((1, 2, 3)).double().cpu().numpy()
    return float(np.minimum.reduceat(errors, truths.starts).mean())


def finished(run: Run, folder: Path, faces: int, most: int | None) -> pd.DataFrame:
    """All cells of one run, measured or read from where they were measured before."""
    lines = []
    jobs = list(run.cells(most))
    for number, (name, attribute) in enumerate(jobs, 1):
        path = folder / f"{name}_{attribute}_{faces}.json"
        if not path.is_file():
            cell = pd.DataFrame(measured(run, name, attribute, faces)).astype(object)
            write_json(path, cell.where(cell.notna(), None).to_dict("records"))
            say(f"metric_truth: {number} of {len(jobs)}: {name}, {attribute}")
        lines += json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame(lines)
    figures = [column for column in table if column not in ("editor", "attribute")]
    return table.astype(dict.fromkeys(figures, float))


def at_equal_effect(cells: pd.DataFrame) -> pd.DataFrame:
    """Each editor's row of each attribute at the least strength at which LEVEL of the faces flip."""
    reached = cells[cells["flips"] >= LEVEL].sort_values("strength")
    return reached.groupby(["editor", "attribute"], sort=False).head(1)


def taus(cells: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A row for each ranking and metric: mean tau over attributes, its interval, and how many attributes.

    An attribute counts where at least four edits have the metric, and these differ.
    """
    lines = []
    for ranking, rows in (("strengths", cells), ("editors", at_equal_effect(cells))):
        for metric, (sign, meaning) in METRICS.items():
            if ranking == "strengths" and metric in CONSTANT:
                continue
            found = []
            for _, group in rows.groupby("attribute", sort=False):
                known = group[[metric, "error"]].astype(float).dropna()
                if len(known) >= 4 and known[metric].nunique() > 1:
                    found.append(kendalltau(sign * known[metric], -known["error"]).statistic)
            if len(found) < 2:
                continue
            values = np.array(found)
            drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
            low, high = np.quantile(drawn, (0.025, 0.975))
            lines.append((ranking, metric, values.mean(), low, high, len(values), meaning))
    columns = ["ranking", "metric", "tau", "low", "high", "attributes", "meaning"]
    return pd.DataFrame(lines, columns=columns)


def markdown(found: pd.DataFrame) -> str:
    """The taus as a table: a row for each metric, a column for each run and ranking."""
    columns = list(dict.fromkeys(zip(found["run"], found["ranking"], strict=True)))
    order = found[found["ranking"] == "strengths"].groupby("metric")["tau"].mean()
    names = [*order.sort_values(ascending=False).index, *(name for name in CONSTANT)]
    lines = ["| metric | " + " | ".join(f"{run}: {ranking}" for run, ranking in columns) + " | what it is |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for name in names:
        fields = []
        for run, ranking in columns:
            row = found[(found["run"] == run) & (found["ranking"] == ranking) & (found["metric"] == name)]
            fields += [f"{r.tau:.2f} ({r.low:.2f} to {r.high:.2f})" for r in row.itertuples()] or [""]
        lines.append(f"| `{name}` | " + " | ".join(fields) + f" | {METRICS[name][1]} |")
    return "\n".join(lines) + "\n"


def by_run(found: pd.DataFrame) -> str:
    """The taus without intervals, as a table for each ranking: a column for each run and one for their mean,
    the metric of the best mean first.
    """
    tables = []
    for ranking, rows in found.groupby("ranking", sort=False):
        taus = rows.pivot(index="metric", columns="run", values="tau")[list(dict.fromkeys(rows["run"]))]
        taus = taus.assign(mean=taus.mean(axis=1)).sort_values("mean", ascending=False)
        lines = [f"| {ranking} | " + " | ".join(taus.columns) + " |", "|---" * (len(taus.columns) + 1) + "|"]
        for metric, values in taus.iterrows():
            fields = ["" if np.isnan(value) else f"{value:.2f}" for value in values]
            lines.append(f"| `{metric}` | " + " | ".join(fields) + " |")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def scatter(cells: pd.DataFrame, path: Path) -> None:
    """Each metric against the true error: a point for each edit; both as ranks within the attribute."""
    shown = [name for name in METRICS if name not in CONSTANT]
    figure = Figure(figsize=(15, 9), layout="constrained")
    axes = figure.subplots(3, 5, sharex=True, sharey=True)
    truth = cells.groupby("attribute")["error"].rank(pct=True)
    for axis, name in zip(axes.flat, shown, strict=False):
        sign, _ = METRICS[name]
        ranks = (sign * cells[name].astype(float)).groupby(cells["attribute"]).rank(pct=True)
        for editor, group in cells.groupby("editor", sort=False):
            axis.scatter(ranks[group.index], truth[group.index], s=5, alpha=0.6, label=editor)
        axis.set_title(name)
    for axis in list(axes.flat)[len(shown) :]:
        axis.axis("off")
    figure.supxlabel("rank by the metric (1: best)")
    figure.supylabel("rank of the true error (1: worst)")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", markerscale=3)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", nargs="+", metavar="NAME=DATA")
    parser.add_argument("--faces", type=int, default=32)
    parser.add_argument("--attributes", type=int, help="of the first so many alone")
    parser.add_argument(
        "--without", nargs="+", default=[], help="editors that are not ranked", metavar="EDITOR"
    )
    asked = parser.parse_args()
    params = load(Params)
    tables = []
    for word in asked.runs:
        name, _, data = word.partition("=")
        state = asked.out / name
        opened = Run.open(Path(data), params, state)
        tables.append(finished(opened, state, asked.faces, asked.attributes).assign(run=name))
    cells = pd.concat(tables, ignore_index=True)
    ranked = cells[~cells["editor"].isin(asked.without)]
    found = pd.concat(
        [
            taus(rows, np.random.default_rng(1)).assign(run=name)
            for name, rows in ranked.groupby("run", sort=False)
        ]
    )
    write_csv(asked.out / "cells.csv", cells)
    write_csv(asked.out / "taus.csv", found)
    (asked.out / "table.md").write_text(markdown(found), encoding="utf-8")
    (asked.out / "by_run.md").write_text(by_run(found), encoding="utf-8")
    scatter(cells[cells["run"] == cells["run"].iloc[0]].reset_index(drop=True), asked.out / "scatter.png")
    print(markdown(found))


if __name__ == "__main__":
    main()
