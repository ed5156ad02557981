"""Diffusion autoencoder: a semantic code, and a noise map of what that does not say.

Preechakul et al., "Diffusion Autoencoders: Toward a Meaningful and Decodable Representation", CVPR 2022.

    code      z = encoder(image) (code_length), then the noise map x_T (C, h, w) flattened
    picture   x_0 = N steps of DDIM from x_T, each told z

`space` says what is denoised. In `pixels` it is the picture, as in the paper. In `grid` it is a small grid of
numbers, of an autoencoder that is trained first and then rests (Rombach et al., "High-Resolution Image
Synthesis with Latent Diffusion Models", CVPR 2022): a sixteenth of the places, which a CPU can train.

Noise is added along a quarter turn, x_phi = cos(phi) x_0 + sin(phi) e, and the network predicts the velocity
v = cos(phi) e - sin(phi) x_0. A step of DDIM is then a rotation back (Salimans & Ho, "Progressive
Distillation for Fast Sampling of Diffusion Models", ICLR 2022, section 4 and appendix D):

    x_{phi - d} = cos(d) x_phi - sin(d) v(x_phi, phi, z)

It is trained at the N angles of the sampler alone. There is one x_phi from which a step leads to a given
x_{phi - d}, found by fixed-point iteration (Pan et al., "Effective Real Image Editing with Accelerated
Iterative Diffusion Inversion", ICCV 2023), so that encoding is the sampler run backwards. The paper's own
inversion, which takes v where the step ends, is one iteration.

A noise map of 0, its mean, draws the middling face of z: smooth. An edit moves z and carries x_T along. In
the code x_T is kept at NOISE of its size: principal axes of codes are then those of z.

Two things differ from the paper so that a short training suffices. The encoder begins as principal component
analysis of the faces. And beside the condition of the residual blocks, a linear map of z, the outline, is
shown to the network as more channels.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import models
from faces.core.params import FILE, ParamsError
from faces.nn import distributed
from faces.nn.gaussian_vae import calibration
from faces.nn.layers import EqualisedLinear, Residual, convolution, strided_encoder

NOISE = 0.1  # deviation of the noise map in a code, whose other numbers have a deviation of 1
LINEAR = 32  # pixels a side, at most, of the picture that the encoder's linear map sees
OUTLINE = 16  # places a side, at most, of the grid that the outline draws
WAVES = 8  # frequencies by which the network is told the angle
GROUPS = 8  # of channels that are normalised together, at most


class Config(models.Config):
    code_length: Annotated[int, Field(ge=1)]  # numbers of z; the noise map adds its own
    encoder_width: Annotated[int, Field(ge=1)]  # channels of the encoder at half the image's size
    space: Literal["grid", "pixels"]  # what is denoised
    channels: Annotated[int, Field(ge=1)]  # grid: numbers at each of its places, 4 pixels apart
    grid_width: Annotated[int, Field(ge=1)]  # grid: channels of its autoencoder at half the image's size
    grid_share: Annotated[float, Field(gt=0, lt=1)]  # grid: share of the budget, at its beginning, for that
    grid_noise: Annotated[float, Field(ge=0)]  # grid: deviation of the noise that it then has to bear
    width: Annotated[int, Field(ge=1)]  # channels of the denoiser; each halving doubles them
    levels: Annotated[int, Field(ge=1)]  # sizes at which it works, each half of the one before
    blocks: Annotated[int, Field(ge=1)]  # residual blocks at each size, on the way down and on the way up
    attention: Annotated[int, Field(ge=0)]  # places a side up to which there is self-attention; 0: none
    steps: Annotated[int, Field(ge=1)]  # N of the sampler
    inversions: Annotated[int, Field(ge=1)]  # fixed-point iterations by which a step is undone


def group_norm(channels: int, affine: bool = True) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels, affine=affine)


class Grid(nn.Module):
    """The autoencoder below: pictures (B, 3, S, S) to a grid (B, C, S / 4, S / 4) and back.

    Each channel of the grid has mean 0 and variance 1 over the train faces. In training it is disturbed by
    noise, so that small errors of what is denoised do not show.
    """

    def __init__(self, channels: int, width: int, noise: float) -> None:
        super().__init__()
        wide = 2 * width
        self.noise = noise
        self.encoder = nn.Sequential(
            convolution(3, width, 4, 2),
            Residual(width),
            convolution(width, wide, 4, 2),
            Residual(wide),
            nn.Conv2d(wide, channels, 3, 1, 1),
            nn.BatchNorm2d(channels, affine=False),
        )
        self.decoder = nn.Sequential(
            convolution(channels, wide),
            Residual(wide),
            nn.Upsample(scale_factor=2),
            convolution(wide, width),
            Residual(width),
            nn.Conv2d(width, 12, 3, 1, 1),
            nn.PixelShuffle(2),
        )

    def loss(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Negative log-likelihood of a Gaussian decoder, in nats per pixel value, and what to log."""
        grid = self.encoder(images).float()
        drawn = self.decoder(grid + self.noise * distributed.normal(grid)).float()
        error = F.mse_loss(drawn, images)
        return calibration(distributed.mean(error)), {"grid_mse": error}


class Semantic(nn.Module):
    """image (B, 3, S, S) -> z before its normalisation (B, D): linear(picture) + convolutions(picture)."""

    def __init__(self, size: int, width: int, code_length: int) -> None:
        super().__init__()
        self.side = min(LINEAR, size)
        self.convolutions = strided_encoder(size, width, code_length)
        self.linear = EqualisedLinear(3 * self.side**2, code_length)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolutions(images).float() + self.linear(self.small(images)).float()

    def small(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, images.shape[-1] // self.side).flatten(1)

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Begin as the whitened principal components of `images`; convolutions output 0."""
        pictures = self.small(images)
        mean = pictures.mean(0)
        count = min(self.linear.out_features, len(pictures) - 1, pictures.shape[1])
        _, spread, axes = torch.pca_lowrank(
            pictures - mean, min(count + 16, *pictures.shape), center=False, niter=3
        )
        deviations = spread[:count] / math.sqrt(len(pictures))
        maps = (axes[:, :count] / deviations.clamp_min(1e-3 * deviations[0])).T
        self.linear.assign(maps, -maps @ mean)
        nn.init.zeros_(self.convolutions[-1].weight)
        nn.init.zeros_(self.convolutions[-1].bias)


class Block(nn.Module):
    """A residual block with adaptive group normalisation (equation 7 of the paper, angle and z in one
    condition). It starts as the identity where the number of channels stays.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.first = group_norm(inputs)
        self.enter = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.second = group_norm(outputs, affine=False)
        self.modulate = nn.Linear(condition, 2 * outputs)
        self.leave = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[..., None, None].chunk(2, 1)
        hidden = self.enter(F.silu(self.first(x)))
        hidden = self.second(hidden) * (1 + scale) + shift
        return self.skip(x) + self.leave(F.silu(hidden))


class Attention(nn.Module):
    """Self-attention of one head over the places of a grid (B, C, H, W), beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.enter = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.enter(self.norm(x)).flatten(2).chunk(3, 1)  # (B, C, H W)
        weights = torch.softmax(query.transpose(1, 2) @ key / math.sqrt(x.shape[1]), -1)  # (B, H W, H W)
        return x + self.leave((value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))


class Stage(nn.Module):
    """The residual blocks of one size, each followed by attention where there is any."""

    def __init__(self, inputs: int, outputs: int, condition: int, count: int, attends: bool) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * count
        self.blocks = nn.ModuleList(Block(a, b, condition) for a, b in pairwise(widths))
        self.attention = nn.ModuleList(Attention(outputs) if attends else nn.Identity() for _ in range(count))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        for block, attention in zip(self.blocks, self.attention, strict=True):
            x = attention(block(x, condition))
        return x


class Denoiser(nn.Module):
    """The U-Net: x_phi (B, C, h, h), angles phi (B,) and z (B, D) -> v (B, C, h, h), float32."""

    def __init__(self, config: Config, channels: int, side: int) -> None:
        super().__init__()
        widths = [config.width * 2**level for level in range(config.levels)]
        attends = [side // 2**level <= config.attention for level in range(config.levels)]
        condition = 8 * config.width
        self.register_buffer("waves", 2.0 * torch.arange(1, WAVES + 1), persistent=False)
        self.tell = nn.Sequential(
            nn.Linear(2 * WAVES + config.code_length, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )
        coarse = min(OUTLINE, side)
        self.outline = nn.Sequential(
            EqualisedLinear(config.code_length, channels * coarse**2),
            nn.Unflatten(1, (channels, coarse, coarse)),
            nn.Upsample(scale_factor=side // coarse, mode="bilinear") if side > coarse else nn.Identity(),
        )
        self.enter = nn.Conv2d(2 * channels, widths[0], 3, 1, 1)
        self.down = nn.ModuleList(
            Stage(wide, wide, condition, config.blocks, attention)
            for wide, attention in zip(widths, attends, strict=True)
        )
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.grow = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(b, a, 3, 1, 1)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            Stage(2 * wide, wide, condition, config.blocks, attention)
            for wide, attention in zip(widths[:-1], attends[:-1], strict=True)
        )
        self.leave = nn.Sequential(group_norm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], channels, 3, 1, 1))
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, x: Tensor, angles: Tensor, z: Tensor) -> Tensor:
        phases = angles[:, None] * self.waves
        condition = self.tell(torch.cat([phases.cos(), phases.sin(), z], 1))
        x = self.enter(torch.cat([x, self.outline(z)], 1))
        kept = []
        for level, stage in enumerate(self.down):
            x = stage(x if level == 0 else self.shrink[level - 1](x), condition)
            kept.append(x)
        for level in range(len(self.up) - 1, -1, -1):
            x = self.up[level](torch.cat([self.grow[level](x), kept[level]], 1), condition)
        return self.leave(x).float()


class Model(models.Autoencoder):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config.code_length)
        self.config = config
        self.shape = (3, size, size) if config.space == "pixels" else (config.channels, size // 4, size // 4)
        check_levels(config, self.shape[1])
        self.semantic = Semantic(size, config.encoder_width, config.code_length)
        self.denoiser = Denoiser(config, self.shape[0], self.shape[1])
        if config.space == "grid":
            self.grid = Grid(config.channels, config.grid_width, config.grid_noise)
        self.angle = math.pi / 2 / config.steps  # of one step
        self.semantic_length = config.code_length
        self.code_length = config.code_length + math.prod(self.shape)

    def parts(self) -> dict[str, nn.Module]:
        below = {"grid": self.grid} if self.config.space == "grid" else {}
        return below | {"diffusion": nn.ModuleList([self.semantic, self.denoiser])}

    def prepare(self, images: Tensor) -> None:
        self.semantic.prepare(images)

    def encode(self, images: Tensor) -> Tensor:
        z = self.norm(self.semantic(images))
        return torch.cat([z, NOISE * self.undrawn(self.below(images), z).flatten(1)], 1)

    def decode(self, codes: Tensor) -> Tensor:
        noise = codes[:, self.semantic_length :].unflatten(1, self.shape) / NOISE
        x = self.drawn(noise.contiguous(memory_format=torch.channels_last), codes[:, : self.semantic_length])
        return self.grid.decoder(x).float() if self.config.space == "grid" else x

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        z = super().sample(count, generator, temperature)
        noise = torch.randn(count, math.prod(self.shape), generator=generator)
        return torch.cat([z, temperature * NOISE * noise], 1)

    def below(self, images: Tensor) -> Tensor:
        """x_0 (B, C, h, w) of images (B, 3, S, S)."""
        return self.grid.encoder(images).float() if self.config.space == "grid" else images

    def velocity(self, x: Tensor, step: int, z: Tensor) -> Tensor:
        """v (B, C, h, w) of x (B, C, h, w) at the angle of `step`, from 1 to N."""
        return self.denoiser(x, x.new_full(x.shape[:1], step * self.angle), z)

    def drawn(self, x: Tensor, z: Tensor) -> Tensor:
        """x_0 from a noise map x (B, C, h, w), told z (B, D)."""
        for step in range(self.config.steps, 0, -1):
            x = math.cos(self.angle) * x - math.sin(self.angle) * self.velocity(x, step, z)
        return x

    def undrawn(self, x: Tensor, z: Tensor) -> Tensor:
        """The noise map (B, C, h, w) from which `drawn` leads to x (B, C, h, w).

        An iteration begins where the velocity of the step before leads.
        """
        cosine = math.cos(self.angle)
        sine = math.sin(self.angle)
        start = x
        for step in range(1, self.config.steps + 1):
            goal = x
            x = start
            for _ in range(self.config.inversions):
                velocity = self.velocity(x, step, z)
                x = (goal + sine * velocity) / cosine
            start = cosine * x + sine * velocity
        return x

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        if self.config.space == "grid":
            if progress < self.config.grid_share:
                loss, log = self.grid.loss(images)
                yield "grid", loss, {"grid_loss": loss} | log
                return
            self.grid.eval()  # it rests
        with torch.no_grad():
            x = self.below(images)
        z = self.norm(self.semantic(images))
        chance = distributed.uniform(x.new_empty(len(x), 1, 1, 1))
        angles = self.angle * (1 + (chance * self.config.steps).floor().clamp(max=self.config.steps - 1))
        noise = distributed.normal(x)
        found = self.denoiser(angles.cos() * x + angles.sin() * noise, angles.flatten(), z)
        loss = F.mse_loss(found, angles.cos() * noise - angles.sin() * x)
        yield "diffusion", loss, {"loss": loss}


def check_levels(config: Config, side: int) -> None:
    """Raises ParamsError where the grid cannot be halved as often as the denoiser has sizes."""
    times = 2 ** (config.levels - 1)
    if side % times:
        raise ParamsError(
            f"{FILE}: models.diffae.levels = {config.levels} halves a grid of {side} places a side "
            f"{config.levels - 1} times; its side must be a multiple of {times}"
        )
