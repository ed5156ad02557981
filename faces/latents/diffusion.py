"""A denoising diffusion model of codes: the nearest to them of the ex-post priors (faces/latents/mixture.py), and the one that takes a minute to fit.

Preechakul et al., "Diffusion Autoencoders", CVPR 2022, section 4, sample an autoencoder's codes so. Noise levels, weights, preconditioning and solver are
those of Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", NeurIPS 2022, tables 1 and 2, for data of unit variance.

A network is shown codes with noise of a random level and tells the codes; new ones come out of pure noise, step by step. Trained for ever it would know
the train codes by heart; held-out codes say where to stop.

On each of these steps the network can be led away from what it took for likely early in its training: where the two differ, the early one spreads too far,
and going on beyond the late one keeps codes from where no face is. Karras et al., "Guiding a Diffusion Model with a Bad Version of Itself", NeurIPS 2024.
"""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faces.latents.mixture import Axes
from faces.nn.device import fast_arithmetic

WIDTH, BLOCKS, WAVES = (
    512,
    3,
    32,
)  # of the network: channels, residual blocks, frequencies by which it is told the noise level
BATCH, LEARNING_RATE, WARM_UP = (
    256,
    2e-3,
    100,
)  # codes per step; Adam's rate at its highest, and steps until it is there
MEAN_LOG, SPREAD_LOG = (
    -0.6,
    1.2,
)  # of the natural logarithm of the noise level in training: half of them lie between .24 and 1.23
AVERAGE = 0.998  # share that the running average of the weights keeps at a step
REPORTS, NOISES = 20, 8  # times that held-out codes are denoised, and noises for each of them
HIGHEST, LOWEST, BEND, LEVELS = 20.0, 0.01, 7.0, 40  # noise levels on the way from noise to a code

Denoise = Callable[
    [Tensor, Tensor], Tensor
]  # noisy codes (B, K) and the noise's standard deviation (B,) -> codes (B, K)


class Block(nn.Module):
    """Two layers beside the identity, told the noise level in between. The last starts at zero, so a new block changes nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(width, width), nn.Linear(width, width)
        self.norm, self.level = nn.LayerNorm(width), nn.Linear(2 * WAVES, 2 * width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.level(level).chunk(2, 1)
        return x + self.leave(F.silu(self.norm(self.enter(F.silu(x))) * (1 + scale) + shift))


class Denoiser(nn.Module):
    """Noisy codes (B, K) and the noise's standard deviation (B,) -> codes (B, K); every code has unit variance on average over its numbers."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("waves", torch.randn(WAVES))
        self.enter = nn.Linear(length, WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH) for _ in range(BLOCKS))
        self.leave = nn.Sequential(nn.LayerNorm(WIDTH), nn.SiLU(), nn.Linear(WIDTH, length))
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        sigma = sigma[:, None]
        power = 1 + sigma.square()
        with fast_arithmetic(noisy.device):
            angles = 2 * math.pi * sigma.log() / 4 * self.waves
            x, level = self.enter(noisy / power.sqrt()), torch.cat([angles.cos(), angles.sin()], 1)
            for block in self.blocks:
                x = block(x, level)
            x = self.leave(x)
        return noisy / power + x.float() * sigma / power.sqrt()


def error(denoiser: Denoiser, codes: Tensor, generator: torch.Generator) -> Tensor:
    """Mean square of what is left wrong in codes (B, K), weighed so that every noise level starts at 1: a scalar. Noise is drawn on the CPU."""
    sigma = torch.exp(MEAN_LOG + SPREAD_LOG * torch.randn(len(codes), generator=generator)).to(codes.device)
    noise = torch.randn(codes.shape, generator=generator).to(codes.device)
    left = (denoiser(codes + sigma[:, None] * noise, sigma) - codes).square().mean(1)
    return ((1 + sigma.square()) / sigma.square() * left).mean()


def held_out(denoiser: Denoiser, codes: Tensor) -> float:
    """The error on codes (M, K), with the same noise at every call."""
    with torch.no_grad():
        return (
            sum(
                error(denoiser, codes, torch.Generator().manual_seed(number)).item()
                for number in range(NOISES)
            )
            / NOISES
        )


def train(codes: Tensor, held: Tensor, steps: int, seed: int) -> tuple[Denoiser, Denoiser]:
    """A denoiser of codes (N, K), as it was when it denoised the `held` ones (M, K) best; and as it was early on, after one of REPORTS parts of the steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(codes.shape[1]).to(codes.device)
    generator, average = torch.Generator().manual_seed(seed), copy.deepcopy(denoiser)
    adam = torch.optim.Adam(denoiser.parameters(), lr=LEARNING_RATE)
    rate = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2
    )
    best, early, least = copy.deepcopy(average), None, math.inf
    for step in range(1, steps + 1):
        loss = error(denoiser, codes[torch.randint(len(codes), (BATCH,), generator=generator)], generator)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        rate.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(average.parameters()), list(denoiser.parameters()), 1 - min(AVERAGE, step / (step + 20))
            )
        if step % max(1, steps // REPORTS) == 0:
            early = early or copy.deepcopy(average)
            if (found := held_out(average, held)) < least:
                best, least = copy.deepcopy(average), found
    return best, early or best


@torch.no_grad()
def walk(denoiser: Denoise, noise: Tensor) -> Tensor:
    """From noise (n, K) of unit variance to codes (n, K), by Heun's method."""
    steps = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
    levels = [
        *((HIGHEST ** (1 / BEND) + steps * (LOWEST ** (1 / BEND) - HIGHEST ** (1 / BEND))) ** BEND).tolist(),
        0.0,
    ]

    def slope(x: Tensor, sigma: float) -> Tensor:
        return (x - denoiser(x, torch.full((len(x),), sigma, device=x.device))) / sigma

    x = noise * HIGHEST
    for sigma, lower in itertools.pairwise(levels):
        first = slope(x, sigma)
        x, start = x + (lower - sigma) * first, x
        if lower > 0:
            x = start + (lower - sigma) * (first + slope(x, lower)) / 2
    return x


@dataclass(frozen=True)
class Diffusion:
    axes: Axes
    spread: float  # root mean square of the axes' standard deviations
    denoiser: Denoiser
    early: Denoiser

    @classmethod
    def fit(
        cls, axes: Axes, codes: np.ndarray, held: np.ndarray, steps: int, seed: int, device: torch.device
    ) -> "Diffusion":
        """To train codes (N, D) along `axes`; the `held` ones (M, D), of other faces, say when to stop."""
        spread = max(float(np.sqrt(np.square(axes.scale).mean())), 1e-12)
        along = [
            torch.from_numpy((axes.reduce(rows) * axes.scale / spread).astype(np.float32)).to(device)
            for rows in (codes, held)
        ]
        return cls(axes, spread, *train(*along, steps, seed))

    def sample(self, count: int, rng: np.random.Generator, guidance: float = 1.0) -> np.ndarray:
        """Codes (count, D). A guidance of 1 goes by the late denoiser, one of 2 as far beyond it as it is from the early one."""

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            late = self.denoiser(noisy, sigma)
            return late if guidance == 1 else torch.lerp(self.early(noisy, sigma), late, guidance)

        noise = rng.standard_normal((count, len(self.axes.scale)), np.float32)
        found = (
            walk(guided, torch.from_numpy(noise).to(next(self.denoiser.parameters()).device))
            .cpu()
            .double()
            .numpy()
        )
        return self.axes.restore(found * self.spread / np.maximum(self.axes.scale, 1e-12), rng, 1.0)
