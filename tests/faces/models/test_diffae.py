"""Diffusion autoencoder: its sampler against closed forms, its loss by hand, what its noise map says."""

import math

import pytest
import torch
import torch.nn.functional as F

from faces import models
from faces.core.params import ParamsError
from faces.models.diffae import NOISE, Attention
from tests.helpers.strokes import strokes

SMALL = {
    "code_length": 6,
    "encoder_width": 4,
    "channels": 2,
    "grid_width": 4,
    "width": 8,
    "levels": 2,
    "blocks": 1,
}


def build(params: dict, size: int = 32, **changes):
    torch.manual_seed(0)
    values = {**params["models"]["diffae"], **SMALL, **changes}
    return models.find("diffae").Model(models.config("diffae", {"diffae": values}), size)


def pictures(count: int = 8) -> torch.Tensor:
    """Smooth ones (B, 3, 32, 32) in [-1, 1]."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, (32, 32), mode="bicubic").clamp(-1, 1)


def stir(model, scale: float = 0.05) -> None:
    """Give the layers that begin at zero something to say."""
    torch.manual_seed(3)
    for parameter in model.denoiser.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=scale)


def test_the_code_is_z_and_a_tenth_of_the_noise_map(params):
    model = build(params).eval()
    codes = model.encode(pictures())
    assert model.code_length == 6 + 2 * 8 * 8
    torch.testing.assert_close(codes[:, :6], model.norm(model.semantic(pictures())))
    noise = model.undrawn(model.below(pictures()), codes[:, :6])
    torch.testing.assert_close(codes[:, 6:] / NOISE, noise.flatten(1))


@pytest.mark.parametrize("deviation", [0.3, 1.0, 3.0])
def test_of_gaussian_data_the_sampler_is_its_closed_form(params, monkeypatch, deviation):
    """For x_0 of one deviation v is known: E[v | x_phi] = cov(v, x_phi) / var(x_phi) x_phi. The flow then
    changes the scale alone, and many small steps reach x_0 = deviation x_T.
    """
    model = build(params, steps=400)

    def velocity(x, step, z):
        angle = step * model.angle
        covariance = math.sin(angle) * math.cos(angle) * (1 - deviation**2)
        return covariance / ((math.cos(angle) * deviation) ** 2 + math.sin(angle) ** 2) * x

    monkeypatch.setattr(model, "velocity", velocity)
    noise = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(model.drawn(noise, None), deviation * noise, rtol=0.02, atol=0)


def test_encoding_is_the_sampler_backwards(params):
    """Each iteration leaves a share of the error, and enough of them leave rounding."""
    x = torch.randn(4, 2, 8, 8)
    z = torch.randn(4, 6)
    errors = []
    for inversions in (1, 2, 4, 30):
        model = build(params, inversions=inversions).eval()
        stir(model)
        with torch.no_grad():
            noise = model.undrawn(x, z)
            errors.append((model.drawn(noise, z) - x).abs().max().item())
    assert (noise - x).abs().max() > 0.1, "the network says something"
    assert errors[3] < 1e-5 < errors[2] < errors[1] < errors[0]


def test_the_loss_is_the_squared_error_of_the_velocity(params):
    """By hand, at the angles of the sampler, of which the last is pure noise."""
    model = build(params).eval()
    stir(model)
    images = pictures()
    torch.manual_seed(5)
    ((part, loss, _),) = model.losses(images, 0.9)
    torch.manual_seed(5)
    steps = (torch.rand(8, 1, 1, 1) * 5).floor() + 1
    x = model.below(images)
    noise = torch.randn_like(x)
    angles = steps * math.pi / 10
    z = model.norm(model.semantic(images))
    expected = [
        (
            model.velocity(
                angles[n].cos() * x[n : n + 1] + angles[n].sin() * noise[n : n + 1], k, z[n : n + 1]
            )
            - angles[n].cos() * noise[n]
            + angles[n].sin() * x[n]
        )
        .square()
        .mean()
        for n, k in enumerate(steps.flatten().tolist())
    ]
    assert part == "diffusion" and 1 <= steps.min() < steps.max() <= 5
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_the_autoencoder_below_is_trained_first_and_then_rests(params):
    model = build(params, grid_share=0.4).train()
    images = pictures()
    assert [part for part, _, _ in model.losses(images, 0.39)] == ["grid"]
    before = {key: value.clone() for key, value in model.grid.state_dict().items()}
    ((part, loss, _),) = model.losses(images, 0.41)
    loss.backward()
    assert part == "diffusion" and all(weight.grad is None for weight in model.grid.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.grid.state_dict().items())


def test_the_encoder_begins_as_whitened_principal_components(params):
    model = build(params, code_length=5)
    generator = torch.Generator().manual_seed(2)
    planted = torch.randn(64, 5, generator=generator) * torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])
    axes = torch.linalg.qr(torch.randn(3 * 32 * 32, 5, generator=generator)).Q
    images = (planted @ axes.T).unflatten(1, (3, 32, 32))
    model.prepare(images)
    codes = model.semantic(images)
    torch.testing.assert_close(codes.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(codes.T @ codes / 64, torch.eye(5), atol=1e-3, rtol=0)
    left, _, _ = torch.linalg.svd(images.flatten(1) - images.flatten(1).mean(0), full_matrices=False)
    torch.testing.assert_close((left[:, :5].T @ codes / 8).abs(), torch.eye(5), atol=1e-2, rtol=0)


def test_new_faces_have_noise_of_their_own(params):
    """Beside z of the fitted Gaussian, a noise map of deviation NOISE, which the temperature scales."""
    model = build(params)
    for temperature in (1.0, 0.5):
        noise = model.sample(200, torch.Generator().manual_seed(1), temperature)[:, 6:]
        assert noise.std().item() == pytest.approx(NOISE * temperature, rel=0.02)


def test_in_pixels_the_picture_itself_is_denoised(params):
    model = build(params, space="pixels", attention=16).eval()
    images = pictures()
    assert model.shape == (3, 32, 32) and list(model.parts()) == ["diffusion"]
    assert torch.equal(model.below(images), images)
    assert [part for part, _, _ in model.losses(images, 0.0)] == ["diffusion"]
    kinds = [type(module) for stage in model.denoiser.down for module in stage.attention]
    assert kinds == [torch.nn.Identity, Attention], "at 16 places a side, not at 32"
    with torch.no_grad():
        torch.testing.assert_close(model.decode(model.encode(images)), images, atol=1e-4, rtol=0)


def test_attention_is_torchs(params):
    attention = Attention(8)
    torch.nn.init.normal_(attention.leave.weight)
    x = torch.randn(2, 8, 4, 4)
    query, key, value = attention.enter(attention.norm(x)).flatten(2).transpose(1, 2).chunk(3, 2)
    theirs = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(attention(x), x + attention.leave(theirs))


def test_a_grid_that_cannot_be_halved_is_refused(params):
    with pytest.raises(
        ParamsError, match=r"models\.diffae\.levels = 5 halves a grid of 8 places a side 4 times"
    ):
        build(params, levels=5)


def test_the_noise_map_keeps_what_z_cannot_say(params):
    """z of three numbers cannot tell the strokes, the noise map does: together as good as a grid."""
    generator = torch.Generator().manual_seed(0)
    model = build(params, code_length=3, channels=4, grid_width=8)
    model.prepare(strokes(64, generator))
    optimisers = {name: torch.optim.Adam(part.parameters(), 5e-3) for name, part in model.parts().items()}
    for number in range(200):
        model.train()
        for part, loss, _ in model.losses(strokes(16, generator), 0.0 if number < 100 else 1.0):
            optimisers[part].zero_grad()
            loss.backward()
            optimisers[part].step()
    model.eval()
    images = strokes(64, generator)
    with torch.no_grad():
        codes = model.encode(images)
        both = F.mse_loss(model.decode(codes), images).item()
        grid = F.mse_loss(model.grid.decoder(model.below(images)), images).item()
        codes[:, 3:] = 0
        without = F.mse_loss(model.decode(codes), images).item()
    assert both < 1.05 * grid and both < 0.5 * without
