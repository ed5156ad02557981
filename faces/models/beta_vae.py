"""beta-VAE: a heavier price on information buys axes that mean one thing.

Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR
2017, eq. 4. With `capacity`, the price is on the distance from a growing budget of nats instead: Burgess et
al., "Understanding disentangling in beta-VAE", 2018, eq. 8.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> (upsampling, convolution) x levels -> tanh -> image

The decoder is a calibrated Gaussian, so that beta counts from the evidence lower bound: 1 is that bound.
Weighed against a fixed wide likelihood, as in the literature, the same beta is far heavier: with mean squared
error m per pixel value and variance v, it is v / m times as heavy.
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
