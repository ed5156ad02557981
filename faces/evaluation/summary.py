"""Estimators side by side, from the tables of data/scores: where the same share of faces has flipped, what did it cost each?"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from faces.metrics import confounding

ALONG = confounding.COLUMNS[4:]
FIGURES = (
    "strength",
    "effect",
    "leakage",
    "kept",
    "identity",
    "perceptual",
    "realism",
    "path_length",
    "error_reduction",
    "psnr_outside",
)


def figure(value: float) -> float | None:
    """A number as a metric, rounded; None where there is none, so that the key stays."""
    return round(float(value), 4) if np.isfinite(value) else None


def compare(
    levels: pd.DataFrame, carried: pd.DataFrame, identity: pd.DataFrame, visible: set[str]
) -> dict[str, Any]:
    """levels.csv, carried.csv and identity.csv of one judge -> estimator -> kind -> figures at the last level.

    reached        share of the attributes that reach the level; every other figure is a mean over these, None where there is none
    reached_visible  the same of the attributes that the truth can show, `visible`; None where there is no truth
    leakage_ratio  the leakage over that of the first estimator, on the attributes that both reach
    psnr_gain      psnr_outside less that of the decoded edit, on the attributes that both bring to the level
    same_person    share of the attributes whose edited faces are, on average, nearer than 95% of the pairs of pictures of one person
    confounded, unrelated, carried   what came along where labels are correlated, and where not (faces/metrics/edit_effects.py), with 95% intervals (_low, _high)
    confounded_ratio, unrelated_ratio   the same over those of the first estimator, on the attributes that both reach
    """
    last, same = levels[levels["level"] == levels["level"].max()], identity.set_index("attribute")["same_95"]
    decoded = last[last["kind"] == "plain"].set_index(["estimator", "attribute"])
    along, found = carried.set_index(["estimator", "kind"]).reindex(columns=ALONG), {}
    for (estimator, kind), rows in last.groupby(["estimator", "kind"], sort=False):
        ours, baseline = rows, last[(last["estimator"] == last["estimator"].iloc[0]) & (last["kind"] == kind)]
        ours, baseline = (
            table[np.isfinite(table["strength"])].set_index("attribute") for table in (ours, baseline)
        )
        both = ours.index.intersection(baseline.index)
        ratio = ours.loc[both, "leakage"].sum() / baseline.loc[both, "leakage"].sum() if len(both) else np.nan
        found.setdefault(estimator, {})[kind] = {
            "reached": figure(len(ours) / len(rows)),
            "reached_visible": figure(
                ours.index.isin(visible).sum() / seen
                if (seen := rows["attribute"].isin(visible).sum())
                else np.nan
            ),
            "leakage_ratio": figure(ratio),
            "psnr_gain": figure(
                (ours["psnr_outside"] - decoded.loc[estimator]["psnr_outside"]).mean()
                if estimator in decoded.index
                else np.nan
            ),
            "same_person": figure((ours["identity"] < same.loc[ours.index]).mean()),
            **{name: figure(value) for name, value in along.reindex([(estimator, kind)]).iloc[0].items()},
            **{name: figure(ours[name].mean()) for name in FIGURES},
        }
    return found


def agreement(levels: pd.DataFrame, carried: pd.DataFrame) -> dict[str, float | None]:
    """levels.csv and carried.csv of two judges -> how far they say the same of edits.

    strength, leakage   rank correlation (Spearman 1904) of what each says of an attribute, estimator and kind, where both see the last level reached
    order               share of the pairs of estimators that both put in one order by `confounded`
    """
    where, last = ["estimator", "kind", "attribute"], levels[levels["level"] == levels["level"].max()]
    last = last[np.isfinite(last["strength"])]
    first, second = (
        last[last["judge"] == judge].set_index(where)[["strength", "leakage"]] for judge in (0, 1)
    )
    both = first.add_suffix("_1").join(second.add_suffix("_2"), how="inner").rank()
    alike = []
    for _, group in carried[carried["judge"] < 2].groupby("kind"):
        table = group.pivot(index="estimator", columns="judge", values="confounded").dropna()
        alike += [np.prod(np.sign(table.loc[a] - table.loc[b])) > 0 for a, b in combinations(table.index, 2)]
    found = {name: both[f"{name}_1"].corr(both[f"{name}_2"]) for name in ("strength", "leakage")}
    return {
        name: figure(value)
        for name, value in (found | {"order": np.mean(alike) if alike else np.nan}).items()
    }


def matrix(leakage: pd.DataFrame, estimator: str, kind: str) -> pd.DataFrame:
    """leakage.csv of one judge -> a row for each edited attribute, a column for each that was looked at, in one order."""
    rows, order = (
        leakage[(leakage["estimator"] == estimator) & (leakage["kind"] == kind)],
        list(dict.fromkeys(leakage["other"])),
    )
    values = rows.pivot(index="attribute", columns="other", values="change")
    return values.reindex(index=[name for name in order if name in values.index], columns=order)
