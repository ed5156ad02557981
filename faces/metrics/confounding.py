"""Confounding of edits: unwanted changes of each editor, on one common set of attributes, with 95% intervals.

Editors are compared on the attributes that all of them reach, so that reaching a hard attribute is no
disadvantage. Intervals resample faces and attributes together (bootstrap, Efron 1979); variation between
training seeds is not included (python -m ops.retrain.noise).
"""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from faces.core import ranks
from faces.metrics import edit_effects
from faces.metrics.auroc import resamples
from faces.metrics.changes import TRUTH, Changes

FLOOR = "floor"  # the editor of the row that holds one half of the truth against the other
BOUNDED = ("confounded", "unrelated", "carried", "leakage", "dependency", "dependency_max")
RATIOS = ("confounded_ratio", "unrelated_ratio")
KEYS = ("leakage_total", *BOUNDED, *RATIOS)
COLUMNS = (
    "classifier",
    "estimator",
    "kind",
    "attributes",
    "leakage_total",
    *(f"{name}{end}" for name in (*BOUNDED, *RATIOS) for end in ("", "_low", "_high")),
)

Edits = dict[str, tuple[np.ndarray, np.ndarray]]  # edited attribute -> rows (F,), changes (F, A)


@dataclass(frozen=True)
class Means:
    """Means over faces, once for each of R weightings of the faces; row t is the edit of attribute
    `targets[t]`.
    """

    targets: np.ndarray  # (T,)
    signed: np.ndarray  # (R, T, A) mean changes
    sizes: np.ndarray  # (R, T, A) mean sizes of changes

    @classmethod
    def of(cls, edits: Edits, names: tuple[str, ...], weights: dict[int, np.ndarray] | None) -> "Means":
        """weights: by row of a face, (R,) how often it counts; None: every face once."""
        targets = [name for name in names if name in edits]
        signed = []
        sizes = []
        for name in targets:
            rows, change = edits[name]
            times = np.ones((1, len(rows))) if weights is None else np.stack([weights[r] for r in rows], 1)
            share = times / np.maximum(times.sum(1, keepdims=True), 1)
            signed.append(share @ change)
            sizes.append(share @ np.abs(change))
        shape = (-1, 1 if weights is None else len(next(iter(weights.values()))), len(names))
        return cls(
            np.array([names.index(name) for name in targets], int),
            np.array(signed).reshape(shape).swapaxes(0, 1),
            np.array(sizes).reshape(shape).swapaxes(0, 1),
        )

    def at(self, targets: np.ndarray) -> np.ndarray:
        """(R, T', A) the signed means of these targets, NaN where there are none."""
        found = np.full((len(self.signed), len(targets), self.signed.shape[2]), np.nan)
        for place, target in enumerate(targets):
            if target in self.targets:
                found[:, place] = self.signed[:, list(self.targets).index(target)]
        return found


def figures(means: Means, truth: Means, expected: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every figure (R,) for each weighting (R, A) of the edited attributes."""
    targets = means.targets
    counted = weights[:, targets]
    along = truth.at(targets)
    found = edit_effects.carried(means.signed, along, expected, targets, counted)
    own = edit_effects.own_change(means.signed, targets)
    rows = np.arange(len(targets))
    excess = np.abs(means.signed - own[..., None] * edit_effects.entailed(along, targets))
    shares = means.sizes / own[..., None]
    for table in (excess, shares):
        table[:, rows, targets] = np.nan
    total = np.abs(means.signed)
    total[:, rows, targets] = np.nan
    by_edit = {
        "leakage": _mean(excess),
        "leakage_total": _mean(total),
        "dependency": _mean(shares),
        "dependency_max": np.nanmax(shares, -1, initial=0),
    }
    sums = np.where(counted.sum(1) > 0, counted.sum(1), np.nan)
    return found | {name: (values * counted).sum(1) / sums for name, values in by_edit.items()}


def _mean(table: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; 0 where all is NaN."""
    count = np.isfinite(table).sum(-1)
    return np.nansum(table, -1) / np.maximum(count, 1)


def common_set(reached: dict[str, set[str]], names: tuple[str, ...], visible: set[str]) -> tuple[str, ...]:
    """The attributes on which editors are compared: those that all of them reach, and that a picture can
    show.

    reached: by editor. `visible` are the attributes with a truth, empty where there is none. An editor that
    reaches fewer than half as many as the best one, such as a random direction, is not counted.
    """
    candidates = {name: found & visible if visible else found for name, found in reached.items()}
    most = max(map(len, candidates.values()), default=0)
    voters = [found for found in candidates.values() if found and 2 * len(found) >= most]
    common = set.intersection(*voters) if voters else set()
    return tuple(name for name in names if name in common)


def table(
    changes: Changes,
    common: dict[tuple[int, str], tuple[str, ...]],
    expected: np.ndarray,
    times: int,
    seed: int,
    work: Path | None = None,
) -> pd.DataFrame:
    """A row for each classifier, editor and kind, over `common` (by classifier and kind) where the editor
    reaches it.

    expected (A, A) holds the correlations of the labels. `_low` and `_high` bound 95% of `times` resamples,
    the same ones for every editor. Ratios are to the first editor, on the attributes that both reach. The row
    `floor` holds each half of the true pictures against the other half: what a perfect edit would score. With
    `work` the processes (faces/core/ranks.py) share the rows, as shards in that folder.
    """
    names = changes.attributes
    faces = np.unique(np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in changes.edits.values())]))
    rng = np.random.default_rng(seed)
    drawn = resamples(len(faces), times, rng).astype(float)
    weights = {int(face): drawn[:, place] for place, face in enumerate(faces)}
    attributes = resamples(len(names), times, rng).astype(float)
    jobs = []
    first: dict[tuple[int, str], Edits] = {}
    for (classifier, kind), shared in common.items():
        editors = [editor for editor, of_kind in changes.editors(classifier) if of_kind == kind]
        reached = (_chosen(changes.of(classifier, editor, kind), shared) for editor in editors)
        first[classifier, kind] = next(filter(None, reached), {})
        jobs += [(classifier, kind, editor) for editor in editors]
        if kind == "plain" and changes.truth(classifier):
            jobs.append((classifier, kind, FLOOR))

    def measure(job: tuple[int, str, str]) -> dict[str, np.ndarray]:
        classifier, kind, editor = job
        shared = common[classifier, kind]
        truth = changes.truth(classifier)
        row = {"classifier": classifier, "estimator": editor, "kind": kind}
        if editor == FLOOR:
            chosen = _chosen(truth, shared)
            row |= {"kind": TRUTH, "attributes": len(chosen)}
            row |= _row(_floor(chosen, names, expected, weights, attributes), {}, {})
            return {"lines": ranks.as_text([row])}
        edits = _chosen(changes.of(classifier, editor, kind), shared)
        base = first[classifier, kind]
        found = _bounded(edits, truth, names, expected, weights, attributes)
        both = [
            _bounded(_chosen(some, other), truth, names, expected, weights, attributes)
            for some, other in ((edits, base), (base, edits))
        ]
        row |= {"attributes": len(edits), **_row(found, *both)}
        return {"lines": ranks.as_text([row])}

    shards = ranks.dealt_jobs("evaluate edits", "editors", work, jobs, measure)
    rows = [row for arrays in shards for row in ranks.from_text(arrays["lines"])]
    return pd.DataFrame(rows, columns=COLUMNS)


def _chosen(edits: Edits, names: Container[str]) -> Edits:
    return {name: found for name, found in edits.items() if name in names}


def _bounded(
    edits: Edits,
    truth: Edits,
    names: tuple[str, ...],
    expected: np.ndarray,
    weights: dict[int, np.ndarray],
    attributes: np.ndarray,
) -> dict[str, np.ndarray]:
    """Every figure (1 + R,): of all faces and attributes, then of the resamples. Empty where there is no
    edit.
    """
    if not edits:
        return {}
    whole = figures(
        Means.of(edits, names, None), Means.of(truth, names, None), expected, np.ones((1, len(names)))
    )
    drawn = figures(Means.of(edits, names, weights), Means.of(truth, names, weights), expected, attributes)
    return {name: np.concatenate([whole[name], drawn[name]]) for name in whole}


def _floor(
    truth: Edits,
    names: tuple[str, ...],
    expected: np.ndarray,
    weights: dict[int, np.ndarray],
    attributes: np.ndarray,
) -> dict[str, np.ndarray]:
    """The mean of both ways of holding one half of the true pictures against the other."""
    halves = [
        {name: (rows[part::2], change[part::2]) for name, (rows, change) in truth.items()} for part in (0, 1)
    ]
    found = [
        _bounded(halves[part], halves[1 - part], names, expected, weights, attributes) for part in (0, 1)
    ]
    return {name: (found[0][name] + found[1][name]) / 2 for name in found[0]}


def _row(
    found: dict[str, np.ndarray], ours: dict[str, np.ndarray], base: dict[str, np.ndarray]
) -> dict[str, float]:
    """Figures, the ratios of `ours` to `base` (both on the attributes that the two reach), and
    their bounds.
    """
    row = {}
    ratios = {
        f"{name}_ratio": np.divide(
            ours[name], base[name], out=np.full(ours[name].shape, np.nan), where=base[name] > 0
        )
        for name in ("confounded", "unrelated")
        if ours and base
    }
    for name, values in (found | ratios).items():
        row[name] = values[0]
        if name in (*BOUNDED, *RATIOS) and np.isfinite(values[1:]).any():
            row[f"{name}_low"], row[f"{name}_high"] = np.nanquantile(values[1:], (0.025, 0.975))
    return row
