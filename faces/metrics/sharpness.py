"""Sharpness of pictures: Laplacian energy and the radial power spectrum, relative to reference pictures.

Images are float (N, H, W, C) in [0, 1] or uint8 throughout; both arguments of a ratio must have one unit. No
network is involved, so training on a network's features gives no advantage here.
"""

import numpy as np

BANDS = (
    0.0,
    0.06,
    0.12,
    0.25,
    np.inf,
)  # edges of the bands of the spectrum, in cycles per pixel; the corner of the spectrum lies at 0.71


def laplacian_energy(images: np.ndarray) -> np.ndarray:
    """Mean squared response of the 4-neighbour Laplacian (4 at the centre, -1 at each neighbour) per picture:
    (N, H, W, C) -> (N,).

    The kernel responds only where the whole of it lies inside the picture. Blurring lowers it, noise raises
    it: a value above that of real pictures is not better. Pertuz, Puig, Garcia, "Analysis of focus measure
    operators for shape-from-focus", 2013, LAP1.
    """
    x = np.asarray(images, np.float64)
    neighbours = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
    return np.square(4 * x[:, 1:-1, 1:-1] - neighbours).mean((1, 2, 3))


def sharpness(images: np.ndarray, reference: np.ndarray) -> float:
    """Laplacian energy of `images` over that of `reference`, two sets (N, H, W, C) and (M, H, W, C): 1 is as
    sharp, less is softer, more is noisier.

    NaN where the reference pictures are flat.
    """
    wanted = laplacian_energy(reference).mean()
    return float(laplacian_energy(images).mean() / wanted) if wanted else float("nan")


def radial_spectrum(images: np.ndarray, edges: tuple[float, ...] = BANDS) -> np.ndarray:
    """Mean power of a set of pictures (N, H, W, C) by distance from zero frequency: (len(edges) - 1,), band k
    holds edges[k] <= f < edges[k + 1].

    Frequencies are in cycles per pixel. Each picture's and channel's mean is left out. The bands add up to
    the mean variance of a picture (Parseval).
    """
    x = np.asarray(images, np.float64)
    x = x - x.mean((1, 2), keepdims=True)
    height, width = x.shape[1:3]
    power = np.square(np.abs(np.fft.fft2(x, axes=(1, 2)))).mean((0, 3)) / (height * width) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    return np.histogram(frequency, edges, weights=power)[0]


def band_ratios(images: np.ndarray, reference: np.ndarray, edges: tuple[float, ...] = BANDS) -> np.ndarray:
    """Power of `images` over that of `reference` in each band of `radial_spectrum`: (len(edges) - 1,), NaN
    where the reference has none.
    """
    wanted = radial_spectrum(reference, edges)
    return np.divide(
        radial_spectrum(images, edges), wanted, out=np.full(len(wanted), np.nan), where=wanted > 0
    )
