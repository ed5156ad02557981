"""Layers that several models share."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faces.nn import distributed


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, SiLU: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside the identity (He et al. 2016). The last norm starts at zero, so a new block
    changes nothing.
    """

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


class EqualisedLinear(nn.Linear):
    """Linear layer with an equalised learning rate: weight and bias are stored times sqrt(inputs), and
    divided by it when used.

    Adam's steps have one size for every weight, so they change the output of a plain layer in proportion to
    its number of inputs, here in proportion to the square root. Karras et al., "Progressive Growing of GANs",
    ICLR 2018, section 4.1. Values begin as those of a plain layer.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.gain = 1 / math.sqrt(inputs)
        with torch.no_grad():
            self.weight.div_(self.gain)
            self.bias.div_(self.gain)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.gain)

    @torch.no_grad()
    def assign(self, weight: Tensor, bias: Tensor) -> None:
        """Set the upper left (m, n) of the effective weight and the first (m,) of the effective bias."""
        self.weight[: len(weight), : weight.shape[1]] = weight / self.gain
        self.bias[: len(bias)] = bias / self.gain


class Fold(nn.Module):
    """(B, C * side * side) -> (B, C, side, side), channels-last like everything that follows."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels = channels
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, self.channels, self.side, self.side).contiguous(memory_format=torch.channels_last)


def widths(size: int, width: int) -> list[int]:
    """Channels at size / 2, size / 4, ..., 4: `width`, doubled at each halving."""
    return [width * 2**level for level in range(int(math.log2(size)) - 2)]


def strided_encoder(size: int, width: int, outputs: int) -> nn.Sequential:
    """The textbook's encoder: (B, 3, size, size) -> (B, outputs).

    4 x 4 convolutions of stride 2 down to 4 pixels, then a linear layer: Hou et al. 2017, figure 2, with SiLU
    for leaky ReLU.
    """
    channels = widths(size, width)
    layers = [
        convolution(inputs, outputs, 4, 2) for inputs, outputs in zip([3, *channels], channels, strict=False)
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 16, outputs))


def upsampling_decoder(size: int, width: int, inputs: int) -> nn.Sequential:
    """The textbook's decoder: (B, inputs) -> (B, 3, size, size) in [-1, 1]. Nearest-neighbour upsampling with
    3 x 3 convolutions avoids checkerboard artefacts.
    """
    channels = widths(size, width)[::-1]
    layers: list[nn.Module] = []
    for wide, narrow in zip(channels, [*channels[1:], width], strict=True):
        layers += [nn.Upsample(scale_factor=2), convolution(wide, narrow)]
    return nn.Sequential(
        nn.Linear(inputs, channels[0] * 16),
        Fold(channels[0], 4),
        *layers,
        nn.Conv2d(width, 3, 3, 1, 1),
        nn.Tanh(),
    )


class CodeNorm(nn.Module):
    """Normalisation of an autoencoder's codes to mean 0 and variance 1 over the train faces: (B, D) -> (B,
    D).

    Such a model has no prior. The covariance of the codes is kept as well, and samples come from the Gaussian
    with it (the simplest of the ex-post densities of Ghosh et al., "From Variational to Deterministic
    Autoencoders", ICLR 2020).
    """

    # steps over which mean, variance and covariance are averaged; all there were, while there are fewer
    HORIZON = 100

    def __init__(self, length: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(length, affine=False)
        self.register_buffer("covariance", torch.eye(length))

    def forward(self, codes: Tensor) -> Tensor:
        if not self.training:
            return self.norm(codes.float())
        self.norm.momentum = 1 / min(self.HORIZON, self.norm.num_batches_tracked.item() + 1)
        codes = self.norm(codes.float())
        with torch.no_grad(), torch.autocast(codes.device.type, enabled=False):
            self.covariance.lerp_(distributed.mean(codes.T @ codes / len(codes)), self.norm.momentum)
        return codes

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        """(count, D) on the CPU, from the Gaussian that was fitted."""
        covariance = self.covariance.cpu().double()
        factor = torch.linalg.cholesky(
            covariance + 1e-4 * torch.eye(len(covariance), dtype=torch.float64)
        ).float()
        return temperature * torch.randn(count, len(factor), generator=generator) @ factor.T
