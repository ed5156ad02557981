"""Convolutional VAE with a calibrated Gaussian decoder, initialised by PCA: the default model.

The network, its start and the evidence lower bound are those of faces/nn/linear_start.py.

Squared errors alone leave outlines soft: where the code does not determine the place of an edge to the pixel,
the mean over all places is optimal. In the last share of the budget, `finish`, only the decoder is trained,
and codes stay as they are; the reconstruction term becomes a weighted mean of three likelihoods of one unit,
each with its own best variance:

    pixels      as before
    features    of the first stages of EfficientNet-Lite0 (faces/nn/perceptual.py)
    contrast    local root mean square of the fine detail, on two scales: how much detail there is, and not
                where to the pixel

`critic` above 0 makes it a VAE/GAN (Larsen et al., "Autoencoding beyond pixels using a learned similarity
metric", ICML 2016, who first edited faces by attribute vectors): in the last share `critic_share` of the
budget a critic (faces/nn/critic.py) tells decodings from faces, those of codes between two faces' too, so
that edits are sharp. Codes and what is made of them stay those of the VAE, since the encoder rests.

`labels` above 0 makes it semi-supervised (Kingma et al., "Semi-supervised learning with deep generative
models", NeurIPS 2014): until the encoder rests, the log-likelihood of a face's labels under a linear map of
its code, the mean over the labels, counts too, with this weight. Squared errors over pixels see a hat as a
change of colour, and keep what tells it from dark hair where no linear map finds it. Unknown labels count
nothing.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from faces import models
from faces.core.params import FILE, ParamsError
from faces.nn import distributed, perceptual
from faces.nn.critic import Critic, between, with_critic
from faces.nn.gaussian_vae import calibrated_gaussian, gaussian_kl
from faces.nn.linear_start import LinearStartConfig, LinearStartVAE

STAGES = (1.0, 1.0, 1.0)  # weights of the feature distances at the ends of the network's first stages
WINDOW = 4  # pixels a side over which contrast is measured
FLOOR = 1e-6  # of a mean squared difference of contrasts, so that its logarithm is finite for equal pictures


class Config(LinearStartConfig):
    finish: Annotated[float, Field(ge=0, le=1)]  # share of the budget, at its end, in which the encoder rests
    features: Annotated[
        float, Field(ge=0, lt=1)
    ]  # share of the reconstruction term that then compares features; 0: no network is needed
    contrast: Annotated[float, Field(ge=0, lt=1)]  # share that then compares local contrast
    labels: Annotated[
        float, Field(ge=0)
    ]  # weight of the labels' mean log-likelihood given the code; 0: they are not looked at
    critic: Annotated[float, Field(ge=0)]  # length of a critic's gradient, over the other's; 0: none
    critic_share: Annotated[float, Field(ge=0, le=1)]  # share of the budget, at its end, in which it is asked

    @model_validator(mode="after")
    def encoder_rests(self) -> "Config":
        """Validator: the critic's gradient reaches the decoder alone."""
        if self.critic and self.critic_share > self.finish:
            raise ParamsError(
                f"{FILE}: models.vae.critic_share = {self.critic_share:g}; must be at most "
                f"models.vae.finish = {self.finish:g}"
            )
        return self

    @model_validator(mode="after")
    def pixels_count(self) -> "Config":
        """Validator: the rest of the reconstruction term compares pixels, and must be positive."""
        if self.features + self.contrast >= 1:
            raise ParamsError(
                f"{FILE}: models.vae.features + models.vae.contrast = {self.features + self.contrast:g}; "
                "must be below 1"
            )
        return self


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


class Model(LinearStartVAE):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config, size, "vae")
        if config.critic:
            self.critic = Critic()

    def parts(self) -> dict[str, nn.Module]:
        if not self.config.critic:
            return super().parts()
        others = [part for name, part in self.named_children() if name != "critic"]
        return {"critic": self.critic, "vae": nn.ModuleList(others)}

    def supervise(self, labels: tuple[str, ...]) -> None:
        if self.config.labels and labels:
            self.labels = labels
            self.log_odds = nn.Linear(self.code_length, len(labels))
            nn.init.zeros_(self.log_odds.weight)
            nn.init.zeros_(self.log_odds.bias)

    def further(self, codes: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        if not self.labels or labels is None:
            return {}
        missed = F.softplus(-labels * self.log_odds(codes).float()) * labels.abs()
        return {"labels": self.config.labels * missed.mean()}

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        if progress < 1 - self.config.finish:
            yield from super().losses(images, progress, labels)
            return
        with torch.no_grad():
            mean, logvar = self.posterior(images)
        kl = distributed.mean(gaussian_kl(mean, logvar).mean())
        codes = self.draw(mean, logvar)
        if self.config.critic and progress >= 1 - self.config.critic_share:
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
