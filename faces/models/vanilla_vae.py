"""The textbook's VAE: binary cross-entropy and KL, nothing else.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> (upsampling, convolution) x levels -> tanh -> image

As a likelihood of gray values the cross-entropy is wide (faces/nn/gaussian_vae.py), so that few units stay
active and faces are soft.
"""

from torch import Tensor

from faces.nn.gaussian_vae import GaussianVAE, TextbookConfig, bernoulli, textbook_halves


class Config(TextbookConfig):
    """Nothing of its own."""


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config, config.code_length, *textbook_halves(config, size))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        return bernoulli(images, decoded)
