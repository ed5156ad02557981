"""Effects of an edit: on its attribute, on the others, and how far the face goes. Pure functions of what a
classifier saw.

Letters: S strengths, the first of which is 0; F faces; A attributes; K features. `side` (F,) is +1 where the
edit adds the attribute, -1 where it removes it. Evidence is a classifier's log-odds ratio, above 0 where the
picture speaks for the attribute (faces/classifier.py). Changes count in its standard deviation over real
faces (A,), so that attributes compare. Editors are compared at equal effect, where the same share of faces
has flipped (the DT curve of Han et al., IJCAI 2021): an edit that does nothing leaks nothing.
"""

import math

import numpy as np

CORRELATED = 0.1  # size of the correlation of two labels from which one can confound the other
ENTAILED = (
    0.15  # change that the truth brings along, as a share of its own, from which two attributes are one
)


def flipped(evidence: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Share of the faces that are flipped at each strength: evidence (S, F) of the edit's attribute -> (S,).

    A face that flipped at a smaller strength and has returned does not count.
    """
    return (evidence * side > 0).mean(-1)


def strength_for(strengths: np.ndarray, shares: np.ndarray, level: float) -> float:
    """The least strength at which the curve of shares (S,) reaches `level`, linear between strengths; else
    infinity.
    """
    reached = np.flatnonzero(shares >= level - 1e-9)
    if not len(reached):
        return math.inf
    high = int(reached[0])
    if high == 0:
        return float(strengths[0])
    low = high - 1
    part = (level - shares[low]) / (shares[high] - shares[low])
    return float(strengths[low] + min(part, 1.0) * (strengths[high] - strengths[low]))


def at(strengths: np.ndarray, curve: np.ndarray, strength: float) -> np.ndarray:
    """The curve (S, ...) at `strength`, linear between measured strengths."""
    high = min(int(np.searchsorted(strengths, strength)), len(strengths) - 1)
    if high == 0:
        return curve[0]
    share = (strength - strengths[high - 1]) / (strengths[high] - strengths[high - 1])
    return curve[high - 1] * (1 - share) + curve[high] * share


def changes(before: np.ndarray, after: np.ndarray, side: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Change of every attribute in standard deviations, counted in the direction in which the edit's own was
    to go.

    Evidence (..., F, A) before and after -> (..., F, A). InterFaceGAN's re-scoring (Shen et al. 2020, section
    4.3).
    """
    return (after - before) * side[:, None] / deviation


def leakage(mean: np.ndarray, target: int, entailed: np.ndarray | None = None) -> np.ndarray:
    """Mean size of the mean changes (..., A) of the other attributes: (...,), 0 where there are no others.

    With `entailed` (A,), what the true edit changes per unit of its own change, the excess over the truth
    counts: an edit must not pay for what truly goes along, as black hair goes when blond comes.
    """
    if entailed is not None:
        mean = mean - mean[..., target : target + 1] * entailed
    others = np.delete(np.abs(mean), target, axis=-1)
    return others.mean(-1) if others.shape[-1] else np.zeros(mean.shape[:-1])


def dependency(change: np.ndarray, target: int) -> tuple[float, float]:
    """Attribute Dependency: mean size of each other attribute's change over the target's; (mean, largest)
    over others.

    change (F, A). Side effects that differ between faces count in full here, whereas `leakage` averages over
    faces first. Wu, Lischinski, Shechtman, "StyleSpace Analysis", CVPR 2021, section 5.
    """
    sizes = np.delete(np.abs(change).mean(0), target)
    own = change[:, target].mean()
    if not len(sizes) or own <= 0:
        return (0.0, 0.0) if not len(sizes) else (math.nan, math.nan)
    return float(sizes.mean() / own), float(sizes.max() / own)


def kept(before: np.ndarray, after: np.ndarray, target: int) -> np.ndarray:
    """Share of the other attributes that keep their predicted label, over all faces: evidence (..., F, A) ->
    (...,).
    """
    same = np.delete((after > 0) == (before > 0), target, axis=-1)
    return same.mean((-1, -2)) if same.shape[-1] else np.ones(after.shape[:-2])


def own_change(mean: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The change of each edit's own attribute, NaN where it is 0: mean changes (..., T, A) of `targets` (T,)
    -> (..., T).
    """
    own = mean[..., np.arange(len(targets)), targets]
    return np.where(own == 0, np.nan, own)


def entailed(truth: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Changes of other attributes by the truth, per unit of its own change: mean changes (..., T, A) of
    `targets` (T,) -> the same.

    Rows of NaN, where there is no truth, become 0: nothing is known to come along.
    """
    own = own_change(truth, targets)[..., None]
    known = np.isfinite(truth) & np.isfinite(own)
    return np.divide(truth, own, out=np.zeros_like(truth), where=known)


def carried(
    mean: np.ndarray, truth: np.ndarray, expected: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Unwanted changes beyond the truth's, for correlated and for uncorrelated labels.

    mean (..., T, A) holds in row r the mean changes made by the edit of attribute `targets[r]`, truth (...,
    T, A) those of the true counterfactuals (NaN where there is none), expected (A, A) the correlations of the
    labels; weights (..., T) say how much each edit counts. All is divided by the change of the edit's own
    attribute. Pairs of which the truth moves one with the other (colours of hair) are left out.

    confounded  mean size of the change of attributes whose labels correlate with the edited one's
    unrelated   the same of all the others
    carried     slope of the changes on the correlations, by least squares over the correlated pairs: a mean
                difference in ideal codes carries 1, a perfect edit 0

    Each is NaN where there is no such pair.
    """
    rows = np.arange(len(targets))
    own = expected[targets]
    along = entailed(truth, targets)
    excess = mean / own_change(mean, targets)[..., None] - along
    others = np.abs(along) < ENTAILED
    others[..., rows, targets] = False
    correlated = others & (np.abs(own) >= CORRELATED)
    unrelated = others & (np.abs(own) < CORRELATED)
    return {
        "confounded": _mean(np.abs(excess), correlated, weights),
        "unrelated": _mean(np.abs(excess), unrelated, weights),
        "carried": _ratio(excess * own, np.square(own), correlated, weights),
    }


def _mean(values: np.ndarray, chosen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _ratio(values, np.ones(values.shape), chosen, weights)


def _ratio(above: np.ndarray, below: np.ndarray, chosen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    counts = chosen * weights[..., None]
    total = (below * counts).sum((-1, -2))
    found = np.where(chosen, above, 0) * weights[..., None]
    return np.divide(
        found.sum((-1, -2)), total, out=np.full(np.shape(total), np.nan), where=np.asarray(total) > 0
    )


def distances(a: np.ndarray, b: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
    """Euclidean distances between features a and b (n, K), less their difference along `without` (K,): (n,).

    A classifier reads an attribute from one axis of its features. An edit should move a face along that axis
    only, so identity is compared in the others.
    """
    difference = a - b
    if without is not None:
        axis = without / np.linalg.norm(without)
        difference = difference - np.outer(difference @ axis, axis)
    return np.linalg.norm(difference, axis=1)


def identity_scale(same: np.ndarray, different: np.ndarray) -> dict[str, float]:
    """Scale of identity distances: 0 is the same picture, 1 the median distance between two people.

    same and different hold distances of pairs of pictures. `unit` is what a distance is divided by to stand
    on the scale; `different_05` below `same_95` means that the two overlap, and the scale cannot tell people
    apart.
    """
    unit = float(np.median(different))
    marks = {
        "same_median": np.median(same),
        "same_95": np.quantile(same, 0.95),
        "different_05": np.quantile(different, 0.05),
    }
    return {"unit": unit, **{name: float(mark) / unit for name, mark in marks.items()}}


def identity_pairs(
    identity: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` pairs of places with one known identity: two arrays (n,). -1 is unknown."""
    known = np.flatnonzero(identity >= 0)
    order = known[np.lexsort((rng.random(len(known)), identity[known]))]
    pairs = np.flatnonzero(identity[order[:-1]] == identity[order[1:]])
    pairs = np.sort(rng.permutation(pairs)[:count])
    return order[pairs], order[pairs + 1]
