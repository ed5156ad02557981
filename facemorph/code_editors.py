"""Editors of codes: a code and the changes asked for -> the edited code. One class for each way of editing.

An export says which one is its own: `LinearEditor` moves along directions, `FlowEditor`
(facemorph/flow_editor.py) along a flow.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facemorph.labels import Labels


class BadValue(ValueError):
    """A value in a request cannot be used. The message names it."""


@dataclass(frozen=True)
class Custom:
    """A direction that a person made: unit length, in code units per sigma and sigmas asked for."""

    direction: np.ndarray  # (D,) float64
    sigma: float
    strength: float
    locked: bool


@dataclass(frozen=True)
class CodeEditor(ABC):
    """The contract of an editor of codes. `names` are the attributes that it can change.

    **Strength** counts changes of the label: 0 is the face as it is, 1 turns a face without the attribute
    into one with it, -1 one with it into one without; what a face has already is exaggerated.
    """

    names: tuple[str, ...]
    units: np.ndarray  # (A, D) float64 unit directions of `names`
    labels: Labels  # in an order of their own

    def edit(
        self,
        code: np.ndarray,
        changes: Mapping[str, float],
        locked: Collection[str] = (),
        custom: Sequence[Custom] = (),
    ) -> np.ndarray:
        """The code float32 (D,) after `changes` by attribute; `locked` ones follow their own alone.

        Where nothing is asked for it comes back as it is. Raises BadValue naming an unknown attribute, or
        where the code overflows.
        """
        self.check((*changes, *locked))
        if not any(changes.values()) and not any(one.strength for one in custom):
            return finite(code)
        with np.errstate(over="ignore", invalid="ignore"):
            return finite(self.move(code, changes, locked, custom).astype(np.float32))

    def check(self, names: Iterable[str]) -> None:
        """Raises BadValue naming an attribute that there is not."""
        for name in names:
            if name not in self.names:
                raise BadValue(f"{name[:40]!r} is not an attribute of this model")

    @abstractmethod
    def move(
        self,
        code: np.ndarray,
        changes: Mapping[str, float],
        locked: Collection[str],
        custom: Sequence[Custom],
    ) -> np.ndarray:
        """`edit` with names that are known, in float64."""


@dataclass(frozen=True)
class LinearEditor(CodeEditor):
    """Straight lines: z' = z + locked steps + P(other steps), P off the span of the locked directions.

    The step of an attribute is half its change of the label times its direction at native length.
    """

    lengths: np.ndarray  # (A,) native lengths of `units`: a change of the label by 2

    def move(
        self,
        code: np.ndarray,
        changes: Mapping[str, float],
        locked: Collection[str],
        custom: Sequence[Custom],
    ) -> np.ndarray:
        asked = self.labels.move(self.labels.read(code), changes, locked)
        halves = dict(zip(self.labels.names, asked.strength * (asked.goal - asked.start) / 2, strict=True))
        own = [halves.get(name, 0.0) * length for name, length in zip(self.names, self.lengths, strict=True)]
        steps = np.array(own + [one.strength * one.sigma for one in custom])
        held = [name in locked for name in self.names] + [one.locked for one in custom]
        units = np.vstack([self.units, *(one.direction for one in custom)])
        held_steps = np.where(held, steps, 0)
        free = project_off((steps - held_steps) @ units, orthonormal(units[held]))
        return code + held_steps @ units + free


def project_off(vector: np.ndarray, basis: Sequence[np.ndarray]) -> np.ndarray:
    """`vector` (D,) without its part in the span of an orthonormal basis."""
    rest = vector.astype(np.float64)
    for axis in basis:
        rest = rest - (rest @ axis) * axis
    return rest


def orthonormal(vectors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """An orthonormal basis of the span of unit vectors (D,), by Gram-Schmidt, twice for accuracy.

    A vector of which less than 1e-6 is left adds nothing.
    """
    basis: list[np.ndarray] = []
    for vector in vectors:
        rest = project_off(project_off(vector, basis), basis)
        left = np.linalg.norm(rest)
        if left >= 1e-6:
            basis.append(rest / left)
    return basis


def straight(first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
    """The code at `t` on the line between two codes (D,)."""
    return finite(((1 - t) * first.astype(np.float64) + t * second.astype(np.float64)).astype(np.float32))


def arc(first: np.ndarray, second: np.ndarray, t: float, mean: np.ndarray) -> np.ndarray:
    """The code at `t` on an arc about `mean` between two codes (D,): direction and length change evenly.

    White 2016, "Sampling Generative Networks". The straight line where the two lie on one line with the mean.
    """
    a = first - mean
    b = second - mean
    a_length = np.linalg.norm(a)
    b_length = np.linalg.norm(b)
    if min(a_length, b_length) < 1e-6:
        return straight(first, second, t)
    angle = np.arccos(np.clip(a @ b / (a_length * b_length), -1, 1))
    if np.sin(angle) < 1e-4:
        return straight(first, second, t)
    way = (np.sin((1 - t) * angle) * a / a_length + np.sin(t * angle) * b / b_length) / np.sin(angle)
    return finite((mean + ((1 - t) * a_length + t * b_length) * way).astype(np.float32))


def finite(code: np.ndarray) -> np.ndarray:
    """`code`, unless it overflowed: then BadValue."""
    if not np.isfinite(code).all():
        raise BadValue("code: the edit leads beyond what numbers can hold")
    return code
