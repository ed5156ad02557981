"""Counterfactual codes by abduction, action and prediction (Pearl; Pawlowski, Castro, Glocker, "Deep
Structural Causal Models", NeurIPS 2020).

 - abduction: integrate the flow backwards under the face's own labels y, from its code to noise u: all that
   the labels do not say.
 - action: the labels become y'.
 - prediction: integrate u forwards under y'.

At strength s the prediction follows the velocity v(y) + s (v(y') - v(y)): s = 0 leads back to where the face
was, s = 1 to its counterfactual, more is classifier-free guidance (Ho and Salimans 2022) and exaggerates, a
negative s goes the other way. What is returned is the code plus the difference between the predictions at s
and at 0, so that the integrator's error cancels; at strength 0, and where no label changes, that is the code
to the last bit.

Both ways are walked by the midpoint rule in equal steps.
"""

import torch
from torch import Tensor

from faces.flow.network import Flow


def abduct(flow: Flow, codes: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The noise (B, K) from which codes (B, D) of faces with labels (B, A) come."""
    x = flow.rest(codes, labels)
    step = 1 / steps
    for number in range(steps, 0, -1):
        t = torch.full_like(x[:, 0], number * step)
        middle = x - step / 2 * flow.velocity(x, t, labels)
        x = x - step * flow.velocity(middle, t - step / 2, labels)
    return x


def predict(
    flow: Flow, codes: Tensor, noise: Tensor, labels: Tensor, goal: Tensor, strength: Tensor, steps: int
) -> Tensor:
    """Codes (B, D) whose labels (B, A) become goal (B, A) by strength (B,), from the noise (B, K) of
    `abduct`: what a slider repeats as it moves.
    """
    amount = strength[:, None]
    conditions = torch.stack([labels, goal, labels])
    step = 1 / steps

    def slopes(changed: Tensor, kept: Tensor, time: float) -> tuple[Tensor, Tensor]:
        x = torch.stack([changed, changed, kept])
        own, other, back = flow.velocity(x, torch.full_like(x[..., 0], time), conditions)
        return own + amount * (other - own), back

    changed = noise
    kept = noise
    for number in range(steps):
        time = number * step
        first, first_kept = slopes(changed, kept, time)
        second, second_kept = slopes(
            changed + step / 2 * first, kept + step / 2 * first_kept, time + step / 2
        )
        changed = changed + step * second
        kept = kept + step * second_kept
    edited = codes + amount * (flow.told(goal) - flow.told(labels)) + (changed - kept) @ flow.outward
    still = (strength == 0) | (goal == labels).all(1)
    return torch.where(still[:, None], codes, edited)


def counterfactual(
    flow: Flow, codes: Tensor, labels: Tensor, goal: Tensor, strength: Tensor, steps: int
) -> Tensor:
    """Codes (B, D) of the same faces with their labels (B, A) changed to goal (B, A), by strength (B,)."""
    return predict(flow, codes, abduct(flow, codes, labels, steps), labels, goal, strength, steps)
