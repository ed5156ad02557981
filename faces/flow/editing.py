"""Counterfactual codes by abduction, action and prediction (Pearl; Pawlowski, Castro, Glocker, "Deep
Structural Causal Models", NeurIPS 2020).

 - abduction: integrate the flow backwards under the face's own labels y, from its code to noise u: all that
   the labels do not say.
 - action: the labels become y', and kinds of a label that goes are forgotten (faces/flow/network.py).
 - prediction: integrate u forwards under y'.

At strength s the prediction follows the velocity v(y) + s (v(y') - v(y)): s = 0 leads back to where the face
was, s = 1 to its counterfactual, more is classifier-free guidance (Ho and Salimans 2022) and exaggerates, a
negative s goes the other way.

The solver is reversible (McCallum and Foster, "Efficient, Accurate and Stable Gradients for Neural ODEs",
2024): two states advance together by the midpoint rule, each step of which can be undone to the last bits. So
however few the steps, the way there and back under the same labels is the identity to rounding.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from faces.flow.network import Flow

COUPLING = 0.9  # share of itself that the first state keeps at a step; below 1 draws the two together

Slope = Callable[[Tensor, float], Tensor]


def abduct(flow: Flow, codes: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The noise (2, B, K), both states of the solver, from which codes (B, D) of faces with labels (B, A)
    come.
    """

    def slope(x: Tensor, time: float) -> Tensor:
        return flow.velocity(x, torch.full_like(x[:, 0], time), labels)

    first = flow.rest(codes, labels)
    second = first
    for number in range(steps - 1, -1, -1):
        begin = number / steps
        end = (number + 1) / steps
        second = second + midpoint(slope, first, end, begin)
        first = (first - (1 - COUPLING) * second - midpoint(slope, second, begin, end)) / COUPLING
    return torch.stack([first, second])


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
    conditions = torch.stack([labels, goal] if start is None else [labels, goal, start])

    def slope(x: Tensor, time: float) -> Tensor:
        repeated = x.expand(len(conditions), *x.shape)
        found = flow.velocity(repeated, torch.full_like(repeated[..., 0], time), conditions)
        return found[0] + amount * (found[1] - found[-1 if start is not None else 0])

    first, second = flow.without_kinds(noise, amount * (goal - begin) / 2)
    for number in range(steps):
        before = number / steps
        after = (number + 1) / steps
        first = COUPLING * first + (1 - COUPLING) * second + midpoint(slope, second, before, after)
        second = second - midpoint(slope, first, after, before)
    x = flow.rest(codes, labels)
    moved = first + flow.interactions(labels, first) - x - flow.interactions(labels, x)
    moved = moved + amount * (flow.interactions(goal, first) - flow.interactions(begin, first))
    edited = codes + amount * (flow.told(goal) - flow.told(begin)) + moved @ flow.outward
    still = (strength == 0) | (goal == begin).all(1)
    return torch.where(still[:, None], codes, edited)


def midpoint(slope: Slope, x: Tensor, time: float, end: float) -> Tensor:
    """What x (B, K) gains from `time` to `end` by one step of the midpoint rule; backwards where `end` is
    earlier.
    """
    step = end - time
    return step * slope(x + step / 2 * slope(x, time), time + step / 2)


def counterfactual(
    flow: Flow, codes: Tensor, labels: Tensor, goal: Tensor, strength: Tensor, steps: int
) -> Tensor:
    """Codes (B, D) of the same faces with their labels (B, A) changed to goal (B, A), by strength (B,)."""
    return predict(flow, codes, abduct(flow, codes, labels, steps), labels, goal, strength, steps)
