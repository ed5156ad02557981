"""The flagship: a convolutional VAE that begins as principal components, with a calibrated Gaussian decoder.

Kingma & Welling 2014; the decoder's variance is the best for each batch (Rybkin et al. 2021), so the KL weight is not a magic number: 1 is the bound.

    encoder   mean = linear(picture) + convolutions(picture)      log-variance = convolutions(picture)
    decoder   image = linear(code) + convolutions(code)

The best linear VAE is principal component analysis (Tipping & Bishop 1999; Lucas et al. 2019), and for aligned faces it is a strong one. `prepare` sets the
two linear maps to it, so the first step starts where convolutions alone arrive after an hour; the convolutions learn what is not linear. Both halves
stay trainable. Upsampling followed by a convolution leaves no checkerboard and exports to plain operators.

A share of the reconstruction term may compare features of EfficientNet-Lite0 (faces/nn/perceptual.py) instead of pixels, each stage with its own best variance.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces.core.params import FILE, ParamsError
from faces.nn import layers as bricks
from faces.nn import perceptual
from faces.nn.gaussian_vae import GaussianVAE, calibrated_gaussian
from faces.nn.layers import Fold, Residual, convolution

STAGES = (1.0, 1.0, 1.0)  # weights of the feature distances at the ends of the network's first stages


class Config(bricks.Config):
    code_length: int  # D
    width: int  # channels at half the image's size; each halving doubles them
    blocks: int  # residual blocks per level, but for the finest
    linear_in: Annotated[int, Field(ge=1)]  # pixels a side of the picture that the encoder's linear map sees
    linear_out: Annotated[
        int, Field(ge=1)
    ]  # pixels a side of the picture that the decoder's linear map draws
    features: Annotated[
        float, Field(ge=0, lt=1)
    ]  # share of the reconstruction term that compares features; 0: no network is needed


class Encoder(nn.Module):
    """image (B, 3, H, W) -> mean and log-variance (B, 2 D)."""

    def __init__(self, config: Config, widths: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip([3, *widths], widths, strict=False):
            layers += [convolution(inputs, outputs, 4, 2)]
            layers += [Residual(outputs) for _ in range(config.blocks if inputs > 3 else 0)]
        self.convolutions = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(widths[-1] * 16, 2 * config.code_length)
        )
        self.side = config.linear_in
        self.linear = nn.Linear(3 * self.side**2, config.code_length)

    def forward(self, images: Tensor) -> Tensor:
        mean, logvar = self.convolutions(images).float().chunk(2, dim=1)
        picture = (
            F.avg_pool2d(images, images.shape[-1] // self.side) if images.shape[-1] > self.side else images
        )
        return torch.cat([mean + self.linear(picture.flatten(1)).float(), logvar], 1)


class Decoder(nn.Module):
    """code (B, D) -> image (B, 3, H, W)."""

    def __init__(self, config: Config, widths: list[int], size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(config.code_length, widths[-1] * 16), Fold(widths[-1], 4)]
        for inputs, outputs in zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True):
            layers += [Residual(inputs) for _ in range(config.blocks)]
            layers += [nn.Upsample(scale_factor=2), convolution(inputs, outputs)]
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(widths[0], 3, 3, 1, 1))
        self.size, self.side = size, config.linear_out
        self.linear = nn.Linear(config.code_length, 3 * self.side**2)

    def forward(self, codes: Tensor) -> Tensor:
        picture = self.linear(codes).float().view(-1, 3, self.side, self.side)
        if self.size > self.side:
            picture = F.interpolate(picture, (self.size, self.size), mode="bilinear")
        return picture + self.convolutions(codes).float()


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        widths = [config.width * 2**level for level in range(int(math.log2(size)) - 2)]  # at size / 2, ..., 4
        config = config.model_copy(
            update={"linear_in": min(config.linear_in, size), "linear_out": min(config.linear_out, size)}
        )
        if size % config.linear_in:
            allowed = ", ".join(str(side) for side in range(1, size + 1) if size % side == 0)
            raise ParamsError(
                f"{FILE}: models.vae.linear_in = {config.linear_in} does not divide {size} pixels, allowed: {allowed}"
            )
        super().__init__(config, config.code_length, Encoder(config, widths), Decoder(config, widths, size))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        share, pixels = self.config.features, calibrated_gaussian(images, decoded)
        if share == 0:
            return pixels
        network = perceptual.load("efficientnet_lite0", "", images.device)
        return (1 - share) * pixels + share * perceptual.calibrated_features(network, images, decoded, STAGES)

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Begin as the best linear VAE of `images`: probabilistic principal components, in closed form; the convolutions add nothing yet.

        With eigenvalues l_i and the mean of the discarded ones s^2, the posterior variance of code i is s^2 / (l_i + s^2): Lucas et al. 2019, section 3.
        """
        side, drawn = self.config.linear_in, self.config.linear_out
        pictures = F.avg_pool2d(images, images.shape[-1] // side).flatten(1)
        mean = pictures.mean(0)
        count = min(
            self.code_length, len(pictures) - 1, pictures.shape[1]
        )  # fewer faces than code numbers leave the last ones to chance
        _, spread, axes = torch.pca_lowrank(
            pictures - mean, min(count + 16, *pictures.shape), center=False, niter=3
        )
        axes, kept = axes[:, :count], spread[:count].square() / len(pictures)
        rest = (pictures.var(0, correction=0).sum() - kept.sum()).clamp_min(1e-6 * kept[0]) / max(
            pictures.shape[1] - count, 1
        )
        kept = kept.clamp_min(rest)
        encoder, decoder = self.encoder, self.decoder
        encoder.linear.weight[:count] = (axes / kept.sqrt()).T
        encoder.linear.bias.copy_(-encoder.linear.weight @ mean)
        pictures = torch.cat([axes.T * kept.sqrt()[:, None], mean[None]]).view(-1, 3, side, side)
        pictures = F.interpolate(pictures, (drawn, drawn), mode="bilinear", antialias=True).flatten(1)
        decoder.linear.weight[:, :count] = pictures[:-1].T
        decoder.linear.bias.copy_(pictures[-1])
        for last in (encoder.convolutions[-1], decoder.convolutions[-1]):
            last.weight.zero_()
            last.bias.zero_()
        encoder.convolutions[-1].bias[self.code_length :][:count] = torch.log(rest / (kept + rest))
