"""Variational autoencoder with a diagonal Gaussian posterior: network, evidence lower bound, KL term.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014. The VAEs of faces/models override
`reconstruction`, `price` or `further`, or pass another encoder and decoder, and nothing else.

    encoder   image -> 2 D numbers: mean and log-variance of a diagonal Gaussian
    decoder   code -> image

The log-variance is bounded softly to [-12, 4], where float32 cannot overflow and a unit cannot switch itself
off for good.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faces.nn import distributed
from faces.nn.layers import strided_encoder, upsampling_decoder
from faces.nn.model import Config, Losses, Model


class GaussianVAE(Model):
    """A VAE with a diagonal Gaussian posterior and a standard normal prior, from an encoder and a decoder."""

    def __init__(self, config: Config, code_length: int, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.code_length = code_length
        self.encoder = encoder
        self.decoder = decoder

    def parts(self) -> dict[str, nn.Module]:
        return {"vae": self}

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 3, H, W) -> mean (B, D), log-variance (B, D), both float32."""
        mean, logvar = self.encoder(images).float().chunk(2, dim=1)
        return mean, bounded(logvar)

    def draw(self, mean: Tensor, logvar: Tensor) -> Tensor:
        """A sample (B, D) from the posterior in training, its mean otherwise."""
        return mean + distributed.normal(mean) * torch.exp(0.5 * logvar) if self.training else mean

    def encode(self, images: Tensor) -> Tensor:
        return self.posterior(images)[0]

    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder(codes).float()

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        return temperature * torch.randn(count, self.code_length, generator=generator)

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        """Reconstruction term: -log p(x | z) averaged over the batch, a scalar in nats per image."""
        raise NotImplementedError

    def price(self, kl: Tensor, progress: float) -> Tensor:
        """KL term of the loss, from the KL divergence `kl`; both scalars in nats per image."""
        return kl

    def further(self, codes: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Further terms of the loss by name, of drawn codes (B, D) and labels (B, A); scalars in nats per
        image.
        """
        return {}

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> Losses:
        mean, logvar = self.posterior(images)
        codes = self.draw(mean, logvar)
        decoded = self.decode(codes)
        kl = distributed.mean(gaussian_kl(mean, logvar).mean())  # its price need not be linear
        reconstruction = self.reconstruction(images, decoded)
        values = images[0].numel()  # loss per pixel value: one learning rate serves every size
        further = self.further(codes, labels)
        loss = sum(further.values(), reconstruction + self.price(kl, progress)) / values
        yield "vae", loss, {"loss": loss, "kl": kl, "mse": F.mse_loss(decoded, images), **further}


class TextbookConfig(Config):
    """Params of the VAEs with the textbook's encoder and decoder."""

    code_length: int  # D
    width: int  # channels at half the image's size; each halving doubles them


def textbook_halves(config: TextbookConfig, size: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder: strided convolutions one way, upsampling and convolutions the other."""
    encoder = strided_encoder(size, config.width, 2 * config.code_length)
    return encoder, upsampling_decoder(size, config.width, config.code_length)


def bounded(logvar: Tensor) -> Tensor:
    """Log-variance softly clamped to (-12, 4), with slope 1 at -4."""
    return 8 * torch.tanh((logvar + 4) / 8) - 4


def unbounded(logvar: Tensor) -> Tensor:
    """Inverse of `bounded`, clamped to its range."""
    return 8 * torch.atanh(((logvar + 4) / 8).clamp(-0.99, 0.99)) - 4


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats, (B, D) -> (B,). Kingma & Welling 2014, appendix B."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)


def calibrated_gaussian(images: Tensor, decoded: Tensor) -> Tensor:
    """Negative log-likelihood of a Gaussian decoder with one variance, the optimal one of the batch.

    In nats per image, up to a constant.

    With sigma^2 = MSE the likelihood is D/2 log MSE + const: no weight between reconstruction and KL is left
    to choose. Rybkin, Daniilidis, Levine, "Simple and Effective VAE Training with Calibrated Decoders", ICML
    2021, eq. 5. The floor is one 8-bit step.
    """
    return images[0].numel() * calibration(distributed.mean(F.mse_loss(decoded, images)))


def calibration(error: Tensor) -> Tensor:
    """The same per pixel value, from a mean squared error."""
    step = 2 / 255
    return 0.5 * torch.log(error + step**2 / 12)


def bernoulli(images: Tensor, decoded: Tensor) -> Tensor:
    """Binary cross-entropy of pixels, [-1, 1] mapped to [0, 1], in nats per image.

    Kingma & Welling 2014, appendix C.1.

    For pixels that are not black or white it is no likelihood (Loaiza-Ganem & Cunningham, NeurIPS 2019), only
    the textbook's loss; near its minimum it is that of a Gaussian of variance p (1 - p), in [0, 1], which is
    far wider than what a good reconstruction leaves.
    """
    chance = (decoded + 1) / 2
    target = (images + 1) / 2
    chance = chance.clamp(1e-6, 1 - 1e-6)
    return -(target * chance.log() + (1 - target) * (1 - chance).log()).sum((1, 2, 3)).mean()
