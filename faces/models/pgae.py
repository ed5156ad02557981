"""Progressively grown autoencoder: 8 pixels first, then 16, 32, 64, ..., each new level faded in.

Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018, section 2, applied to an
autoencoder as in Heljakka, Solin, Kannala, "Pioneer Networks", ACCV 2018, here without an adversary. From 32 pixels up the loss is deep-feature-consistent
(Hou et al. 2017), below it is squared error: smaller pictures show a network nothing. Both are taken in nats (Rybkin et al. 2021), so they meet at one scale.

    encoder   side s:  from_rgb -> (convolution, max pooling) -> ... -> 4 x 4 -> linear -> normalised code
    decoder   code -> linear -> 4 x 4 -> (upsampling, convolution) -> ... -> side s -> to_rgb -> tanh -> image, upsampled to full size

While level k fades in, the picture is (1 - alpha) * what level k - 1 gives, upsampled + alpha * what level k gives; likewise at the other end. At alpha = 0
the output is that of the level before, exactly. How far the model has grown is in its state (`progress`), so that a checkpoint knows.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import nn as bricks
from faces import perceptual
from faces.nn import CodeNorm, Fold, convolution
from faces.vae import calibrated_gaussian

SMALLEST = 8  # pixels a side at the first level
SEEING = 32  # pixels a side from which features are compared


class Config(bricks.Config):
    code_length: int  # D
    width: int  # channels at the image's size; each halving doubles them
    growing: Annotated[float, Field(ge=0, lt=1)]  # share of the budget before the last level begins, divided equally among the others
    fading: Annotated[float, Field(ge=0, le=1)]  # share of a level's time over which it fades in
    network: Literal["efficientnet_lite0", "vgg19"]
    weights: str  # file with the network's weights, its name ending in the first 8 digits of its SHA-256; empty: the published ones
    stages: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)]  # weight of each stage's distance
    pixels: Annotated[float, Field(ge=0)]  # weight of the distance between the pixels themselves


def growth(progress: float, levels: int, growing: float, fading: float) -> tuple[int, float]:
    """How far a model of `levels` levels has grown: the level, from 0, and alpha in [0, 1], the share of its picture in the output."""
    if levels == 1 or progress >= growing:
        level, begun, lasts = levels - 1, growing, 1 - growing
    else:
        lasts = growing / (levels - 1)
        level = min(int(progress / lasts), levels - 2)
        begun = level * lasts
    if level == 0 or fading == 0:
        return level, 1.0
    return level, min(1.0, max(0.0, progress - begun) / (fading * lasts))


def halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 2)


def doubled(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2.0, mode="nearest")


class Model(nn.Module):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__()
        self.config, self.size, self.code_length = config, size, config.code_length
        self.levels = int(math.log2(size // SMALLEST)) + 1
        channels = [config.width * size // (SMALLEST * 2**level) for level in range(self.levels)]  # at 8, 16, ..., size
        narrower = [2 * channels[0], *channels[:-1]]  # at half of each
        self.from_rgb = nn.ModuleList(convolution(3, outputs, 1) for outputs in channels)
        self.down = nn.ModuleList(
            nn.Sequential(convolution(inputs, outputs), nn.MaxPool2d(2)) for inputs, outputs in zip(channels, narrower, strict=True)
        )
        self.to_code = nn.Sequential(nn.Flatten(), nn.Linear(narrower[0] * 16, config.code_length))
        self.norm = CodeNorm(config.code_length)
        self.from_code = nn.Sequential(nn.Linear(config.code_length, narrower[0] * 16), Fold(narrower[0], 4))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), convolution(inputs, outputs))
            for inputs, outputs in zip(narrower, channels, strict=True)
        )
        self.to_rgb = nn.ModuleList(nn.Sequential(nn.Conv2d(inputs, 3, 3, 1, 1), nn.Tanh()) for inputs in channels)
        self.register_buffer("progress", torch.zeros(()))

    def grown(self) -> tuple[int, float]:
        """Level and alpha, out of the state."""
        return growth(self.progress.item(), self.levels, self.config.growing, self.config.fading)

    def parts(self) -> dict[str, nn.Module]:
        return {"autoencoder": self}

    def phase(self, progress: float) -> int:
        return 0

    def prepare(self, images: Tensor) -> None:
        pass

    def encode(self, images: Tensor) -> Tensor:
        return self._encode(F.avg_pool2d(images, self.size // (SMALLEST * 2 ** self.grown()[0])))

    def decode(self, codes: Tensor) -> Tensor:
        pictures = self._decode(codes)
        return F.interpolate(pictures, (self.size, self.size), mode="nearest")  # the same upsampling as inside: no jump when a level begins

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        return self.norm.sample(count, generator, temperature)

    def losses(self, images: Tensor, progress: float) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        self.progress.fill_(progress)
        level, alpha = self.grown()
        side = SMALLEST * 2**level
        images = F.avg_pool2d(images, self.size // side)
        if alpha < 1:  # the face fades in with the level that shows it
            images = torch.lerp(doubled(halved(images)), images, alpha)
        decoded = self._decode(self._encode(images))
        error, pixels = F.mse_loss(decoded, images), self.config.pixels / (sum(self.config.stages) + self.config.pixels)
        loss = calibrated_gaussian(images, decoded)
        if side >= SEEING:
            network = perceptual.load(self.config.network, self.config.weights, images.device)
            loss = pixels * loss + (1 - pixels) * perceptual.calibrated_features(network, images, decoded, self.config.stages)
        loss = loss / images[0].numel()
        yield "autoencoder", loss, {"loss": loss, "mse": error, "side": torch.tensor(float(side))}

    def _encode(self, images: Tensor) -> Tensor:
        """images at the side of the level reached -> codes (B, D)."""
        level, alpha = self.grown()
        x = self.down[level](self.from_rgb[level](images))
        if alpha < 1:
            x = torch.lerp(self.from_rgb[level - 1](halved(images)), x, alpha)
        for block in reversed(self.down[:level]):
            x = block(x)
        return self.norm(self.to_code(x))

    def _decode(self, codes: Tensor) -> Tensor:
        """codes (B, D) -> pictures at the side of the level reached."""
        level, alpha = self.grown()
        x = self.from_code(codes)
        for block in self.up[:level]:
            x = block(x)
        picture = self.to_rgb[level](self.up[level](x)).float()
        if alpha < 1:
            picture = torch.lerp(doubled(self.to_rgb[level - 1](x)).float(), picture, alpha)
        return picture
