"""The diffusion prior against planted distributions of codes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from faces.latents import diffusion
from faces.latents.diffusion import Diffusion
from faces.latents.pca import gaussian_of_codes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def smaller(monkeypatch) -> None:
    """A quarter of the arithmetic: the planted codes are short."""
    monkeypatch.setattr(diffusion, "WIDTH", 256)


class OfGaussian(torch.nn.Module):
    """The best denoiser of independent Gaussian code numbers with these standard deviations."""

    def __init__(self, deviations: Tensor) -> None:
        super().__init__()
        self.variances = torch.nn.Parameter(deviations.square(), requires_grad=False)

    def forward(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        return noisy * self.variances / (self.variances + sigma[:, None].square())


def test_the_walk_ends_at_the_distribution_that_the_denoiser_knows(rng):
    """For a Gaussian of deviation s, x at level sigma is x_0 sqrt(s^2 + sigma^2), so the end of the walk is
    known.

    Noise of variance 1 + sigma_max^2 ends at s sqrt((1 + sigma_max^2) / (s^2 + sigma_max^2)).
    """
    deviations = torch.tensor([0.2, 1.0, 1.5])
    noise = torch.from_numpy(rng.standard_normal((200, 3)).astype(np.float32))
    start = 1 + diffusion.SIGMA_MAX**2
    expected = noise * deviations * (start / (deviations.square() + diffusion.SIGMA_MAX**2)).sqrt()
    torch.testing.assert_close(diffusion.walk(OfGaussian(deviations), noise), expected, atol=0.02, rtol=0.02)


def test_an_untrained_denoiser_has_loss_one(rng):
    """On codes of unit variance, at every noise level: it leaves sigma^2 / (1 + sigma^2) of the variance."""
    codes = torch.from_numpy(rng.standard_normal((4000, 6)).astype(np.float32))
    denoiser = diffusion.Denoiser(6)
    assert diffusion.held_out(denoiser, codes) == pytest.approx(1, abs=0.03)
    assert diffusion.held_out(denoiser, codes) == diffusion.held_out(denoiser, codes)


def test_samples_of_a_gaussian_keep_its_variance(rng):
    """32 numbers with deviations from 2 to 0.2: .9 to 1.1 of the total variance."""
    deviations = np.linspace(2, 0.2, 32)
    codes = (rng.standard_normal((3000, 32)) * deviations).astype(np.float32)
    gaussian = gaussian_of_codes(codes[:2500], 32, 0)
    drawn = Diffusion.fit(gaussian, codes[:2500], codes[2500:], 300, 1, CPU).sample(1000, rng)
    assert drawn.var(0).sum() / np.square(deviations).sum() == pytest.approx(1, abs=0.1)


def test_the_network_is_told_the_noise_level(rng):
    codes = torch.from_numpy(rng.standard_normal((400, 3)).astype(np.float32))
    trained, _ = diffusion.train(codes, codes[:100], 60, 1)
    with torch.no_grad():
        near, far = (trained(codes, torch.full((400,), sigma)) - codes for sigma in (0.05, 5.0))
    assert near.square().mean() < 0.01
    assert far.square().mean() > 0.5


def test_samples_fall_into_planted_clusters(rng):
    """Three clusters in four dimensions, of unequal size and width: their shares, places and widths come
    back, and hardly anything between them.
    """
    centres = np.array([[-6.0, 0, 0, 0], [6.0, 0, 0, 0], [0.0, 9, 0, 3]])
    widths = np.array([1.0, 0.5, 1.0])
    which = rng.choice(3, 4000, p=[0.5, 0.3, 0.2])
    codes = (centres[which] + rng.normal(0, 1, (4000, 4)) * widths[which, None]).astype(np.float32)
    axes = gaussian_of_codes(codes, 4, 0)
    drawn = Diffusion.fit(axes, codes[:3500], codes[3500:], 800, 1, CPU).sample(2000, rng)
    distances = np.linalg.norm(drawn[:, None] - centres, axis=2)
    nearest = distances.argmin(1)
    np.testing.assert_allclose(np.bincount(nearest, minlength=3) / 2000, [0.5, 0.3, 0.2], atol=0.06)
    for place, centre in enumerate(centres):
        np.testing.assert_allclose(drawn[nearest == place].mean(0), centre, atol=0.3)
        np.testing.assert_allclose(drawn[nearest == place].std(0), widths[place], rtol=0.3)
    assert (distances.min(1) > 4).mean() < 0.03


def test_guidance_keeps_samples_to_where_codes_lie(rng):
    """Two thin rings, in planes of their own, which a network this young still smears: guided samples lie
    nearer to them, and all around them.
    """
    angles = rng.uniform(0, 2 * np.pi, (4000, 2))
    rings = np.stack([np.cos(angles), np.sin(angles)], 2) * 3 + rng.normal(0, 0.05, (4000, 2, 2))
    codes = rings.reshape(4000, 4).astype(np.float32)
    fitted = Diffusion.fit(gaussian_of_codes(codes, 4, 0), codes[:3500], codes[3500:], 400, 1, CPU)
    plain, guided = (
        fitted.sample(2000, np.random.default_rng(1), guidance).reshape(2000, 2, 2) for guidance in (1.0, 2.0)
    )
    off = [np.abs(np.linalg.norm(found, axis=2) - 3).mean() for found in (plain, guided)]
    assert off[1] < 0.8 * off[0]
    for ring in guided.swapaxes(0, 1):
        shares = np.histogram(np.arctan2(*ring.T), 8, (-np.pi, np.pi))[0] / 2000
        np.testing.assert_allclose(shares, 1 / 8, atol=0.05)


def test_guidance_makes_codes_neither_longer_nor_shorter(rng):
    """What differs from the prediction in length alone changes nothing; what lies across counts in full."""
    late, early = (OfGaussian(torch.full((2,), deviation)) for deviation in (1.0, 0.5))
    codes = rng.normal(0, 1, (500, 2)).astype(np.float32)
    plain, guided = (
        Diffusion(gaussian_of_codes(codes, 2, 0), 1.0, late, early).sample(
            50, np.random.default_rng(1), guidance
        )
        for guidance in (1.0, 3.0)
    )
    np.testing.assert_allclose(guided, plain, atol=1e-5)
    change = torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    expected = torch.tensor([[0.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(diffusion.across(change, torch.tensor([[2.0, 0.0], [-5.0, -5.0]])), expected)


def test_what_guides_is_an_early_self_that_denoises_worse(rng):
    codes = torch.from_numpy(rng.standard_normal((600, 4)).astype(np.float32)) * torch.tensor(
        [3.0, 0.1, 0.1, 0.1]
    )
    best, early = diffusion.train(codes[:500], codes[500:], 200, 1)
    assert diffusion.held_out(early, codes[500:]) > 1.05 * diffusion.held_out(best, codes[500:])


def test_what_lies_beyond_the_axes_is_drawn_as_noise(rng):
    codes = (rng.normal(0, 1, (3000, 8)) * [6, 4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]).astype(np.float32)
    drawn = Diffusion.fit(gaussian_of_codes(codes, 2, 0), codes, codes[:300], 300, 1, CPU).sample(3000, rng)
    np.testing.assert_allclose(drawn.std(0), [6, 4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], rtol=0.2)


def test_held_out_codes_keep_it_from_memorising(rng):
    """A network of this size could memorise 24 codes; its samples must not be copies of them."""
    codes, held = (rng.normal(0, 1, (count, 16)).astype(np.float32) for count in (24, 400))
    drawn = Diffusion.fit(gaussian_of_codes(codes, 16, 0), codes, held, 500, 1, CPU).sample(100, rng)
    nearest = np.linalg.norm(drawn[:, None] - codes, axis=2).min(1)
    assert np.median(nearest) > 0.4 * np.median(np.linalg.norm(held[:, None] - codes, axis=2).min(1))


def test_the_same_seed_draws_the_same_codes(rng):
    codes = rng.normal(0, 1, (300, 5)).astype(np.float32)
    axes = gaussian_of_codes(codes, 5, 0)
    state = torch.get_rng_state()
    first, second, other = (
        Diffusion.fit(axes, codes, codes[:50], 40, seed, CPU).sample(20, np.random.default_rng(1))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3
    assert torch.equal(state, torch.get_rng_state())


def test_codes_that_are_all_alike_are_drawn_as_they_are(rng):
    codes = np.full((50, 4), 3.0, np.float32)
    drawn = Diffusion.fit(gaussian_of_codes(codes, 4, 0), codes, codes[:5], 20, 1, CPU).sample(10, rng)
    np.testing.assert_allclose(drawn, 3.0, atol=1e-3)
