"""Editors side by side, from the tables of data/scores: what did each cost where the same share of faces is
flipped?
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from faces.metrics import confounding, edit_effects
from faces.metrics.changes import Changes

ALONG = confounding.COLUMNS[4:]
MEANS = (
    "strength",
    "flips",
    "effect",
    "kept",
    "identity",
    "perceptual",
    "realism",
    "reversibility",
    "error_reduction",
    "error_reduction_nearest",
    "error_reduction_mean",
    "mode_coverage",
    "mode_entropy",
    "psnr_outside",
)
TRUTH_COLUMNS = MEANS[MEANS.index("error_reduction") :]
PLACES = np.linspace(0, 0.9, 10)  # shares of flipped faces at which costs are drawn

PICTURES = ("nothing", "rebuilt")  # rows beside the editors: the original, and the truth through the model

Common = dict[tuple[int, str], tuple[str, ...]]  # by classifier and kind


def figure(value: float) -> float | None:
    """A number as a metric, rounded; None where there is none, so that the key stays."""
    return round(float(value), 4) if np.isfinite(value) else None


def last_level(levels: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last level."""
    return levels[levels["level"] == levels["level"].max()]


def common_sets(levels: pd.DataFrame, attributes: tuple[str, ...], visible: set[str]) -> Common:
    """The attributes on which editors are compared, by classifier and kind of edit
    (confounding.common_set).
    """
    found = {}
    for (classifier, kind), group in last_level(levels).groupby(["classifier", "kind"], sort=False):
        reached = {
            editor: set(rows.loc[np.isfinite(rows["strength"]), "attribute"])
            for editor, rows in group.groupby("estimator", sort=False)
        }
        found[int(classifier), str(kind)] = confounding.common_set(reached, attributes, visible)
    return found


def detailed(
    levels: pd.DataFrame, counterfactuals: pd.DataFrame, changes: Changes, common: Common
) -> pd.DataFrame:
    """levels.csv with more columns at the last level: leakage, and TRUTH_COLUMNS; and `common`.

    leakage is the excess over the truth where there is one (edit_effects.leakage), the whole where there is
    none. common: whether the attribute is among those on which editors are compared.
    """
    places = {name: place for place, name in enumerate(changes.attributes)}
    excess = []
    for (classifier, editor, kind, attribute), (_, change) in changes.edits.items():
        truth = changes.truth(classifier).get(attribute)
        target = places[attribute]
        along = None
        if truth is not None:
            along = edit_effects.entailed(truth[1].mean(0)[None], np.array([target]))[0]
        value = float(edit_effects.leakage(change.mean(0), target, along))
        excess.append((classifier, editor, kind, attribute, value))
    where = ["classifier", "estimator", "kind", "attribute"]
    last = levels["level"].max()
    table = pd.DataFrame(excess, columns=[*where, "leakage"]).assign(level=last)
    found = levels.merge(table, "left", [*where, "level"])
    against = counterfactuals[["estimator", "kind", "attribute", *TRUTH_COLUMNS]].assign(
        classifier=0, level=last
    )
    found = found.merge(against, "left", [*where, "level"])
    found["common"] = [
        row.attribute in common.get((row.classifier, row.kind), ())
        for row in found[["classifier", "kind", "attribute"]].itertuples()
    ]
    return found


def compare(
    levels: pd.DataFrame, carried: pd.DataFrame, identity: pd.DataFrame, visible: set[str]
) -> dict[str, Any]:
    """`detailed` levels, confounding.table and identity.csv of one classifier -> editor -> kind -> figures at
    the last level.

    attributes     how many of the common set the editor reaches; every figure below is a mean over these
    scored         share of the labelled faces that the classifier reads as labelled: others do not count
    reached        share of all scored attributes whose faces flip, at one strength, as the level asks
    reached_visible, reached_hidden  the same of attributes that a picture shows (`visible`), and of those
                   that draw nothing: whoever reaches one of these has moved something else
    psnr_gain      psnr_outside less that of the decoded edit
    same_person    share of the attributes whose edited faces are, on average, nearer than 95% of the pairs
                   of pictures of one person; None where that scale cannot tell people apart
    realism_faces  faces behind `realism`, over all attributes
    and MEANS, and the columns of confounding.table with 95% intervals (_low, _high)
    """
    last = last_level(levels)
    along = carried.set_index(["estimator", "kind"]).reindex(columns=["attributes", *ALONG])
    marks = identity.set_index("attribute")
    found: dict[str, Any] = {}
    for (editor, kind), rows in last.groupby(["estimator", "kind"], sort=False):
        reached = rows[np.isfinite(rows["strength"])]
        ours = reached[reached["common"]].set_index("attribute")
        decoded = last[(last["estimator"] == editor) & (last["kind"] == "plain")].set_index("attribute")
        gain = ours["psnr_outside"] - decoded["psnr_outside"].reindex(ours.index)
        shown = rows["attribute"].isin(visible)
        flipped = np.isfinite(rows["strength"])
        bounds = along.reindex([(editor, kind)]).iloc[0].drop("attributes")
        found.setdefault(editor, {})[kind] = {
            "attributes": len(ours),
            "scored": figure(rows["faces"].sum() / rows["labelled"].sum()),
            "reached": figure(flipped.mean()),
            "reached_visible": figure(flipped[shown].mean() if visible else np.nan),
            "reached_hidden": figure(flipped[~shown].mean() if visible else np.nan),
            "psnr_gain": figure(gain.mean()),
            "same_person": figure(same_person(ours, marks)),
            "realism_faces": int(ours["realism_faces"].sum()),
            **{name: figure(ours[name].mean()) for name in MEANS},
            **{name: figure(value) for name, value in bounds.items()},
        }
    for _, row in carried[carried["estimator"] == confounding.FLOOR].iterrows():
        figures = {name: figure(row[name]) for name in ALONG if "_ratio" not in name}
        found[confounding.FLOOR] = {row["kind"]: {"attributes": int(row["attributes"])} | figures}
    return found


def unscored() -> dict[str, Any]:
    """The figures of `compare` of an editor whose edits could not be scored: kind -> None for each."""
    names = ("scored", "reached", "reached_visible", "reached_hidden", "psnr_gain", "same_person")
    none = dict.fromkeys((*names, "realism_faces", *MEANS, *ALONG))
    return {kind: {"attributes": 0} | none for kind in ("plain", "detail")}


def same_person(ours: pd.DataFrame, marks: pd.DataFrame) -> float:
    """Share of the edits nearer than 95% of one person's pairs; NaN where the scale's two kinds of pairs
    overlap.
    """
    apart = marks["same_95"] < marks["different_05"]
    known = ours.index[apart.reindex(ours.index, fill_value=False).to_numpy(bool)]
    if not len(known):
        return np.nan
    return float((ours.loc[known, "identity"] < marks.loc[known, "same_95"]).mean())


def truth_cosine(table: pd.DataFrame, common: tuple[str, ...], primary: str) -> dict[str, Any]:
    """truth_cosine.csv -> its mean on the common set by editor, the ceiling, and the primary's by
    attribute.
    """
    chosen = table[table["attribute"].isin(common)] if common else table
    first = chosen[chosen["estimator"] == chosen["estimator"].iloc[0]]
    own = table[table["estimator"] == primary].set_index("attribute")["cosine"]
    return {
        "mean": {
            "attributes": len(first),
            "ceiling": figure(first["ceiling"].mean()),
            **{name: figure(rows["cosine"].mean()) for name, rows in chosen.groupby("estimator", sort=False)},
        },
        "by_attribute": {name: figure(value) for name, value in own.items()},
    }


def counterfactual(table: pd.DataFrame, primary: str) -> dict[str, Any]:
    """counterfactuals.csv -> the primary's error reduction by attribute, decoded and with detail kept, and
    means.

    None where the edit does not reach the last level: the truth is only compared at equal effect.
    """
    names = list(dict.fromkeys(table["attribute"]))
    found: dict[str, Any] = {}
    for key, kind, column in (
        ("error_reduction", "plain", "error_reduction"),
        ("error_reduction_detail", "detail", "error_reduction"),
        ("error_reduction_nearest", "plain", "error_reduction_nearest"),
    ):
        rows = table[(table["estimator"] == primary) & (table["kind"] == kind)].set_index("attribute")
        found[key] = {name: figure(value) for name, value in rows[column].reindex(names).items()}
    means = {}
    for title, editor, kind in (
        ("nothing", "nothing", "picture"),
        ("edit", primary, "plain"),
        ("detail", primary, "detail"),
        ("rebuilt", "rebuilt", "picture"),
    ):
        rows = table[(table["estimator"] == editor) & (table["kind"] == kind)]
        means |= {f"{name}_{title}": figure(rows[name].mean()) for name in ("psnr_inside", "psnr_outside")}
        if editor != "nothing":
            columns = [name for name in TRUTH_COLUMNS if name != "psnr_outside"]
            means |= {f"{name}_{title}": figure(rows[name].mean()) for name in columns}
    return found | {"mean": means}


def joint(table: pd.DataFrame) -> dict[str, Any]:
    """joint.csv -> editor -> figures of each two attributes that are edited at once, and their mean.

    Means are over the pairs of attributes that all editors reach; one that reaches fewer than half as many as
    the best, such as a random direction, is not counted, and has no mean.
    """
    figures = ("flips", "error_reduction", "psnr_outside")
    named = table.assign(two=table["first"] + "_and_" + table["second"])
    reached = {name: set(rows["two"]) for name, rows in named.groupby("estimator", sort=False)}
    most = max(map(len, (found for name, found in reached.items() if name not in PICTURES)), default=0)
    counted = [found for found in reached.values() if 2 * len(found) >= max(most, 1)]
    common = set.intersection(*counted) if counted else set()
    found: dict[str, Any] = {}
    for name, rows in named.groupby("estimator", sort=False):
        shared = rows[rows["two"].isin(common)]
        whole = common <= reached[name]
        means = {key: figure(shared[key].mean() if whole else np.nan) for key in figures}
        found[name] = {
            "mean": {"attribute_pairs": len(common)} | means,
            **{row.two: {key: figure(getattr(row, key)) for key in figures} for row in rows.itertuples()},
        }
    return found


def agreement(levels: pd.DataFrame, carried: pd.DataFrame) -> dict[str, float | None]:
    """How far two classifiers say the same of edits.

    strength, leakage   rank correlation (Spearman 1904) over attributes, editors and kinds reached for both
    order               share of the pairs of editors that both put in one order by `confounded`
    """
    where = ["estimator", "kind", "attribute"]
    last = last_level(levels)
    last = last[np.isfinite(last["strength"])]
    first, second = (
        last[last["classifier"] == classifier].set_index(where)[["strength", "leakage"]]
        for classifier in (0, 1)
    )
    both = first.add_suffix("_1").join(second.add_suffix("_2"), how="inner").rank()
    alike = []
    editors = carried[(carried["classifier"] < 2) & (carried["estimator"] != confounding.FLOOR)]
    for _, group in editors.groupby("kind"):
        table = group.pivot(index="estimator", columns="classifier", values="confounded").dropna()
        alike += [np.prod(np.sign(table.loc[a] - table.loc[b])) > 0 for a, b in combinations(table.index, 2)]
    found = {name: both[f"{name}_1"].corr(both[f"{name}_2"]) for name in ("strength", "leakage")}
    found["order"] = np.mean(alike) if alike else np.nan
    return {name: figure(value) for name, value in found.items()}


def matrix(changes: Changes, classifier: int, editor: str, kind: str) -> pd.DataFrame:
    """Mean changes: a row for each edited attribute, a column for each that was looked at, in one order."""
    edits = changes.of(classifier, editor, kind)
    rows = {name: edits[name][1].mean(0) for name in changes.attributes if name in edits}
    return pd.DataFrame.from_dict(rows, "index", columns=changes.attributes)


def trade(curves: pd.DataFrame, levels: pd.DataFrame, cost: str) -> pd.DataFrame:
    """What edits cost as they work: mean of `cost` over the common set, at PLACES of the share of flipped
    faces.

    curves.csv and `detailed` levels of one classifier -> columns estimator, kind, flips, and `cost`. Each
    attribute's cost is read at the least strength at which the share is flipped.
    """
    known = set(levels.loc[levels["common"], ["kind", "attribute"]].itertuples(index=False, name=None))
    lines = []
    for (editor, kind), group in curves.groupby(["estimator", "kind"], sort=False):
        costs = []
        for attribute, steps in group.groupby("attribute", sort=False):
            flips = steps["flips"].to_numpy()
            if (kind, attribute) not in known or flips.max() < PLACES[-1]:
                continue
            strengths = steps["strength"].to_numpy()
            values = steps[cost].to_numpy()
            where = [edit_effects.strength_for(strengths, flips, share) for share in PLACES]
            costs.append([float(edit_effects.at(strengths, values, strength)) for strength in where])
        if costs:
            means = np.mean(costs, 0)
            table = {"estimator": editor, "kind": kind, "flips": PLACES, cost: means}
            lines.append(pd.DataFrame(table))
    return pd.concat(lines) if lines else pd.DataFrame(columns=["estimator", "kind", "flips", cost])


def generation(priors: pd.DataFrame) -> dict[str, Mapping[str, float]]:
    """priors.csv -> set -> figures; what a set lacks is left out."""
    found = {}
    for _, row in priors.iterrows():
        values = row.drop("set").astype(float)
        found[row["set"]] = {
            name: round(float(value), 4) for name, value in values.items() if np.isfinite(value)
        }
    return found


def witness(
    about: dict[str, Any], edits: pd.DataFrame, agreement: pd.DataFrame, sets: pd.DataFrame
) -> dict[str, Any]:
    """data/witness -> figures: the scale of identity, and how well it tells people apart, null where the data
    know too few (witness.json has the reason); by editor and kind, means over the attributes that all editors
    of the kind reach; what each measure and the classifier agree on; distances of sets.
    """
    identity = {
        name: None if value is None else figure(value)
        for name, value in about["identity"].items()
        if name != "reason"
    }
    found: dict[str, Any] = {"identity": identity}
    compared: dict[str, Any] = {}
    for kind, rows in edits.groupby("kind", sort=False):
        reached = [set(group["attribute"]) for _, group in rows.groupby("estimator")]
        common = set.intersection(*reached)
        for editor, ours in rows[rows["attribute"].isin(common)].groupby("estimator", sort=False):
            compared.setdefault(str(editor), {})[str(kind)] = {
                "attributes": len(common),
                **{name: figure(ours[name].mean()) for name in ("leakage", "identity", "same_person")},
            }
    found["edits"] = compared
    alike: dict[str, Any] = {}
    for row in agreement.itertuples():
        bounds = {"faces": row.faces, "correlation": row.correlation, "low": row.low, "high": row.high}
        where = alike.setdefault(f"{row.measure}_{row.attribute}", {})
        where[row.where.replace(" ", "_")] = {name: figure(value) for name, value in bounds.items()}
    found["agreement"] = alike
    found["sets"] = generation(sets)
    return found


def sliders(table: pd.DataFrame) -> dict[str, Any]:
    """sliders.csv -> editor -> measure -> correlation of asked and achieved change, gain and leakage; under
    `labels` the correlation of the labels themselves with what the witness sees.
    """
    found: dict[str, Any] = {}
    for row in table.itertuples():
        values = {"correlation": row.correlation, "gain": row.gain, "leakage": row.leakage}
        figures = {name: figure(value) for name, value in values.items() if np.isfinite(value)}
        found.setdefault(str(row.estimator), {})[str(row.measure)] = figures
    return found
