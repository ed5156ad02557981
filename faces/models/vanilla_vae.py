"""The textbook's VAE: binary cross-entropy and KL, nothing else.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> (upsampling, convolution) x levels -> tanh -> image

The cross-entropy of gray values is wide (faces/vae.py), so that few units stay active and faces are soft. That is what this model is here to show.
"""

from torch import Tensor

from faces import nn as bricks
from faces.vae import GaussianVAE, bernoulli


class Config(bricks.Config):
    code_length: int  # D
    width: int  # channels at half the image's size; each halving doubles them


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        encoder = bricks.strided_encoder(size, config.width, 2 * config.code_length)
        decoder = bricks.upsampling_decoder(size, config.width, config.code_length)
        super().__init__(config, config.code_length, encoder, decoder)

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        return bernoulli(images, decoded)
