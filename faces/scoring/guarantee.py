"""Ranges of strength with a guarantee: calibrated on edits of valid faces, checked on test faces.

For each attribute and either way (`value` 1: faces without it are given it) the range in which, for `level`
of faces like these, the classifier sees the attribute flipped and sees no other attribute changed by more
than `excess`: faces/metrics/conformal.py has the losses and the formula. Strength is that of the served
slider (faces/scoring/served.py), in changes of the label; so is `excess`: a change of the classifier's
probability.

What else may change is told by the true counterfactual, where the source draws one: a change of another
attribute counts from where it passes the truth's, or goes the other way. Without truth the classifier stands
in for it: other attributes are to stay as they are, but for those that exclusions take along
(faces/edits/exclusions.py), and the guarantee is one about this classifier's eyes alone.

Faces count where the classifier reads the decoded face as its label says. `Male` and whatever else the source
does not draw is not among the other attributes where there is a truth.

Several processes (faces/core/ranks.py) share the edits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import expit
from torch import Tensor

from faces.classifier import Ensemble
from faces.core import ranks
from faces.core.params import Group
from faces.data.crops import Crops
from faces.edits.exclusions import switched
from faces.metrics import conformal
from faces.nn.device import side_by_side
from faces.scoring.context import Codec
from faces.scoring.counterfactuals import Counterfactuals
from faces.scoring.served import Served

RANGES = ("attribute", "value", "faces", "flips", "holds", "low", "high")
CLOSER = 2  # times that an end of a range is looked at, and found again
COVERAGE = ("attribute", "value", "faces", "flipped", "kept", "held")


class Guarantee(Group):
    """The group `guarantee`."""

    level: Annotated[float, Field(gt=0, lt=1)]
    excess: Annotated[float, Field(gt=0, lt=1)]
    strengths: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    faces: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Cases:
    """Faces whose slider of one attribute is moved one way."""

    rows: np.ndarray  # (F,)
    due: np.ndarray  # (F, A) what the truth changes, in the classifier's probability; 0 of the attribute
    watched: np.ndarray  # (A,) bool, the other attributes that are held to it


@dataclass(frozen=True)
class Edited:
    """What the classifier sees of F faces at S strengths, as margins: above 0 is as it should be."""

    flipped: np.ndarray  # (F, S) how far the attribute's probability is past one half
    room: np.ndarray  # (F, S) what is left of the change that is allowed of other attributes

    @property
    def margins(self) -> np.ndarray:
        """(F, S) of both."""
        return np.minimum(self.flipped, self.room)


@dataclass(frozen=True)
class Looks:
    """Faces that can be edited along a slider, and looked at."""

    count: int
    at: Callable[[np.ndarray, np.ndarray], Edited]  # of faces (F,), numbers below count, at strengths (S,)


@dataclass(frozen=True)
class Setting:
    """All that edits and looks at the edited faces."""

    params: Guarantee
    crops: Crops
    codes: np.ndarray  # (N, D)
    codec: Codec
    ensemble: Ensemble
    served: Served

    def read(self, images: Tensor) -> np.ndarray:
        """(n, A) the first classifier's probabilities of each attribute."""
        return expit(self.ensemble.predict(0, images)[0].astype(np.float64))

    def cases(self, pairs: Counterfactuals | None, split: str, attribute: str, value: int) -> Cases:
        """Faces of the split that are to get the label `value`, by the pairs where there are some."""
        names = self.ensemble.attributes
        target = names.index(attribute)
        if pairs is None:
            return self._without_truth(split, target, value)
        chosen = pairs.of(attribute)
        chosen = chosen[pairs.value[chosen] == value]
        rows = pairs.rows[chosen]
        watched = np.isin(names, pairs.attribute)
        watched[target] = False
        due = np.zeros((len(rows), len(names)))
        if len(rows):
            before = self.read(self.codec.pictures(self.crops.images[rows]))
            due = self.read(self.codec.pictures(pairs.images[chosen])) - before
        return Cases(rows, due, watched)

    def _without_truth(self, split: str, target: int, value: int) -> Cases:
        """Other attributes stay, but for those that the new label rules out."""
        names = self.ensemble.attributes
        flow = self.served.flow
        rows = self.crops.rows(split)
        labels = flow.arranged(self.crops.attributes, self.crops.labels[rows])
        place = flow.attributes.index(names[target])
        chosen = np.flatnonzero(labels[:, place] == -value)[: self.params.faces]
        rows = rows[chosen]
        change = switched(place, np.full(len(rows), value), labels[chosen], flow.exclusions)
        due = np.zeros((len(rows), len(names)))
        for a, name in enumerate(names):
            if a != target and name in flow.attributes:
                due[:, a] = change[:, flow.attributes.index(name)]
        return Cases(rows, due, np.arange(len(names)) != target)

    def looked_at(self, cases: Cases, attribute: str, value: int) -> "Looks":
        """What the classifier will see of the faces, those that are read as labelled before."""
        target = self.ensemble.attributes.index(attribute)
        start = self.read(self.codec.decode(self.codes[cases.rows]))
        fits = np.flatnonzero((start[:, target] - 0.5) * value <= 0)
        nothing = np.zeros((0, 0))
        if not len(fits):
            return Looks(0, lambda faces, strengths: Edited(nothing, nothing))
        walk = self.served.walk(self.codes[cases.rows[fits]], attribute, np.full(len(fits), value))

        def look(faces: np.ndarray, strengths: np.ndarray) -> Edited:
            found = Edited(np.zeros((len(faces), len(strengths))), np.zeros((len(faces), len(strengths))))
            for place, strength in enumerate(strengths):
                now = self.read(self.codec.decode(walk(faces, float(strength))))
                beyond = excess(now - start[fits[faces]], cases.due[fits[faces]])[:, cases.watched]
                found.flipped[:, place] = value * (now[:, target] - 0.5)
                found.room[:, place] = self.params.excess - beyond.max(1, initial=0)
            return found

        return Looks(len(fits), look)


def excess(change: np.ndarray, due: np.ndarray) -> np.ndarray:
    """By how much changes go beyond what is due, or the other way: 0 from nothing to `due`."""
    return np.maximum(np.maximum(change - np.maximum(due, 0), np.minimum(due, 0) - change), 0)


def ways(setting: Setting) -> list[tuple[str, int]]:
    """Every attribute that has a slider and can be read, either way."""
    known = set(setting.served.names) & set(setting.served.flow.attributes)
    return [(name, value) for name in setting.ensemble.attributes if name in known for value in (1, -1)]


def calibrated(setting: Setting, pairs: Counterfactuals | None, work: Path | None = None) -> pd.DataFrame:
    """ranges.csv, from valid faces: attribute, value, faces, the largest shares of them that are flipped, and
    that hold all that is asked, at one strength, and low and high, NaN where no strength has the guarantee.

    With `work` the processes share the edits, as shards in that folder.
    """
    params = setting.params
    strengths = np.array(params.strengths)

    def calibrate(way: tuple[str, int]) -> dict[str, np.ndarray]:
        cases = setting.cases(pairs, "valid", *way)
        looks = setting.looked_at(cases, *way) if len(cases.rows) else None
        if looks is None or not looks.count:
            return {"lines": ranks.as_text([])}
        edited = looks.at(np.arange(looks.count), strengths)
        best = [float((margin > 0).mean(0).max()) for margin in (edited.flipped, edited.margins)]
        found = widest(looks, strengths, edited.margins, params.level)
        line = (*way, looks.count, *best, *(found or (np.nan, np.nan)))
        return {"lines": ranks.as_text([dict(zip(RANGES, line, strict=True))])}

    run = side_by_side(setting.codec.device)
    shards = ranks.dealt_jobs("calibrate ranges", "edits", work, ways(setting), calibrate, run)
    lines = [line for arrays in shards for line in ranks.from_text(arrays["lines"])]
    return pd.DataFrame(lines, columns=RANGES)


def widest(
    looks: Looks, strengths: np.ndarray, margins: np.ndarray, level: float
) -> tuple[float, float] | None:
    """The range of strengths with the guarantee, by the margins (F, S) of all faces at `strengths` (S,).

    Between two strengths a margin is no straight line, so an end that falls there is looked at, and found
    again, `CLOSER` times.
    """
    choosing = conformal.chooses(looks.count)
    place = conformal.first_strength(margins[choosing], level)
    if place is None:
        return None
    start = float(strengths[place])
    faces = np.flatnonzero(~choosing)
    margins = margins[faces]
    found = conformal.guaranteed(strengths, margins, level, start)
    for _ in range(CLOSER):
        new = np.setdiff1d(found or (), strengths)
        if not len(new):
            break
        order = np.argsort(np.append(strengths, new), kind="stable")
        margins = np.concatenate([margins, looks.at(faces, new).margins], 1)[:, order]
        strengths = np.append(strengths, new)[order]
        found = conformal.guaranteed(strengths, margins, level, start)
    return found


def checked(
    setting: Setting, pairs: Counterfactuals | None, ranges: pd.DataFrame, work: Path | None = None
) -> pd.DataFrame:
    """coverage.csv, from test faces edited at both ends and the middle of each range: how many are flipped at
    all three, how many have nothing else changed at all three, and how many hold all of it.

    With `work` the processes share the edits, as shards in that folder.
    """
    given = ranges.dropna(subset=["low"])[["attribute", "value", "low", "high"]]

    def check(promised: tuple[str, int, float, float]) -> dict[str, np.ndarray]:
        attribute, value, low, high = promised
        cases = setting.cases(pairs, "test", attribute, value)
        if not len(cases.rows):
            return {"lines": ranks.as_text([])}
        looks = setting.looked_at(cases, attribute, value)
        edited = looks.at(np.arange(looks.count), np.linspace(low, high, 3))
        counts = [int((margin > 0).all(1).sum()) for margin in (edited.flipped, edited.room, edited.margins)]
        line = (attribute, value, looks.count, *counts)
        return {"lines": ranks.as_text([dict(zip(COVERAGE, line, strict=True))])}

    jobs = list(given.itertuples(index=False, name=None))
    run = side_by_side(setting.codec.device)
    shards = ranks.dealt_jobs("check ranges", "edits", work, jobs, check, run)
    lines = [line for arrays in shards for line in ranks.from_text(arrays["lines"])]
    return pd.DataFrame(lines, columns=COVERAGE)
