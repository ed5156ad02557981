"""Promotion gates: PROMOTE, HOLD or REJECT. Each figure is compared with its floor, and with the champion's
within a tolerance; metrics are never averaged.

REJECT    something is broken, a floor is missed, or a critical metric is worse by over `reject` tolerances
HOLD      a critical metric is worse by more than one tolerance, or cannot be compared; or nothing is better
          and no new data speaks for the change
PROMOTE   otherwise: no critical metric is worse, and one is better beyond its tolerance, or the data are
          new, or nobody serves yet
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from statistics import fmean
from typing import Any, Literal

from ops.experiments import metric_table
from ops.retrain.settings import Gates

ROUNDING = 1e-4  # figures are written with four decimals
COSTS = (
    "leakage",
    "psnr_outside",
    "error_reduction",
)  # means over attributes that an exam also has one by one
Word = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True)
class Figure:
    """One metric of both. `gain` is how much better the challenger is, in the metric's unit; `tolerance` what
    chance explains; None: not known.
    """

    key: str
    critical: bool
    champion: float | None
    challenger: float | None
    gain: float | None
    tolerance: float | None
    floor: float | None
    # better, same, worse, much worse, below floor, missing, new, no tolerance; "" without comparison
    finding: str


@dataclass(frozen=True)
class Verdict:
    word: Word
    reasons: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    sanity: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def tolerance(key: str, gates: Gates, noise: Mapping[str, float]) -> float | None:
    """Tolerance of a metric: `factor` standard deviations of the difference of two runs, sqrt(2) times that
    of one run.

    noise maps keys to the standard deviation over seeds (ops.retrain.noise). Where a key was not measured,
    the table of retrain.yaml; None where there is no entry.
    """
    if key in noise:
        return max(gates.factor * math.sqrt(2) * noise[key], ROUNDING)
    return match(key, gates.tolerances)


def match(key: str, table: Mapping[str, float]) -> float | None:
    """The first entry whose pattern fits."""
    return next((value for pattern, value in table.items() if fnmatchcase(key, pattern)), None)


def compare(
    key: str, champion: float | None, challenger: float | None, gates: Gates, noise: Mapping[str, float]
) -> Figure:
    """One metric: None is a figure that a run does not have."""
    metric = metric_table.of(key)
    floor = gates.floors.get(key)
    critical = metric is not None and metric.critical
    gain = (
        metric_table.gain(key, champion, challenger)
        if champion is not None and challenger is not None
        else None
    )
    allowed = tolerance(key, gates, noise) if metric is not None and metric.better else None
    lower = metric is not None and metric.better == "lower"
    if floor is not None and (challenger is None or (challenger > floor if lower else challenger < floor)):
        finding = "below floor"
    elif challenger is None and champion is not None:
        finding = "missing"
    elif challenger is not None and champion is None:
        finding = "new"
    elif gain is None:
        finding = ""
    elif allowed is None:
        finding = "no tolerance"
    elif gain < -gates.reject * allowed:
        finding = "much worse"
    elif gain < -allowed:
        finding = "worse"
    else:
        finding = "better" if gain > allowed else "same"
    return Figure(key, critical, champion, challenger, gain, allowed, floor, finding)


def unsound(sanity: Mapping[str, Any], gates: Gates) -> list[str]:
    """Faults of a model, from the figures of ops.retrain.sanity."""
    found = []
    if not sanity["weights_finite"]:
        found.append("weights are not finite")
    if sanity.get("trouble"):
        found.append(f"the export cannot be used: {sanity['trouble']}")
    if sanity["leaked"]:
        found.append(f"{sanity['leaked']} faces of the exam are among its train faces")
    limits = {
        "parity": (gates.parity, "levels between torch and the export"),
        "latency": (gates.latency, "ms per face"),
    }
    for name, (limit, unit) in limits.items():
        value = sanity[name]
        if value is not None and value > limit:
            found.append(f"{name}: {value:.4g} {unit}, at most {limit:g}")
    if sanity["parity"] is None and not sanity.get("trouble"):
        found.append("parity: pictures are not finite")
    if sanity["spread"] is not None and sanity["spread"] < gates.spread:
        found.append(
            f"spread: samples differ by {sanity['spread']:.2f} levels, at least {gates.spread:g}: "
            "they all look alike"
        )
    return found


def judge(
    champion: Mapping[str, Any] | None,
    challenger: Mapping[str, Any],
    sanity: Mapping[str, Any],
    gates: Gates,
    noise: Mapping[str, float],
    new_data: bool,
) -> Verdict:
    """The verdict on the nested figures of both; champion is None where no model serves yet."""
    theirs, ours = on_common_ground(known(champion or {}), known(challenger))
    keys = [*ours, *(key for key in (*theirs, *gates.floors) if key not in ours)]
    figures = tuple(compare(key, theirs.get(key), ours.get(key), gates, noise) for key in dict.fromkeys(keys))
    broken = unsound(sanity, gates) + [
        f"{figure.key}: {number(figure.challenger)}, floor {figure.floor:g}"
        for figure in figures
        if figure.finding == "below floor"
    ]
    critical = [figure for figure in figures if figure.critical]
    worse = {
        word: [figure for figure in critical if figure.finding == word]
        for word in ("much worse", "worse", "missing", "no tolerance")
    }
    better = [figure for figure in critical if figure.finding == "better"]
    unmeasured = [figure.key for figure in critical if figure.challenger is None and figure.champion is None]
    without = (f"not measured: {', '.join(unmeasured)}",) if unmeasured else ()
    if broken or worse["much worse"]:
        return Verdict(
            "REJECT", (*broken, *map(told, worse["much worse"] + worse["worse"])), figures, dict(sanity)
        )
    if doubts := worse["missing"] + worse["worse"] + worse["no tolerance"]:
        return Verdict("HOLD", tuple(map(told, doubts)), figures, dict(sanity))
    if champion is None:
        reason = "nobody serves yet, and every floor is reached"
        return Verdict("PROMOTE", (reason, *without), figures, dict(sanity))
    if better:
        return Verdict("PROMOTE", (*map(told, better), *without), figures, dict(sanity))
    if new_data:
        reason = "trained on new data, and no critical metric is worse"
        return Verdict("PROMOTE", (reason, *without), figures, dict(sanity))
    reason = "no critical metric is better by more than chance, and the data are the same"
    return Verdict("HOLD", (reason, *without), figures, dict(sanity))


def on_common_ground(
    champion: dict[str, float | None], challenger: dict[str, float | None]
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Both with their means of decoded edits (COSTS) over the attributes that both reach, where these are
    known.

    A challenger that reaches one more, hard attribute is thus not at a disadvantage.
    """
    both = {
        key for key in champion.keys() & challenger.keys() if None not in (champion[key], challenger[key])
    }
    means: tuple[dict[str, float | None], dict[str, float | None]] = ({}, {})
    for cost in COSTS:
        keys = sorted(key for key in both if fnmatchcase(key, f"edits_by_attribute.*.{cost}"))
        if keys:
            for found, figures in zip(means, (champion, challenger), strict=True):
                found[f"edits.primary.plain.{cost}"] = round(fmean(figures[key] for key in keys), 4)
    return champion | means[0], challenger | means[1]


def known(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Flat figures; NaN and infinity become None."""
    flat = metric_table.flatten(dict(figures))
    return {
        key: value if isinstance(value, (int, float)) and math.isfinite(value) else None
        for key, value in flat
    }


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def told(figure: Figure) -> str:
    """A figure as text."""
    if figure.finding == "missing":
        return f"{figure.key}: the champion has {number(figure.champion)}, the challenger none"
    if figure.finding == "no tolerance":
        return f"{figure.key}: no tolerance is known; run ops.retrain.noise, or add it to gates.tolerances"
    change = figure.challenger - figure.champion
    return (
        f"{figure.key}: {figure.finding}, {number(figure.champion)} -> {number(figure.challenger)} "
        f"({change:+.4g}, tolerance {number(figure.tolerance)})"
    )
