"""What the witness says of identity, edits, sets of faces, and of the classifier.

Changes of measures are in deviations between test faces, and counted towards having the attribute. Landmarks
of a face from the side now and then land anywhere, so deviations and means are robust ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from faces.core import ranks
from faces.metrics.auroc import auroc, resamples, roc_curve
from faces.metrics.changes import Changes
from faces.metrics.rank_correlation import spearman
from faces.scoring.samples import FaceSet, distances_of
from faces.witnesses.measures import MEASURES
from faces.witnesses.scale import FALSE_ACCEPT, Pairs, Scale
from faces.witnesses.witness import Witness

ROC_POINTS = 1001  # false accepts by tenths of a per cent
STRANGERS = "no two of the faces are known to be of one person"
ALONE = "all faces are of one person"
TRIM = 0.1  # share of the faces at either end that a mean change leaves out
MOUTH = ("smile", "mouth_open", "mouth_width", "corner_lift")
# What an attribute itself changes; whatever else the witness sees change has leaked.
OWN = {
    "Smiling": MOUTH,
    "Mouth_Slightly_Open": MOUTH,
    "Eyes_Closed": ("eye_open",),
    "Narrow_Eyes": ("eye_open",),
    "Arched_Eyebrows": ("brow_height",),
    "Bushy_Eyebrows": ("brow_height",),
}
# Measure and attribute that witness and classifier read independently; -1: the fewer, the more.
ALIKE = (
    ("smile", "Smiling", 1),
    ("mouth_width", "Smiling", 1),
    ("corner_lift", "Smiling", 1),
    ("mouth_open", "Mouth_Slightly_Open", 1),
    ("eye_open", "Eyes_Closed", -1),
    ("eye_open", "Narrow_Eyes", -1),
    ("brow_height", "Arched_Eyebrows", 1),
)


def recognition(
    features: np.ndarray, people: np.ndarray, scale: Scale, times: int, rng: np.random.Generator
) -> tuple[dict[str, float | int | str | None], np.ndarray]:
    """How well distance tells pairs of one person from pairs of two, of features (n, 128) of people (n,), -1
    where unknown; and the ROC curve (ROC_POINTS, 2), false and true accepts.

    pairs, pairs_apart   pairs of one person, of two
    false_accept         share of the latter within the threshold, which comes from other faces
    true_accept          share of the former within it
    auroc                with its 95% interval by the bootstrap over people, whose pairs go together
    true_accept_1        true accepts where one pair of two people in a hundred is accepted

    Where no two faces are known to be of one person the last four are None, with a `reason`, and the curve is
    empty.
    """
    pairs = Pairs.of(features, people)
    apart = pairs.distance[~pairs.same]
    found: dict[str, float | int | str | None] = {
        "pairs": int(pairs.same.sum()),
        "pairs_apart": len(apart),
        "false_accept": float((apart < scale.threshold).mean()) if len(apart) else None,
        **dict.fromkeys(("true_accept", "auroc", "auroc_low", "auroc_high", "true_accept_1")),
    }
    if not pairs.same.any():
        return found | {"reason": STRANGERS}, np.empty((0, 2))
    found["true_accept"] = float((pairs.distance[pairs.same] < scale.threshold).mean())
    if not len(apart):
        return found | {"reason": ALONE}, np.empty((0, 2))
    names = np.where(people < 0, people.max() + 1 + np.arange(len(people)), people)
    person = np.unique(names, return_inverse=True)[1]  # those unknown each for themselves
    drawn = resamples(person.max() + 1, times, rng).astype(np.uint16)[:, person]  # (R, n)
    weights = np.where(pairs.same, drawn[:, pairs.first], drawn[:, pairs.first] * drawn[:, pairs.second])
    areas = auroc(-pairs.distance, pairs.same, weights)
    low, high = np.nanquantile(areas, [0.025, 0.975])
    curve = np.stack(roc_curve(-pairs.distance, pairs.same, ROC_POINTS), 1)
    found |= {
        "auroc": float(auroc(-pairs.distance, pairs.same)[0]),
        "auroc_low": float(low),
        "auroc_high": float(high),
        "true_accept_1": float(np.interp(FALSE_ACCEPT, *curve.T)),
    }
    return found, curve


@dataclass(frozen=True)
class Edit:
    """One edit of faces: before and after it, as the witness sees both."""

    estimator: str
    kind: str
    attribute: str
    rows: np.ndarray  # (F,) of the faces in the data
    side: np.ndarray  # (F,) 1 where the attribute was added, -1 where it was taken away
    classifier: np.ndarray  # (F,) change of the attribute in the classifier's eyes, towards having it
    before: tuple[np.ndarray, np.ndarray]  # MEASURES (F, 9) and identity (F, 128)
    after: tuple[np.ndarray, np.ndarray]

    def changes(self, deviations: np.ndarray) -> np.ndarray:
        """(F, 9) changes of MEASURES, towards having the attribute, over deviations (9,)."""
        return (self.after[0] - self.before[0]) / deviations * self.side[:, None]


def deviations_of(measured: np.ndarray) -> np.ndarray:
    """(9,) half the distance between the 16% and 84% quantiles of MEASURES (n, 9): of a normal law, its
    standard deviation.
    """
    low, high = np.quantile(measured, [0.16, 0.84], axis=0)
    return (high - low) / 2


def trimmed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trimmed means of values (n, K) and their standard errors, from winsorised values: two of (K,).

    Tukey & McLaughlin 1963; TRIM of the values at either end are left out.
    """
    count = len(values)
    cut = int(TRIM * count)
    ordered = np.sort(values, 0)
    means = ordered[cut : count - cut].mean(0)
    pulled = np.clip(values, ordered[cut], ordered[count - cut - 1])
    return means, pulled.std(0, ddof=1) / ((1 - 2 * cut / count) * np.sqrt(count))


def edit_row(edit: Edit, scale: Scale, deviations: np.ndarray) -> dict[str, float | str | int]:
    """Row of edits.csv: `trimmed` changes of MEASURES and their standard errors; `leakage`, the mean size of
    the mean changes of what is not the attribute's own; `identity`, 1 as far as another person;
    `same_person`, the share of the faces that stay within the threshold.
    """
    change = edit.changes(deviations)
    means, errors = trimmed(change)
    others = [place for place, name in enumerate(MEASURES) if name not in OWN.get(edit.attribute, ())]
    moved = np.linalg.norm(edit.after[1] - edit.before[1], axis=1)
    return {
        "estimator": edit.estimator,
        "kind": edit.kind,
        "attribute": edit.attribute,
        "faces": len(change),
        "leakage": float(np.abs(means[others]).mean()),
        "identity": float(moved.mean() / scale.unit),
        "same_person": float((moved < scale.threshold).mean()),
        **dict(zip(MEASURES, means.tolist(), strict=True)),
        **{f"{name}_error": error for name, error in zip(MEASURES, errors.tolist(), strict=True)},
    }


def rank_correlation(
    a: np.ndarray, b: np.ndarray, times: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Spearman's rank correlation of a and b (n,), and its 95% interval by the bootstrap over faces."""

    drawn = [rng.integers(len(a), size=len(a)) for _ in range(times)]
    found = [spearman(a[rows], b[rows]) for rows in drawn]
    bounds = np.nanquantile(found, [0.025, 0.975]) if np.isfinite(found).any() else (np.nan, np.nan)
    return spearman(a, b), float(bounds[0]), float(bounds[1])


def agreement_rows(
    measured: np.ndarray,
    evidence: np.ndarray,
    attributes: tuple[str, ...],
    edits: list[Edit],
    times: int,
    rng: np.random.Generator,
) -> Iterator[dict[str, float | str | int]]:
    """Rows of agreement.csv: rank correlation of witness and classifier, on unedited faces (MEASURES (n, 9),
    evidence (n, A)), and on the changes by each edit.
    """
    for measure, attribute, sign in ALIKE:
        if attribute not in attributes:
            continue
        place = MEASURES.index(measure)
        target = attributes.index(attribute)
        compared = {"faces": (sign * measured[:, place], evidence[:, target])}
        for edit in edits:
            if edit.attribute == attribute:
                seen = sign * (edit.after[0] - edit.before[0])[:, place] * edit.side
                compared[f"{edit.estimator} {edit.kind}"] = seen, edit.classifier
        for where, (ours, theirs) in compared.items():
            middle, low, high = rank_correlation(ours, theirs, times, rng)
            yield {
                "measure": measure,
                "attribute": attribute,
                "where": where,
                "faces": len(ours),
                "correlation": middle,
                "low": low,
                "high": high,
            }


def set_rows(
    witness: Witness, sets: dict[str, FaceSet], real: np.ndarray, scale: Scale, groups: int, work: Path
) -> list[dict[str, float | str | int]]:
    """Rows of sets.csv: kernel and Frechet distance of each set's identities to those of real faces (n, 128).
    For reconstructions, how far from the faces themselves. The processes share the sets, as shards in `work`.

    Identities are scaled so that a number of a real face is 1 in the root mean square, as the kernel has it.
    """
    size = np.sqrt(np.square(real).mean())

    def see(name: str) -> dict[str, np.ndarray]:
        found = witness.identities(sets[name].images)
        row = distances_of(found / size, real / size, "identity", groups)
        if name == "reconstruction":
            moved = np.linalg.norm(found - real, axis=1)
            row["identity"] = float(moved.mean() / scale.unit)
            row["same_person"] = float((moved < scale.threshold).mean())
        return {"lines": ranks.as_text([{"set": name, "faces": len(found), **row}])}

    shards = ranks.dealt_jobs("witness sets", "sets", work, list(sets), see)
    return [row for arrays in shards for row in ranks.from_text(arrays["lines"])]


def compared_strengths(levels: pd.DataFrame, changes: Changes, editors: tuple[str, ...]) -> pd.DataFrame:
    """The rows of levels.csv of the first classifier at the last level, where one of `editors` reached it."""
    last = levels[(levels["level"] == levels["level"].max()) & (levels["classifier"] == 0)]
    last = last[last["estimator"].isin(editors) & np.isfinite(last["strength"].astype(float))]
    keys = zip(last["estimator"], last["kind"], last["attribute"], strict=True)
    return last[[(0, *key) in changes.edits for key in keys]]
