"""Diffusion prior of codes: the best of the priors fitted after training; fitting takes about a minute.

Preechakul et al., "Diffusion Autoencoders", CVPR 2022, section 4, sample an autoencoder's codes in this way.
Weights, preconditioning, schedule and solver are EDM's (Karras et al., "Elucidating the Design Space of
Diffusion-Based Generative Models", NeurIPS 2022, tables 1 and 2) for data of unit variance. Training noise is
higher and the solver starts lower than in EDM: codes vary widely, and a denoiser trained on little noise
shrinks them.

The network is trained to denoise codes at random noise levels; early stopping on held-out codes prevents
memorisation. Autoguidance extrapolates from an early snapshot of the network, whose samples are too diverse
(Karras et al., "Guiding a Diffusion Model with a Bad Version of Itself", NeurIPS 2024). It does so where
noise is low: above, guidance costs variety, and here and there bursts a face (Kynkaanniemi et al., "Applying
Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion Models", NeurIPS 2024).
Of what it adds only the part across the prediction counts: the part along it makes codes longer, and colours
too bright (Sadat, Hilliges and Weber, "Eliminating Oversaturation and Artifacts of High Guidance Scales in
Diffusion Models", ICLR 2025).
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

from facemorph.gaussian import LowRankGaussian
from faces.nn.device import fast_arithmetic
from faces.nn.optim import learning_rate, update_average

# The network
WIDTH = 512  # channels
BLOCKS = 3  # residual blocks
WAVES = 32  # Fourier features of the noise level

# Training
BATCH = 256  # codes per step
LEARNING_RATE = 2e-3  # of Adam, at its highest
WARM_UP = 100  # steps over which it rises, and at most half of all
AVERAGING = 0.998  # share of the averaged weights that is kept at a step
P_MEAN = 0.4  # mean of the natural logarithm of the noise level
P_STD = 1.4  # and its standard deviation
REPORTS = 20  # times that held-out codes are denoised
NOISES = 8  # noises for each of them

# Sampling
SIGMA_MAX = 8.0  # noise level where the solver starts
SIGMA_MIN = 0.01  # and the last above 0
RHO = 7.0  # the larger, the denser are the levels near SIGMA_MIN
STEPS = 40
GUIDED_BELOW = 1.0  # noise level from which on there is guidance

NETWORKS = ("denoiser", "early")  # of a fitted prior

Denoise = Callable[[Tensor, Tensor], Tensor]  # noisy codes (B, K), noise levels (B,) -> codes (B, K)


class Block(nn.Module):
    """Residual block of two layers, modulated by the noise level. Starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.level = nn.Linear(2 * WAVES, 2 * width)
        self.leave = nn.Linear(width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.level(level).chunk(2, 1)
        return x + self.leave(F.silu(self.norm(self.enter(F.silu(x))) * (1 + scale) + shift))


class Denoiser(nn.Module):
    """Denoiser D(x; sigma): noisy codes (B, K) and noise levels (B,) -> codes (B, K), of unit variance on
    average.

    EDM's preconditioning (table 1, sigma_data = 1): c_skip x + c_out F(c_in x), c_skip = 1 / (1 + sigma^2),
    c_out = sigma / sqrt(1 + sigma^2), c_in = 1 / sqrt(1 + sigma^2). F begins at 0.
    """

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
        c_in = (1 + sigma.square()).rsqrt()
        with fast_arithmetic(noisy.device):
            angles = 2 * math.pi * sigma.log() / 4 * self.waves
            level = torch.cat([angles.cos(), angles.sin()], 1)
            x = self.enter(noisy * c_in)
            for block in self.blocks:
                x = block(x, level)
            x = self.leave(x)
        return c_in.square() * noisy + sigma * c_in * x.float()


def error(denoiser: Denoiser, codes: Tensor, generator: torch.Generator) -> Tensor:
    """EDM's loss on codes (B, K), a scalar. Noise is drawn on the CPU."""
    sigma = torch.exp(P_MEAN + P_STD * torch.randn(len(codes), generator=generator)).to(codes.device)
    noise = torch.randn(codes.shape, generator=generator).to(codes.device)
    left = (denoiser(codes + sigma[:, None] * noise, sigma) - codes).square().mean(1)
    return ((1 + sigma.square()) / sigma.square() * left).mean()


@torch.no_grad()
def held_out(denoiser: Denoiser, codes: Tensor) -> float:
    """The loss on codes (M, K), with the same noise at every call."""
    losses = [error(denoiser, codes, torch.Generator().manual_seed(number)) for number in range(NOISES)]
    return float(torch.stack(losses).mean())


def train(codes: Tensor, held: Tensor, steps: int, seed: int) -> tuple[Denoiser, Denoiser]:
    """Train on codes (N, K); the denoiser of the lowest loss on `held` codes (M, K), and the one of the first
    report.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(codes.shape[1]).to(codes.device)
    generator = torch.Generator().manual_seed(seed)
    average = copy.deepcopy(denoiser)
    adam = torch.optim.Adam(denoiser.parameters(), lr=LEARNING_RATE)
    warmup = min(WARM_UP / steps, 0.5)
    reports = [max(1, steps * (k + 1) // REPORTS) for k in range(REPORTS)]
    early = None
    best = average
    least = math.inf
    for step in range(1, steps + 1):
        for group in adam.param_groups:
            group["lr"] = learning_rate((step - 1) / steps, LEARNING_RATE, warmup, "cosine")
        rows = torch.randint(len(codes), (BATCH,), generator=generator)
        loss = error(denoiser, codes[rows], generator)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        update_average(average, denoiser, AVERAGING, step)
        if step in reports:
            early = early or copy.deepcopy(average)
            found = held_out(average, held)
            if found < least:
                best = copy.deepcopy(average)
                least = found
    return best, early or best


@torch.no_grad()
def walk(denoiser: Denoise, noise: Tensor) -> Tensor:
    """Noise (n, K) of unit variance -> codes (n, K) by EDM's deterministic Heun solver (algorithm 1).

    At SIGMA_MAX a noisy code has variance 1 + SIGMA_MAX^2 on average: there the solver starts.
    """
    ramp = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    first = SIGMA_MAX ** (1 / RHO)
    last = SIGMA_MIN ** (1 / RHO)
    levels = [*((first + ramp * (last - first)) ** RHO).tolist(), 0.0]

    def slope(x: Tensor, sigma: float) -> Tensor:
        return (x - denoiser(x, torch.full((len(x),), sigma, device=x.device))) / sigma

    x = noise * math.sqrt(1 + SIGMA_MAX**2)
    for sigma, lower in itertools.pairwise(levels):
        here = slope(x, sigma)
        start = x
        x = start + (lower - sigma) * here
        if lower > 0:
            x = start + (lower - sigma) * (here + slope(x, lower)) / 2
    return x


def across(change: Tensor, codes: Tensor) -> Tensor:
    """The part of change (n, K) at right angles to codes (n, K)."""
    unit = codes / codes.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return change - (change * unit).sum(1, keepdim=True) * unit


@dataclass(frozen=True)
class Diffusion:
    """A fitted diffusion prior; the network works along the axes of `gaussian`, in units of `scale`."""

    gaussian: LowRankGaussian
    scale: float  # root mean square of the standard deviations along the axes
    denoiser: Denoiser
    early: Denoiser

    @classmethod
    def fit(
        cls,
        gaussian: LowRankGaussian,
        codes: np.ndarray,
        held: np.ndarray,
        steps: int,
        seed: int,
        device: torch.device,
    ) -> "Diffusion":
        """Train on codes (N, D) along the axes of `gaussian`; early stopping on `held` codes (M, D) of other
        faces.
        """
        scale = max(float(np.sqrt(np.square(gaussian.sigma).mean())), 1e-12)
        along, held_along = (
            torch.from_numpy((gaussian.whiten(rows) * gaussian.sigma / scale).astype(np.float32)).to(device)
            for rows in (codes, held)
        )
        return cls(gaussian, scale, *train(along, held_along, steps, seed))

    def arrays(self) -> dict[str, np.ndarray]:
        """The scale, and the weights of both networks by name, for `of`."""
        weights = {
            f"{part}.{name}": value.cpu().contiguous().numpy()
            for part in NETWORKS
            for name, value in getattr(self, part).state_dict().items()
        }
        return {"scale": np.array(self.scale, np.float64), **weights}

    @classmethod
    def of(
        cls, gaussian: LowRankGaussian, arrays: dict[str, np.ndarray], device: torch.device
    ) -> "Diffusion":
        """From what `arrays` gives. Raises KeyError, or RuntimeError where weights do not fit."""
        networks = []
        for part in NETWORKS:
            start = f"{part}."
            network = Denoiser(len(gaussian.sigma))
            network.load_state_dict(
                {
                    name.removeprefix(start): torch.from_numpy(value)
                    for name, value in arrays.items()
                    if name.startswith(start)
                }
            )
            networks.append(network.eval().requires_grad_(False).to(device))
        return cls(gaussian, float(arrays["scale"]), *networks)

    def sample(self, count: int, rng: np.random.Generator, guidance: float = 1.0) -> np.ndarray:
        """Codes (count, D). `guidance` extrapolates from the early denoiser to the late one, at noise levels
        up to GUIDED_BELOW: 1 is the late one. What would only lengthen or shorten the prediction is left out.
        """

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            late = self.denoiser(noisy, sigma)
            if guidance == 1 or sigma[0] > GUIDED_BELOW:
                return late
            return late + (guidance - 1) * across(late - self.early(noisy, sigma), late)

        noise = torch.from_numpy(rng.standard_normal((count, len(self.gaussian.sigma)), np.float32))
        found = walk(guided, noise.to(next(self.denoiser.parameters()).device)).cpu().double().numpy()
        return self.gaussian.colour(found * self.scale / np.maximum(self.gaussian.sigma, 1e-12), rng, 1.0)
