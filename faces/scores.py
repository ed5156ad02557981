"""How well a number separates two classes: the area under the ROC curve, with its uncertainty."""

import numpy as np


def resamples(count: int, times: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap weights (times, count) float32: how often each of `count` cases was drawn."""
    return np.stack([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(times)]).astype(np.float32)


def auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """P(score of a positive > score of a negative), ties counting half (Hanley & McNeil 1982).

    scores (n,), positive (n,) bool, weights (R, n) for R weighted versions at once. Returns (R,), or (1,) without weights; NaN where a class is empty.
    """
    order = np.argsort(scores, kind="stable")
    scores, positive = scores[order], positive[order]
    weights = np.ones((1, len(scores)), np.float32) if weights is None else weights[:, order]
    cases = weights[:, positive]  # (R, P)
    below = np.zeros((len(weights), len(scores) + 1))
    np.cumsum(weights * ~positive, axis=1, dtype=np.float64, out=below[:, 1:])  # weight of the negatives up to each place
    ties = np.searchsorted(scores, scores[positive], "left"), np.searchsorted(scores, scores[positive], "right")
    wins = 0.5 * (below[:, ties[0]] + below[:, ties[1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        return (cases * wins).sum(1) / (cases.sum(1, dtype=np.float64) * below[:, -1])


def roc_curve(scores: np.ndarray, positive: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at `points` thresholds spread over the false positive rates, each (points,)."""
    ranked = positive[np.argsort(-scores, kind="stable")]
    true, false = np.r_[0, np.cumsum(ranked)], np.r_[0, np.cumsum(~ranked)]
    rates = np.linspace(0, 1, points)
    return rates, np.interp(rates, false / false[-1], true / true[-1])
