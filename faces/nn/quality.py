"""Reconstruction quality: PSNR, SSIM, MS-SSIM, and active units of a code.

Images are float (B, 3, H, W) in [0, 1] here; every function of two pictures returns (B,).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# of the Gaussian window, in pixels: Wang et al. 2004
WINDOW = 11
SIGMA = 1.5
# for pictures in [0, 1]
C1 = 0.01**2
C2 = 0.03**2
WEIGHTS = (
    0.0448,
    0.2856,
    0.3001,
    0.2363,
    0.1333,
)  # of the scales, finest first: Wang, Simoncelli, Bovik 2003


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, from each picture's own mean squared error; at most 100."""
    return -10 * torch.log10((a - b).square().mean((1, 2, 3)).clamp_min(1e-10))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, eq. 13): 11 x 11 Gaussian window, valid positions only, mean
    over channels and places.
    """
    luminance, structure = _similarity(a, b)
    return (luminance * structure).mean((1, 2, 3))


def scales(size: int) -> int:
    """Number of MS-SSIM scales at this size: those of the five at which the window fits (5 from 176 pixels, 3
    at 64, 2 at 32).
    """
    count = 1
    while count < len(WEIGHTS) and size // 2**count >= WINDOW:
        count += 1
    return count


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003, eq. 7), weights rescaled to sum to 1
    over the scales that fit.

    Contrast-structure terms are averaged over the picture and clamped at zero before the power. Luminance is
    compared at the coarsest scale only.
    """
    count = scales(min(a.shape[-2:]))
    weights = torch.tensor(WEIGHTS[:count], dtype=a.dtype, device=a.device)
    weights = weights / weights.sum()
    product = torch.ones((), dtype=a.dtype, device=a.device)
    for scale in range(count):
        luminance, structure = _similarity(a, b)
        term = structure if scale < count - 1 else luminance * structure
        product = product * term.mean((1, 2, 3)).clamp_min(1e-6) ** weights[scale]
        if scale < count - 1:
            a = F.avg_pool2d(a, 2)
            b = F.avg_pool2d(b, 2)
    return product


def active_units(codes: np.ndarray) -> int:
    """Number of active units of codes (N, D): dimensions with variance above 0.01 (Burda, Grosse,
    Salakhutdinov, ICLR 2016, section 5.2).
    """
    return int((np.var(codes, axis=0, dtype=np.float64) > 0.01).sum())


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The luminance map and the contrast-structure map, each (B, 3, H - 10, W - 10)."""
    places = torch.arange(WINDOW, dtype=a.dtype, device=a.device) - (WINDOW - 1) / 2
    window = torch.exp(-places.square() / (2 * SIGMA**2))
    window = window / window.sum()

    def blur(images: Tensor) -> Tensor:
        channels = images.shape[1]
        rows = F.conv2d(images, window.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        return F.conv2d(rows, window.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)

    mean_a = blur(a)
    mean_b = blur(b)
    variance_a = blur(a * a) - mean_a**2
    variance_b = blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return luminance, structure
