"""Glow: a normalizing flow, with exact codes and exact likelihood.

Kingma & Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", NeurIPS 2018. What the paper
leaves open (normalised convolutions inside a coupling, the bounded scale, learnt priors, codes whitened by
them) follows the authors' code, openai/glow, except that borders are zero-padded without a channel that marks
them, and that scales and deviations are bounded, so that edited codes decode.

    image (3, S, S) -> level 1: squeeze to (12, S/2, S/2), K steps, half the channels leave as eps_1 (6, S/2,
    S/2)
                       level 2: squeeze to (24, S/4, S/4), K steps, half the channels leave as eps_2
                       level L: squeeze,                   K steps, all of them  leave as eps_L
    step = actnorm, invertible 1x1 convolution, coupling
    code = (eps_1, ..., eps_L) flattened: D = 3 S S, standard normal under the model

The flow computes in the precision of its weights, autocast or not: inversion in bfloat16 is too inexact.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import models
from faces.core.params import FILE, ParamsError
from faces.nn import distributed
from faces.nn.device import double


class Config(models.Config):
    """The flow's shape, and the depth of colour that its likelihood is about."""

    levels: int = Field(ge=1)  # L: times the image is halved; the size must be a multiple of 2^L
    steps: int = Field(ge=1)  # K: steps of flow in each level
    width: int = Field(ge=1)  # channels in the hidden layers of a coupling
    coupling: Literal["affine", "additive"]  # affine: scale and shift; additive: shift alone
    least_scale: float = Field(
        ge=0, lt=1
    )  # floor of the affine scale; 0 as published, but then edited codes may decode to infinities
    n_bits: int = Field(
        ge=1, le=8
    )  # bits of colour that are modelled; bits per dimension are comparable only at equal n_bits


class ActNorm(nn.Module):
    """y = exp(log_scale) (x + bias), channel by channel (section 3.1). The identity until it is fitted."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set scale and bias so that the channels of x (B, C, H, W) get mean 0 and deviation 1."""
        self.bias.copy_(-x.mean((0, 2, 3)))
        self.log_scale.copy_(
            -(x.std((0, 2, 3), correction=0) + 1e-6).log()
        )  # a channel that never varies would divide by 0


class NormedConv(nn.Module):
    """A convolution followed by actnorm, folded into its kernel: one pass over the image instead of two."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.05 * torch.randn(outputs, inputs, kernel, kernel))
        self.norm = ActNorm(outputs)

    def forward(self, x: Tensor, fit: bool) -> Tensor:
        if fit:
            self.norm.fit(F.conv2d(x, self.weight, padding="same"))
        scale = self.norm.log_scale.exp()
        return F.conv2d(x, self.weight * scale[:, None, None, None], self.norm.bias * scale, padding="same")


class ZeroConv(nn.Module):
    """Zero-initialised 3x3 convolution, times exp(3 log_scale) per channel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.log_scale = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        scale = (3 * self.log_scale).exp()
        return F.conv2d(x, self.weight * scale[:, None, None, None], self.bias * scale, padding="same")


class Mixing(nn.Module):
    """Actnorm and the invertible 1x1 convolution W = P L (U + diag(s)) (sections 3.1 and 3.2, eq. 10), as one
    convolution.

    W begins as a random rotation. P and the signs of s stay as they are there; L, U and log |s| are learnt,
    and log |det W| = sum log |s|.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.norm = ActNorm(channels)
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("sign", upper.diagonal().sign().float())
        self.lower = nn.Parameter(lower.tril(-1).float())
        self.upper = nn.Parameter(upper.triu(1).float())
        self.log_s = nn.Parameter(upper.diagonal().abs().log().float())

    def forward(self, x: Tensor, fit: bool) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> as many, and the log-determinant of all pixels together ()."""
        if fit:
            self.norm.fit(x)
        eye, lower, upper, s = self.factors()
        scale = double(self.norm.log_scale).exp()
        weight = double(self.permutation) @ (lower + eye) @ (upper + s.diag()) * scale
        bias = weight @ double(self.norm.bias)
        log_det = (self.log_s + self.norm.log_scale).sum() * x[0, 0].numel()
        return F.conv2d(
            x, weight.to(x.device, x.dtype)[:, :, None, None], bias.to(x.device, x.dtype)
        ), log_det

    def inverse(self, y: Tensor) -> Tensor:
        _, lower, upper, s = self.factors()
        inverse = inverse_of_unit(upper / s[:, None]) @ (
            inverse_of_unit(lower) @ double(self.permutation).T / s[:, None]
        )
        weight = inverse / double(self.norm.log_scale).exp()[:, None]
        return F.conv2d(y, weight.to(y.device, y.dtype)[:, :, None, None], -self.norm.bias)

    def factors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """I, L - I, U (all (C, C)) and s (C,): in double precision, so that W and its inverse agree to the
        last bit of the image's.
        """
        lower = double(self.lower).tril(-1)
        upper = double(self.upper).triu(1)
        return (
            torch.eye(len(lower), dtype=lower.dtype, device=lower.device),
            lower,
            upper,
            double(self.sign) * double(self.log_s).exp(),
        )


def inverse_of_unit(strict: Tensor) -> Tensor:
    """(I + N)^-1 for a strictly triangular N (C, C), by matrix products alone, which every exporter knows.

    N^C = 0, so the series I - N + N^2 - ... ends; it factors into (I - N) (I + N^2) (I + N^4) ..., log2 C of
    them.
    """
    eye = torch.eye(len(strict), dtype=strict.dtype, device=strict.device)
    inverse = eye - strict
    power = strict
    for _ in range(1, math.ceil(math.log2(len(strict)))):
        power = power @ power
        inverse = inverse + inverse @ power
    return inverse


class Coupling(nn.Module):
    """Affine or additive coupling: a network of half the channels transforms the other half (section 3.3).

    The affine scale is m + (1 - m) sigmoid(h + 2), m = `least_scale`: it contracts towards the code, and
    expands by at most 1 / m on the way back. At m = 0, as published, decoding a code slightly off the data
    can divide by values near 0, coupling after coupling.
    """

    def __init__(self, channels: int, width: int, affine: bool, least_scale: float) -> None:
        super().__init__()
        self.affine = affine
        self.least_scale = least_scale
        self.first = NormedConv(channels // 2, width, 3)
        self.second = NormedConv(width, width, 1)
        self.last = ZeroConv(width, channels if affine else channels // 2)

    def forward(self, x: Tensor, fit: bool) -> tuple[Tensor, Tensor | float]:
        """x (B, C, H, W) -> as many, and the log-determinant (B,)."""
        kept, moved = x.chunk(2, 1)
        h = self.network(kept, fit)
        if not self.affine:
            return torch.cat((kept, moved + h), 1), 0.0
        shift, h = h.chunk(2, 1)
        scale = self.scale(h)
        return torch.cat((kept, (moved + shift) * scale), 1), scale.log().sum((1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        kept, moved = y.chunk(2, 1)
        h = self.network(kept, fit=False)
        if not self.affine:
            return torch.cat((kept, moved - h), 1)
        shift, h = h.chunk(2, 1)
        return torch.cat((kept, moved / self.scale(h) - shift), 1)

    def scale(self, h: Tensor) -> Tensor:
        return self.least_scale + (1 - self.least_scale) * (h + 2).sigmoid()

    def network(self, kept: Tensor, fit: bool) -> Tensor:
        return self.last(self.second(self.first(kept, fit).relu_(), fit).relu_())


class Level(nn.Module):
    """Squeeze, K steps, and the learnt prior of the channels that leave: N(mean, exp(log_std)^2) given those
    that stay.

    At the last level all channels leave; its prior has one mean and one deviation per channel.
    """

    def __init__(self, channels: int, config: Config, last: bool) -> None:
        super().__init__()
        affine = config.coupling == "affine"
        self.mixings = nn.ModuleList(Mixing(channels) for _ in range(config.steps))
        self.couplings = nn.ModuleList(
            Coupling(channels, config.width, affine, config.least_scale) for _ in range(config.steps)
        )
        self.staying = 0 if last else channels // 2  # channels
        self.leaving = channels - self.staying
        if last:
            self.top = nn.Parameter(
                torch.zeros(2 * channels, 1, 1)
            )  # the means, then the logarithms of the deviations
        else:
            self.split = ZeroConv(self.staying, channels)

    def forward(self, x: Tensor, fit: bool) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, C, H, W) -> what stays, eps (B, leaving, H/2, W/2), and the log-determinant (B,)."""
        x = F.pixel_unshuffle(x, 2)
        log_det = x.new_zeros(x.shape[0])
        for mixing, coupling in zip(self.mixings, self.couplings, strict=True):
            x, of_mixing = mixing(x, fit)
            x, of_coupling = coupling(x, fit)
            log_det = log_det + of_mixing + of_coupling
        staying, leaving = x.split((self.staying, self.leaving), 1)
        mean, log_std = self.prior(staying)
        return (
            staying,
            (leaving - mean) * (-log_std).exp(),
            log_det - log_std.expand_as(leaving).sum((1, 2, 3)),
        )

    def inverse(self, staying: Tensor, eps: Tensor) -> Tensor:
        mean, log_std = self.prior(staying)
        x = torch.cat((staying, mean + log_std.exp() * eps), 1)
        for mixing, coupling in zip(reversed(self.mixings), reversed(self.couplings), strict=True):
            x = mixing.inverse(coupling.inverse(x))
        return F.pixel_shuffle(x, 2)

    def prior(self, staying: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-deviation of the channels that leave, each such that it broadcasts over them.

        The log-deviation is clamped to [-3, 3], so that codes far from the data do not overflow.
        """
        mean, log_std = (self.split(staying) if self.staying else self.top[None]).chunk(2, 1)
        return mean, 3 * (log_std / 3).tanh()


class Model(models.Model):
    """The flow between images and codes. The buffer `initialised` says whether actnorm has been fitted."""

    def __init__(self, config: Config, size: int) -> None:
        super().__init__()
        if size % 2**config.levels:
            allowed = f"1 to {(size & -size).bit_length() - 1}"
            raise ParamsError(
                f"{FILE}: models.glow.levels = {config.levels}; {size} pixels cannot be halved so often, "
                f"allowed: {allowed}"
            )
        self.config = config
        self.size = size
        self.code_length = 3 * size * size
        self.levels = nn.ModuleList(
            Level(6 * 2**i, config, last=i == config.levels) for i in range(1, config.levels + 1)
        )
        self.register_buffer("initialised", torch.tensor(False))

    def parts(self) -> dict[str, nn.Module]:
        return {"flow": self}

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Fit every actnorm to the first 256 images (as many as the authors' code takes), unless that was
        done before.
        """
        if not self.initialised:
            self.flow(dequantised(images[:256], self.config.n_bits), fit=True)
            self.initialised.fill_(True)

    def encode(self, images: Tensor) -> Tensor:
        """Each of the 256 values is taken as the middle of its bin, whatever n_bits, so that `decode` inverts
        exactly.
        """
        return self.flow(((images + 1) * 127.5 + 0.5) / 256 - 0.5)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """The inverse of `encode`; an edited code may give colours beyond [-1, 1]."""
        return ((self.inverse(codes) + 0.5) * 256 - 0.5) / 127.5 - 1

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        """Codes of new faces: `temperature` is the deviation of eps; the paper shows .7."""
        return temperature * torch.randn(
            count, self.code_length, generator=generator, device=generator.device
        ).to(self.levels[-1].top)

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        if self.training:
            self.prepare(images)
        eps, log_det = self.flow(dequantised(images, self.config.n_bits))
        bits = bits_per_dim(log_normal(eps) + log_det, self.code_length, self.config.n_bits).mean()
        yield "flow", bits, {"bits_per_dim": bits.detach()}

    def flow(self, x: Tensor, fit: bool = False) -> tuple[Tensor, Tensor]:
        """x (B, 3, S, S) in [-.5, .5] -> eps (B, D) and log |det d eps / d x| (B,), so that log p(x) = log
        N(eps; 0, I) + log_det.

        With `fit`, every actnorm is first fitted to its input.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.levels[-1].top.dtype).contiguous(
                memory_format=torch.channels_last
            )  # twice as fast on a CPU
            codes = []
            log_det = x.new_zeros(x.shape[0])
            for level in self.levels:
                x, eps, of_level = level(x, fit)
                codes.append(eps.flatten(1))
                log_det = log_det + of_level
            return torch.cat(codes, 1), log_det

    def inverse(self, eps: Tensor) -> Tensor:
        """eps (B, D) -> x (B, 3, S, S)."""
        with torch.autocast(eps.device.type, enabled=False):
            shapes = [
                (level.leaving, self.size >> i, self.size >> i) for i, level in enumerate(self.levels, 1)
            ]
            codes = eps.to(self.levels[-1].top.dtype).split([math.prod(shape) for shape in shapes], 1)
            x = codes[-1].new_zeros(eps.shape[0], 0, *shapes[-1][1:])  # nothing stays behind the last level
            for level, code, shape in reversed(list(zip(self.levels, codes, shapes, strict=True))):
                x = level.inverse(x, code.unflatten(1, shape).contiguous(memory_format=torch.channels_last))
            return x


def dequantised(images: Tensor, n_bits: int) -> Tensor:
    """8-bit images in [-1, 1], rounded down to 2^n_bits colours and spread uniformly over their bins: values
    in [-.5, .5).
    """
    bins = (((images + 1) * 127.5).round() / 2 ** (8 - n_bits)).floor()
    return (bins + distributed.uniform(images)) / 2**n_bits - 0.5


def log_normal(eps: Tensor) -> Tensor:
    """log N(eps; 0, I) in nats, eps (B, D) -> (B,)."""
    return -0.5 * (eps.square() + math.log(2 * math.pi)).sum(1)


def bits_per_dim(log_density: Tensor, dimensions: int, n_bits: int) -> Tensor:
    """Bits per dimension of images with 2^n_bits colours, from the log-density of `dequantised` ones: a bin
    is 2^-n_bits wide (eq. 2).
    """
    return n_bits - log_density / (dimensions * math.log(2))
