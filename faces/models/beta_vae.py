"""beta-VAE: a heavier KL term for disentangled code dimensions.

Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR
2017, eq. 4. With `capacity`, the penalty is on the distance of the KL divergence from a growing target
instead: Burgess et al., "Understanding disentangling in beta-VAE", 2018, eq. 8.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> (upsampling, convolution) x levels -> tanh -> image

The decoder is a calibrated Gaussian, so that beta = 1 is the evidence lower bound. With a fixed wide
likelihood of variance v, as in the literature, the same beta weighs v / m times as much, m the mean squared
error per pixel value.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from faces.nn.gaussian_vae import GaussianVAE, TextbookConfig, calibrated_gaussian, textbook_halves


class Config(TextbookConfig):
    beta: Annotated[float, Field(ge=0)]  # weight of the KL term; 1 is the plain VAE
    capacity: Annotated[
        float, Field(ge=0)
    ]  # nats allowed at the end of training, rising from 0; 0: the KL itself is priced


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config, config.code_length, *textbook_halves(config, size))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        return calibrated_gaussian(images, decoded)

    def price(self, kl: Tensor, progress: float) -> Tensor:
        if self.config.capacity == 0:
            return self.config.beta * kl
        return self.config.beta * (kl - progress * self.config.capacity).abs()
