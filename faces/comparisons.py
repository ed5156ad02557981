"""Estimators side by side, from the tables of data/scores: where the same share of faces has flipped, what did it cost each?"""

from typing import Any

import numpy as np
import pandas as pd

from faces import confounding

ALONG = confounding.COLUMNS[4:]
FIGURES = ("strength", "effect", "leakage", "kept", "identity", "perceptual", "realism", "path_length", "error_reduction", "psnr_outside")


def figure(value: float) -> float | None:
    """A number as a metric, rounded; None where there is none, so that the key stays."""
    return round(float(value), 4) if np.isfinite(value) else None


def compare(levels: pd.DataFrame, carried: pd.DataFrame, identity: pd.DataFrame, visible: set[str]) -> dict[str, Any]:
    """levels.csv, carried.csv and identity.csv of one judge -> estimator -> kind -> figures at the last level.

    reached        share of the attributes that reach the level; every other figure is a mean over these, None where there is none
    reached_visible  the same of the attributes that the truth can show, `visible`; None where there is no truth
    leakage_ratio  the leakage over that of the first estimator, on the attributes that both reach
    same_person    share of the attributes whose edited faces are, on average, nearer than 95% of the pairs of pictures of one person
    confounded, unrelated, carried   what came along where labels are correlated, and where not (faces/edits.py), with 95% intervals (_low, _high)
    confounded_ratio, unrelated_ratio   the same over those of the first estimator, on the attributes that both reach
    """
    last, same = levels[levels["level"] == levels["level"].max()], identity.set_index("attribute")["same_95"]
    along, found = carried.set_index(["estimator", "kind"]).reindex(columns=ALONG), {}
    for (estimator, kind), rows in last.groupby(["estimator", "kind"], sort=False):
        ours, baseline = rows, last[(last["estimator"] == last["estimator"].iloc[0]) & (last["kind"] == kind)]
        ours, baseline = (table[np.isfinite(table["strength"])].set_index("attribute") for table in (ours, baseline))
        both = ours.index.intersection(baseline.index)
        ratio = ours.loc[both, "leakage"].sum() / baseline.loc[both, "leakage"].sum() if len(both) else np.nan
        found.setdefault(estimator, {})[kind] = {
            "reached": figure(len(ours) / len(rows)),
            "reached_visible": figure(ours.index.isin(visible).sum() / seen if (seen := rows["attribute"].isin(visible).sum()) else np.nan),
            "leakage_ratio": figure(ratio),
            "same_person": figure((ours["identity"] < same.loc[ours.index]).mean()),
            **{name: figure(value) for name, value in along.reindex([(estimator, kind)]).iloc[0].items()},
            **{name: figure(ours[name].mean()) for name in FIGURES},
        }
    return found


def matrix(leakage: pd.DataFrame, estimator: str, kind: str) -> pd.DataFrame:
    """leakage.csv of one judge -> a row for each edited attribute, a column for each that was looked at, in one order."""
    rows, order = leakage[(leakage["estimator"] == estimator) & (leakage["kind"] == kind)], list(dict.fromkeys(leakage["other"]))
    values = rows.pivot(index="attribute", columns="other", values="change")
    return values.reindex(index=[name for name in order if name in values.index], columns=order)
