"""Score one edit: effect and side effects along the strengths, and at the strength where a share of the faces
flip.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from faces.core import ranks
from faces.metrics import edit_effects
from faces.metrics.changes import Key
from faces.metrics.frechet import kernel, polynomial
from faces.nn import quality
from faces.nn.device import side_by_side
from faces.scoring.context import KINDS, Context, Sample, Scales
from faces.scoring.editors import ScoredEditor

Rows = list[dict[str, Any]]

WHERE = ("classifier", "estimator", "kind", "attribute", "labelled", "faces")
COSTS = ("effect", "leakage_total", "dependency", "dependency_max", "kept", "identity")
PICTURES = ("perceptual", "realism", "realism_unedited", "realism_faces", "reversibility")
CURVES = (*WHERE, "strength", "flips", *COSTS)
LEVELS = (*WHERE, "level", "strength", "flips", *COSTS, *PICTURES)


@dataclass
class Scores:
    """Rows of curves.csv and levels.csv, and the edits of changes.npz."""

    curves: Rows = field(default_factory=list)
    levels: Rows = field(default_factory=list)
    changes: dict[Key, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """As a shard holds them."""
        found = {
            "curves": ranks.as_text(self.curves),
            "levels": ranks.as_text(self.levels),
            "keys": ranks.as_text([{"key": key} for key in self.changes]),
        }
        for place, (rows, change) in enumerate(self.changes.values()):
            found |= {f"rows_{place}": rows, f"change_{place}": change}
        return found

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "Scores":
        """From the arrays of a shard."""
        keys = [tuple(line["key"]) for line in ranks.from_text(arrays["keys"])]
        pairs = [(arrays[f"rows_{place}"], arrays[f"change_{place}"]) for place in range(len(keys))]
        texts = (ranks.from_text(arrays[name]) for name in ("curves", "levels"))
        return cls(*texts, dict(zip(keys, pairs, strict=True)))


@dataclass(frozen=True)
class Trial:
    """One edit in the eyes of one classifier: the faces that it reads as labelled before the edit."""

    number: int  # of the classifier
    kind: str
    target: int  # place of the edited attribute
    which: np.ndarray  # (F,) places in the sample
    side: np.ndarray  # (F,) +1 where the edit adds the attribute
    before: tuple[np.ndarray, np.ndarray]  # evidence (F, A) and features (F, K)

    def costs(
        self, context: Context, scales: Scales, evidence: np.ndarray, features: np.ndarray
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Changes (F, A) and the columns COSTS of edited faces with evidence (F, A) and features (F, K)."""
        start, origin = self.before
        change = edit_effects.changes(start, evidence, self.side, context.deviations[self.number])
        mean = change.mean(0)
        average, largest = edit_effects.dependency(change, self.target)
        axis = context.axes(self.number)[self.target]
        moved = edit_effects.distances(features, origin, axis).mean()
        return change, {
            "effect": float(mean[self.target]),
            "leakage_total": float(edit_effects.leakage(mean, self.target)),
            "dependency": average,
            "dependency_max": largest,
            "kept": float(edit_effects.kept(start, evidence, self.target)),
            "identity": float(moved / scales.classifiers[self.number, self.target]),
        }


def trials(context: Context, sample: Sample, target: int, kinds: tuple[str, ...]) -> list[Trial]:
    """A trial for each classifier and kind on enough faces."""
    labelled = np.flatnonzero(sample.labels[:, target])
    side = -sample.labels[labelled, target].astype(np.float32)
    found = []
    for number in context.numbers:
        for kind in kinds:
            evidence, features = sample.read[number, kind]
            agree = evidence[labelled, target] * side <= 0
            if agree.sum() >= context.params.min_faces:
                which = labelled[agree]
                before = (evidence[which], features[which])
                found.append(Trial(number, kind, target, which, side[agree], before))
    return found


def walk(
    context: Context, sample: Sample, editor: ScoredEditor, labels: np.ndarray, attempts: list[Trial]
) -> dict[tuple[int, str], list[tuple[float, np.ndarray, np.ndarray]]]:
    """Strength, evidence (F, A) and features (F, K) of each trial, at strengths that rise until the last
    level is reached.
    """
    seen = {(trial.number, trial.kind): [(0.0, *trial.before)] for trial in attempts}
    waiting = list(attempts)
    for strength in editor.strengths:
        if not waiting:
            break
        which = np.unique(np.concatenate([trial.which for trial in waiting]))
        kinds = tuple(dict.fromkeys(trial.kind for trial in waiting))
        attribute = context.attributes[waiting[0].target]
        codes = editor.edited(sample.codes[which], labels[which], attribute, strength)
        pictures = sample.edited(context, codes, which, kinds)
        still = []
        for trial in waiting:
            places = np.searchsorted(which, trial.which)
            evidence, features = context.read(trial.number, chosen(pictures[trial.kind], places))
            seen[trial.number, trial.kind].append((strength, evidence, features))
            share = edit_effects.flipped(evidence[:, trial.target], trial.side)
            if share < max(context.params.levels):
                still.append(trial)
        waiting = still
    return seen


def chosen(images: Tensor, places: np.ndarray) -> Tensor:
    """The images at `places`."""
    return images if len(places) == len(images) else images[places]


def score_edit(
    context: Context,
    sample: Sample,
    scales: Scales,
    name: str,
    editor: ScoredEditor,
    labels: np.ndarray,
    target: int,
    real: np.ndarray,
) -> Scores:
    """The edit of attribute number `target` by the editor called `name`.

    labels (F, A) are the sample's, in the order of the editor's attributes; real (n, K) are features of real
    faces with the attribute.
    """
    scores = Scores()
    attribute = context.attributes[target]
    kinds = ("plain",) if name in context.params.decoded_alone else KINDS
    attempts = trials(context, sample, target, kinds)
    seen = walk(context, sample, editor, labels, attempts)
    for trial in attempts:
        steps = seen[trial.number, trial.kind]
        strengths = np.array([strength for strength, _, _ in steps])
        where = {
            "classifier": trial.number,
            "estimator": name,
            "kind": trial.kind,
            "attribute": attribute,
            "labelled": int((sample.labels[:, target] != 0).sum()),
            "faces": len(trial.which),
        }
        curves = []
        for strength, evidence, features in steps:
            _, costs = trial.costs(context, scales, evidence, features)
            share = float(edit_effects.flipped(evidence[:, target], trial.side))
            curves.append({"strength": strength, "flips": share, **costs})
        scores.curves += [where | row for row in curves]
        shares = np.array([row["flips"] for row in curves])
        for level in context.params.levels:
            strength = edit_effects.strength_for(strengths, shares, level)
            row = where | {"level": level, "strength": strength}
            if not math.isfinite(strength):
                row["flips"] = float(shares.max())
            elif level < context.params.levels[-1]:
                for key in ("flips", *COSTS):
                    curve = np.array([step[key] for step in curves])
                    row[key] = float(edit_effects.at(strengths, curve, strength))
            else:
                change, figures = look(context, sample, scales, editor, labels, trial, strength, real)
                row |= figures
                key = (trial.number, name, trial.kind, attribute)
                scores.changes[key] = sample.rows[trial.which], change
            scores.levels.append(row)
    return scores


def look(
    context: Context,
    sample: Sample,
    scales: Scales,
    editor: ScoredEditor,
    labels: np.ndarray,
    trial: Trial,
    strength: float,
    real: np.ndarray,
) -> tuple[np.ndarray, dict[str, float]]:
    """Changes (F, A) and figures of the edit drawn anew at the found `strength`: curves between strengths are
    read off lines.

    Pictures are looked at for the first classifier alone: `perceptual` distance to the unedited, `realism`
    (kernel distance to real faces with the attribute) of faces to which it was added, and `reversibility` of
    the decoded edit.
    """
    which = trial.which
    attribute = context.attributes[trial.target]
    codes = editor.edited(sample.codes[which], labels[which], attribute, strength)
    images = sample.edited(context, codes, which, (trial.kind,))[trial.kind]
    evidence, features = context.read(trial.number, images)
    change, figures = trial.costs(context, scales, evidence, features)
    figures["flips"] = float(edit_effects.flipped(evidence[:, trial.target], trial.side))
    if trial.number > 0:
        return change, figures
    before = sample.features[trial.kind][which]
    after = context.features(images)
    figures["perceptual"] = float(edit_effects.distances(after, before).mean() / scales.features)
    added = trial.side > 0
    if min(added.sum(), len(real)) >= context.params.min_faces:
        figures["realism"] = kernel(*polynomial(after[added], real))
        figures["realism_unedited"] = kernel(*polynomial(before[added], real))
        figures["realism_faces"] = int(added.sum())
    if trial.kind == "plain":
        start = sample.base["plain"][which]
        figures["reversibility"] = reversibility(
            context, editor, images, start, labels[which], attribute, strength
        )
    return change, figures


def reversibility(
    context: Context,
    editor: ScoredEditor,
    edited: Tensor,
    start: Tensor,
    labels: np.ndarray,
    attribute: str,
    strength: float,
) -> float:
    """PSNR in dB between the unedited faces and edited ones that are encoded and edited back, mean over
    faces.

    Monteiro et al., "Measuring axiomatic soundness of counterfactual image models", ICLR 2023, section 4. An
    edit that leaves what the encoder knows is not taken back.
    """
    codes = editor.returned(context.codec.encode(edited), labels, attribute, strength)
    back = context.codec.decode(codes)
    return float(quality.psnr(back.add(1).div(2), start.add(1).div(2)).mean())


def score_editors(
    context: Context,
    sample: Sample,
    scales: Scales,
    editors: dict[str, ScoredEditor],
    labels: dict[str, np.ndarray],
    real: dict[str, np.ndarray],
    work: Path,
) -> Scores:
    """Every edit of every editor, shared by the processes (faces/core/ranks.py) as shards in `work`.

    labels (F, A), by editor, and real (n, K), by attribute, are those of `score_edit`.
    """
    jobs = [
        (name, target)
        for name, editor in editors.items()
        for target, attribute in enumerate(context.attributes)
        if attribute in editor.attributes
    ]

    def score_job(job: tuple[str, int]) -> dict[str, np.ndarray]:
        name, target = job
        wanted = real[context.attributes[target]]
        return score_edit(context, sample, scales, name, editors[name], labels[name], target, wanted).arrays()

    total = Scores()
    run = side_by_side(context.codec.device)
    for arrays in ranks.dealt_jobs("score edits", "edits", work, jobs, score_job, run):
        found = Scores.of(arrays)
        total.curves += found.curves
        total.levels += found.levels
        total.changes |= found.changes
    return total
