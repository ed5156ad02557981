"""The evidence lower bound, term by term, and the closed form that the flagship begins with."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from faces import models
from faces.core.params import ParamsError
from faces.nn import perceptual
from faces.nn.gaussian_vae import calibrated_gaussian, gaussian_kl


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
    projected = centred @ v[:5].T @ v[:5] + flat.mean(0)
    torch.testing.assert_close(rebuilt.flatten(1), projected, atol=2e-2, rtol=0)
    torch.testing.assert_close(mean.var(0, correction=0), torch.ones(5), atol=1e-2, rtol=0)
    eigenvalues = torch.linalg.svdvals(centred)[:5].square() / 256
    noise = (centred.square().sum() / 256 - eigenvalues.sum()) / (3072 - 5)
    expected = torch.log(noise / (eigenvalues + noise))
    assert (expected < -4).all()
    torch.testing.assert_close(
        logvar[0], 8 * torch.tanh((expected + 4) / 8) - 4, atol=0.05, rtol=0
    )  # the posterior's soft bound


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


def test_the_flagship_may_compare_features_in_part(params):
    """The term is the two likelihoods' weighted mean, of one unit: degrees of freedom of the picture."""
    torch.manual_seed(0)
    images, decoded = torch.rand(2, 4, 3, 32, 32) * 2 - 1

    def term(share: float) -> float:
        config = models.config("vae", {"vae": {**params["models"]["vae"], "features": share}})
        return models.find("vae").Model(config, 32).reconstruction(images, decoded).item()

    network = perceptual.load("efficientnet_lite0", "", images.device)
    features = perceptual.calibrated_features(network, images, decoded, (1.0, 1.0, 1.0)).item()
    pixels = calibrated_gaussian(images, decoded).item()
    assert term(0.0) == pixels
    assert term(0.25) == pytest.approx(0.75 * pixels + 0.25 * features, rel=1e-6)
