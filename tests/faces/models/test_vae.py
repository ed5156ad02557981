"""The evidence lower bound, term by term, and the closed form that the flagship begins with."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from faces import checkpoints, models
from faces.core.params import ParamsError
from faces.data.crops import Geometry
from faces.models import vae
from faces.nn import perceptual
from faces.nn.gaussian_vae import bounded, calibrated_gaussian, gaussian_kl, unbounded
from faces.nn.layers import EqualisedLinear


def test_kl_equals_torch_distributions():
    torch.manual_seed(0)
    mean = torch.randn(16, 5)
    logvar = torch.randn(16, 5)
    theirs = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, logvar), theirs)


def test_calibrated_likelihood_is_that_of_the_best_variance():
    """Up to its constant, it is the smallest Gaussian negative log-likelihood over all variances (the floor
    of one 8-bit step aside).
    """
    torch.manual_seed(0)
    images = torch.rand(4, 3, 8, 8)
    decoded = torch.rand(4, 3, 8, 8)
    scales = torch.linspace(0.05, 1.5, 2000)
    losses = torch.stack([-Normal(decoded, scale).log_prob(images).sum((1, 2, 3)).mean() for scale in scales])
    constant = 0.5 * images[0].numel() * (1 + math.log(2 * math.pi))
    assert calibrated_gaussian(images, decoded).item() + constant == pytest.approx(
        losses.min().item(), rel=1e-3
    )


def rank_five() -> torch.Tensor:
    """256 pictures of 32 pixels: five factors and noise."""
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(3 * 32 * 32, 5)).Q
    factors = torch.randn(256, 5) * torch.tensor([9.0, 7.0, 5.0, 4.0, 3.0])
    return (factors @ axes.T + 0.2 * torch.randn(256, 3072)).view(-1, 3, 32, 32)


def closed_form(images: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best linear VAE by singular values: rebuilt images, codes' variance (count,), posterior variance
    (count,).
    """
    flat = images.flatten(1)
    centred = flat - flat.mean(0)
    _, values, v = torch.linalg.svd(centred, full_matrices=False)
    eigenvalues = values[:count].square() / len(flat)
    noise = (centred.square().sum() / len(flat) - eigenvalues.sum()) / (flat.shape[1] - count)
    shrunk = 1 - noise / eigenvalues
    rebuilt = centred @ v[:count].T * shrunk @ v[:count] + flat.mean(0)
    return rebuilt.view_as(images), shrunk, noise / eigenvalues


def begun(params, images: torch.Tensor, code_length: int, linear_out: int) -> tuple[torch.Tensor, ...]:
    """What the model of 64 pixels makes of images just after `prepare`: codes, log-variances, linear
    pictures, decodings.
    """
    changes = {"code_length": code_length, "linear_in": 32, "linear_out": linear_out}
    model = models.find("vae").Model(
        models.config("vae", {"vae": {**params["models"]["vae"], **changes}}), 64
    )
    model.prepare(images)
    model.eval()
    with torch.no_grad():
        mean, logvar = model.posterior(images)
        return (
            mean,
            logvar,
            model.decoder.linear(mean).view(-1, 3, linear_out, linear_out),
            model.decode(mean),
        )


def test_the_flagship_begins_as_principal_components(params):
    """Pictures of rank 5 plus noise, at 32 pixels and doubled: the posterior and the picture are those of the
    best linear VAE.
    """
    small = rank_five()
    mean, logvar, picture, decoded = begun(params, F.interpolate(small, (64, 64)), 5, 32)
    rebuilt, spread, variance = closed_form(small, 5)
    torch.testing.assert_close(picture, rebuilt, atol=2e-3, rtol=0)
    torch.testing.assert_close(decoded, F.interpolate(picture, (64, 64), mode="bilinear"))
    torch.testing.assert_close(mean.var(0, correction=0), spread, atol=1e-3, rtol=0)
    torch.testing.assert_close(logvar[0], variance.log(), atol=0.01, rtol=0)


def test_the_soft_bound_of_a_log_variance_can_be_undone():
    logvar = torch.linspace(-11.9, 3.9, 50)
    torch.testing.assert_close(bounded(unbounded(logvar)), logvar, atol=1e-4, rtol=0)
    assert bounded(torch.tensor([-1e6, 1e6])).tolist() == [-12, 4]
    assert torch.isfinite(unbounded(torch.tensor([-50.0, 50.0]))).all()


def test_an_equalised_layer_begins_as_a_plain_one_and_moves_less():
    """From 64 inputs of one: a step of Adam of rate r moves a plain layer's output by r (64 + 1), an
    equalised one's by an eighth of that.
    """
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


def test_the_linear_maps_fit_the_picture(params):
    def build(**changes):
        return models.find("vae").Model(
            models.config("vae", {"vae": {**params["models"]["vae"], **changes}}), 32
        )

    with pytest.raises(
        ParamsError, match=r"linear_in = 24 does not suit 32 pixels, allowed: 1, 2, 4, 8, 16, 32"
    ):
        build(linear_in=24)
    with pytest.raises(ParamsError, match=r"linear_out = 12 does not suit 32 pixels, allowed: 4, 8, 16"):
        build(linear_out=12)
    for linear_out in (4, 8, 16, 64):
        model = build(linear_out=linear_out)
        assert model.decode(torch.zeros(1, model.code_length)).shape == (1, 3, 32, 32)


def test_the_linear_decoder_may_draw_a_smaller_picture_than_the_encoder_sees(params):
    """It begins as the same principal components, seen from further away."""
    small = rank_five()
    _, _, picture, _ = begun(params, F.interpolate(small, (64, 64)), 5, 16)
    expected = F.interpolate(closed_form(small, 5)[0], (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(picture, expected, atol=2e-3, rtol=0)


def test_the_convolutions_see_the_linear_picture(params):
    """With nothing from the code, a change of the linear picture changes what they draw only near it."""
    torch.manual_seed(0)
    model = models.find("vae").Model(models.config("vae", params["models"]), 32).eval()
    picture = torch.randn(1, 3, 16, 16)
    changed = picture.clone()
    changed[..., 0, 0] += 1
    grown = torch.zeros(1, params["models"]["vae"]["width"], 16, 16)
    with torch.no_grad():
        plain, other = (model.decoder.draw(torch.cat([grown, x], 1)) for x in (picture, changed))
    moved = (plain != other).any(1)[0]
    reach = 2 * (
        1 + 2 * params["models"]["vae"]["decoder_blocks"] + 1 + 1
    )  # pixels of the image, by 3 x 3 kernels
    assert moved[0, 0] and not moved[reach:].any() and not moved[:, reach:].any()


def finishing(params, images: torch.Tensor, decoded: torch.Tensor, features: float, contrast: float) -> float:
    config = models.config(
        "vae", {"vae": {**params["models"]["vae"], "features": features, "contrast": contrast}}
    )
    model = models.find("vae").Model(config, 32)
    return model.finishing(images, decoded, *model.features(images, decoded)).item()


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


@pytest.mark.parametrize(("features", "contrast"), [(0.9, 0.2), (0.5, 0.5)])
def test_shares_that_leave_nothing_to_the_pixels_are_refused(features, contrast, params):
    """Before any work: with a negative share, training would reward wrong pixels."""
    values = {**params["models"]["vae"], "features": features, "contrast": contrast}
    with pytest.raises(
        ParamsError, match=r"^params\.yaml: models\.vae\.features \+ models\.vae\.contrast = 1"
    ):
        models.config("vae", {"vae": values})


def test_contrast_of_stripes():
    """Columns of +1 and -1: a 3 x 3 mean leaves -1/3 or +1/3 of them, so what it takes away has a root mean
    square of 4/3.
    """
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    inside = vae.contrast(stripes)[..., 1:-1]  # at the rims the picture is continued by its last column
    torch.testing.assert_close(inside, torch.full_like(inside, 4 / 3), atol=1e-4, rtol=0)


def test_contrast_asks_how_much_detail_and_not_where():
    """Stripes moved by a pixel are as far off in pixels as can be, and the same in contrast; a grey field is
    not.
    """
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    moved = -stripes
    grey = torch.zeros_like(stripes)
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


LABELS = ("Hat", "Smile", "Glasses")


def supervised(params, weight: float) -> models.Model:
    changes = {"code_length": 8, "width": 8, "critic": 0.0, "finish": 0.5, "features": 0.0, "labels": weight}
    torch.manual_seed(0)
    model = models.build("vae", models.config("vae", {"vae": {**params["models"]["vae"], **changes}}), 32)
    model.supervise(LABELS)
    return model


def test_known_labels_are_a_term_of_the_loss(params):
    """The negative log-likelihood of labels under a logistic map of the drawn code, by torch's own cross
    entropy, the mean over all labels; an unknown one has no share in it.
    """
    model = supervised(params, 7.0)
    codes = torch.randn(6, model.code_length)
    labels = torch.tensor([[1, -1, 0.0]]).expand(6, -1)
    with torch.no_grad():
        model.log_odds.weight.normal_()
    (term,) = model.further(codes, labels).values()
    odds = model.log_odds(codes)
    known = F.binary_cross_entropy_with_logits(odds[:, :2], (labels[:, :2] > 0).float(), reduction="none")
    torch.testing.assert_close(term, 7 * known.sum(1).mean() / 3)
    assert model.further(codes, torch.zeros(6, 3))["labels"] == 0


@pytest.mark.parametrize(("weight", "correlation"), [(0.0, (0, 0.5)), (9000.0, (0.85, 1))])
def test_labels_teach_the_encoder_what_squared_errors_pass_over(weight, correlation, params):
    """A code of eight numbers that must draw ten loud patterns says nothing of a faint one; told whether it
    is there, a linear map of the code says it. In the last phase the labels are not asked any more.
    """
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(128) % 2 * 2.0 - 1
    patterns = torch.randn(11, 3, 4, 4, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
    strengths = torch.cat([torch.randn(128, 10, generator=generator), 0.5 * label[:, None]], 1)
    images = 0.1 * torch.einsum("np,pchw->nchw", strengths, patterns)
    model = supervised(params, weight)
    model.prepare(images)
    labels = torch.stack([label, 0 * label, 0 * label], 1)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(80):
        ((_, loss, log),) = model.train().losses(images, 0.2, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert ("labels" in log) == bool(weight)
    codes = model.eval().encode(images).detach()
    design = torch.cat([codes, torch.ones(128, 1)], 1)
    said = design @ torch.linalg.lstsq(design, label[:, None]).solution
    assert correlation[0] <= torch.corrcoef(torch.stack([said[:, 0], label]))[0, 1] <= correlation[1]
    assert "labels" not in next(model.losses(images, 0.6, labels))[2]


def test_a_model_that_labels_trained_comes_back_whole(params, tmp_path):
    """With the names of the labels, and with the map that reads them off a code."""
    model = supervised(params, 1.0)
    with torch.no_grad():
        model.log_odds.weight.normal_()
    geometry = Geometry(box="square", size=32, filter="lanczos")
    checkpoints.save(tmp_path, "vae", model.config, geometry, model)
    loaded, _ = checkpoints.load(tmp_path)
    assert loaded.labels == LABELS
    codes = torch.randn(4, model.code_length)
    torch.testing.assert_close(loaded.log_odds(codes), model.log_odds(codes))
