"""Learning-rate schedule and exponential moving average of the weights, shared by all trainings."""

import math

import torch
from torch import nn

LATE = 0.3  # share of the budget


def learning_rate(progress: float, highest: float, warmup: float, decay: str) -> float:
    """Linear warm-up, then `decay`: "cosine" (Loshchilov & Hutter, ICLR 2017), "late" or "none".

    `progress` and `warmup` are shares of the budget in [0, 1]. Late is constant, then falls linearly to zero
    over the last LATE of the budget (Hagele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations", NeurIPS 2024), so that a loss that begins near the end can still be learnt.
    """
    rise = min(1.0, progress / warmup) if warmup else 1.0
    falls = {
        "cosine": 0.5 + 0.5 * math.cos(math.pi * progress),
        "late": min(1.0, (1 - progress) / LATE),
        "none": 1.0,
    }
    return highest * rise * falls[decay]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of the weights after `step` steps (from 1): `decay` is the share that is
    kept.

    The share is lower in the first steps, so that the random start is forgotten. Buffers (batch-norm
    statistics, flags) are copied.
    """
    kept = min(decay, step / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - kept)
    for old, new in zip(average.buffers(), model.buffers(), strict=True):
        old.copy_(new)
