"""Estimators of directions from codes and labels, and the contract that each keeps (`Estimator`).

The dictionary ESTIMATORS at the end is the registry: `vectors.estimators` in params.yaml names its keys. Most
estimators need only sums of codes weighted by a function of the labels, computed in one pass over blocks.
None holds more than a few blocks of codes and a few matrices (A, D), and (D, D) only where
faces.latents.moments allows it.

There are two kinds of direction. `mean_difference`, `balanced` and `partial` are patterns: how the code
changes with the label. `lda`, `logistic` and `svm` are filters: the projection that predicts the label best.
A filter also points away from noise that the label shares, so it predicts better and edits worse (Haufe et
al., NeuroImage 2014).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
from pydantic import Field

from faces.core.batches import batches
from faces.core.params import Group
from faces.estimators import linear
from faces.estimators.linear import Boundary
from faces.latents.codes import Codes, blocks
from faces.latents.moments import Moments
from faces.metrics.label_stats import LabelStatistics, counts

LABEL_ROWS = 65536  # label rows counted at once


class Balanced(Group):
    confounders: tuple[str, ...]
    min_faces: Annotated[int, Field(ge=1)]


class Partial(Group):
    ridges: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]
    largest_inflation: Annotated[float, Field(ge=1)]


class Discriminant(Group):
    shrinkage: Annotated[float, Field(gt=0, le=1)]


class Settings(Group):
    """Settings of single estimators; each reads its own group."""

    balanced: Balanced
    partial: Partial
    lda: Discriminant
    boundary: Boundary


@dataclass
class Problem:
    """Codes and labels of train faces, with valid faces on which an estimator may choose its settings.

    Every attribute has faces on both sides. The last M attributes may be measured (faces/data/measured.py):
    their labels are numbers, `measured`, and `labels` says which faces lie in the outer thirds.

    A face may be there in several copies, such as itself and its mirror image: the rows are all faces, then
    all of them again. Sums that several estimators need are computed once, lazily.
    """

    codes: Codes  # (N, D)
    labels: np.ndarray  # (N, A) int8: 1, -1, 0 for unknown
    names: tuple[str, ...]  # of the attributes
    valid_codes: Codes  # (V, D)
    valid_labels: np.ndarray  # (V, A)
    settings: Settings
    rng: np.random.Generator
    copies: int = 1  # of each face
    share: float = 1.0  # of the train faces that are in it: limits on numbers of faces are scaled by it
    measured: np.ndarray | None = None  # (N, M) in [-1, 1], 0 for unknown
    valid_measured: np.ndarray | None = None  # (V, M)

    @property
    def faces(self) -> int:
        return len(self.codes) // self.copies

    def part(self, faces: np.ndarray) -> "Problem":
        """The problem with a subset of the train faces, by ascending numbers."""
        share = self.share * len(faces) / self.faces
        rows = (np.arange(self.copies)[:, None] * self.faces + faces).ravel()
        measured = None if self.measured is None else self.measured[rows]
        return replace(
            self, codes=self.codes.part(rows), labels=self.labels[rows], measured=measured, share=share
        )

    @cached_property
    def moments(self) -> Moments:
        """Mean and variances of the train codes."""
        return Moments.of(self.codes, np.arange(len(self.codes)), products=False)

    @cached_property
    def covariance(self) -> np.ndarray | None:
        """(D, D) of the train codes; None where D is above faces.latents.moments.LARGEST_COVARIANCE."""
        return Moments.of(self.codes, np.arange(len(self.codes)), products=True).covariance()

    @cached_property
    def statistics(self) -> LabelStatistics:
        return LabelStatistics.of(numbers(self.labels, self.measured))

    @cached_property
    def differences(self) -> np.ndarray:
        """(A, D) mean code of the faces with the attribute minus mean code of those without; of a measure
        the slope of the codes, as in `effects`.
        """
        return effects(self.codes, self.labels, self.measured)

    @property
    def measures(self) -> slice:
        """The places of the measured attributes."""
        count = 0 if self.measured is None else self.measured.shape[1]
        return slice(len(self.names) - count, len(self.names))


@dataclass(frozen=True)
class Estimate:
    """Directions at their native length: a step of 1.0 x vector takes a face from the mean without to the
    mean with, along the direction.

    A row of NaN is a direction that could not be estimated. `intercepts` are in code units: the boundary is
    where z . unit + intercept = 0; None where the estimator has no boundary of its own. `notes` hold caveats
    by attribute.
    """

    vectors: np.ndarray  # (A, D)
    intercepts: np.ndarray | None = None  # (A,)
    notes: dict[str, str] = field(default_factory=dict)


class Estimator(Protocol):
    """A function from codes and labels to one direction for each attribute.

    Vectors are at native length; a row of NaN and a note where there is no direction. All that is random
    comes from `problem.rng`, choices are made on the valid faces of the problem, and settings in numbers of
    faces are scaled by `problem.share`.
    """

    def __call__(self, problem: Problem) -> Estimate: ...


def weighted_sums(codes: Codes, labels: np.ndarray, weigh: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """sum_i w_ia z_i as (A, D) float64, where weigh maps labels (B, A) to weights (B, A) that over all faces
    sum to zero for each attribute.

    Codes can therefore be centred first, which keeps float32 products precise far from zero.
    """
    sums = np.zeros((labels.shape[1], codes.shape[1]))
    centre = None
    for rows, block in blocks(codes):
        centre = block.mean(0, dtype=np.float64).astype(block.dtype) if centre is None else centre
        sums += weigh(labels[rows]).astype(block.dtype).T @ (block - centre)
    return sums


def differences(codes: Codes, labels: np.ndarray) -> np.ndarray:
    """Mean of the codes (N, D) labelled 1 minus mean of those labelled -1, for all attributes (A, D) in one
    pass; NaN where a side is empty.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gain, loss = 1 / counts(labels)
        return weighted_sums(
            codes, labels, lambda block: np.where(block == 1, gain, np.where(block == -1, -loss, 0))
        )


def numbers(labels: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
    """Labels (N, A) with the numbers (N, M) of the last M attributes in place of their thirds."""
    if measured is None:
        return labels
    return np.concatenate([labels[:, : labels.shape[1] - measured.shape[1]], measured], 1, dtype=np.float32)


def effects(codes: Codes, labels: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
    """`differences` (A, D) of labels (N, A), and of the last M attributes the change of the code with a
    change of the label by 2, by regression on its numbers (N, M): 2 Cov(y, z) / Var(y). Of labels that are
    all 1 or -1 that is the difference of the means.
    """
    if measured is None:
        return differences(codes, labels)
    known = measured != 0
    count = np.maximum(known.sum(0), 1)
    means = measured.sum(0, dtype=np.float64) / count
    squares = np.square(np.where(known, measured - means, 0)).sum(0)
    slopes = weighted_sums(
        codes, measured, lambda block: np.where(block != 0, 2 * (block - means) / squares, 0)
    )
    return np.concatenate([differences(codes, labels[:, : labels.shape[1] - measured.shape[1]]), slopes])


def along(normals: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Normals (A, D) scaled to native length: the distance between the class means along them."""
    units = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return units * (units * differences).sum(1, keepdims=True)


def mean_difference(problem: Problem) -> Estimate:
    """Mean code with minus mean code without (Larsen et al. 2016; White 2016).

    Weakness: confounding. With correlated labels its expectation is sum_b S_ab beta_b, S_ab = Cov(y_a, y_b) /
    Var(y_a), where beta_b is the effect of label b alone.
    """
    return Estimate(problem.differences)


def balanced(problem: Problem) -> Estimate:
    """Mean over the cells of the confounders of (mean with - mean without), every cell counting the same
    (White 2016, section 3.2, without replication).

    Cells are the combinations of the other confounders' labels. A cell with fewer than `min_faces` on either
    side is left out on both, so that what remains is balanced exactly, and is named in the notes; so is a
    direction of which no cell remains. A face with an unknown confounder belongs to no cell.
    Of a measure the outer thirds count as with and without.
    """
    chosen = [
        problem.names.index(name.rstrip("?"))
        for name in problem.settings.balanced.confounders
        if name.rstrip("?") in problem.names
    ]
    least = max(1, round(problem.settings.balanced.min_faces * problem.share))
    attributes = len(problem.names)
    count = 1 << len(chosen)
    own = np.zeros(
        attributes, np.int64
    )  # the bit of an attribute that is a confounder itself: the others alone make its cells
    own[chosen] = 1 << np.arange(len(chosen))

    def cells(labels: np.ndarray) -> np.ndarray:
        """Cell of each face, by attribute: (B, A)."""
        return (labels[:, chosen] == 1) @ (1 << np.arange(len(chosen))).astype(np.int64)[:, None] & ~own

    def sides(labels: np.ndarray) -> np.ndarray:
        """Labels (B, A), 0 where a confounder is unknown."""
        return np.where((labels[:, chosen] != 0).all(1, keepdims=True), labels, 0)

    columns = np.arange(attributes)
    held = np.zeros(attributes * count * 3)
    for rows in batches(len(problem.labels), LABEL_ROWS):
        places = (columns * count + cells(problem.labels[rows])) * 3 + sides(problem.labels[rows]) + 1
        held += np.bincount(places.ravel(), minlength=len(held))
    held = held.reshape(attributes, count, 3)  # without, unknown, with
    real = (np.arange(count) & own[:, None]) == 0  # (A, cells)
    kept = real & (held[:, :, 0] >= least * problem.copies) & (held[:, :, 2] >= least * problem.copies)
    scale = kept / np.maximum(kept.sum(1, keepdims=True), 1)
    table = np.zeros_like(held)
    table[:, :, 0] = -scale / np.maximum(held[:, :, 0], 1)
    table[:, :, 2] = scale / np.maximum(held[:, :, 2], 1)
    vectors = weighted_sums(
        problem.codes, problem.labels, lambda labels: table[columns, cells(labels), sides(labels) + 1]
    )
    if problem.measured is not None:  # the thirds tell where to, the numbers how far
        measures = problem.measures
        vectors[measures] = along(vectors[measures], problem.differences[measures])
    notes = {}
    for a, name in enumerate(problem.names):
        thin = [_cell(problem.names, chosen, cell, own[a]) for cell in np.flatnonzero(real[a] & ~kept[a])]
        if thin and len(thin) == real[a].sum():
            notes[name] = f"no cell of the confounders has {least} faces on both sides"
            vectors[a] = np.nan
        elif thin:
            shown = "; ".join(thin[:2]) + (f" and {len(thin) - 2} more" if len(thin) > 2 else "")
            notes[name] = (
                f"{len(thin)} of {real[a].sum()} cells left out, fewer than {least} faces on a side: {shown}"
            )
    return Estimate(vectors, notes=notes)


def _cell(names: tuple[str, ...], chosen: list[int], cell: int, own: int) -> str:
    """A cell in words: `+Male -Smiling`."""
    bits = ((1 << bit, names[column]) for bit, column in enumerate(chosen))
    return " ".join(("+" if cell & bit else "-") + name for bit, name in bits if bit != own)


def partial(problem: Problem) -> Estimate:
    """Partial effects: least-squares regression of codes on all labels at once, in closed form from sums.

    A direction is the effect of one label while all others stay.

    B = (S + ridge I)^-1 D, where D (A, D) holds the mean differences and S_ab = Cov(y_a, y_b) / Var(y_a); D =
    S B is the bias of the mean difference, solved for B. For ridge = 0 and labels all known it equals
    ordinary least squares on the full matrix (tested to 1e-10). With unknown labels, S and D are each taken
    over the faces that know (available cases), so an unknown label counts on neither side and its face still
    serves the other attributes.

    The ridge, in shares of each label's variance, is the one of `partial.ridges` whose directions agree best,
    by mean cosine, with the unridged ones of the valid split: those are noisy but unbiased, with independent
    noise, so the cosine is highest for the direction nearest to the truth. Labels that exclude one another,
    such as hair colours, need a ridge. An attribute whose variance inflation is above
    `partial.largest_inflation` is nearly a combination of the others: its partial effect rests on few faces
    and may even point the other way. The note names the most correlated label.
    """
    settings = problem.settings.partial
    statistics = problem.statistics
    choices = [deconfounded(problem.differences, statistics, ridge) for ridge in settings.ridges]
    vectors = choices[np.argmax(_agreements(problem, choices))] if len(choices) > 1 else choices[0]
    notes = {}
    phi = statistics.phi() - np.eye(len(problem.names))
    for name, inflation, row in zip(problem.names, statistics.inflation(), phi, strict=True):
        nearest = np.abs(row).argmax()
        if np.isinf(inflation):
            notes[name] = "the other labels together fix this one: the direction is against their mean"
        elif inflation > settings.largest_inflation:
            notes[name] = (
                f"variance inflation {inflation:.1f}, nearest label {problem.names[nearest]} "
                f"(phi {row[nearest]:.2f}): may be over-corrected"
            )
    return Estimate(vectors, notes=notes)


def deconfounded(differences: np.ndarray, statistics: LabelStatistics, ridge: float) -> np.ndarray:
    """(S + ridge I)^-1 D, (A, D). With S = V^-1 R V, R the correlations and V the deviations of the labels,
    it is V^-1 (R + ridge I)^-1 V D.

    Where R is singular and the ridge is 0, the pseudo-inverse gives the limit of small ridges.
    """
    deviation = statistics.deviation()[:, None]
    phi = statistics.phi()
    inverse = np.linalg.pinv(phi + ridge * np.eye(len(phi)), rcond=1e-9, hermitian=True)
    return inverse @ (deviation * differences) / deviation


def _agreements(problem: Problem, choices: list[np.ndarray]) -> list[float]:
    """Mean cosine of each choice (A, D) with the valid split's own unridged directions, over the attributes
    that it has on both sides; without one, 0 for each.
    """
    labels = problem.valid_labels
    measured = problem.valid_measured
    usable = (labels == 1).any(0) & (labels == -1).any(0)
    if not usable.any():
        return [0.0] * len(choices)
    labels = labels[:, usable]
    if measured is not None:
        measured = measured[:, usable[problem.measures]]
    found = effects(problem.valid_codes, labels, measured)
    held_out = deconfounded(found, LabelStatistics.of(numbers(labels, measured)), 0.0)
    return [float(cosines(choice[usable], held_out).mean()) for choice in choices]


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(A,) cosine of each row of first (A, D) with the same row of second."""
    return (first * second).sum(1) / np.maximum(
        np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1), 1e-30
    )


def lda(problem: Problem) -> Estimate:
    """Fisher's discriminant: covariance^-1 x mean difference (Fisher 1936), all attributes by one
    factorisation.

    The total covariance serves for every attribute, since it and the one within the classes give the same
    direction (Sherman-Morrison). It is taken over codes of unit variance and shrunk towards the identity by
    `lda.shrinkage`. Where codes are too long for a covariance, their variances alone are used.
    """
    std = problem.moments.std()
    std = np.where(
        std > 1e-8 * max(std.max(), 1e-30), std, np.inf
    )  # a dimension that never moves tells nothing
    normals = problem.differences / std
    covariance = problem.covariance
    if covariance is None:
        notes = dict.fromkeys(problem.names, "codes too long for a covariance: variances alone")
        return Estimate(along(normals / std, problem.differences), notes=notes)
    shrinkage = problem.settings.lda.shrinkage
    correlation = (1 - shrinkage) * covariance / np.outer(std, std) + shrinkage * np.eye(len(std))
    return Estimate(along(np.linalg.solve(correlation, normals.T).T / std, problem.differences))


def logistic(problem: Problem) -> Estimate:
    """The boundary of logistic regression, its intercept kept; of a measure that between its outer thirds."""
    return _boundary(problem, linear.logistic_loss)


def svm(problem: Problem) -> Estimate:
    """The boundary of a linear support vector machine with squared hinge loss, as scikit-learn's LinearSVC,
    its intercept kept (InterFaceGAN drops it).
    """
    return _boundary(problem, linear.squared_hinge)


def _boundary(problem: Problem, loss: linear.Loss) -> Estimate:
    faces = round(problem.settings.boundary.faces * problem.share)
    chosen = problem.part(np.sort(problem.rng.permutation(problem.faces)[:faces]))
    mean = chosen.moments.mean()
    std = chosen.moments.std()
    found = linear.fit(chosen.codes, chosen.labels, mean, std, loss, problem.settings.boundary)
    norms = np.linalg.norm(found.normals, axis=1)
    note = (
        ""
        if found.converged
        else f"the boundary was still moving after {problem.settings.boundary.iterations} iterations"
    )
    return Estimate(
        along(found.normals, problem.differences),
        found.intercepts / norms,
        dict.fromkeys(problem.names, note) if note else {},
    )


def random(problem: Problem) -> Estimate:
    """Control: a random direction as long as the mean difference. It shows what any step of that length
    changes.
    """
    normals = problem.rng.standard_normal(problem.differences.shape)
    return Estimate(
        normals * (np.linalg.norm(problem.differences, axis=1) / np.linalg.norm(normals, axis=1))[:, None]
    )


def shuffled_labels(problem: Problem) -> Estimate:
    """Control: the mean difference for shuffled labels. It shows the length and AUROC of a direction without
    meaning.
    """
    order = problem.rng.permutation(problem.faces)
    measured = problem.measured
    if measured is not None:
        measured = np.tile(measured[order], (problem.copies, 1))
    return Estimate(effects(problem.codes, np.tile(problem.labels[order], (problem.copies, 1)), measured))


ESTIMATORS: dict[str, Estimator] = {
    "mean_difference": mean_difference,
    "balanced": balanced,
    "partial": partial,
    "lda": lda,
    "logistic": logistic,
    "svm": svm,
    "random": random,
    "shuffled_labels": shuffled_labels,
}
