"""The editor that follows a flow of codes: counterfactuals by abduction, action and prediction.

The same as faces/flow/editing.py, which says how and why, of one code at a time, with the networks as ONNX.
The way to the noise is walked once for each face; a slider that moves repeats the way back alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import onnxruntime

from facemorph.code_editors import CodeEditor, Custom, finite, orthonormal, project_off
from facemorph.forms import Forms
from facemorph.labels import Move

FACES = 64  # whose noise is remembered
WAYS = 64  # sets of conditions whose modulations are

Slope = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class FlowEditor(CodeEditor):
    """Edits along a flow. Its conditions y (C,) are the labels (A,) and behind them their forms (F,).

    Its regression is faces/flow/network.py's: with y~ = y - label_mean, 0 if unknown,

    r = P (z - mean - B^T y~),   x = r - C^T (y~_i y~_j - pair_mean, i < j) - E^T (y~ (x) leading x)
    """

    modulation: onnxruntime.InferenceSession
    velocity: onnxruntime.InferenceSession
    mean: np.ndarray  # (D,)
    label_mean: np.ndarray  # (C,)
    slopes: np.ndarray  # (C, D) B
    inward: np.ndarray  # (K, D) P
    outward: np.ndarray  # (K, D) Q
    pair_mean: np.ndarray  # (C (C - 1) / 2,)
    pairs: np.ndarray  # (C (C - 1) / 2, K) C
    interplay: np.ndarray  # (C L, K) E
    kinds: np.ndarray  # (2, C, R, K) W of labels that go [0] and that come [1]
    compensation: np.ndarray  # (A, A) what other labels do per unit of one, to stay as they look
    forms: Forms
    steps: int  # of the solver, each way
    coupling: float  # share of itself that its first state keeps at a step
    noise_of: Callable[[bytes], np.ndarray] = field(init=False, repr=False)
    modulations_of: Callable[[bytes], np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        def noise(content: bytes) -> np.ndarray:
            code = np.frombuffer(content, np.float32)
            return self.abduct(code, self.conditions(code, self.labels.read(code)))

        def modulations(content: bytes) -> np.ndarray:
            times = np.linspace(0, 1, 2 * self.steps + 1, dtype=np.float32)
            labels = np.tile(np.frombuffer(content, np.float32), (len(times), 1))
            return self.modulation.run(None, {"times": times, "labels": labels})[0]

        object.__setattr__(self, "noise_of", lru_cache(FACES)(noise))
        object.__setattr__(self, "modulations_of", lru_cache(WAYS)(modulations))

    def move(
        self,
        code: np.ndarray,
        changes: Mapping[str, float],
        locked: Collection[str],
        custom: Sequence[Custom],
    ) -> np.ndarray:
        labels = self.labels.read(code)
        asked = self.labels.move(labels, changes, locked)
        gained = np.zeros(len(code)) if asked.still else self.gained(code, labels, asked)
        kept = [one.direction for one in custom if one.locked]
        held = [unit for name, unit in zip(self.names, self.units, strict=True) if name in locked]
        own = {locked: np.zeros(len(code)) for locked in (True, False)}
        for one in custom:
            own[one.locked] += one.strength * one.sigma * one.direction
        free = project_off(own[False], orthonormal([*held, *kept]))
        return code + own[True] + project_off(gained, orthonormal(kept)) + free

    def gained(self, code: np.ndarray, labels: np.ndarray, asked: Move) -> np.ndarray:
        """(D,) what a code (D,) with labels (A,) gains, as these move and their forms with them."""
        noise = self.noise_of(code.tobytes())
        own = self.conditions(code, labels)
        start, goal = (
            np.concatenate([end, self.forms.after(labels, own[len(labels) :], end, noise[0])])
            for end in (asked.start, asked.goal)
        )
        return self.predict(code, noise, own, Move(start, goal, asked.strength))

    def conditions(self, code: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(C,) labels (A,), and the forms of a code (D,) that has them."""
        return np.concatenate([labels, self.forms.read(code.astype(np.float64), labels)])

    def untold(self, code: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(D,) what no label (A,) says of a code (D,) by regression, nor any form."""
        return self.rest(code, self.conditions(code, labels)) @ self.outward

    def rest(self, code: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        """x (K,): what no condition (C,) says of a code by regression, along the flow's axes."""
        known = conditions != 0
        along = self.inward @ (code - self.mean - self.centred(conditions, known) @ self.slopes)
        x = along - self.together(conditions, known)
        return x - self.with_leading(conditions, known, x)

    def abduct(self, code: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        """(2, K) the noise, both states of the solver, from which a code (D,) with conditions (C,) comes."""
        told = conditions[None].astype(np.float32)

        def slope(x: np.ndarray, time: float) -> np.ndarray:
            return self.velocities(x, time, told)[0]

        first = self.rest(code, conditions)
        second = first
        for number in range(self.steps - 1, -1, -1):
            begin = number / self.steps
            end = (number + 1) / self.steps
            second = second + midpoint(slope, first, end, begin)
            gained = (1 - self.coupling) * second + midpoint(slope, second, begin, end)
            first = (first - gained) / self.coupling
        return np.stack([first, second])

    def predict(self, code: np.ndarray, noise: np.ndarray, conditions: np.ndarray, asked: Move) -> np.ndarray:
        """(D,) what a code (D,) with conditions (C,) gains, from its noise (2, K)."""
        plain = (asked.start == conditions).all()
        there, whence = (self.compensated(conditions, end) for end in (asked.goal, asked.start))
        ends = [conditions, there] if plain else [conditions, there, whence]
        told = np.stack(ends).astype(np.float32)

        def slope(x: np.ndarray, time: float) -> np.ndarray:
            found = self.velocities(x, time, told)
            return found[0] + asked.strength * (found[1] - found[0 if plain else 2])

        known = conditions != 0
        asked_for = known | (asked.goal != asked.start)
        x = self.rest(code, conditions)
        end = self.walked(self.without_kinds(noise, asked.strength * (asked.goal - asked.start) / 2), slope)
        own = end + self.interactions(conditions, known, end) - x - self.interactions(conditions, known, x)
        goal, start = (self.interactions(each, asked_for, end) for each in (there, whence))
        linear = asked.strength * (there - whence) @ self.slopes
        return linear + (own + asked.strength * (goal - start)) @ self.outward

    def compensated(self, conditions: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Conditions `end` (C,) of an edit of a face with `conditions` (C,), with what other known labels do
        so that the way there brings nothing along.
        """
        count = len(self.compensation)
        shift = (end - conditions)[:count] @ self.compensation * (conditions[:count] != 0)
        return end + np.pad(shift, (0, len(end) - count))

    def without_kinds(self, noise: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Noise (2, K) without what only faces of a label that goes differ in; conditions change by `change`
        (C,).
        """
        for number in np.flatnonzero(change):
            axes = self.kinds[int(change[number] > 0), number]
            noise = noise - min(abs(change[number]), 1.0) * (noise @ axes.T @ axes)
        return noise

    def sample(self, labels: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """The code float32 (D,) of a new face with labels (A,), from standard normal noise (K,)."""
        told = np.concatenate([labels, self.forms.of_noise(labels, noise)])
        conditions = told[None].astype(np.float32)

        def slope(x: np.ndarray, time: float) -> np.ndarray:
            return self.velocities(x, time, conditions)[0]

        known = told != 0
        end = self.walked(np.stack([noise, noise]), slope)
        along = end + self.interactions(told, known, end)
        code = self.mean + self.centred(told, known) @ self.slopes + along @ self.outward
        return finite(code.astype(np.float32))

    def walked(self, noise: np.ndarray, slope: Slope) -> np.ndarray:
        """Where noise (2, K) arrives along `slope`: (K,)."""
        first, second = noise
        for number in range(self.steps):
            begin = number / self.steps
            end = (number + 1) / self.steps
            gained = midpoint(slope, second, begin, end)
            first = self.coupling * first + (1 - self.coupling) * second + gained
            second = second - midpoint(slope, first, end, begin)
        return first

    def centred(self, conditions: np.ndarray, known: np.ndarray) -> np.ndarray:
        """y~ (C,): conditions less their means, 0 where they are not `known` (C,)."""
        return np.where(known, conditions - self.label_mean, 0.0)

    def together(self, conditions: np.ndarray, known: np.ndarray) -> np.ndarray:
        """(K,) what pairs of conditions say together."""
        y = self.centred(conditions, known)
        first, second = np.triu_indices(len(conditions), 1)
        products = np.where(known[first] & known[second], y[first] * y[second] - self.pair_mean, 0.0)
        return products @ self.pairs

    def with_leading(self, conditions: np.ndarray, known: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(K,) what conditions say of a face with the leading coordinates of x (K,)."""
        leading = x[: len(self.interplay) // len(conditions)]
        return np.outer(self.centred(conditions, known), leading).ravel() @ self.interplay

    def interactions(self, conditions: np.ndarray, known: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(K,) both."""
        return self.together(conditions, known) + self.with_leading(conditions, known, x)

    def velocities(self, x: np.ndarray, time: float, conditions: np.ndarray) -> np.ndarray:
        """(B, K) velocity at x (K,) under each of the conditions (B, C), at a time of the solver's: the ends
        and middles of its steps.
        """
        rows = len(conditions)
        place = round(2 * self.steps * time)
        values = {
            "x": np.tile(x.astype(np.float32), (rows, 1)),
            "times": np.full(rows, time, np.float32),
            "modulation": np.stack([self.modulations_of(labels.tobytes())[place] for labels in conditions]),
        }
        return self.velocity.run(None, values)[0].astype(np.float64)


def midpoint(slope: Slope, x: np.ndarray, time: float, end: float) -> np.ndarray:
    """What x (K,) gains from `time` to `end` by one step of the midpoint rule, backwards where `end` is
    earlier.
    """
    step = end - time
    return step * slope(x + step / 2 * slope(x, time), time + step / 2)
