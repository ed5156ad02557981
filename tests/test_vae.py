"""The evidence lower bound, term by term, and the closed form that the flagship begins with."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from faces import models
from faces.core.params import ParamsError
from faces.models import vae
from faces.nn import perceptual
from faces.nn.gaussian_vae import bounded, calibrated_gaussian, gaussian_kl, unbounded
from faces.nn.layers import EqualisedLinear


def test_kl_equals_torch_distributions():
    torch.manual_seed(0)
    mean, logvar = torch.randn(16, 5), torch.randn(16, 5)
    theirs = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, logvar), theirs)


def test_calibrated_likelihood_is_that_of_the_best_variance():
    """Up to its constant, it is the smallest Gaussian negative log-likelihood over all variances (the floor of one 8-bit step aside)."""
    torch.manual_seed(0)
    images, decoded = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    scales = torch.linspace(0.05, 1.5, 2000)
    losses = torch.stack([-Normal(decoded, scale).log_prob(images).sum((1, 2, 3)).mean() for scale in scales])
    constant = 0.5 * images[0].numel() * (1 + math.log(2 * math.pi))
    assert calibrated_gaussian(images, decoded).item() + constant == pytest.approx(
        losses.min().item(), rel=1e-3
    )


def test_the_flagship_begins_as_principal_components(params):
    """Pictures of rank 5 plus noise: after `prepare`, decode(encode(x)) is the projection on the principal components, and codes have unit variance."""
    torch.manual_seed(0)
    config = models.config(
        "vae", {"vae": {**params["models"]["vae"], "code_length": 5, "linear_in": 32, "linear_out": 32}}
    )
    axes = torch.linalg.qr(torch.randn(3 * 32 * 32, 5)).Q
    images = (
        torch.randn(256, 5) * torch.tensor([9.0, 7.0, 5.0, 4.0, 3.0]) @ axes.T + 0.2 * torch.randn(256, 3072)
    ).view(-1, 3, 32, 32)
    model = models.find("vae").Model(config, 32)
    model.prepare(images)
    model.eval()
    with torch.no_grad():
        mean, logvar = model.posterior(images)
        rebuilt = model.decode(mean)
    flat = images.flatten(1)
    centred = flat - flat.mean(0)
    _, _, v = torch.linalg.svd(centred, full_matrices=False)
    eigenvalues = torch.linalg.svdvals(centred)[:5].square() / 256
    noise = (centred.square().sum() / 256 - eigenvalues.sum()) / (3072 - 5)
    shrunk = 1 - noise / eigenvalues
    projected = centred @ v[:5].T * shrunk @ v[:5] + flat.mean(0)
    torch.testing.assert_close(rebuilt.flatten(1), projected, atol=2e-3, rtol=0)
    torch.testing.assert_close(mean.var(0, correction=0), shrunk, atol=1e-3, rtol=0)
    torch.testing.assert_close(logvar[0], torch.log(noise / eigenvalues), atol=0.01, rtol=0)


def test_the_soft_bound_of_a_log_variance_can_be_undone():
    logvar = torch.linspace(-11.9, 3.9, 50)
    torch.testing.assert_close(bounded(unbounded(logvar)), logvar, atol=1e-4, rtol=0)
    assert bounded(torch.tensor([-1e6, 1e6])).tolist() == [-12, 4]
    assert torch.isfinite(unbounded(torch.tensor([-50.0, 50.0]))).all()


def test_an_equalised_layer_begins_as_a_plain_one_and_moves_less():
    """From 64 inputs of one: a step of Adam of rate r moves a plain layer's output by r (64 + 1), an equalised one's by an eighth of that."""
    moved = {}
    for kind in (torch.nn.Linear, EqualisedLinear):
        torch.manual_seed(0)
        layer = kind(64, 3)
        before = layer(torch.ones(1, 64))
        moved[kind] = before.detach()
        before.sum().backward()
        torch.optim.Adam(layer.parameters(), 1e-3).step()
        moved[kind] = moved[kind], layer(torch.ones(1, 64)).detach() - moved[kind]
    (plain, far), (equalised, near) = moved.values()
    torch.testing.assert_close(equalised, plain)
    torch.testing.assert_close(far, torch.full((1, 3), -0.065))
    torch.testing.assert_close(near, far / 8)


def test_a_linear_map_sees_whole_squares_of_pixels(params):
    config = models.config("vae", {"vae": {**params["models"]["vae"], "linear_in": 24, "linear_out": 24}})
    with pytest.raises(
        ParamsError, match=r"models.vae.linear_in = 24 does not divide 32 pixels, allowed: 1, 2, 4, 8, 16, 32"
    ):
        models.find("vae").Model(config, 32)
    model = models.find("vae").Model(config.model_copy(update={"linear_in": 8}), 32)
    assert model.decode(torch.zeros(1, model.code_length)).shape == (1, 3, 32, 32), (
        "what is drawn is stretched, whatever its size"
    )


def test_the_linear_decoder_may_draw_a_smaller_picture_than_the_encoder_sees(params):
    """It begins as the same principal components, seen from further away: what it draws is the larger rebuilt picture, shrunk."""
    torch.manual_seed(0)
    images = F.interpolate(torch.randn(64, 3, 4, 4), (32, 32), mode="bicubic")

    def begun(linear_out: int) -> torch.Tensor:
        torch.manual_seed(1)  # of the random projection that finds the components
        config = models.config(
            "vae",
            {
                "vae": {
                    **params["models"]["vae"],
                    "code_length": 12,
                    "linear_in": 32,
                    "linear_out": linear_out,
                }
            },
        )
        model = models.find("vae").Model(config, 32)
        torch.manual_seed(2)
        model.prepare(images)
        model.eval()
        with torch.no_grad():
            return model.decoder.linear(model.encode(images)).view(64, 3, linear_out, linear_out)

    small = F.interpolate(begun(32), (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(begun(16), small, atol=1e-4, rtol=1e-4)


def finishing(params, images: torch.Tensor, decoded: torch.Tensor, features: float, contrast: float) -> float:
    config = models.config(
        "vae", {"vae": {**params["models"]["vae"], "features": features, "contrast": contrast}}
    )
    return models.find("vae").Model(config, 32).finishing(images, decoded).item()


def test_the_last_phase_weighs_pixels_features_and_contrast(params):
    """The term is the three likelihoods' weighted mean, of one unit: degrees of freedom of the picture."""
    torch.manual_seed(0)
    images, decoded = torch.rand(2, 4, 3, 32, 32) * 2 - 1
    network = perceptual.load("efficientnet_lite0", "", images.device)
    features = perceptual.calibrated_features(network, images, decoded, (1.0, 1.0, 1.0)).item()
    contrast = vae.calibrated_contrast(images, decoded).item()
    pixels = calibrated_gaussian(images, decoded).item()
    assert finishing(params, images, decoded, 0.0, 0.0) == pytest.approx(pixels, rel=1e-6)
    expected = 0.5 * pixels + 0.25 * features + 0.25 * contrast
    assert finishing(params, images, decoded, 0.25, 0.25) == pytest.approx(expected, rel=1e-6)


def test_contrast_of_stripes():
    """Columns of +1 and -1: a 3 x 3 mean leaves -1/3 or +1/3 of them, so what it takes away has a root mean square of 4/3."""
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    inside = vae.contrast(stripes)[..., 1:-1]  # at the rims the picture is continued by its last column
    torch.testing.assert_close(inside, torch.full_like(inside, 4 / 3), atol=1e-4, rtol=0)


def test_contrast_asks_how_much_detail_and_not_where():
    """Stripes moved by a pixel are as far off in pixels as can be, and the same in contrast; a grey field is not."""
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    moved, grey = -stripes, torch.zeros_like(stripes)
    torch.testing.assert_close(vae.contrast(moved), vae.contrast(stripes))
    assert vae.calibrated_contrast(stripes, grey) > vae.calibrated_contrast(stripes, moved) + 1000
    assert calibrated_gaussian(stripes, grey) < calibrated_gaussian(stripes, moved)


def test_the_encoder_rests_in_the_last_phase(params):
    """Its weights get no gradient there; before, they do."""
    config = models.config("vae", params["models"])
    torch.manual_seed(0)
    model = models.find("vae").Model(config, 32).train()
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    for progress, learns in ((1 - config.finish - 0.01, True), (1 - config.finish + 0.01, False)):
        model.zero_grad(set_to_none=True)
        ((_, loss, _),) = model.losses(images, progress)
        loss.backward()
        assert all((weight.grad is not None) == learns for weight in model.encoder.parameters())
        assert all(weight.grad is not None for weight in model.decoder.parameters())
