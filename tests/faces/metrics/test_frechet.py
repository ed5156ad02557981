"""Frechet and kernel distance against closed forms."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from faces.metrics.frechet import frechet, frechet_infinity, grams, kernel, polynomial, with_interval


def test_frechet_of_equal_sets_is_zero(rng):
    a = rng.normal(3, 2, (60, 9))
    assert frechet(*grams(a, a)) == pytest.approx(0, abs=1e-9)


def test_frechet_equals_the_closed_form(rng):
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2) with scipy's matrix root, for more and for fewer pictures than
    features.
    """
    for n, m, features in ((200, 150, 6), (20, 30, 50)):
        a = rng.normal(0, 1, (n, features)) @ rng.normal(0, 1, (features, features))
        b = rng.normal(1, 2, (m, features))
        covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        root = sqrtm(covariances[0] @ covariances[1]).real
        expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(
            covariances[0] + covariances[1] - 2 * root
        )
        assert frechet(*grams(a, b)) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_large_samples_nears_that_of_their_gaussians(rng):
    """N(0, 1) and N(d, s^2) in each of F independent features: F (d^2 + (1 - s)^2)."""
    a = rng.normal(0, 1, (2000, 3))
    b = rng.normal(0.5, 2, (2000, 3))
    assert frechet(*grams(a, b)) == pytest.approx(3 * (0.25 + 1), rel=0.06)


def test_the_kernel_distance_is_unbiased(rng):
    """Over 300 pairs of samples of one distribution its mean is zero within three standard errors, although
    its sizes are not.
    """
    found = np.array(
        [kernel(*polynomial(rng.normal(0, 1, (15, 5)), rng.normal(0, 1, (25, 5)))) for _ in range(300)]
    )
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(len(found))
    assert (found < 0).mean() > 0.3
    assert kernel(*polynomial(rng.normal(0, 1, (100, 5)), rng.normal(1, 1, (100, 5)))) > 5 * found.std()


def test_the_kernel_distance_of_hand_made_values():
    """Two pictures each, kernel 1 within and 0 between: 1 + 1 - 0."""
    assert kernel(np.ones((2, 2)), np.zeros((2, 2)), np.ones((2, 2))) == pytest.approx(2)


def test_the_polynomial_kernel():
    aa, ab, bb = polynomial(np.array([[1.0, 1.0]]), np.array([[2.0, 0.0]]))
    assert (aa.item(), ab.item(), bb.item()) == (8.0, 8.0, 27.0)


def test_the_interval_covers(rng):
    """Its standard error is that of fresh samples."""
    fresh = [kernel(*polynomial(rng.normal(0, 1, (80, 4)), rng.normal(0.5, 1, (80, 4)))) for _ in range(200)]
    widths = []
    for _ in range(10):
        value, low, high = with_interval(
            kernel, polynomial(rng.normal(0, 1, (80, 4)), rng.normal(0.5, 1, (80, 4))), 20
        )
        assert low < value < high
        widths.append((high - low) / 2 / 1.96)
    assert np.mean(widths) == pytest.approx(np.std(fresh), rel=0.3)


def test_the_extrapolated_distance_loses_the_bias(rng):
    """Samples of one distribution: the plain distance of 120 pictures is all bias, the extrapolated one is
    near zero.
    """
    plain = []
    infinite = []
    for _ in range(12):
        products = grams(rng.normal(0, 1, (120, 8)), rng.normal(0, 1, (120, 8)))
        plain.append(frechet(*products))
        infinite.append(frechet_infinity(*products))
    assert np.mean(plain) > 0.2
    assert abs(np.mean(infinite)) < 0.25 * np.mean(plain)


def test_the_extrapolated_distance_keeps_what_is_there(rng):
    """N(0, 1) and N(.5, 2^2) in three features: 3 (.25 + 1)."""
    found = [
        frechet_infinity(*grams(rng.normal(0, 1, (400, 3)), rng.normal(0.5, 2, (400, 3)))) for _ in range(8)
    ]
    assert np.mean(found) == pytest.approx(3.75, rel=0.06)
