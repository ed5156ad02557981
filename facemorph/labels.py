"""Labels of a face, read off its code, and what sliders make of them.

A label is a number in [-1, 1]: 1 with, -1 without, 0 unknown, and between them what the readout believes.
Arithmetic is float64, of single codes (D,) and labels (A,). web/API.md is the specification.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SEVERAL = 16  # new faces at least, one of which is picked where labels are asked for


@dataclass(frozen=True)
class Move:
    """What sliders ask for: the change of labels from `start` to `goal`, done `strength` times.

    The change of the label that a slider at 1 stands for: 0 of all where no slider is moved.
    """

    start: np.ndarray  # (A,)
    goal: np.ndarray  # (A,)
    strength: float  # of the slider that is moved farthest

    @property
    def still(self) -> bool:
        """Whether nothing is asked for."""
        return self.strength == 0 or bool((self.start == self.goal).all())


def having(labels: np.ndarray, asked: np.ndarray, several: int = SEVERAL) -> np.ndarray:
    """Which of faces with labels (N, A), by their signs, have the most of what is asked for (A,), 1, -1 or 0:
    the places of all that lack at most so many of these that there are `several`.
    """
    lacks = (asked != 0).sum() - (labels * asked > 0).sum(1)
    return np.flatnonzero(lacks <= np.sort(lacks)[min(several, len(lacks)) - 1])


@dataclass(frozen=True)
class Labels:
    """Readouts of attributes `names`, the pairs of labels that no face shows together, and the sets of which
    every face shows one, the commonest first.
    """

    names: tuple[str, ...]
    normals: np.ndarray  # (A, D) calibrated log-odds are z . normals[a] + intercepts[a]
    intercepts: np.ndarray  # (A,)
    exclusive: np.ndarray  # (R, A): of each pair two entries of 1 or -1 (without), the others 0
    exhaustive: Sequence[Sequence[tuple[int, int]]]  # places and sides of which every face shows one

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        normals: np.ndarray,
        intercepts: np.ndarray,
        exclusive: Sequence[Sequence[str]],
        exhaustive: Sequence[Sequence[str]],
    ) -> "Labels":
        """From an export: `exclusive` and `exhaustive` are sets of names, with "-" in front where the absence
        is meant.
        """

        def placed(members: Sequence[str]) -> list[tuple[int, int]]:
            return [
                (list(names).index(name.removeprefix("-")), -1 if name.startswith("-") else 1)
                for name in members
            ]

        pairs = np.zeros((len(exclusive), len(names)))
        for row, pair in zip(pairs, exclusive, strict=True):
            for place, side in placed(pair):
                row[place] = side
        sets = [placed(members) for members in exhaustive]
        return cls(tuple(names), normals.astype(np.float64), intercepts.astype(np.float64), pairs, sets)

    def read(self, code: np.ndarray) -> np.ndarray:
        """(A,) the expected labels of a code (D,)."""
        return np.tanh((self.normals @ code.astype(np.float64) + self.intercepts) / 2)

    def settled(self, labels: np.ndarray) -> np.ndarray:
        """Labels (A,) made certain: 1 or -1, of two that exclude one another the surer alone, of an
        exhaustive set the likeliest that nothing excludes; 0 stays.
        """
        found = np.sign(labels)
        for a in np.argsort(-np.abs(labels), kind="stable"):
            for pair in self.exclusive[self.exclusive[:, a] == found[a]]:
                b = next(place for place in np.flatnonzero(pair) if place != a)
                if found[a] != 0 and found[b] == pair[b]:
                    found[b] = -pair[b]
        for members in self.exhaustive:
            if any(found[b] in (0, side) for b, side in members):
                continue
            for b, side in sorted(members, key=lambda one: -one[1] * labels[one[0]]):
                beside = self.exclusive[self.exclusive[:, b] == side]
                if not any(found[c] == pair[c] for pair in beside for c in np.flatnonzero(pair) if c != b):
                    found[b] = side
                    break
        return found

    def move(self, labels: np.ndarray, changes: Mapping[str, float], locked: Collection[str]) -> Move:
        """What `changes`, sliders by attribute, make of a face with labels (A,).

        A slider v stands for the change from -sign(v) to sign(v). Where labels are certain the face's own is
        one of the two: the goal where the slider exaggerates, else the start. What an exclusion rules out
        beside a label that comes goes with it, unless it is locked or unknown; a slider of its own says more.
        """
        values = np.array([changes.get(name, 0.0) for name in self.names])
        strength = float(np.abs(values).max(initial=0))
        if strength == 0:
            return Move(labels, labels, 0.0)
        share = np.abs(values) / strength
        sign = np.sign(values)
        comes = share * (1 - sign * labels) / 2  # the part of the slider that flips, the rest exaggerates
        free = np.array([name not in locked for name in self.names]) & (labels != 0)
        goal = self.pushed(labels, sign, share, comes, free)
        start = self.pushed(labels, -sign, share, share - comes, free)
        return Move(start, goal, strength)

    def pushed(
        self, labels: np.ndarray, wanted: np.ndarray, share: np.ndarray, comes: np.ndarray, free: np.ndarray
    ) -> np.ndarray:
        """Labels (A,) moved by `share` (A,) of the way to `wanted` (A,), and those that are `free` (A,) by
        what exclusions ask for where a label `comes` (A,).

        The largest claim on a label counts, less the largest the other way. Where one of an exhaustive set
        goes and none is wanted, the first that is free claims to come by what is then lacking.
        """
        claims = {1.0: np.zeros(len(labels)), -1.0: np.zeros(len(labels))}
        for pair in self.exclusive:
            first, second = np.flatnonzero(pair)
            for a, b in ((first, second), (second, first)):
                if wanted[a] == pair[a] and free[b]:
                    claim = claims[-pair[b]]
                    claim[b] = max(claim[b], comes[a])
        for members in self.exhaustive:
            if any(wanted[b] == side for b, side in members):
                continue
            lost = [0.0]
            left = [0.0]
            others = []
            for b, side in members:
                shown = (1 + side * labels[b]) / 2 if labels[b] else 1.0
                claimed = claims[-side][b]
                if wanted[b]:
                    lost.append(comes[b])
                elif claimed:
                    lost.append(claimed * shown)
                else:
                    left.append(shown)
                    others += [(b, side)] if free[b] else []
            if others:
                b, side = others[0]
                claims[side][b] = max(claims[side][b], max(lost) * (1 - max(left)))
        claim = claims[1.0] - claims[-1.0]
        beyond = np.maximum(np.abs(claim) - share, 0)
        return labels + share * (wanted - labels) + beyond * (np.sign(claim) - labels)
