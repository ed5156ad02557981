"""What an edit did, in numbers: to its attribute, to every other, to the person. Pure functions over what a judge saw.

Letters: S strengths, the first of which is 0; F faces; A attributes; K features. `side` (F,) is +1 where the edit adds the attribute, -1 where it removes it.
Evidence is a judge's (faces/classifier.py): it speaks for the attribute above 0. Changes count in `spread` (A,), the evidence's standard deviation over
real faces, so that attributes can be compared. Edits are compared where they do the same to their target, not where their strength is the same (the
DT curve of Han et al., IJCAI 2021): an edit that does nothing leaks nothing.
"""

import math

import numpy as np
import pandas as pd

CORRELATED = 0.1  # correlation of two labels, either way, from which a confounder is there to be carried
ENTAILED = 0.15  # change that the truth brings along, as a share of the attribute's own, from which two attributes are not separate


def flip_strengths(strengths: np.ndarray, evidence: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The strength (F,) at which each face first counts as having flipped, linear between measured strengths; infinity where it never does.

    strengths (S,) rising from 0, evidence (S, F) of the edit's own attribute.
    """
    signed = evidence * side  # above 0: flipped
    flips = np.full(signed.shape[1], np.inf)
    for k in range(len(strengths) - 1, 0, -1):
        low, high = signed[k - 1], signed[k]
        crosses = (low <= 0) & (high > 0)
        share = -low / np.where(crosses, high - low, 1.0)
        flips = np.where(crosses, strengths[k - 1] + share * (strengths[k] - strengths[k - 1]), flips)
    return flips


def strength_for(flips: np.ndarray, share: float) -> float:
    """The least strength at which `share` of the faces have flipped; infinity where they never do, or there are no faces."""
    place = math.ceil(share * len(flips) - 1e-9) - 1
    return float(np.sort(flips)[place]) if len(flips) else math.inf


def at(strengths: np.ndarray, curve: np.ndarray, strength: float) -> np.ndarray:
    """The curve (S, ...) at `strength`, linear between measured strengths."""
    high = min(int(np.searchsorted(strengths, strength)), len(strengths) - 1)
    if high == 0:
        return curve[0]
    share = (strength - strengths[high - 1]) / (strengths[high] - strengths[high - 1])
    return curve[high - 1] * (1 - share) + curve[high] * share


def changes(evidence: np.ndarray, side: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Mean change of every attribute since strength 0, in spreads, counted in the direction in which the edit's own attribute was to go.

    evidence (S, F, A) -> (S, A). InterFaceGAN's re-scoring (Shen et al. 2020, section 4.3): what is meant to change stands beside what came along.
    """
    return ((evidence - evidence[:1]) * side[:, None]).mean(1) / spread


def leakage(change: np.ndarray, target: int) -> np.ndarray:
    """Mean size of the changes (..., A) of the other attributes, in spreads: (...,). 0 where there are no others."""
    others = np.delete(np.abs(change), target, axis=-1)
    return others.mean(-1) if others.shape[-1] else np.zeros(change.shape[:-1])


def kept(evidence: np.ndarray, target: int) -> np.ndarray:
    """Share of the other attributes, over all faces, that are judged as at strength 0: evidence (S, F, A) -> (S,)."""
    same = np.delete((evidence > 0) == (evidence[:1] > 0), target, axis=2)
    return same.mean((1, 2)) if same.shape[2] else np.ones(len(evidence))


def correlations(labels: np.ndarray) -> np.ndarray:
    """Pearson's correlation of labels (N, A) of 1, -1, 0 for unknown, over the rows where both are known; 0 where one never varies. (A, A)."""
    return pd.DataFrame(np.where(labels == 0, np.nan, labels)).corr().fillna(0.0).to_numpy()


def carried(
    matrix: np.ndarray, truth: np.ndarray, expected: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    """What edits brought along beyond what the truth brings along, where labels are correlated and where they are not.

    Row r of matrix (R, A) holds the changes that the edit of attribute `targets[r]` made, row r of truth those that the true counterfactual makes (zeros
    where there is no truth), both in spreads; expected (A, A) holds the label correlations; weights (R,) say how much each edit counts. All is divided by the
    change of the edit's own attribute. Pairs of which the truth moves one with the other (colours of hair) are left out: there is no telling what came along.

    confounded    mean size of the change of attributes whose labels correlate with the edited one's by CORRELATED at least, either way
    unrelated     the same of all the others
    carried       slope of the changes on the correlations, by least squares over those pairs: a mean difference in ideal codes carries 1, a perfect edit 0

    Each is NaN where there is no such pair.
    """
    rows, own = np.arange(len(targets)), expected[targets]
    real = truth[rows, targets][:, None]
    entailed = np.divide(truth, real, out=np.zeros_like(truth), where=real != 0)
    excess = matrix / matrix[rows, targets][:, None] - entailed
    others = np.abs(entailed) < ENTAILED
    others[rows, targets] = False
    correlated = others & (np.abs(own) >= CORRELATED)
    unrelated = others & ~correlated
    squares = _total(np.square(own), correlated, weights)
    return {
        "confounded": _mean(np.abs(excess), correlated, weights),
        "unrelated": _mean(np.abs(excess), unrelated, weights),
        "carried": _total(excess * own, correlated, weights) / squares if squares > 0 else math.nan,
    }


def _total(values: np.ndarray, chosen: np.ndarray, weights: np.ndarray) -> float:
    return float((np.where(chosen, values, 0) * weights[:, None]).sum())


def _mean(values: np.ndarray, chosen: np.ndarray, weights: np.ndarray) -> float:
    count = _total(np.ones(chosen.shape), chosen, weights)
    return _total(values, chosen, weights) / count if count > 0 else math.nan


def distances(a: np.ndarray, b: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
    """Euclidean, between features a and b, each (n, K), leaving out their difference along `without` (K,): (n,).

    A judge reads an attribute off along one axis of its features. An edit is to move a face along it; whether it is still the same person shows in the others.
    """
    difference = a - b
    if without is not None:
        axis = without / np.linalg.norm(without)
        difference = difference - np.outer(difference @ axis, axis)
    return np.linalg.norm(difference, axis=1)


def identity_scale(same: np.ndarray, different: np.ndarray) -> dict[str, float]:
    """Marks on a scale where 0 is the same picture and 1 the median distance between two different people.

    same and different hold distances of pairs of pictures. `unit` is what a distance is divided by to stand on the scale.
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
    """Up to `count` pairs of places with the same known identity: two arrays (n,). -1 is unknown; n is 0 where no person is seen twice."""
    known = np.flatnonzero(identity >= 0)
    order = known[np.lexsort((rng.random(len(known)), identity[known]))]
    pairs = np.flatnonzero(identity[order[:-1]] == identity[order[1:]])
    pairs = np.sort(rng.permutation(pairs)[:count])
    return order[pairs], order[pairs + 1]
