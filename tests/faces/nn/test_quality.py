"""PSNR, SSIM and MS-SSIM against independent implementations and by hand."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from faces.nn import quality


@pytest.fixture
def pair(rng):
    a = rng.random((2, 3, 64, 64)).astype(np.float32)
    b = np.clip(a + 0.1 * rng.standard_normal(a.shape).astype(np.float32), 0, 1)
    return torch.from_numpy(a), torch.from_numpy(b)


def test_psnr_of_a_known_error():
    a = torch.full((1, 3, 8, 8), 0.5)
    assert quality.psnr(a, a + 0.1).item() == pytest.approx(20.0, abs=1e-4)


def test_ssim_equals_scikit_image(pair):
    a, b = pair
    ours = quality.ssim(a, b).numpy()
    for image in range(2):
        theirs, full = structural_similarity(
            a[image].numpy().astype(np.float64),
            b[image].numpy().astype(np.float64),
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        del theirs  # it pads the border; the mean over the places where the window fits is ours
        assert ours[image] == pytest.approx(full[:, 5:-5, 5:-5].mean(), abs=2e-4)


def test_equal_pictures_score_one(pair):
    a, _ = pair
    assert torch.allclose(quality.ssim(a, a), torch.ones(2), atol=1e-5)
    assert torch.allclose(quality.ms_ssim(a, a), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize(("size", "count"), [(32, 2), (64, 3), (128, 4), (175, 4), (176, 5), (256, 5)])
def test_scales_leave_the_window_inside_the_picture(size, count):
    assert quality.scales(size) == count
    assert size // 2 ** (count - 1) >= quality.WINDOW


def test_ms_ssim_equals_torchmetrics_at_five_scales(rng):
    a = torch.from_numpy(rng.random((2, 3, 192, 192)).astype(np.float32))
    a = torch.nn.functional.avg_pool2d(a, 5, 1, 2)  # smooth enough that no term is negative
    b = (a + 0.05 * torch.from_numpy(rng.standard_normal(a.shape).astype(np.float32))).clamp(0, 1)
    theirs = multiscale_structural_similarity_index_measure(
        a, b, data_range=1.0, reduction="none", gaussian_kernel=True, sigma=1.5, kernel_size=11
    )
    assert torch.allclose(quality.ms_ssim(a, b), theirs, atol=2e-3)


def test_ms_ssim_by_hand_on_constant_pictures():
    """Flat pictures have perfect structure; the luminance of the coarsest scale alone is left, to its
    rescaled weight.
    """
    a = torch.full((1, 3, 64, 64), 0.2)
    b = torch.full((1, 3, 64, 64), 0.8)
    luminance = (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    weight = 0.3001 / (0.0448 + 0.2856 + 0.3001)
    assert quality.ms_ssim(a, b).item() == pytest.approx(luminance**weight, abs=1e-3)


def test_ms_ssim_of_opposites_is_finite_with_a_gradient(rng):
    """Negative structure has no real power: the term is cut at zero before, so neither value nor gradient is
    NaN.
    """
    a = torch.from_numpy(rng.random((1, 3, 64, 64)).astype(np.float32))
    b = (1 - a).requires_grad_()
    score = quality.ms_ssim(a, b)
    score.sum().backward()
    assert math.isfinite(score.item()) and torch.isfinite(b.grad).all()
