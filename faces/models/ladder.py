"""Hierarchical VAE of two levels: what a face is like, and on a grid what the first level cannot say.

After the ladder VAE (Sonderby et al., "Ladder Variational Autoencoders", NeurIPS 2016): here the second level
is a conditional VAE (Sohn, Lee & Yan, "Learning Structured Output Representation using Deep Conditional
Generative Models", NeurIPS 2015) of the face given the first level's picture of it.

    code      z (code_length), then d (detail, S / 4, S / 4) flattened
    picture   a = D(z)                 the VAE of faces/nn/linear_start.py
    face      x = a + convolutions(a, d)

The prior of d is a standard normal whatever a is: what a already tells is not paid for again in the KL term,
and the scale of a detail is the decoder's to know. So d is white. An edit moves z and carries d along, and
where the new a shows no glasses, the decoder knows no rims to sharpen.

In the last share of the budget, `finish`, the second level is trained beside the first, whose picture it
takes as it is. For a share of the faces, `drop`, d is 0, its mean: so nothing that z can say hides in d, and
a code without detail decodes to a face too.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import models
from faces.nn import distributed
from faces.nn.gaussian_vae import bounded, calibration, gaussian_kl
from faces.nn.layers import Residual, convolution
from faces.nn.linear_start import LinearStartConfig, LinearStartVAE


class Config(LinearStartConfig):
    detail: Annotated[int, Field(ge=1)]  # numbers of d at each place of its grid
    detail_width: Annotated[int, Field(ge=1)]  # channels of its networks at half the image's size
    finish: Annotated[float, Field(gt=0, le=1)]  # share of the budget, at its end, in which d is trained
    drop: Annotated[float, Field(gt=0, lt=1)]  # share of the faces whose d is 0 then


def halving(inputs: int, outputs: int) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, outputs, H / 2, W / 2)."""
    return nn.Sequential(convolution(inputs, outputs, 4, 2), Residual(outputs))


class Detail(nn.Module):
    """The second level: faces x and the first level's pictures a of them, (B, 3, S, S) in [-1, 1]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.encoder = nn.Sequential(
            halving(6, width), halving(width, wide), nn.Conv2d(wide, 2 * channels, 3, 1, 1)
        )
        self.fine = halving(3, width)
        self.coarse = halving(width, wide)
        self.join = nn.Sequential(
            convolution(wide + channels, wide), Residual(wide), nn.Upsample(scale_factor=2)
        )
        self.draw = nn.Sequential(
            convolution(wide + width, width),
            Residual(width),
            nn.Conv2d(width, 12, 3, 1, 1),
            nn.PixelShuffle(2),
        )
        for last in (self.encoder[-1], self.draw[-2]):  # a new level says nothing, and draws nothing
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def posterior(self, images: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of d, each (B, C, S / 4, S / 4), float32."""
        mean, logvar = self.encoder(torch.cat([images, images - pictures], 1)).float().chunk(2, 1)
        return mean, bounded(logvar)

    def forward(self, pictures: Tensor, detail: Tensor) -> Tensor:
        fine = self.fine(pictures)
        joined = self.join(torch.cat([self.coarse(fine), detail], 1))
        return pictures + self.draw(torch.cat([joined, fine], 1)).float()


class Model(LinearStartVAE):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config, size, "ladder")
        self.detail = Detail(config.detail, config.detail_width)
        self.grid = (config.detail, size // 4, size // 4)
        self.semantic_length = config.code_length
        self.code_length = config.code_length + config.detail * (size // 4) ** 2

    def parts(self) -> dict[str, nn.Module]:
        return {"vae": nn.ModuleList([self.encoder, self.decoder]), "detail": self.detail}

    def picture(self, codes: Tensor) -> Tensor:
        """D(z): codes (B, semantic_length) -> (B, 3, S, S) in [-1, 1]."""
        return super().decode(codes).clamp(-1, 1)

    def encode(self, images: Tensor) -> Tensor:
        codes = self.posterior(images)[0]
        detail = self.detail.posterior(images, self.picture(codes))[0]
        return torch.cat([codes, detail.flatten(1)], 1)

    def decode(self, codes: Tensor) -> Tensor:
        detail = codes[:, self.semantic_length :].unflatten(1, self.grid)
        return self.detail(self.picture(codes[:, : self.semantic_length]), detail)

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        mean, logvar = self.posterior(images)
        codes = self.draw(mean, logvar)
        decoded = super().decode(codes)
        kl = distributed.mean(gaussian_kl(mean, logvar).mean())
        loss = (self.reconstruction(images, decoded) + kl) / images[0].numel()
        yield "vae", loss, {"loss": loss, "kl": kl, "mse": F.mse_loss(decoded, images)}
        if progress < 1 - self.config.finish:
            return
        with torch.no_grad():
            pictures = self.picture(mean)
        mean, logvar = self.detail.posterior(images, pictures)
        kept = (distributed.uniform(images.new_empty(len(images), 1, 1, 1)) >= self.config.drop).float()
        drawn = self.detail(pictures, kept * self.draw(mean, logvar))
        errors = (drawn - images).square().mean((1, 2, 3))
        kept = kept.flatten()
        kl = distributed.mean((kept * gaussian_kl(mean.flatten(1), logvar.flatten(1))).mean())
        loss = kl / images[0].numel()
        for share, chosen in ((1 - self.config.drop, kept), (self.config.drop, 1 - kept)):
            count = distributed.mean(chosen.mean()).clamp_min(1e-6)
            loss = loss + share * calibration(distributed.mean((chosen * errors).mean()) / count)
        yield "detail", loss, {"detail_loss": loss, "detail_kl": kl, "detail_mse": errors.mean()}
