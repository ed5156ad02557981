"""What several models share, identical: the keys that every model's group holds, and a few bricks."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faces.params import Group


class Config(Group):
    """How a model is stepped. A published system's own settings stand in its group, so they belong to the model and not to the loop."""

    batch: int  # images per step, over all devices
    learning_rate: float  # of Adam, at its highest
    betas: tuple[float, float]  # of Adam
    decay: Literal["cosine", "none"]  # of the learning rate, to zero at the end of the budget
    clip: float  # gradients are scaled down to this norm; 0: never


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, SiLU: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside the identity (He et al. 2016). The last norm starts at zero, so a new block changes nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(channels, channels),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        nn.init.zeros_(self.branch[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.branch(x))


class Fold(nn.Module):
    """(B, C * side * side) -> (B, C, side, side), channels-last like everything that follows."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, self.channels, self.side, self.side).contiguous(memory_format=torch.channels_last)
