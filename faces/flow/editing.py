"""Counterfactual codes by abduction, action and prediction (Pearl; Pawlowski, Castro, Glocker, "Deep
Structural Causal Models", NeurIPS 2020).

 - abduction: integrate the flow backwards under the face's own labels y, from its code to noise u: all that
   the labels do not say.
 - action: the labels become y', and kinds of a label that goes are forgotten (faces/flow/network.py). Where
   it is measured what else that brings along, other labels change a little to take it back
   (faces/flow/compensation.py).
 - prediction: integrate u forwards under y'.

At strength s the prediction follows the velocity v(y) + s (v(y') - v(y)): s = 0 leads back to where the face
was, s = 1 to its counterfactual, more is classifier-free guidance (Ho and Salimans 2022) and exaggerates, a
negative s goes the other way.

The solver is reversible (McCallum and Foster, "Efficient, Accurate and Stable Gradients for Neural ODEs",
2024): two states advance together by the midpoint rule, each step of which can be undone to the last bits. So
however few the steps, the way there and back under the same labels is the identity to rounding. The solver's
states have double precision: undoing a step divides by COUPLING, and kinds mix axes of unlike size, which
makes rounding grow. The network computes in single precision.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from faces.flow.network import Flow
from faces.nn.device import double

COUPLING = 0.9  # share of itself that the first state keeps at a step; below 1 draws the two together

Slope = Callable[[Tensor, float], Tensor]


def abduct(flow: Flow, codes: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The noise (2, B, K), both states of the solver, from which codes (B, D) of faces with labels (B, A)
    come.
    """

    def slope(x: Tensor, time: float) -> Tensor:
        return velocity(flow, x, time, labels)

    first = double(flow.rest(codes, labels))
    second = first
    for number in range(steps - 1, -1, -1):
        begin = number / steps
        end = (number + 1) / steps
        second = second + midpoint(slope, first, end, begin)
        first = (first - (1 - COUPLING) * second - midpoint(slope, second, begin, end)) / COUPLING
    return torch.stack([first, second])


def walked(noise: Tensor, slope: Slope, steps: int) -> Tensor:
    """Where noise (2, B, K) arrives along `slope`: (B, K)."""
    first, second = noise
    for number in range(steps):
        before = number / steps
        after = (number + 1) / steps
        first = COUPLING * first + (1 - COUPLING) * second + midpoint(slope, second, before, after)
        second = second - midpoint(slope, first, after, before)
    return first


def predict(
    flow: Flow,
    codes: Tensor,
    noise: Tensor,
    labels: Tensor,
    goal: Tensor,
    strength: Tensor,
    steps: int,
    start: Tensor | None = None,
) -> Tensor:
    """Codes (B, D) whose labels (B, A) become goal (B, A) by strength (B,), from the noise (2, B, K) of
    `abduct`: what a slider repeats as it moves.

    What is done `strength` times is the change from labels `start` (B, A) to `goal`; without it, from the
    face's own. At strength 0, and where nothing changes, the code comes back to the last bit.
    """
    amount = strength[:, None]
    begin = labels if start is None else start
    there, whence = (flow.compensated(labels, end) for end in (goal, begin))
    conditions = torch.stack([labels, there] if start is None else [labels, there, whence])
    exact = double(amount)

    def slope(x: Tensor, time: float) -> Tensor:
        found = velocity(flow, x.expand(len(conditions), *x.shape), time, conditions)
        return found[0] + exact * (found[1] - found[-1 if start is not None else 0])

    kept = flow.without_kinds(noise, double(amount * (goal - begin) / 2))
    x = flow.rest(codes, labels)
    end = walked(kept, slope, steps)
    gained = (end - double(x)).to(x)
    end = end.to(x)
    moved = gained + flow.interactions(labels, end) - flow.interactions(labels, x)
    moved = moved + amount * (flow.interactions(there, end) - flow.interactions(whence, end))
    edited = codes + amount * (flow.told(there) - flow.told(whence)) + moved @ flow.outward
    still = (strength == 0) | (goal == begin).all(1)
    return torch.where(still[:, None], codes, edited)


def velocity(flow: Flow, x: Tensor, time: float, labels: Tensor) -> Tensor:
    """The velocity of x (..., K), in the solver's precision, at a time under labels (..., A)."""
    x = x.to(flow.mean)
    return double(flow.velocity(x, torch.full_like(x[..., 0], time), labels))


def midpoint(slope: Slope, x: Tensor, time: float, end: float) -> Tensor:
    """What x (B, K) gains from `time` to `end` by one step of the midpoint rule; backwards where `end` is
    earlier.
    """
    step = end - time
    return step * slope(x + step / 2 * slope(x, time), time + step / 2)
