"""data/guarantee -> metrics: the ranges, how often they hold on test faces, and what is refused."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from faces.core.files import read_json
from faces.evaluation.summary import figure
from faces.metrics.conformal import binomial_interval

WAYS = {1: "add", -1: "remove"}


class Guarantees(NamedTuple):
    """What stage `guarantee` left."""

    about: dict[str, Any]
    ranges: pd.DataFrame
    coverage: pd.DataFrame
    refusals: pd.DataFrame

    @classmethod
    def open(cls, folder: Path) -> "Guarantees":
        tables = (pd.read_csv(folder / f"{name}.csv") for name in ("ranges", "coverage", "refusals"))
        return cls(read_json(folder / "about.json"), *tables)

    @property
    def table(self) -> pd.DataFrame:
        """guarantee.csv: a row per attribute and way, its range, and the test faces that hold it."""
        tested = self.coverage.rename(columns={"faces": "tested"})
        return self.ranges.merge(tested, "left", ["attribute", "value"])


def share(rows: pd.DataFrame) -> dict[str, float | int | None]:
    """The share of test faces that hold what is promised, with its exact 95% interval."""
    faces = int(rows["faces"].sum())
    held = int(rows["held"].sum())
    if not faces:
        return {"faces": 0, "held": None, "held_low": None, "held_high": None}
    low, high = binomial_interval(held, faces)
    return {"faces": faces, "held": figure(held / faces), "held_low": figure(low), "held_high": figure(high)}


def metrics(found: Guarantees) -> dict[str, Any]:
    """The group `guarantee` of metrics.json.

    ranges      by attribute, "add" for faces without it and "remove" for faces with it: low and high, null
                where nothing is promised
    coverage    test faces that hold the promise, by attribute that has a range, and of all (`all`)
    refusal     by kind of pictures from elsewhere: AUROC against test faces, share refused; their means; and
                the share of test faces that is refused
    """
    ranges: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in found.ranges.itertuples():
        ends = {"low": figure(row.low), "high": figure(row.high)}
        ranges.setdefault(row.attribute, {})[WAYS[row.value]] = ends
    kinds = found.refusals[found.refusals["auroc"].notna()]
    tests = found.refusals[found.refusals["auroc"].isna()]
    return {
        **found.about,
        "edits": len(found.ranges),
        "promised": int(found.ranges["low"].notna().sum()),
        "ranges": ranges,
        "coverage": {
            "all": share(found.coverage),
            **{name: share(rows) for name, rows in found.coverage.groupby("attribute", sort=False)},
        },
        "refusal": {
            "auroc": figure(kinds["auroc"].mean()),
            "refused": figure(kinds["refused"].mean()),
            "refused_test": figure(tests["refused"].mean()),
            **{
                row.kind.replace(" ", "_"): {"auroc": figure(row.auroc), "refused": figure(row.refused)}
                for row in kinds.itertuples()
            },
        },
    }
