"""Conformal risk control of an edit's strength (Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk
Control", ICLR 2024, arXiv 2208.02814), and conformal p-values.

From n calibration faces, exchangeable with the faces to come, and losses l_i(r) in [0, B] that do not fall as
r rises, the reach

    r^ = sup {r : n / (n + 1) mean_i l_i(r) + B / (n + 1) <= alpha}

keeps the expected loss of the next face at or below alpha (theorem 1, for -r). An edit asks two things of a
strength: that the attribute is flipped, and that nothing else is changed by more than is allowed. Each misses
by 0 or 1 and neither is monotone: a face flips late, and may flip back. So ranges are nested:

    from    one strength, which other faces than those that calibrate choose
    r       first the upper end rises; where it is at the largest strength, the lower end falls
    l_i(r)  1 where, at any strength of the range, the face is not flipped or has something else changed

which rises with r whatever the face does. B = 1, the expected loss is the share of faces that fail anywhere
in the range, and the reach r^ is an order statistic.
"""

import numpy as np
from scipy.special import betaincinv


def failures_allowed(count: int, alpha: float) -> int:
    """The most failures among `count` calibration faces that hold the risk at `alpha`: (k + 1) / (n + 1) <=
    alpha. -1 where not even none suffices.
    """
    return int(np.floor(alpha * (count + 1) + 1e-9)) - 1


def first_strength(margins: np.ndarray, level: float) -> int | None:
    """The place of the least strength at which only half of those fail that may, which leaves the others to
    the range; else of the strength at which the fewest do. None where more fail there than may: other faces
    would then hold by luck alone, and those to come would not.

    margins (F, S), above 0 where a face holds what is asked; strengths rise along S.
    """
    if not len(margins):
        return None
    shares = (margins > 0).mean(0)
    enough = np.flatnonzero(shares >= (1 + level) / 2)
    place = int(enough[0] if len(enough) else np.argmax(shares))
    return place if shares[place] >= level else None


def reach_borne(reaches: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """(F,) the reach up to which a face holds what is asked at every reach from the first on.

    reaches (S,), not falling; margins (F, S), above 0 where it does, on straight lines between reaches. Minus
    infinity where it fails at the first, the last reach where it never fails.
    """
    fails = margins <= 0
    first = np.argmax(fails, 1)
    rows = np.arange(len(margins))
    before = np.maximum(first - 1, 0)
    fall = margins[rows, before] - margins[rows, first]
    way = np.divide(margins[rows, before], fall, out=np.zeros(len(margins)), where=fall > 0)
    found = reaches[before] + way * (reaches[first] - reaches[before])
    found = np.where(first == 0, -np.inf, found)
    return np.where(fails.any(1), found, reaches[-1])


def largest_reach(borne: np.ndarray, alpha: float) -> float:
    """The largest reach at which at most `alpha` of new faces are past the reach that they bear.

    borne (n,) of calibration faces. Minus infinity where there is none.
    """
    allowed = failures_allowed(len(borne), alpha)
    return float(np.sort(borne)[allowed]) if allowed >= 0 else -np.inf


def chooses(count: int) -> np.ndarray:
    """(count,) bool: every third face chooses where the range starts, the others calibrate it."""
    return np.arange(count) % 3 == 0


def guaranteed(
    strengths: np.ndarray, margins: np.ndarray, level: float, start: float
) -> tuple[float, float] | None:
    """The widest range of strengths about `start`, one of them, in which at least `level` of new faces hold
    what is asked; None where there is none.

    strengths (S,) rising; margins (F, S) of the faces that calibrate, as of `first_strength`.
    """
    place = int(np.searchsorted(strengths, start))
    top = strengths[-1]
    reaches = np.concatenate([strengths[place:] - start, top - strengths[place::-1]])
    along = np.concatenate([margins[:, place:], margins[:, place::-1]], 1)
    reach = largest_reach(reach_borne(reaches, along), 1 - level)
    if not np.isfinite(reach):
        return None
    return float(min(start, top - reach)), float(min(start + reach, top))


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
