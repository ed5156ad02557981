"""Area under the ROC curve, with bootstrap weights for its uncertainty, and the curve."""

import numpy as np

from faces.core.batches import batches

NUMBERS = 1 << 20  # weights held at once: some 30 MB with what is made of them


def resamples(count: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap weights (times, count) uint8: how often each of `count` cases was drawn.

    uint8 is enough: the chance that one case is drawn 256 times is below 1 in 10^500.
    """
    weights = np.empty((times, count), np.uint8)
    for one in weights:
        one[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    return weights


def auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """P(score of a positive > score of a negative), ties counting half (Hanley & McNeil 1982).

    scores (n,), positive (n,) bool, weights (R, n) for R weighted versions at once. Returns (R,), or (1,)
    without weights; NaN where a class is empty.
    """
    order = np.argsort(scores, kind="stable")
    scores = scores[order]
    positive = positive[order]
    weights = np.ones((1, len(scores)), np.uint8) if weights is None else weights
    ties = (
        np.searchsorted(scores, scores[positive], "left"),
        np.searchsorted(scores, scores[positive], "right"),
    )
    areas = np.empty(len(weights))
    for rows in batches(len(weights), max(NUMBERS // max(len(scores), 1), 1)):
        some = weights[rows][:, order].astype(np.float32)
        cases = some[:, positive]  # (r, P)
        below = np.zeros((len(some), len(scores) + 1))
        # weight of the negatives up to each place
        np.cumsum(some * ~positive, axis=1, dtype=np.float64, out=below[:, 1:])
        wins = 0.5 * (below[:, ties[0]] + below[:, ties[1]])
        with np.errstate(invalid="ignore", divide="ignore"):
            areas[rows] = (cases * wins).sum(1) / (cases.sum(1, dtype=np.float64) * below[:, -1])
    return areas


def roc_curve(scores: np.ndarray, positive: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """ROC curve: false and true positive rates (points,), at evenly spaced false positive rates.

    Ties give a straight segment, so that the area under the curve equals `auroc`.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0) + 1  # ends of the runs of equal scores
    true = np.r_[0, np.cumsum(positive[order])][np.r_[0, last]]
    false = np.r_[0, np.cumsum(~positive[order])][np.r_[0, last]]
    rates = np.linspace(0, 1, points)
    return rates, np.interp(rates, false / false[-1], true / true[-1])
