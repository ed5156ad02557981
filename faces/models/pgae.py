"""Progressively grown autoencoder: 8 pixels first, then 16, 32, 64, ..., each new level faded in.

Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and Variation",
ICLR 2018, section 2, applied to an autoencoder as in Heljakka, Solin, Kannala, "Pioneer Networks", ACCV 2018,
here without a discriminator. From 32 pixels up the loss is deep-feature-consistent (Hou et al. 2017); below
it is squared error, since smaller pictures are too coarse for the network. Both are in nats (Rybkin et al.
2021).

    encoder   side s:  from_rgb -> (convolution, max pooling) -> ... -> 4 x 4 -> linear -> normalised code
    decoder   code -> linear -> 4 x 4 -> (upsampling, convolution) -> ... -> side s -> to_rgb -> tanh ->
              image, upsampled to full size

While level k fades in, the picture is (1 - alpha) * what level k - 1 gives, upsampled, + alpha * what level k
gives; the encoder's input fades likewise. At alpha = 0 the output is that of the level before, exactly. The
alphas of all levels are in the state, so that a checkpoint knows how far it has grown, and encoding and
decoding are sums without a branch, at full size from the first step on.
"""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import models
from faces.nn import perceptual
from faces.nn.gaussian_vae import calibrated_gaussian
from faces.nn.layers import Fold, convolution

SMALLEST = 8  # pixels a side at the first level
SEEING = 32  # pixels a side from which features are compared


class Config(models.Config):
    code_length: int  # D
    width: int  # channels at the image's size; each halving doubles them
    growing: Annotated[
        float, Field(ge=0, lt=1)
    ]  # share of the budget before the last level begins, divided equally among the others
    fading: Annotated[float, Field(ge=0, le=1)]  # share of a level's time over which it fades in
    network: Literal["efficientnet_lite0", "vgg19", "classifier"]
    # file with the network's weights, its name ending in the first 8 digits of its SHA-256; empty: the
    # published ones
    weights: str
    stages: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)
    ]  # weight of each stage's distance
    pixels: Annotated[float, Field(ge=0)]  # weight of the distance between the pixels themselves


def growth(progress: float, levels: int, growing: float, fading: float) -> tuple[int, float]:
    """Growth of a model of `levels` levels: the current level, from 0, and its fade-in weight alpha in [0,
    1].
    """
    if levels == 1 or progress >= growing:
        level = levels - 1
        begun = growing
        lasts = 1 - growing
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


def faded(below: Tensor, here: Tensor, alpha: Tensor) -> Tensor:
    """`below` at alpha = 0, `here` at alpha = 1, both to the last bit."""
    return (1 - alpha) * below + alpha * here


class Model(models.Autoencoder):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config.code_length)
        self.config = config
        self.size = size
        self.levels = int(math.log2(size // SMALLEST)) + 1
        channels = [
            config.width * size // (SMALLEST * 2**level) for level in range(self.levels)
        ]  # at 8, 16, ..., size
        narrower = [2 * channels[0], *channels[:-1]]  # at half of each
        self.from_rgb = nn.ModuleList(convolution(3, outputs, 1) for outputs in channels)
        self.down = nn.ModuleList(
            nn.Sequential(convolution(inputs, outputs), nn.MaxPool2d(2))
            for inputs, outputs in zip(channels, narrower, strict=True)
        )
        self.to_code = nn.Sequential(nn.Flatten(), nn.Linear(narrower[0] * 16, config.code_length))
        self.from_code = nn.Sequential(nn.Linear(config.code_length, narrower[0] * 16), Fold(narrower[0], 4))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), convolution(inputs, outputs))
            for inputs, outputs in zip(narrower, channels, strict=True)
        )
        self.to_rgb = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, 3, 3, 1, 1), nn.Tanh()) for inputs in channels
        )
        self.register_buffer("alphas", torch.zeros(self.levels))
        self.grow(0.0)

    def grow(self, progress: float) -> int:
        """Set the alphas; the level that is being trained."""
        level, alpha = growth(progress, self.levels, self.config.growing, self.config.fading)
        self.alphas.copy_(torch.tensor([1.0] * level + [alpha] + [0.0] * (self.levels - 1 - level)))
        return level

    def encode(self, images: Tensor) -> Tensor:
        return self._encode(images, self.levels - 1)

    def decode(self, codes: Tensor) -> Tensor:
        return self._decode(codes, self.levels - 1)

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        level = self.grow(progress)
        side = SMALLEST * 2**level
        images = F.avg_pool2d(images, self.size // side)
        if level:
            images = faded(
                doubled(halved(images)), images, self.alphas[level]
            )  # the face fades in with the level that shows it
        decoded = self._decode(self._encode(images, level), level)
        error = F.mse_loss(decoded, images)
        loss = calibrated_gaussian(images, decoded)
        if side >= SEEING:
            network = perceptual.load(self.config.network, self.config.weights, images.device)
            pixels = self.config.pixels / (sum(self.config.stages) + self.config.pixels)
            loss = pixels * loss + (1 - pixels) * perceptual.calibrated_features(
                network, images, decoded, self.config.stages
            )
        loss = loss / images[0].numel()
        yield "autoencoder", loss, {"loss": loss, "mse": error, "side": torch.tensor(float(side))}

    def _encode(self, images: Tensor, level: int) -> Tensor:
        """images at the side of `level` -> codes (B, D)."""
        x = self.from_rgb[level](images)
        for below in reversed(range(level)):
            images = halved(images)
            x = faded(self.from_rgb[below](images), self.down[below + 1](x), self.alphas[below + 1])
        return self.norm(self.to_code(self.down[0](x)))

    def _decode(self, codes: Tensor, level: int) -> Tensor:
        """codes (B, D) -> pictures at the side of `level`."""
        x = self.up[0](self.from_code(codes))
        picture = self.to_rgb[0](x).float()
        for here in range(1, level + 1):
            x = self.up[here](x)
            picture = faded(doubled(picture), self.to_rgb[here](x).float(), self.alphas[here])
        return picture
