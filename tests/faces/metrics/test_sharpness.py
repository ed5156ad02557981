"""Laplacian energy and radial spectrum against closed forms: waves, a single bright pixel, white noise, a
known blur.
"""

import numpy as np
import pytest

from faces.metrics.sharpness import band_ratios, laplacian_energy, radial_spectrum, sharpness


def wave(frequency: float, size: int = 64) -> np.ndarray:
    """cos(2 pi f x) along the rows, (1, size, size, 3), variance 1/2 where f makes whole periods."""
    row = np.cos(2 * np.pi * frequency * np.arange(size))
    return np.broadcast_to(row[None, None, :, None], (1, size, size, 3)).copy()


def test_the_laplacian_of_a_single_bright_pixel():
    """4 at the pixel and -1 at each neighbour: 16 + 4 over the 6 x 6 places at which the kernel fits."""
    image = np.zeros((1, 8, 8, 1))
    image[0, 4, 4] = 1
    assert laplacian_energy(image) == pytest.approx([20 / 36])


def test_the_laplacian_of_white_noise():
    """Independent pixels of variance s^2: 16 s^2 + 4 s^2."""
    noise = np.random.default_rng(0).normal(0, 0.1, (4, 256, 256, 3))
    assert laplacian_energy(noise).mean() == pytest.approx(20 * 0.1**2, rel=0.02)


def test_the_laplacian_of_a_wave():
    """An eigenfunction with eigenvalue 2 - 2 cos(2 pi f): at f = 1/4 every place answers twice the wave, of
    mean square 1/2.
    """
    assert laplacian_energy(wave(0.25, 66)) == pytest.approx([2**2 / 2])


def test_eight_bits_do_not_wrap():
    """A bright neighbourhood of a dark pixel: in unsigned arithmetic 4 * 0 - 1020 is another number."""
    image = np.full((1, 3, 3, 1), 255, np.uint8)
    image[0, 1, 1] = 0
    assert laplacian_energy(image) == pytest.approx([1020.0**2])


def test_sharpness_is_a_ratio_of_energies():
    images = np.random.default_rng(1).random((3, 16, 16, 3))
    assert sharpness(images, images) == pytest.approx(1)
    assert sharpness(0.5 * images + 0.2, images) == pytest.approx(0.25), "half the contrast: a quarter"
    assert np.isnan(sharpness(images, np.zeros((2, 16, 16, 3))))


def test_a_blur_takes_the_energy_that_it_takes_from_a_wave():
    """(1, 2, 1) / 4 along the rows multiplies a wave by (1 + cos(2 pi f)) / 2: by a half at f = 1/4."""
    sharp = wave(0.25, 66)
    soft = (np.roll(sharp, 1, 2) + 2 * sharp + np.roll(sharp, -1, 2)) / 4
    inside = np.s_[:, :, 1:-1]
    assert sharpness(soft[inside], sharp[inside]) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize(
    ("frequency", "band"), [(1 / 32, 0), (3 / 32, 1), (3 / 16, 2), (3 / 8, 3), (1 / 2, 3)]
)
def test_a_wave_lies_in_its_band(frequency, band):
    expected = np.zeros(4)
    expected[band] = 1.0 if frequency == 1 / 2 else 0.5  # its variance
    np.testing.assert_allclose(radial_spectrum(wave(frequency)), expected, atol=1e-12)


def test_the_bands_add_up_to_the_variance():
    images = np.random.default_rng(2).random((5, 32, 48, 3))
    assert radial_spectrum(images).sum() == pytest.approx(images.var((1, 2)).mean())


def test_ratios_band_by_band():
    """The coarse wave kept, the fine one halved; two empty bands have no ratio."""
    ratios = band_ratios(wave(1 / 32) + 0.5 * wave(3 / 8), wave(1 / 32) + wave(3 / 8))
    np.testing.assert_allclose(ratios[[0, 3]], [1, 0.25])
    flat = band_ratios(wave(1 / 32), np.zeros((1, 64, 64, 3)))
    assert np.isnan(flat).all()
