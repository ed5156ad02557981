"""MS-SSIM VAE: the reconstruction term is multi-scale structural similarity.

Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", 2003
(faces/nn/quality.py: as many of the five scales as leave the 11-pixel window inside the picture, 2 at 32
pixels, 3 at 64, 4 at 128); as a loss: Snell et al., ICIP 2017; Zhao et al., IEEE TCI 2017.

    encoder   image -> strided convolutions -> linear -> mean, log-variance
    decoder   code -> linear -> (upsampling, convolution) x levels -> tanh -> image

To be added to the KL term, similarity has to be in nats. 1 - SSIM is a squared distance, normalised by the
pictures' own energy (Brunet, Vrscay, Wang, "On the Mathematical Properties of the Structural Similarity
Index", 2012); a Gaussian in that distance, with the best variance for the batch, pays D / 2 log(1 - MS-SSIM),
D the number of pixel values: the same calibration as that of mean squared error in the other siblings.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from faces.nn import distributed
from faces.nn.gaussian_vae import GaussianVAE, TextbookConfig, calibrated_gaussian, textbook_halves
from faces.nn.quality import ms_ssim

FLOOR = 1e-4  # of 1 - MS-SSIM: no eye sees less


class Config(TextbookConfig):
    share: Annotated[
        float, Field(ge=0, le=1)
    ]  # of the degrees of freedom that similarity counts; the rest is calibrated squared error


class Model(GaussianVAE):
    def __init__(self, config: Config, size: int) -> None:
        super().__init__(config, config.code_length, *textbook_halves(config, size))

    def reconstruction(self, images: Tensor, decoded: Tensor) -> Tensor:
        with torch.autocast(
            images.device.type, enabled=False
        ):  # its variances are small differences of large sums
            similarity = distributed.mean(ms_ssim((images + 1) / 2, (decoded + 1) / 2).mean())
        structure = 0.5 * images[0].numel() * torch.log(1 - similarity + FLOOR)
        return self.config.share * structure + (1 - self.config.share) * calibrated_gaussian(images, decoded)
