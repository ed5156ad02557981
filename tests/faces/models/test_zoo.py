"""What is particular to each sibling, and the mistakes that its kind is known for."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from faces import checkpoints, models
from faces.data.crops import Geometry
from faces.models.pgae import growth
from faces.nn import perceptual
from faces.nn.gaussian_vae import bernoulli, calibrated_gaussian
from faces.nn.layers import CodeNorm
from faces.nn.perceptual import WeightsError
from faces.nn.quality import WEIGHTS, scales
from tests.helpers.strokes import strokes


def build(name: str, size: int, params: dict, **changes):
    """A small one."""
    torch.manual_seed(0)
    values = {**params["models"][name], "width": 4, "code_length": 6, **changes}
    return models.find(name).Model(models.config(name, {name: values}), size)


def pictures(size: int, count: int = 4) -> torch.Tensor:
    """Smooth ones (B, 3, size, size) in [-1, 1]."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, (size, size), mode="bicubic").clamp(-1, 1)


# vanilla_vae


def test_bernoulli_is_torchs_cross_entropy_summed_over_the_picture():
    images = pictures(32)
    decoded = pictures(32).flip(0) * 0.9
    theirs = F.binary_cross_entropy((decoded + 1) / 2, (images + 1) / 2, reduction="sum") / 4
    torch.testing.assert_close(bernoulli(images, decoded), theirs)


def test_bernoulli_stays_finite_where_the_decoder_is_certain_and_wrong():
    decoded = torch.tensor([[[[1.0, -1.0]]]], requires_grad=True)
    loss = bernoulli(torch.tensor([[[[-1.0, 1.0]]]]), decoded)
    loss.backward()
    assert loss.item() == pytest.approx(-2 * math.log(1e-6), rel=0.01) and torch.isfinite(decoded.grad).all()


# beta_vae


def test_beta_of_one_is_the_evidence_lower_bound(params):
    """By hand from torch.distributions, and equal to what the flagship pays for the same two halves."""
    model = build("beta_vae", 32, params, beta=1.0).eval()
    images = pictures(32)
    mean, logvar = model.posterior(images)
    kl = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean()
    expected = (calibrated_gaussian(images, model.decode(mean)) + kl) / images[0].numel()
    (_, loss, _), *_ = model.losses(images, 0.5)
    torch.testing.assert_close(loss, expected)
    flagship = build("vae", 32, params).eval()
    flagship.encoder = model.encoder
    flagship.decoder = model.decoder
    (_, theirs, _), *_ = flagship.losses(images, 0.5)
    torch.testing.assert_close(loss, theirs)


@pytest.mark.parametrize(
    ("beta", "capacity", "kl", "progress", "price"),
    [
        (4.0, 0.0, 10.0, 0.5, 40.0),
        (1000.0, 25.0, 10.0, 0.0, 10000.0),  # nothing is allowed yet
        (1000.0, 25.0, 10.0, 0.4, 0.0),  # 10 nats are allowed and used
        (1000.0, 25.0, 10.0, 1.0, 15000.0),  # more is allowed than used
    ],
)
def test_price_of_information(params, beta, capacity, kl, progress, price):
    model = build("beta_vae", 32, params, beta=beta, capacity=capacity)
    assert model.price(torch.tensor(kl), progress).item() == pytest.approx(price, abs=1e-3)


# msssim_vae


@pytest.mark.parametrize(("size", "count"), [(32, 2), (64, 3), (128, 4)])
def test_similarity_in_nats_at_every_size(params, size, count):
    """D / 2 log(1 - MS-SSIM) with as many scales as fit, MS-SSIM as an independent implementation has it
    (which pads, hence the tolerance at few pixels).
    """
    assert scales(size) == count
    model = build("msssim_vae", size, params, share=1.0)
    images = pictures(size)
    decoded = (0.8 * images + 0.2 * pictures(size).flip(0)).clamp(-1, 1)
    weights = torch.tensor(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    theirs = multiscale_structural_similarity_index_measure(
        (decoded + 1) / 2,
        (images + 1) / 2,
        data_range=1.0,
        sigma=1.5,
        kernel_size=11,
        betas=tuple(weights.tolist()),
    )
    nats = model.reconstruction(images, decoded).item() / (0.5 * images[0].numel())
    assert 1 - math.exp(nats) == pytest.approx(theirs.item(), abs=0.4 / size)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_similarity_has_no_nan_where_structure_is_negative(params, size):
    """A negative of the picture: every contrast-structure term is below zero, and a power of it would be no
    number.
    """
    model = build("msssim_vae", size, params, share=1.0)
    images = pictures(size)
    decoded = (-images).requires_grad_()
    loss = model.reconstruction(images, decoded)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(decoded.grad).all()
    assert model.reconstruction(images, images).item() == pytest.approx(
        0.5 * images[0].numel() * math.log(1e-4), rel=1e-2
    )


def test_similarity_is_computed_in_float32_under_autocast(params):
    """Variances are differences of nearly equal numbers: with 8 bits of them the loss would be noise."""
    model = build("msssim_vae", 32, params, share=1.0)
    images = pictures(32)
    decoded = images * 0.97
    with torch.autocast("cpu", torch.bfloat16):
        fast = model.reconstruction(images, decoded)
    torch.testing.assert_close(fast, model.reconstruction(images, decoded))


# dfc_vae


def test_deep_features_with_fixed_variance_are_the_published_sum(params):
    """Half the summed squares of each stage times its weight, over the variance."""
    model = build("dfc_vae", 32, params, stages=(1.0, 0.5), variance=2.0)
    images = pictures(32)
    decoded = pictures(32).flip(0)
    network = perceptual.load("efficientnet_lite0", "", torch.device("cpu"))
    pairs = zip(network.features(images, 2), network.features(decoded, 2), strict=True)
    first, second = (0.5 * (a - b).square().sum((1, 2, 3)).mean() / 2.0 for a, b in pairs)
    torch.testing.assert_close(model.reconstruction(images, decoded), first + 0.5 * second)


def test_pixels_take_their_weight_among_the_stages(params):
    model = build("dfc_vae", 32, params, stages=(1.0, 1.0), pixels=2.0, variance=0.0)
    images = pictures(32)
    decoded = pictures(32).flip(0)
    network = perceptual.load("efficientnet_lite0", "", torch.device("cpu"))
    expected = 0.5 * perceptual.calibrated_features(
        network, images, decoded, (1.0, 1.0)
    ) + 0.5 * calibrated_gaussian(images, decoded)
    torch.testing.assert_close(model.reconstruction(images, decoded), expected)


@pytest.mark.parametrize("name", ["dfc_vae", "pgae"])
def test_a_checkpoint_needs_no_network(name, params, tmp_path):
    """Its weights are gone: the model loads, encodes and decodes; only training says what is missing."""
    changes = {"weights": str(tmp_path / "gone-12345678.pth")}
    model = build(name, 32, params, **changes)
    images = pictures(32)
    assert not [key for key in model.state_dict() if "stem" in key or "stages" in key]
    checkpoints.save(tmp_path, name, model.config, Geometry(box="square", size=32, filter="lanczos"), model)
    loaded, _ = checkpoints.load(tmp_path)
    assert loaded.decode(loaded.encode(images)).shape == images.shape
    with pytest.raises(WeightsError, match=r"gone-12345678\.pth: No such file"):
        list(model.losses(images, 0.999))


# face_generator_vae


def test_squared_error_in_nats(params):
    """Variance 2 in [-1, 1] is the plain sum of squares in [0, 1]; variance 0 is the calibrated decoder."""
    images = pictures(32)
    decoded = pictures(32).flip(0)
    found = build("face_generator_vae", 32, params, variance=2.0).reconstruction(images, decoded)
    torch.testing.assert_close(found, ((images - decoded) / 2).square().sum((1, 2, 3)).mean())
    torch.testing.assert_close(
        build("face_generator_vae", 32, params).reconstruction(images, decoded),
        calibrated_gaussian(images, decoded),
    )


# dcae, pgae


def test_code_norm_keeps_a_gaussian_of_the_codes():
    """Two dimensions of correlation 0.8 and of any scale: codes get variance 1, samples the correlation;
    temperature scales them.
    """
    torch.manual_seed(0)
    norm = CodeNorm(2).train()
    for _ in range(300):
        first = torch.randn(256)
        codes = norm(torch.stack([50 * first + 7, 0.1 * (0.8 * first + 0.6 * torch.randn(256))], 1))
    assert norm.covariance[0, 1].item() == pytest.approx(0.8, abs=0.02)
    torch.testing.assert_close(
        norm.eval()(torch.tensor([[57.0, 0.08]])), torch.tensor([[1.0, 0.8]]), atol=0.03, rtol=0
    )
    torch.testing.assert_close(codes.var(0, correction=0), torch.ones(2), atol=1e-2, rtol=0)
    samples = norm.sample(20000, torch.Generator().manual_seed(1), 0.5)
    torch.testing.assert_close(
        torch.cov(samples.T), 0.25 * torch.tensor([[1.0, 0.8], [0.8, 1.0]]), atol=0.02, rtol=0
    )


@pytest.mark.parametrize(
    ("progress", "level", "alpha"),
    [
        (0.0, 0, 1.0),
        (0.19, 0, 1.0),
        (0.2, 1, 0.0),
        (0.25, 1, 0.5),
        (0.3, 1, 1.0),
        (0.39, 1, 1.0),
        (0.4, 2, 0.0),
        (0.45, 2, 0.5),
        (0.6, 3, 0.0),
        (0.7, 3, 0.5),
        (0.8, 3, 1.0),
        (1.0, 3, 1.0),
    ],
)
def test_growth_schedule(progress, level, alpha):
    """Four levels; the first three share 60 % of the budget; each but the first fades in over half of its
    time.
    """
    found = growth(progress, 4, 0.6, 0.5)
    assert found == (level, pytest.approx(alpha, abs=1e-6))


def test_growth_at_the_edges():
    assert growth(0.0, 1, 0.6, 0.5) == (0, 1.0)
    assert growth(0.0, 3, 0.0, 0.0) == (2, 1.0)
    assert [growth(step / 1000, 4, 0.6, 0.5)[0] for step in range(1001)] == sorted(
        growth(step / 1000, 4, 0.6, 0.5)[0] for step in range(1001)
    )


@pytest.mark.parametrize("size", [32, 64])
def test_growing_makes_no_jump(params, size):
    """Just before a level begins, at its first moment, and around the end of its fading, the output for the
    same faces is the same.
    """
    model = build("pgae", size, params, growing=0.6, fading=0.5).eval()
    images = pictures(size)
    lasts = 0.6 / (model.levels - 1)

    @torch.no_grad()
    def output(progress: float) -> torch.Tensor:
        model.grow(progress)
        return model.decode(model.encode(images))

    for level in range(1, model.levels):
        begins = level * lasts + 1e-6
        ends = begins + 0.5 * (lasts if level < model.levels - 1 else 0.4)
        for before, after in ((begins - 1e-5, begins), (ends - 1e-5, ends + 1e-5)):
            torch.testing.assert_close(output(before), output(after), atol=2e-4, rtol=0)
        assert (output(begins) - output(ends)).abs().max() > 0.01, "the new level does nothing"


def test_the_state_knows_how_far_it_has_grown(params):
    model = build("pgae", 32, params, growing=0.6, fading=0.5)
    list(model.losses(pictures(32), 0.375))
    assert model.alphas.tolist() == pytest.approx([1.0, 0.5, 0.0])
    again = build("pgae", 32, params, growing=0.6, fading=0.5)
    assert again.alphas.tolist() == [1.0, 0.0, 0.0]
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.alphas, model.alphas)


def test_decoded_at_full_size_from_the_first_step(params):
    """At 8 pixels every picture is a grid of flat squares; nothing of the levels to come shows."""
    with torch.no_grad():
        decoded = build("pgae", 64, params).eval().decode(torch.randn(2, 6))
    assert decoded.shape == (2, 3, 64, 64)
    assert torch.equal(decoded, decoded[:, :, ::8, ::8].repeat_interleave(8, 2).repeat_interleave(8, 3))


def test_features_count_from_32_pixels_up(params, monkeypatch):
    """Below, the loss is that of the pixels alone, and no network is asked for."""
    asked = []
    monkeypatch.setattr(
        perceptual,
        "load",
        lambda *arguments: asked.append(arguments) or (_ for _ in ()).throw(WeightsError("asked")),
    )
    model = build("pgae", 64, params, growing=0.6, fading=0.5)
    images = pictures(64)
    for progress, side in ((0.1, 8.0), (0.35, 16.0)):
        (_, loss, log), *_ = model.losses(images, progress)
        assert log["side"] == side and loss.item() == pytest.approx(
            0.5 * math.log(log["mse"].item() + (2 / 255) ** 2 / 12), rel=1e-4
        )
    assert not asked
    with pytest.raises(WeightsError, match="asked"):
        list(model.losses(images, 0.41))


# ladder


def test_the_second_level_begins_as_nothing(params):
    """Until it has learnt something, a face is its first level's picture, whatever the detail."""
    model = build("ladder", 32, params, detail=2).eval()
    codes = torch.randn(4, model.code_length, generator=torch.Generator().manual_seed(2))
    assert model.code_length == 6 + 2 * 8 * 8
    torch.testing.assert_close(model.decode(codes), model.picture(codes[:, :6]))
    assert torch.equal(model.encode(pictures(32))[:, 6:], torch.zeros(4, 2 * 8 * 8))


def test_the_second_level_pays_for_its_detail_and_counts_both_kinds_of_faces(params):
    """Its loss by hand: with `drop` d is 0, each kind of faces has its own variance, kept ones pay the KL."""
    model = build("ladder", 32, params, drop=0.5).eval()
    torch.nn.init.normal_(model.detail.encoder[-1].weight, std=0.05)
    torch.nn.init.normal_(model.detail.draw[-2].weight, std=0.05)
    images = pictures(32, 8)
    torch.manual_seed(5)
    *_, (part, loss, _) = model.losses(images, 1.0)
    torch.manual_seed(5)
    kept = torch.rand(8, 1, 1, 1) >= 0.5
    assert part == "detail" and 0 < kept.sum() < 8
    picture = model.picture(model.encode(images)[:, :6])
    mean, logvar = model.detail.posterior(images, picture)
    drawn = model.detail(picture, kept * mean)
    kl = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum((1, 2, 3))
    kept = kept.flatten()
    expected = 0.5 * (
        calibrated_gaussian(images[kept], drawn[kept]) + calibrated_gaussian(images[~kept], drawn[~kept])
    )
    torch.testing.assert_close(loss * images[0].numel(), expected + kl[kept].sum() / 8)


def test_the_second_level_keeps_what_the_first_cannot_say(params):
    """A code of three numbers tells the colour, the grid the strokes; with a detail of 0 it draws no worse
    than the first level does.
    """
    generator = torch.Generator().manual_seed(0)
    model = build("ladder", 32, params, code_length=3, detail_width=8)
    model.prepare(strokes(64, generator))
    optimisers = {name: torch.optim.Adam(part.parameters(), 5e-3) for name, part in model.parts().items()}
    for _ in range(100):
        for part, loss, _ in model.losses(strokes(16, generator), 1.0):
            optimisers[part].zero_grad()
            loss.backward()
            optimisers[part].step()
    model.eval()
    images = strokes(64, generator)
    with torch.no_grad():
        codes = model.encode(images)
        first = F.mse_loss(model.picture(codes[:, :3]), images).item()
        both = F.mse_loss(model.decode(codes), images).item()
        codes[:, 3:] = 0
        without = F.mse_loss(model.decode(codes), images).item()
    assert both < 0.3 * first and without < 1.1 * first
