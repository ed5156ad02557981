"""Deep convolutional autoencoder: no prior, no noise, a short code and squared error.

Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 2006;
convolutional: Masci et al., ICANN 2011.

    encoder   image -> (convolution, batch norm, max pooling) x levels -> linear -> normalised code
    decoder   code -> linear -> (upsampling, convolution, batch norm) x levels -> tanh -> image

Samples come from a Gaussian fitted to the codes during training (faces/nn/layers.py, CodeNorm).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from faces import models
from faces.nn.layers import convolution, upsampling_decoder, widths


class Config(models.Config):
    code_length: int  # D
    width: int  # channels at the image's size; each halving doubles them


class Model(models.Autoencoder):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config.code_length)
        channels = widths(size, config.width)
        layers: list[nn.Module] = []
        for inputs, outputs in zip([3, *channels], channels, strict=False):
            layers += [convolution(inputs, outputs), nn.MaxPool2d(2)]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 16, config.code_length))
        self.decoder = upsampling_decoder(size, config.width, config.code_length)

    def encode(self, images: Tensor) -> Tensor:
        return self.norm(self.encoder(images))

    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder(codes).float()

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        loss = F.mse_loss(self.decode(self.encode(images)), images)
        yield "autoencoder", loss, {"loss": loss, "mse": loss}
