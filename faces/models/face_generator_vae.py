"""A VAE with a very long code for large faces: 128 pixels, 2,048 numbers, mean squared error and KL, a
decoder of transposed convolutions.

Kingma & Welling 2014; Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional
GANs", ICLR 2016, for the decoder.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> transposed convolutions (4 x 4, stride 2: the kernel is a multiple of the
              stride) -> tanh -> image
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from faces.nn.gaussian_vae import GaussianVAE, TextbookConfig, calibrated_gaussian
from faces.nn.layers import Fold, strided_encoder, widths


class Config(TextbookConfig):
    variance: Annotated[
        float, Field(ge=0)
    ]  # of a pixel value in [-1, 1] under the decoder; 0: the best of each batch


def transposed_decoder(size: int, width: int, inputs: int) -> nn.Sequential:
    """(B, inputs) -> (B, 3, size, size) in [-1, 1]."""
    channels = widths(size, width)[::-1]
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(channels):
        layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
    last = nn.ConvTranspose2d(width, 3, 4, 2, 1)
    return nn.Sequential(
        nn.Linear(inputs, channels[0] * 16),
        Fold(channels[0], 4),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(),
        *layers,
        last,
        nn.Tanh(),
    )


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        encoder = strided_encoder(size, config.width, 2 * config.code_length)
        super().__init__(
            config, config.code_length, encoder, transposed_decoder(size, config.width, config.code_length)
        )

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        if self.config.variance == 0:
            return calibrated_gaussian(images, decoded)
        return 0.5 * (images - decoded).square().sum((1, 2, 3)).mean() / self.config.variance
