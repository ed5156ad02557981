"""Conformal risk control of an edit's strength (Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk
Control", ICLR 2024, arXiv 2208.02814), and conformal p-values.

From n calibration faces, exchangeable with the faces to come, and losses l_i(s) in [0, B] that do not fall as
s rises, the strength

    s^ = sup {s : n / (n + 1) mean_i l_i(s) + B / (n + 1) <= alpha}

keeps the expected loss of the next face at or below alpha (theorem 1, for -s). An edit asks two things of a
strength: that the attribute is flipped, and that nothing else is changed by more than is allowed. Each misses
by 0 or 1 and neither is monotone: a face flips late, and may flip back. So

    low     the lower end is chosen on other faces than those that calibrate, and then stays
    l_i(s)  1 where, at any strength from `low` to s, the face is not flipped or has something else changed

which rises with s whatever the face does. B = 1, the expected loss is the share of faces that fail anywhere
between the two ends, and the upper end s^ is an order statistic.
"""

import numpy as np
from scipy.special import betaincinv


def failures_allowed(count: int, alpha: float) -> int:
    """The most failures among `count` calibration faces that hold the risk at `alpha`: (k + 1) / (n + 1) <=
    alpha. -1 where not even none suffices.
    """
    return int(np.floor(alpha * (count + 1) + 1e-9)) - 1


def lower_end(margins: np.ndarray, level: float) -> int:
    """The place of the least strength at which only half of those fail that may, which leaves the others to
    the upper end; else of the strength at which the fewest do.

    margins (F, S), above 0 where a face holds what is asked; strengths rise along S.
    """
    shares = (margins > 0).mean(0)
    enough = np.flatnonzero(shares >= (1 + level) / 2)
    return int(enough[0] if len(enough) else np.argmax(shares))


def strength_borne(strengths: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """(F,) the strength up to which a face holds what is asked at every strength from the first on.

    strengths (S,) rising; margins (F, S), above 0 where it does, on straight lines between strengths. Minus
    infinity where it fails at the first, the last strength where it never fails.
    """
    fails = margins <= 0
    first = np.argmax(fails, 1)
    rows = np.arange(len(margins))
    before = np.maximum(first - 1, 0)
    fall = margins[rows, before] - margins[rows, first]
    way = np.divide(margins[rows, before], fall, out=np.zeros(len(margins)), where=fall > 0)
    found = strengths[before] + way * (strengths[first] - strengths[before])
    found = np.where(first == 0, -np.inf, found)
    return np.where(fails.any(1), found, strengths[-1])


def upper_end(borne: np.ndarray, alpha: float) -> float:
    """The largest strength at which at most `alpha` of new faces are past the strength that they bear.

    borne (n,) of calibration faces. Minus infinity where there is none.
    """
    allowed = failures_allowed(len(borne), alpha)
    return float(np.sort(borne)[allowed]) if allowed >= 0 else -np.inf


def guaranteed(strengths: np.ndarray, margins: np.ndarray, level: float) -> tuple[float, float] | None:
    """The range of strengths in which at least `level` of new faces hold what is asked; None where there is
    none.

    margins (F, S) as of `lower_end`. Every third face chooses the lower end, the others calibrate.
    """
    chooses = np.arange(len(margins)) % 3 == 0
    if not chooses.any():
        return None
    place = lower_end(margins[chooses], level)
    high = upper_end(strength_borne(strengths[place:], margins[~chooses, place:]), 1 - level)
    return (float(strengths[place]), high) if np.isfinite(high) else None


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """(F,) conformal p-values of scores (F,) that are large where a face is strange: (1 + #{calibration >=
    s}) / (n + 1).

    Vovk, Gammerman and Shafer 2005. Of exchangeable faces at most a share p has a value up to p.
    """
    ordered = np.sort(calibration)
    above = len(ordered) - np.searchsorted(ordered, scores, "left")
    return (1 + above) / (len(ordered) + 1)


def binomial_interval(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share, `hits` of `count` (Clopper and Pearson 1934)."""
    tail = (1 - level) / 2
    low = betaincinv(hits, count - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, count - hits, 1 - tail) if hits < count else 1.0
    return float(low), float(high)
