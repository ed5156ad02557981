"""Learning-rate schedule and weight average (EMA) that every training shares."""

import math

import torch
from torch import nn


def learning_rate(progress: float, highest: float, warmup: float, decay: str) -> float:
    """Linear warm-up, then `decay`: "cosine" to zero (Loshchilov & Hutter 2017) or "none".

    `progress` and `warmup` are shares of the budget in [0, 1].
    """
    rise = min(1.0, progress / warmup) if warmup else 1.0
    return highest * rise * (0.5 + 0.5 * math.cos(math.pi * progress) if decay == "cosine" else 1.0)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of the weights after `step` steps (from 1): `decay` is the share that is kept.

    The share is lower while the run is young, or the random start would linger. Buffers (batch-norm
    statistics, flags) are copied.
    """
    kept = min(decay, step / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - kept)
    for old, new in zip(average.buffers(), model.buffers(), strict=True):
        old.copy_(new)
