"""Glow: exact inversion, exact likelihood, and an actnorm that is fitted once."""

import math

import pytest
import torch
from torch.distributions import Normal

from faces.core.params import ParamsError, parse
from faces.models import glow

GROUP = {
    "batch": 8,
    "learning_rate": 1.0e-3,
    "betas": [0.9, 0.999],
    "decay": "none",
    "clip": 50.0,
    "levels": 2,
    "steps": 2,
    "width": 8,
    "coupling": "affine",
    "least_scale": 0.5,
    "n_bits": 5,
}


def build(size=8, seed=0, dtype=torch.float64, **keys):
    torch.manual_seed(seed)
    return glow.Model(parse(glow.Config, GROUP | keys), size).to(dtype)


def pictures(count=8, size=8, seed=1, dtype=torch.float64):
    """8-bit colours in [-1, 1] whose channels differ in mean and contrast; the blue one is nearly flat."""
    noise = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    values = (
        noise * torch.tensor([250.0, 90.0, 2.0]).view(3, 1, 1)
        + torch.tensor([3.0, 120.0, 40.0]).view(3, 1, 1)
    ).floor()
    return values / 127.5 - 1


def train(model, images, steps):
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    history = []
    model.train()
    for _ in range(steps):
        ((part, loss, log),) = model.losses(images, 0.0)
        assert model.parts()[part] is model
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(log["bits_per_dim"].item())
    model.eval()
    return history


def disturbed(model, amount=0.1):
    """Every weight off its initial value, so that no term of the determinant is 0 by luck."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=amount)
    return model


@pytest.mark.parametrize("coupling", ["affine", "additive"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-8)])
def test_decode_undoes_encode_before_and_after_training(coupling, dtype, tolerance):
    """The full 8-bit image comes back, although the likelihood is about 5 bits; training changes the codes,
    not the identity.
    """
    model = build(size=32, levels=3, coupling=coupling, dtype=dtype).eval()
    images = pictures(size=32, dtype=dtype)
    with torch.no_grad():
        before = model.encode(images)
        assert before.shape == (8, model.code_length) == (8, 3 * 32 * 32)
        assert (model.decode(before) - images).abs().max() < tolerance
        assert not model.initialised
    history = train(model, images, 10)
    assert history[-1] < history[0] - 0.01
    with torch.no_grad():
        after = model.encode(images)
        assert (after - before).abs().max() > 0.1
        assert (model.decode(after) - images).abs().max() < tolerance


@pytest.mark.parametrize("levels", [1, 3])
def test_encode_undoes_decode(levels):
    model = disturbed(build(levels=levels), 0.03)
    codes = torch.randn(4, model.code_length, dtype=torch.float64)
    assert (model.encode(model.decode(codes)) - codes).abs().max() < 1e-10


@pytest.mark.parametrize("coupling", ["affine", "additive"])
@pytest.mark.parametrize("size", [4, 8])
def test_log_determinant_is_that_of_the_jacobian(coupling, size):
    model = disturbed(build(size=size, coupling=coupling))
    x = torch.rand(2, 3, size, size, dtype=torch.float64) - 0.5
    _, log_det = model.flow(x)
    for one, value in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda image: model.flow(image[None])[0][0], one
        ).flatten(1)
        assert value.item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-8)


def test_density_of_codes_is_density_of_variables_under_the_learnt_priors():
    """log N(eps; 0, I) + log-determinant = sum of log N(z; mean, std) over levels + log-determinant of the
    steps alone.
    """
    model = disturbed(build())
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64) - 0.5
    eps, log_det = model.flow(x)
    density = torch.zeros(3, dtype=torch.float64)
    z = x
    codes = []
    for level in model.levels:
        z = torch.nn.functional.pixel_unshuffle(z, 2)
        for mixing, coupling in zip(level.mixings, level.couplings, strict=True):
            z, first = mixing(z, False)
            z, second = coupling(z, False)
            density += first + second
        z, leaving = z[:, : level.staying], z[:, level.staying :]
        mean, log_std = (part.expand_as(leaving) for part in level.prior(z))
        density += Normal(mean, log_std.exp()).log_prob(leaving).sum((1, 2, 3))
        codes.append(((leaving - mean) / log_std.exp()).flatten(1))
    assert z.numel() == 0
    assert torch.allclose(torch.cat(codes, 1), eps, atol=1e-12)
    assert torch.allclose(glow.log_normal(eps) + log_det, density, atol=1e-9)


def test_bits_per_dim_of_known_densities():
    """A model that holds every colour equally likely needs n_bits per value; at density 2^D, one bit less."""
    assert glow.bits_per_dim(torch.zeros(2), 192, 5).tolist() == [5, 5]
    assert glow.bits_per_dim(torch.tensor([192 * math.log(2)]), 192, 8).item() == pytest.approx(7, abs=1e-6)


def test_bits_per_dim_of_an_untrained_additive_flow():
    """It is a rotation, so its density is a standard normal's: n_bits + (log 2 pi + mean x^2) / (2 log 2),
    here at colours all black.
    """
    model = build(coupling="additive", n_bits=3).eval()
    torch.manual_seed(5)
    noise = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.manual_seed(5)
    ((_, loss, _),) = model.losses(-torch.ones(2, 3, 8, 8, dtype=torch.float64), 0.0)
    square = (noise / 8 - 0.5).square().mean().item()
    assert loss.item() == pytest.approx(3 + (math.log(2 * math.pi) + square) / (2 * math.log(2)), abs=1e-6)


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_log_determinant_of_an_untrained_affine_flow(least):
    """Each coupling scales half the values by m + (1 - m) sigmoid(2): of 192 values, 96 in each step of level
    1 and 48 in each of level 2.
    """
    _, log_det = build(least_scale=least).flow(torch.rand(2, 3, 8, 8, dtype=torch.float64))
    known = (2 * 96 + 2 * 48) * math.log(least + (1 - least) / (1 + math.exp(-2)))
    assert torch.allclose(log_det, torch.full((2,), known, dtype=torch.float64), atol=1e-4)


def test_the_floor_of_the_scale_bounds_the_way_back():
    """However hard the network pulls, a coupling with floor 1/2 at most doubles what it gives back; with
    floor 0 it runs off.
    """
    moved = torch.ones(1, 4, 2, 2, dtype=torch.float64)
    bounded, published = (glow.Coupling(4, 8, True, least).double() for least in (0.5, 0.0))
    with torch.no_grad():
        for coupling in (bounded, published):
            coupling.last.bias[2:] = -100.0  # h of the scale; the shift stays 0
    assert torch.allclose(bounded.inverse(moved)[:, 2:], 2 * moved[:, 2:])
    assert published.inverse(moved)[:, 2:].min() > 1e40


def test_deviations_of_the_prior_are_bounded():
    """Where its network pulls without end, log_std is 3; where it hardly pulls, log_std is what it says."""
    level = build().double().levels[0]
    with torch.no_grad():
        level.split.bias[6:] = torch.tensor([1e6, -1e6, 0.1, -0.1, 0.0, 0.0])
    _, log_std = level.prior(torch.zeros(1, 6, 4, 4, dtype=torch.float64))
    known = torch.tensor([3, -3, 0.1, -0.1, 0, 0], dtype=torch.float64).view(1, 6, 1, 1).expand_as(log_std)
    assert torch.allclose(log_std, known, atol=1e-4)


def test_dequantised_fills_the_bin_of_each_of_the_32_colours():
    values = torch.arange(256.0).repeat(400, 1)
    places = (glow.dequantised(values / 127.5 - 1, 5) + 0.5) * 32 - values // 8
    assert places.min() >= 0
    assert places.max() <= 1
    assert places.mean().item() == pytest.approx(1 / 2, abs=4 / math.sqrt(12 * places.numel()))
    assert places.var().item() == pytest.approx(1 / 12, rel=0.02)


def test_actnorm_standardises_its_first_batch():
    norm = glow.ActNorm(3).double()
    x = 5 + torch.randn(16, 3, 4, 4, dtype=torch.float64) * torch.tensor(
        [0.01, 1.0, 30.0], dtype=torch.float64
    ).view(3, 1, 1)
    norm.fit(x)
    y = norm.log_scale.exp().view(3, 1, 1) * (x + norm.bias.view(3, 1, 1))
    assert y.mean((0, 2, 3)).abs().max() < 1e-10
    assert (y.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-3


def test_every_actnorm_is_fitted_in_the_first_training_step_and_never_again(monkeypatch):
    fitted = []
    fit = glow.ActNorm.fit
    monkeypatch.setattr(glow.ActNorm, "fit", lambda self, x: (fitted.append(self), fit(self, x))[0])
    model = build()
    next(model.eval().losses(pictures(), 0.0))
    assert not fitted
    assert not model.initialised
    model.train()
    for _ in range(2):
        next(model.losses(pictures(), 0.0))
    assert (
        len(fitted)
        == len(set(fitted))
        == sum(isinstance(module, glow.ActNorm) for module in model.modules())
        == 2 * 2 * 3
    )
    assert model.initialised


def test_first_step_leaves_standard_channels_behind_every_convolution():
    """What enters the couplings' rectifiers, and what enters the mixing, has mean 0 and deviation 1 on the
    batch that fitted it.
    """
    model = build()
    x = glow.dequantised(pictures(64), 5)
    with torch.no_grad():
        model.flow(x, fit=True)
        z = torch.nn.functional.pixel_unshuffle(x, 2)
        mixed, _ = model.levels[0].mixings[0](z, False)
        covariance = mixed.transpose(0, 1).flatten(1).cov(correction=0)
        hidden = model.levels[0].couplings[0].first(mixed[:, :6], False)
    assert mixed.mean((0, 2, 3)).abs().max() < 1e-6
    assert covariance.trace().item() == pytest.approx(12, rel=2e-3)  # a rotation of 12 channels of variance 1
    assert hidden.mean((0, 2, 3)).abs().max() < 1e-6
    assert (hidden.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-3


def test_prepare_fits_as_the_first_step_would_and_only_once():
    prepared = build()
    stepped = build()
    torch.manual_seed(2)
    prepared.prepare(pictures())
    torch.manual_seed(2)
    next(stepped.train().losses(pictures(), 0.0))
    weights = {name: value.clone() for name, value in prepared.state_dict().items()}
    prepared.prepare(-pictures(seed=3))
    for name, value in stepped.state_dict().items():
        assert torch.equal(weights[name], value)
        assert torch.equal(prepared.state_dict()[name], value)


def test_initialisation_survives_save_and_load():
    model = build()
    train(model, pictures(), 2)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    again = build(seed=7)
    again.load_state_dict(weights)
    assert again.initialised
    next(again.train().losses(-pictures(seed=3), 0.0))
    assert all(torch.equal(again.state_dict()[name], value) for name, value in weights.items())
    assert torch.equal(again.eval().encode(pictures()), model.encode(pictures()))


def test_autocast_around_it_changes_nothing():
    model = disturbed(build(dtype=torch.float32))
    images = pictures(dtype=torch.float32)
    codes = model.encode(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.encode(images), codes)
        assert torch.equal(model.decode(codes), model.decode(codes.clone()))
        assert (model.decode(codes) - images).abs().max() < 1e-4


def test_noise_is_the_global_generators_and_samples_are_the_given_ones():
    model = build().eval()
    losses = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(next(model.losses(pictures(), 0.0))[1].item())
    assert losses[0] == losses[1] != losses[2]
    cold, warm = (
        model.sample(50, torch.Generator().manual_seed(2), temperature) for temperature in (0.5, 1.0)
    )
    assert torch.equal(cold, 0.5 * warm)
    assert warm.std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * warm.numel()))


def test_inverse_of_a_unit_triangle_is_the_solution_of_its_equations():
    for n in (2, 12, 48, 96):
        lower = (torch.rand(n, n, dtype=torch.float64) - 0.5).tril(-1)
        eye = torch.eye(n, dtype=torch.float64)
        exact = torch.linalg.solve_triangular(lower + eye, eye, upper=False, unitriangular=True)
        assert (glow.inverse_of_unit(lower) - exact).abs().max() < 1e-10 * exact.abs().max()


def test_sizes_that_cannot_be_halved_so_often_are_refused():
    with pytest.raises(
        ParamsError, match=r"models.glow.levels = 4; 8 pixels cannot be halved so often, allowed: 1 to 3"
    ):
        build(size=8, levels=4)


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_exports_for_any_batch_without_solving_equations(way):
    """Exchange formats know no linear solver, and the batch must not be baked in."""

    class Way(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return getattr(self.model, way)(x)

    model = disturbed(build(levels=1, steps=1, dtype=torch.float32), 0.03).eval()
    x = pictures(dtype=torch.float32) if way == "encode" else torch.randn(8, model.code_length)
    program = torch.export.export(
        Way(model), (x[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
    )
    operations = {str(node.target) for graph in program.graph_module.modules() for node in graph.graph.nodes}
    assert "aten.conv2d.default" in operations or "aten.conv2d.padding" in operations
    assert not any("linalg" in name or "triangular" in name or "inverse" in name for name in operations)
    assert torch.allclose(program.module()(x), getattr(model, way)(x), atol=1e-6)
