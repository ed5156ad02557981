"""What each estimator's edits bring along where labels are correlated, and where not: rows of carried.csv, with intervals, and against the first estimator."""

import numpy as np
import pandas as pd

from faces.metrics import edit_effects
from faces.metrics.auroc import resamples

FIGURES = ("confounded", "unrelated", "carried")
RATIOS = ("confounded_ratio", "unrelated_ratio")
COLUMNS = (
    "judge",
    "estimator",
    "kind",
    "attributes",
    *(f"{name}{end}" for name in (*FIGURES, *RATIOS) for end in ("", "_low", "_high")),
)


def table(
    changes: pd.DataFrame,
    truth: dict[int, np.ndarray],
    expected: np.ndarray,
    names: tuple[str, ...],
    times: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """carried.csv from leakage.csv; truth (A, A) by judge and expected (A, A) are in the order of `names`.

    `_low` and `_high` bound 95% of the figures of `times` resamples of the edited attributes, the same ones for every estimator, so that none of them depends
    on which others are in the table. A ratio is to the first estimator, over the attributes whose
    edits both bring to the level.
    """
    rows, changes, draws = [], changes[changes["estimator"] != "truth"], resamples(len(names), times, rng)
    for (judge, kind), group in changes.groupby(["judge", "kind"], sort=False):
        matrices = {name: _matrix(part, names) for name, part in group.groupby("estimator", sort=False)}
        first = next(iter(matrices.values()))
        for estimator, matrix in matrices.items():
            row = {"judge": judge, "estimator": estimator, "kind": kind, "attributes": len(matrix)}
            rows.append(row | _figures(matrix, first, truth[judge], expected, names, draws))
    return pd.DataFrame(rows, columns=COLUMNS)


def _matrix(part: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    return part.pivot(index="attribute", columns="other", values="change").reindex(columns=names)


def _figures(
    matrix: pd.DataFrame,
    first: pd.DataFrame,
    truth: np.ndarray,
    expected: np.ndarray,
    names: tuple[str, ...],
    draws: np.ndarray,
) -> dict[str, float]:
    both = [name for name in matrix.index if name in first.index]

    def of(table: pd.DataFrame, weights: np.ndarray) -> dict[str, float]:
        targets = np.array([names.index(name) for name in table.index], int)
        return edit_effects.carried(table.to_numpy(), truth[targets], expected, targets, weights[targets])

    def figures(weights: np.ndarray) -> dict[str, float]:
        ours, common, base = of(matrix, weights), of(matrix.loc[both], weights), of(first.loc[both], weights)
        return ours | {
            f"{name}_ratio": common[name] / base[name] if base[name] > 0 else np.nan
            for name in ("confounded", "unrelated")
        }

    whole, drawn = (
        figures(np.ones(len(names))),
        pd.DataFrame([figures(weights) for weights in draws.astype(np.float32)]),
    )
    bounds = {
        f"{name}_{end}": drawn[name].quantile(share)
        for name in whole
        for end, share in (("low", 0.025), ("high", 0.975))
    }
    return whole | bounds
