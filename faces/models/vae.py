"""Convolutional VAE with a calibrated Gaussian decoder, initialised by PCA: the default model.

Kingma & Welling 2014; the decoder's variance is the optimal one of each batch (Rybkin et al. 2021), so the KL
term has weight 1, as in the evidence lower bound (faces/nn/gaussian_vae.py).

    encoder   mean = linear(picture) + convolutions(picture)      log-variance = convolutions(picture)
    decoder   image = linear(code) + convolutions(code, linear(code))

The best linear VAE is principal component analysis (Tipping & Bishop 1999; Lucas et al. 2019), and for
aligned faces it is a strong one. `prepare` sets the two linear maps to it, a start that convolutions alone
reach after an hour; the convolutions learn the nonlinear part. All weights stay trainable.

Squared errors alone leave outlines soft: where the code does not determine the place of an edge to the pixel,
the mean over all places is optimal. In the last share of the budget, `finish`, only the decoder is trained,
and codes stay as they are; the reconstruction term becomes a weighted mean of three likelihoods of one unit,
each with its own best variance:

    pixels      as before
    features    of the first stages of EfficientNet-Lite0 (faces/nn/perceptual.py)
    contrast    local root mean square of the fine detail, on two scales: how much detail there is, and not
                where to the pixel

`critic` above 0 makes it a VAE/GAN (Larsen et al., "Autoencoding beyond pixels using a learned similarity
metric", ICML 2016, who first edited faces by attribute vectors): in the last phase a critic
(faces/nn/critic.py) tells decodings from faces, those of codes between two faces' too, so that edits are
sharp. Codes and what is made of them stay those of the VAE, since the encoder rests.
"""

import math
from itertools import pairwise
from typing import Annotated, NoReturn

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from faces import models
from faces.core.params import FILE, ParamsError
from faces.nn import distributed, perceptual
from faces.nn.critic import Critic, between, with_critic
from faces.nn.gaussian_vae import GaussianVAE, calibrated_gaussian, gaussian_kl, unbounded
from faces.nn.layers import EqualisedLinear, Fold, Residual, convolution

STAGES = (1.0, 1.0, 1.0)  # weights of the feature distances at the ends of the network's first stages
WINDOW = 4  # pixels a side over which contrast is measured
FLOOR = 1e-6  # of a mean squared difference of contrasts, so that its logarithm is finite for equal pictures


class Config(models.Config):
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
    finish: Annotated[float, Field(ge=0, le=1)]  # share of the budget, at its end, in which the encoder rests
    features: Annotated[
        float, Field(ge=0, lt=1)
    ]  # share of the reconstruction term that then compares features; 0: no network is needed
    contrast: Annotated[float, Field(ge=0, lt=1)]  # share that then compares local contrast
    critic: Annotated[float, Field(ge=0)]  # length of a critic's gradient then, over the other's; 0: none

    @model_validator(mode="after")
    def pixels_count(self) -> "Config":
        """Validator: the rest of the reconstruction term compares pixels, and must be positive."""
        if self.features + self.contrast >= 1:
            raise ParamsError(
                f"{FILE}: models.vae.features + models.vae.contrast = {self.features + self.contrast:g}; "
                "must be below 1"
            )
        return self


def refuse(key: str, side: int, size: int, allowed: list[int]) -> NoReturn:
    sides = ", ".join(map(str, sorted(allowed)))
    raise ParamsError(f"{FILE}: models.vae.{key} = {side} does not suit {size} pixels, allowed: {sides}")


class Encoder(nn.Module):
    """image (B, 3, H, W) -> mean and log-variance (B, 2 D)."""

    def __init__(self, config: Config, widths: list[int]) -> None:
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

    def __init__(self, config: Config, widths: list[int], size: int) -> None:
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


def contrast(images: Tensor) -> Tensor:
    """Local contrast: root mean square of the difference to a 3 x 3 mean, over all channels: (B, 3, H, W) ->
    (B, 1, h, w), windows of WINDOW pixels, half over.
    """
    detail = images - F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    energy = F.avg_pool2d(detail.square().mean(1, keepdim=True), WINDOW, WINDOW // 2)
    return (energy + 1e-5).sqrt()


def calibrated_contrast(images: Tensor, decoded: Tensor) -> Tensor:
    """Negative log-likelihood of a Gaussian over local contrasts at full and at half size, each size's
    variance the best for the batch.

    In nats per image, up to a constant: the degrees of freedom are those of the picture, as in
    perceptual.calibrated_features.
    """
    logs = []
    for factor in (1, 2):
        wanted, found = (contrast(F.avg_pool2d(x, factor)) for x in (images, decoded))
        logs.append(torch.log(distributed.mean(F.mse_loss(found, wanted)) + FLOOR))
    return 0.5 * images[0].numel() * torch.stack(logs).mean()


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        widths = [config.width * 2**level for level in range(int(math.log2(size)) - 2)]  # at size / 2, ..., 4
        sides = [size // 2**level for level in range(1, len(widths) + 1)]
        linear_in = min(config.linear_in, size)
        linear_out = min(config.linear_out, size // 2)
        if size % linear_in:
            refuse("linear_in", linear_in, size, [side for side in range(1, size + 1) if size % side == 0])
        if linear_out not in sides:
            refuse("linear_out", linear_out, size, sides)
        config = config.model_copy(update={"linear_in": linear_in, "linear_out": linear_out})
        super().__init__(config, config.code_length, Encoder(config, widths), Decoder(config, widths, size))
        if config.critic:
            self.critic = Critic()

    def parts(self) -> dict[str, nn.Module]:
        if not self.config.critic:
            return super().parts()
        return {"critic": self.critic, "vae": nn.ModuleList([self.encoder, self.decoder])}

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        return calibrated_gaussian(images, decoded)

    def losses(self, images: Tensor, progress: float) -> models.Losses:
        if progress < 1 - self.config.finish:
            yield from super().losses(images, progress)
            return
        with torch.no_grad():
            mean, logvar = self.posterior(images)
        kl = distributed.mean(gaussian_kl(mean, logvar).mean())
        codes = self.draw(mean, logvar)
        if self.config.critic:
            yield from self.adversarial(images, mean, codes, kl)
            return
        decoded = self.decode(codes)
        real, seen = self.features(images, decoded) if self.config.features else ([], [])
        loss = (self.finishing(images, decoded, real, seen) + kl) / images[0].numel()
        yield "vae", loss, {"loss": loss, "kl": kl, "mse": F.mse_loss(decoded, images)}

    def adversarial(self, images: Tensor, mean: Tensor, codes: Tensor, kl: Tensor) -> models.Losses:
        """The critic's step, then the decoder's, with the critic's gradient beside the reconstruction's."""
        count = len(images)
        pictures = self.decode(torch.cat([codes, between(mean)]))
        decoded = pictures[:count]
        real, seen = self.features(images, pictures)
        loss = self.critic.loss(real, [x.detach() for x in seen])
        yield "critic", loss, {"critic": loss}
        loss = (self.finishing(images, decoded, real, [x[:count] for x in seen]) + kl) / images[0].numel()
        score = self.critic(seen).mean()
        logged = {"loss": loss, "kl": kl, "score": score, "mse": F.mse_loss(decoded, images)}
        yield "vae", with_critic(loss, score, pictures, self.config.critic), logged

    def features(self, images: Tensor, decoded: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """EfficientNet-Lite0's features of faces and of decodings; gradients flow to the latter."""
        network = perceptual.load("efficientnet_lite0", "", images.device)
        with torch.no_grad():
            real = network.features(images, len(STAGES))
        return real, network.features(decoded, len(STAGES))

    def finishing(self, images: Tensor, decoded: Tensor, real: list[Tensor], seen: list[Tensor]) -> Tensor:
        """The reconstruction term of the last phase: pixels, features, local contrast, in nats per image."""
        config = self.config
        loss = (1 - config.features - config.contrast) * calibrated_gaussian(images, decoded)
        if config.features:
            errors = [F.mse_loss(b.float(), a.float()) for a, b in zip(real, seen, strict=True)]
            loss = loss + config.features * perceptual.calibrated(errors, STAGES, images[0].numel())
        if config.contrast:
            loss = loss + config.contrast * calibrated_contrast(images, decoded)
        return loss

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
            self.code_length, len(pictures) - 1, pictures.shape[1]
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
        logvar = torch.zeros(self.code_length).to(rest)
        logvar[:count] = unbounded(torch.log(rest / kept))
        head.assign(torch.zeros_like(head.weight), torch.cat([torch.zeros_like(logvar), logvar]))
        last = self.decoder.draw[-2]
        last.weight.zero_()
        last.bias.zero_()
