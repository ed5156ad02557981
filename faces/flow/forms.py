"""Forms of labels (subclasses, modes) found among faces: two kinds of hat, two of open mouth.

A flow that is told "a hat" alone must turn one cloud of noise into every form of hat. Between them lie noises
that become half of either, and an edit, whose noise is that of a face without a hat, mostly starts there. So
forms are found first, without labels, and are conditions of the flow beside the labels (facemorph/forms.py).

What faces with a label differ in, and others do not, belongs to the label. Forms show there as a gap: of many
lines through the faces' outlines (faces/flow/outlines.py), among them independent components (FastICA,
Hyvarinen 1999) and those between clusters (k-means), the ones along which the faces are flattest (least
kurtosis) are tried; two normals are fitted to each, and where these stand apart by `separation` (Ashman's D,
1994) the faces are split in two, and each part is looked at again. The label with the widest gap comes first,
and what its forms explain is taken out before the next: a fringe of two forms splits the long-haired too, and
less far. A linear discriminant then tells the forms of any face with the label by its code.
"""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from scipy.linalg import eigh
from torch import Tensor

from facemorph.forms import Forms
from faces.core.params import Group
from faces.flow.network import Flow

COMMON = 0.6  # share of the faces from which on a side of a label is no kind of thing
APART = 4.0  # times the variance of the others, along a line that belongs to a label
LINES = 10  # of these, at most
SHARE = 0.1  # of the faces in the smaller of two forms, at least
DEPTH = 3  # splits within the first one, one inside the other
SAMPLE = 5000  # faces to which components and normals are fitted
RIDGE = 2e-2  # of the mean variance, added to the others'
CLUSTERS = (2, 3)  # numbers of them, between which lines are drawn
TRIED = 6  # lines to which normals are fitted
SHRINKAGE = 0.01  # of the discriminant's covariance towards a multiple of the identity


class FormSettings(Group):
    separation: Annotated[float, Field(ge=0)]
    min_faces: Annotated[int, Field(ge=max(CLUSTERS))]


Parts = list[tuple[int, int, list[np.ndarray]]]  # label, side and the rows of the faces of each form


class Gap(NamedTuple):
    """A gap among faces on one side of a label."""

    rows: np.ndarray  # (n,) of the faces
    others: np.ndarray  # (K, K) covariance of the faces on the other side
    width: float  # in deviations of either heap; 0 where there is none
    beyond: np.ndarray  # bool (n,) which of the faces lie beyond it


def find(rest: np.ndarray, labels: np.ndarray, settings: FormSettings) -> Parts:
    """The forms of the labels that have some, the commonest first.

    rest (N, K) is what labels (N, A) do not say of the faces' outlines; labels are 1, -1, or 0 for unknown.
    """
    points = np.array(rest, np.float64)
    labels = labels.astype(np.float64)
    ridge = RIDGE * points.var(0).mean() * np.eye(points.shape[1])

    def looked_at(place: int, side: int) -> Gap:
        """The widest gap among the faces on this side of a label."""
        others = np.cov(points[labels[:, place] == -side].T) + ridge
        return gap(points, labels, np.flatnonzero(labels[:, place] == side), others)

    gaps = {one: looked_at(*one) for one in sides(labels, settings.min_faces)}
    stale: set[tuple[int, int]] = set()
    found = []
    while gaps:
        first = max(gaps, key=lambda one: gaps[one].width)
        if gaps[first].width < settings.separation:
            break
        if first in stale:  # forms that were found meanwhile may explain some of it
            gaps[first] = looked_at(*first)
            stale.remove(first)
            continue
        parts = sorted(split(points, labels, gaps.pop(first), settings), key=len, reverse=True)
        found.append((*first, parts))
        for part in parts:
            points[part] -= points[part].mean(0)
        stale = set(gaps)
    return found


def sides(labels: np.ndarray, min_faces: int) -> list[tuple[int, int]]:
    """Labels and sides with faces enough, there and on the other side, to be looked at."""
    counts = {
        (a, side): int((labels[:, a] == side).sum()) for a in range(labels.shape[1]) for side in (1, -1)
    }
    return [
        (place, side)
        for (place, side), count in counts.items()
        if min_faces <= count <= COMMON * len(labels) and counts[place, -side] >= min_faces
    ]


def split(
    points: np.ndarray, labels: np.ndarray, parted: Gap, settings: FormSettings, depth: int = 0
) -> Iterator[np.ndarray]:
    """The forms among the faces of a gap that is wide enough, as rows, after `depth` splits before it."""
    for part in (parted.rows[~parted.beyond], parted.rows[parted.beyond]):
        within = None
        if len(part) >= settings.min_faces and depth < DEPTH:
            within = gap(points, labels, part, parted.others)
        if within is None or within.width < settings.separation:
            yield part
        else:
            yield from split(points, labels, within, settings, depth + 1)


def gap(points: np.ndarray, labels: np.ndarray, rows: np.ndarray, others: np.ndarray) -> Gap:
    """The widest gap among the faces `rows` (n,) of points (N, K) with labels (N, A).

    others (K, K) is the covariance of faces on the other side of the label. What labels say of these points
    linearly is taken out first, so that a moustache makes no form of open mouth.
    """
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415 (takes a second to load)

    design = np.column_stack([np.ones(len(rows)), labels[rows]])
    points = points[rows] - design @ np.linalg.lstsq(design, points[rows])[0]
    variances, axes = eigh(np.cov(points.T), others)
    own = axes[:, variances > APART][:, -LINES:]
    widest = Gap(rows, others, 0.0, np.zeros(len(rows), bool))
    if not own.shape[1]:
        return widest
    along = lines(points @ own)
    some = np.random.default_rng(0).permutation(len(along))[:SAMPLE]
    for place in np.argsort((along**4).mean(0))[:TRIED]:
        line = along[:, [place]]
        normals = GaussianMixture(2, n_init=2, random_state=0).fit(line[some])
        width = np.abs(np.diff(normals.means_.ravel()))[0] / np.sqrt(normals.covariances_.mean())
        if normals.weights_.min() >= SHARE and width > widest.width:
            widest = Gap(rows, others, width, normals.predict(line) == 1)
    return widest


def lines(points: np.ndarray) -> np.ndarray:
    """(n, P) where points (n, q) lie along their axes, the lines between their clusters and their independent
    components, of unit variance.
    """
    from sklearn.decomposition import FastICA  # noqa: PLC0415 (takes a second to load)
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    points = (points - points.mean(0)) / points.std(0)
    some = np.random.default_rng(0).permutation(len(points))[:SAMPLE]
    found = [points]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly independent, or fewer clusters, will do
        found += [points @ between_clusters(points[some])]
        for contrast in ("cube", "logcosh"):
            ica = FastICA(whiten="unit-variance", fun=contrast, random_state=0, max_iter=200)
            found += [ica.fit(points[some]).transform(points)] if points.shape[1] > 1 else []
    along = np.concatenate(found, 1)
    return (along - along.mean(0)) / along.std(0)


def between_clusters(points: np.ndarray) -> np.ndarray:
    """(q, P) the lines that tell each cluster of points (n, q) from the others, by linear discriminants."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 (takes a second to load)
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: PLC0415

    found = []
    for count in CLUSTERS:
        number = KMeans(count, n_init=8, random_state=0).fit(points).labels_
        clusters = np.unique(number)
        for cluster in clusters if len(clusters) > 2 else clusters[1:]:  # one line stands between two
            apart = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
            found.append(apart.fit(points, number == cluster).coef_[0])
    return np.array(found).reshape(len(found), points.shape[1]).T


def told_apart(flow: Flow, codes: np.ndarray, parts: Parts) -> Forms:
    """What tells `parts` of train codes (N, D) by a linear discriminant along the axes of `flow`. Lots are
    still to be drawn (`with_lots`).
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: PLC0415 (as above)

    if not parts:
        return Forms.none()
    inward = flow.inward.cpu().numpy().astype(np.float64)
    mean = flow.mean.cpu().numpy().astype(np.float64)
    normals = []
    intercepts = []
    for _, _, members in parts:
        along = (codes[np.concatenate(members)] - mean) @ inward.T
        number = np.repeat(np.arange(len(members)), [len(rows) for rows in members])
        found = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(along, number)
        first = len(members) == 2  # of two forms it tells the second's log-odds alone
        normals.append(np.pad(found.coef_, ((first, 0), (0, 0))) @ inward)
        intercepts.append(np.pad(found.intercept_, (first, 0)) - normals[-1] @ mean)
    counts = [len(members) for _, _, members in parts]
    return Forms(
        np.array([place for place, _, _ in parts]),
        np.array([side for _, side, _ in parts]),
        np.repeat(np.arange(len(parts)), counts),
        np.concatenate(normals).astype(np.float32),
        np.concatenate(intercepts).astype(np.float32),
        np.zeros((len(parts), len(inward)), np.float32),
        np.zeros(sum(counts), np.float32),
    )


def with_lots(forms: Forms, noise: Tensor, labels: Tensor, seed: int) -> Forms:
    """`forms` with axes of the noise (N, K) that have nothing to do with one another, and edges on them by
    which faces whose conditions (N, C) lack a label draw each of its forms as often as faces with it have it.
    """
    drawn = np.random.default_rng(seed).normal(size=(noise.shape[1], len(forms.places)))
    axes = np.linalg.qr(drawn)[0].T
    lots = axes[np.arange(len(forms.places)) % max(len(axes), 1)]
    along = noise.cpu().numpy() @ lots.T
    conditions = labels.cpu().numpy()
    labels_alone = conditions.shape[1] - len(forms)
    edges = np.zeros(len(forms), np.float32)
    for group, (place, side) in enumerate(zip(forms.places, forms.sides, strict=True)):
        own = forms.groups == group
        told = conditions[:, place] * side
        shares = ((1 + conditions[told > 0, labels_alone:][:, own]) / 2).mean(0)
        edges[own] = np.quantile(along[told < 0, group], np.minimum(shares.cumsum() / shares.sum(), 1))
        edges[np.flatnonzero(own)[-1]] = np.finfo(np.float32).max
    return replace(forms, lots=lots.astype(np.float32), edges=edges)
