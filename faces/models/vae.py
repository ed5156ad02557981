"""The flagship: a residual convolutional VAE with a calibrated Gaussian decoder.

Kingma & Welling 2014; the decoder's variance is the best for each batch (Rybkin et al. 2021), so the KL weight is not a magic number: 1 is the bound.

    encoder   image -> [convolution of stride 2, residual block] until 4 x 4 -> linear -> mean, log-variance
    decoder   code -> linear -> 4 x 4 -> [residual block, nearest upsampling, convolution] until the image -> convolution

Upsampling followed by a convolution leaves no checkerboard and exports to plain operators.
"""

import math

from torch import Tensor

from faces import nn as bricks
from faces.vae import GaussianVAE, calibrated_gaussian


class Config(bricks.Config):
    code_length: int  # D
    width: int  # channels at half the image's size; each halving doubles them
    blocks: int  # residual blocks per level


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        widths = [config.width * 2**level for level in range(int(math.log2(size)) - 2)]  # at size / 2, ..., 4
        super().__init__(config, config.code_length, encoder(config, widths), decoder(config, widths))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        return calibrated_gaussian(images, decoded)
