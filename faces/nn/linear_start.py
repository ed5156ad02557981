"""Convolutional VAE with a calibrated Gaussian decoder that begins as principal component analysis.

Kingma & Welling 2014; the decoder's variance is the optimal one of each batch (Rybkin et al. 2021), so the KL
term has weight 1, as in the evidence lower bound (faces/nn/gaussian_vae.py).

    encoder   mean = linear(picture) + convolutions(picture)      log-variance = convolutions(picture)
    decoder   image = linear(code) + convolutions(code, linear(code))

The best linear VAE is principal component analysis (Tipping & Bishop 1999; Lucas et al. 2019), and for
aligned faces it is a strong one. `prepare` sets the two linear maps to it, a start that convolutions alone
reach after an hour; the convolutions learn the nonlinear part. All weights stay trainable.
"""

import math
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces.core.params import FILE, ParamsError
from faces.nn.gaussian_vae import GaussianVAE, calibrated_gaussian, unbounded
from faces.nn.layers import EqualisedLinear, Fold, Residual, convolution
from faces.nn.model import Config


class LinearStartConfig(Config):
    """Params of the VAEs that begin as principal component analysis."""

    code_length: int  # D
    width: int  # channels at half the image's size; each halving doubles them
    encoder_blocks: int  # residual blocks at each size, but for the finest
    decoder_blocks: (
        int  # residual blocks at linear_out pixels, and at each size from there to half the image's
    )
    linear_in: Annotated[int, Field(ge=1)]  # pixels a side of the picture that the encoder's linear map sees
    linear_out: Annotated[
        int, Field(ge=1)
    ]  # pixels a side of the picture that the decoder's linear map draws


class Encoder(nn.Module):
    """image (B, 3, H, W) -> mean and log-variance (B, 2 D)."""

    def __init__(self, config: LinearStartConfig, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip([3, *widths], widths, strict=False):
            layers += [convolution(inputs, outputs, 4, 2)]
            layers += [Residual(outputs) for _ in range(config.encoder_blocks if inputs > 3 else 0)]
        self.convolutions = nn.Sequential(
            *layers, nn.Flatten(), EqualisedLinear(widths[-1] * 16, 2 * config.code_length)
        )
        self.side = config.linear_in
        self.linear = EqualisedLinear(3 * self.side**2, config.code_length)

    def forward(self, images: Tensor) -> Tensor:
        mean, logvar = self.convolutions(images).float().chunk(2, dim=1)
        picture = (
            F.avg_pool2d(images, images.shape[-1] // self.side) if images.shape[-1] > self.side else images
        )
        return torch.cat([mean + self.linear(picture.flatten(1)).float(), logvar], 1)


class Decoder(nn.Module):
    """code (B, D) -> image (B, 3, H, W).

    The convolutions get the linear picture as three more channels: sharpening it and removing ghost outlines
    is local work that small kernels learn fast. They work at half the image's size and give four pixels at
    each position.
    """

    def __init__(self, config: LinearStartConfig, widths: list[int], size: int) -> None:
        super().__init__()
        self.size = size
        self.side = config.linear_out
        self.linear = EqualisedLinear(config.code_length, 3 * self.side**2)
        wide = widths[::-1]  # at 4, 8, ..., size / 2 pixels
        level = int(math.log2(self.side)) - 2
        grow: list[nn.Module] = [nn.Linear(config.code_length, wide[0] * 16), Fold(wide[0], 4)]
        for inputs, outputs in pairwise(wide[: level + 1]):
            grow += [nn.Upsample(scale_factor=2), convolution(inputs, outputs)]
        draw: list[nn.Module] = [convolution(wide[level] + 3, wide[level])]
        draw += [Residual(wide[level]) for _ in range(config.decoder_blocks)]
        for inputs, outputs in pairwise(wide[level:]):
            draw += [nn.Upsample(scale_factor=2), convolution(inputs, outputs)]
            draw += [Residual(outputs) for _ in range(config.decoder_blocks)]
        self.grow = nn.Sequential(*grow)  # (B, D) -> (B, C, side, side)
        self.draw = nn.Sequential(*draw, nn.Conv2d(wide[-1], 12, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, codes: Tensor) -> Tensor:
        picture = self.linear(codes).float().view(-1, 3, self.side, self.side)
        detail = self.draw(torch.cat([self.grow(codes), picture], 1))
        return F.interpolate(picture, (self.size, self.size), mode="bilinear") + detail.float()


class LinearStartVAE(GaussianVAE):
    """The VAE of a model called `name`, for pictures of `size` pixels. Raises ParamsError."""

    def __init__(self, config: LinearStartConfig, size: int, name: str) -> None:
        widths = [config.width * 2**level for level in range(int(math.log2(size)) - 2)]  # at size / 2, ..., 4
        sides = [size // 2**level for level in range(1, len(widths) + 1)]
        linear_in = min(config.linear_in, size)
        linear_out = min(config.linear_out, size // 2)
        if size % linear_in:
            allowed = [side for side in range(1, size + 1) if size % side == 0]
            raise unsuited(f"models.{name}.linear_in", linear_in, size, allowed)
        if linear_out not in sides:
            raise unsuited(f"models.{name}.linear_out", linear_out, size, sides)
        config = config.model_copy(update={"linear_in": linear_in, "linear_out": linear_out})
        super().__init__(config, config.code_length, Encoder(config, widths), Decoder(config, widths, size))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        return calibrated_gaussian(images, decoded)

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Initialise as the optimal linear VAE of `images` (probabilistic PCA, in closed form); convolutions
        output 0.

        With axes U, eigenvalues l and the mean of the discarded ones s^2: the decoder is U sqrt(l - s^2), the
        posterior has mean sqrt(l - s^2) / l U^T (x - mean) and variance s^2 / l. Tipping & Bishop 1999, eq. 7
        and 8; Lucas et al. 2019, section 4.
        """
        side = self.config.linear_in
        drawn = self.config.linear_out
        pictures = F.avg_pool2d(images, images.shape[-1] // side).flatten(1)
        mean = pictures.mean(0)
        count = min(
            self.config.code_length, len(pictures) - 1, pictures.shape[1]
        )  # fewer faces than code numbers leave the last ones to chance
        _, spread, axes = torch.pca_lowrank(
            pictures - mean, min(count + 16, *pictures.shape), center=False, niter=3
        )
        axes = axes[:, :count]
        kept = spread[:count].square() / len(pictures)
        rest = (pictures.var(0, correction=0).sum() - kept.sum()).clamp_min(1e-6 * kept[0]) / max(
            pictures.shape[1] - count, 1
        )
        kept = kept.clamp_min(rest)
        signal = (kept - rest).sqrt()
        maps = (axes * signal / kept).T  # (count, 3 side^2)
        self.encoder.linear.assign(maps, -maps @ mean)
        pictures = torch.cat([axes.T * signal[:, None], mean[None]]).view(-1, 3, side, side)
        pictures = F.interpolate(pictures, (drawn, drawn), mode="bilinear", antialias=True).flatten(1)
        self.decoder.linear.assign(pictures[:-1].T, pictures[-1])
        head = self.encoder.convolutions[-1]
        logvar = torch.zeros(self.config.code_length).to(rest)
        logvar[:count] = unbounded(torch.log(rest / kept))
        head.assign(torch.zeros_like(head.weight), torch.cat([torch.zeros_like(logvar), logvar]))
        last = self.decoder.draw[-2]
        last.weight.zero_()
        last.bias.zero_()


def unsuited(key: str, side: int, size: int, allowed: list[int]) -> ParamsError:
    sides = ", ".join(map(str, sorted(allowed)))
    return ParamsError(f"{FILE}: {key} = {side} does not suit {size} pixels, allowed: {sides}")
