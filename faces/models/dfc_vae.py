"""Deep-feature-consistent VAE: the reconstruction loss compares features of a pretrained network.

Hou, Shen, Sun, Qiu, "Deep Feature Consistent Variational Autoencoder", WACV 2017.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> (upsampling, convolution) x levels -> tanh -> image -> frozen network ->
              features of its first stages

Only training needs the network (faces/nn/perceptual.py): it is in no checkpoint.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from faces.nn import perceptual
from faces.nn.gaussian_vae import GaussianVAE, TextbookConfig, calibrated_gaussian, textbook_halves


class Config(TextbookConfig):
    network: Literal["efficientnet_lite0", "vgg19", "classifier"]
    # file with the network's weights, its name ending in the first 8 digits of its SHA-256; empty: the
    # published ones
    weights: str
    stages: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)
    ]  # weight of each stage's distance
    pixels: Annotated[
        float, Field(ge=0)
    ]  # weight of the distance between the pixels themselves, where variance is 0
    variance: Annotated[
        float, Field(ge=0)
    ]  # of a feature under the decoder; 0: the best of each stage and batch


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config, config.code_length, *textbook_halves(config, size))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        network = perceptual.load(self.config.network, self.config.weights, images.device)
        stages = self.config.stages
        variance = self.config.variance
        if variance > 0:  # the published sum of squares
            found = perceptual.distances(network, images, decoded, len(stages))
            return sum(
                weight * 0.5 * count * error / variance
                for weight, (error, count) in zip(stages, found, strict=True)
            )
        features = perceptual.calibrated_features(network, images, decoded, stages)
        pixels = self.config.pixels / (sum(stages) + self.config.pixels)
        return (1 - pixels) * features + pixels * calibrated_gaussian(images, decoded)
