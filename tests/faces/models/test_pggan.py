import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from faces.core.params import ParamsError, parse
from faces.models.pggan import (
    Config,
    EqualConv2d,
    Inverter,
    Model,
    faded,
    gradient_penalty,
    load_generator,
    minibatch_deviation,
    pixel_norm,
    schedule,
    upsample,
)

VALUES = {
    "batch": 8,
    "learning_rate": 1e-3,
    "betas": [0.0, 0.99],
    "decay": "none",
    "clip": 0.0,
    "latent": 16,
    "maps": 12,
    "maps_by_side": 160,
    "group": 4,
    "penalty": 10.0,
    "drift": 1e-3,
    "smoothing": 0.9,
    "final_share": 0.5,
    "inverter_share": 0.25,
    "real_share": 0.4,
    "feature_weight": 0.1,
    "code_weight": 0.5,
    "pretrained": "",
}


@pytest.fixture
def model() -> Model:
    """16x16: levels 0, 1, 2 with 12, 12 and 10 feature maps."""
    return build()


def build(size: int = 16, **changes: object) -> Model:
    torch.manual_seed(0)
    return Model(parse(Config, VALUES | changes, "models.pggan"), size)


def pictures(count: int, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def train(model: Model, images: Tensor, progress: float, steps: int) -> list[dict[str, float]]:
    """The training loop in small; one log a step."""
    optimisers = {
        name: torch.optim.Adam(part.parameters(), 1e-3, betas=(0.0, 0.99))
        for name, part in model.parts().items()
    }
    logs = []
    for _ in range(steps):
        logs.append({})
        for part, loss, log in model.losses(images, progress):
            optimisers[part].zero_grad()
            loss.backward()
            optimisers[part].step()
            logs[-1] |= {name: value.item() for name, value in log.items()}
    return logs


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, (0, 1.0)),  # three fades in the first half: six stretches of 1/12, stabilising first
        (1 / 24, (0, 1.0)),
        (3 / 24, (1, 0.5)),
        (5 / 24, (1, 1.0)),
        (6.5 / 24, (2, 0.25)),
        (9 / 24, (2, 1.0)),
        (11.5 / 24, (3, 0.75)),
        (0.5, (3, 1.0)),
        (1.0, (3, 1.0)),
    ],
)
def test_schedule(progress, expected):
    level, alpha = schedule(progress, 3, 0.5)
    assert (level, alpha) == (expected[0], pytest.approx(expected[1]))


def test_the_published_schedule_at_128_pixels():
    """12 million images: 600 thousand at 4x4, then 600 of fading and 600 of stabilising for each of 8, 16,
    32, 64, and 128 from 5,400 on.
    """
    at = {thousands: schedule(thousands / 12000, 5, 0.5) for thousands in (599, 900, 1500, 5100, 5700, 6001)}
    assert [level for level, _ in at.values()] == [0, 1, 1, 4, 5, 5]
    assert [alpha for _, alpha in at.values()] == pytest.approx([1, 0.5, 1, 1, 0.5, 1])


def test_growth_never_jumps():
    growths = [level - 1 + alpha for level, alpha in (schedule(step / 1000, 3, 0.4) for step in range(1001))]
    assert growths[0] == 0
    assert growths[-1] == 3
    assert (
        max(after - before for before, after in itertools.pairwise(growths)) <= 0.0101
    )  # a fade is a tenth of the budget
    assert growths == sorted(growths)


def test_phases_are_the_levels_then_pairs_then_real_images(model):
    # the GAN has 0.75 of the budget and grows in the first half of it; pairs have 0.6 of the last quarter
    progresses = [0.0, 0.09, 0.1, 0.27, 0.29, 0.7499, 0.75, 0.8999, 0.9001, 1.0]
    assert [model.phase(progress) for progress in progresses] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_equal_convolution_keeps_the_variance_of_noise():
    """Gain 1: N(0, 1) in, standard deviation 1 out; gain sqrt 2, the default, makes up for a rectifier.
    Weights are unit, unscaled.
    """
    torch.manual_seed(0)
    for gain in (1.0, math.sqrt(2)):
        conv = EqualConv2d(64, 256, 3, 0, gain)
        out = conv(torch.randn(16, 64, 10, 10))
        assert out.std().item() == pytest.approx(gain, rel=0.02)
        assert conv.weight.std().item() == pytest.approx(1, rel=0.02)
    assert EqualConv2d(1, 1, 1, 0).scale == math.sqrt(2)


def test_pixel_norm():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-6, 0.0]])
    # (3, 4) / sqrt(12.5); zero stays zero; epsilon shows at 1e-6: 1e-6 / sqrt(5e-13 + 1e-8)
    expected = torch.tensor([[0.848528, 1.131371], [0.0, 0.0], [0.01, 0.0]])
    assert torch.allclose(pixel_norm(x), expected, atol=1e-6)
    assert torch.allclose(
        pixel_norm(torch.randn(2, 7, 3, 3)).square().mean(1), torch.ones(2, 3, 3), atol=1e-5
    )


def test_minibatch_deviation_by_hand():
    """Groups of 2 in a batch of 4 are images {0, 2} and {1, 3}. Deviations of the four features: 1, 2, 0, 0
    in the first, 0 in the second.
    """
    x = torch.zeros(4, 2, 1, 2)
    x[0] = torch.tensor([[[1.0, 5.0]], [[7.0, 0.0]]])
    x[2] = torch.tensor([[[3.0, 1.0]], [[7.0, 0.0]]])
    x[1] = x[3] = 2.0
    out = minibatch_deviation(x, 2)
    assert torch.equal(out[:, :2], x)
    assert torch.allclose(out[:, 2, 0, 0], torch.tensor([0.75, 1e-4, 0.75, 1e-4]), atol=6e-5)
    assert torch.equal(out[:, 2, 0, 0], out[:, 2, 0, 1])


@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 3), (3, 3), (5, 1), (2, 2), (1, 1)])
def test_minibatch_deviation_of_odd_batches(count, group):
    x = torch.randn(count, 3, 4, 4)
    expected = x.reshape(group, -1, 3, 4, 4).std(0, correction=0).mean((1, 2, 3)).repeat(group)
    assert torch.allclose(minibatch_deviation(x, 4)[:, -1, 0, 0], expected, atol=1.1e-4)


def test_gradient_penalty_of_a_linear_critic():
    """D(x) = <w, x> has the gradient w everywhere: (|w| - 1)^2, whatever the images."""
    weight = torch.zeros(3, 4, 4)
    weight[0, 0, :2] = torch.tensor([3.0, 4.0])
    weight.requires_grad_()
    penalty = gradient_penalty(
        lambda images: (images * weight).sum((1, 2, 3)), pictures(5, 4), -pictures(5, 4)
    )
    assert penalty.item() == pytest.approx(16)
    penalty.backward()  # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    assert torch.allclose(weight.grad[0, 0, :2], torch.tensor([4.8, 6.4]))


def test_real_images_fade_as_the_generators_do():
    images = torch.zeros(1, 3, 8, 8)
    images[:, :, 0, 0] = 16.0
    assert faded(images, 0, 1.0)[0, 0].tolist() == [[4, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    half = faded(images, 1, 0.5)[0, 0]  # half the image, half its 4x4 doubled
    assert half[:2, :2].tolist() == [[10, 2], [2, 2]]
    assert half.sum() == 16
    assert torch.equal(faded(images, 1, 1.0), images)


@pytest.mark.parametrize("level", [1, 2])
def test_a_new_level_begins_as_the_one_below(model, level):
    codes = torch.randn(4, 16)
    images = pictures(4, 4 * 2**level)
    below = model.generator(codes, level - 1, 1.0)
    assert torch.equal(model.generator(codes, level, 0.0), upsample(below))
    assert not torch.allclose(model.generator(codes, level, 0.1), upsample(below), atol=1e-3)
    assert torch.equal(
        model.critic(images, level, 0.0), model.critic(F.avg_pool2d(images, 2), level - 1, 1.0)
    )
    assert not torch.allclose(model.critic(images, level, 0.1), model.critic(images, level, 0.0), atol=1e-3)


@pytest.mark.parametrize(("level", "alpha"), [(0, 1.0), (1, 0.25), (1, 1.0), (2, 0.5), (2, 1.0)])
def test_decode_is_the_generator_at_its_growth_at_full_size(model, level, alpha):
    codes = torch.randn(3, 16)
    model.growth.fill_(level - 1 + alpha)
    expected = F.interpolate(model.generator(codes, level, alpha), 16, mode="nearest")
    assert torch.allclose(model.decode(codes), expected, atol=1e-6)
    assert torch.allclose(model.decode(codes * 7), expected, atol=1e-5)  # the radius means nothing


def test_critic_and_generator_both_step_and_the_average_follows(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, pictures(8), 0.6, 1)
    after = model.state_dict()
    for name in (
        "critic.score.weight",
        "critic.levels.0.0.weight",
        "critic.from_rgb.2.weight",
        "generator.levels.0.0.weight",
    ):
        assert not torch.equal(before[name], after[name]), name
    for name in (
        "generator.to_rgb.0.weight",
        "inverter.from_rgb.weight",
    ):  # not in use at full size; not yet in training
        assert torch.equal(before[name], after[name]), name
    name = "levels.2.1.weight"
    expected = (
        0.9 * before[f"generator.{name}"] + 0.1 * after[f"generator.{name}"]
    )  # the average begins as the generator; smoothing is 0.9
    assert torch.allclose(after[f"smooth.{name}"], expected, atol=1e-6)


def test_the_generators_loss_is_computed_by_the_critic_that_has_stepped(model):
    """Descending the critic's loss alone makes it tell real from fake: the fakes' score, as the generator
    sees it, falls at once.
    """
    images = pictures(8)
    seen = {}
    for rate in (0.0, 0.05):
        other = build()
        optimiser = torch.optim.SGD(other.critic.parameters(), rate)
        torch.manual_seed(3)
        losses = other.losses(images, 0.6)
        next(losses)[1].backward()
        optimiser.step()
        part, loss, _ = next(losses)
        assert part == "generator"
        seen[rate] = loss.item()
    assert seen[0.05] != seen[0.0]


def test_the_generators_loss_leaves_no_gradient_in_the_critic(model):
    (_, _, _), (_, loss, _) = model.losses(pictures(8), 0.6)
    loss.backward()
    assert all(weight.grad is None and weight.requires_grad for weight in model.critic.parameters())
    assert model.generator.levels[0][0].weight.grad.abs().sum() > 0


def test_the_critic_learns_to_tell_and_its_slope_stays_near_one(model):
    optimiser = torch.optim.Adam(model.critic.parameters(), 3e-3, betas=(0.0, 0.99))
    logs = []
    for _ in range(20):
        loss, log = model.critic_loss(pictures(8), 2, 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        logs.append(log)
    assert logs[-1]["wasserstein"] > logs[0]["wasserstein"] + 1
    assert logs[-1]["penalty"] < 0.5


def test_the_critics_loss_ignores_autocast(model):
    real = pictures(8)
    found = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(model.critic_loss(real, 2, 1.0)[0])
    assert torch.equal(*found)
    assert found[0].dtype == torch.float32


@pytest.mark.parametrize("size", [16, 32, 128])
def test_every_weight_is_trained_somewhere_in_the_budget(size):
    """toRGB and fromRGB of early levels serve only while these grow, so no single progress reaches all."""
    model = build(size)
    touched = set()
    for step in range(25):
        for _, loss, _ in model.losses(pictures(2, size), step / 24):
            model.zero_grad(set_to_none=True)
            loss.backward()
            touched |= {
                name
                for name, weight in model.named_parameters()
                if weight.grad is not None and weight.grad.abs().sum() > 0
            }
    assert touched == {name for name, _ in model.named_parameters()}


def test_validation_changes_nothing(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for progress in (0.3, 0.6, 0.8, 1.0):
        for _, _, _ in model.eval().losses(pictures(4), progress):
            pass
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_inverter_finds_the_codes_of_generated_faces():
    """A cosine of 0 is chance; the loss is 2 - 2 cos, as both codes lie on the sphere."""
    model = build(8, maps=32, latent=8)
    images = pictures(64, 8)
    torch.manual_seed(0)
    logs = train(model, images, 0.8, 80)
    codes = model.sample(256, torch.Generator().manual_seed(5), 1.0)
    found = model.encode(model.decode(codes).clamp(-1, 1))
    cosines = F.cosine_similarity(found, codes)
    assert logs[0]["code"] > 1.5
    assert cosines.mean() > 0.65
    assert torch.allclose(found.norm(dim=1), torch.full((256,), math.sqrt(8)), atol=1e-4)
    assert (found - codes).square().mean().item() == pytest.approx(2 - 2 * cosines.mean().item(), abs=1e-4)


def test_tuning_on_real_images_moves_the_inverter_alone(model):
    images = pictures(8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logs = train(model, images, 1.0, 30)
    moved = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(before[name], value)
    }
    assert moved == {"inverter", "growth"}
    assert logs[-1]["pixels"] < 0.9 * logs[0]["pixels"]


def test_compare_is_zero_for_equals_and_the_pyramid_by_hand(model):
    images = pictures(2)
    assert all(part.tolist() == [0, 0] for part in model.compare(images, images))
    pixels, features = model.compare(images + 0.5, images)  # a constant is the same at every scale
    assert pixels.tolist() == pytest.approx([0.25, 0.25])
    checks = torch.ones(16, 16)
    checks[::2, 1::2] = checks[1::2, ::2] = -1  # gone at half size: 1, 0, 0 at sides 16, 8, 4
    assert model.compare(images + checks, images)[0].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert features.min() > 0


def test_save_and_load_half_grown(model, tmp_path):
    train(model, pictures(8), 0.2, 2)  # in the fade to level 1, at 8x8
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other = Model(model.config, 16)
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    images = pictures(4)
    codes = torch.randn(4, 16)
    assert torch.equal(other.encode(images), model.encode(images))
    assert torch.equal(other.decode(codes), model.decode(codes))
    assert 0 < other.growth.item() < 2


def test_samples_are_even_on_the_sphere_and_follow_the_generator(model):
    codes = model.sample(4000, torch.Generator().manual_seed(0), 1.0)
    assert torch.allclose(codes.square().mean(1), torch.ones(4000), atol=1e-5)
    assert codes.mean(0).abs().max() < 4 / math.sqrt(4000)
    assert torch.equal(codes, model.sample(4000, torch.Generator().manual_seed(0), 0.5))


def test_encode_looks_at_each_image_alone(model):
    images = pictures(4)
    assert torch.allclose(model.encode(images)[1:2], model.encode(images[1:2]), atol=1e-5)
    assert isinstance(model.inverter, Inverter)


@pytest.mark.parametrize("size", [4, 20, 48, 100])
def test_sizes_that_do_not_double_from_4_are_refused(size):
    with pytest.raises(ValueError, match=f"8, 16, 32, 64, ..., got {size}"):
        build(size)


def test_too_few_feature_maps_are_refused():
    with pytest.raises(ValueError, match="maps_by_side = 160 leaves no feature map at 256x256"):
        build(256)


def interfacegan(weights: dict[str, Tensor], codes: Tensor, layers: int) -> Tensor:
    """A generator in InterFaceGAN's PyTorch layout, written out: pixel norm, upsampling, convolution, wscale,
    leaky rectifier.
    """
    x = codes[:, :, None, None]
    for number in [*range(1, layers + 1), 0]:
        name = f"layer{number}" if number else "output_16x16"
        weight = weights[f"{name}.conv.weight"]
        bias = weights[f"{name}.wscale.bias"]
        x = x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)
        if number > 1 and number % 2:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.conv2d(x, weight, padding=3 if number == 1 else weight.shape[2] // 2)
        x = x * ((math.sqrt(2) if number else 1.0) / math.sqrt(weight[0].numel())) + bias.view(1, -1, 1, 1)
        x = F.leaky_relu(x, 0.2) if number else x
    return x


def synthetic() -> dict[str, Tensor]:
    """Latent 16; 12, 12 and 10 feature maps."""
    shapes = [
        (12, 16, 4, 4),
        (12, 12, 3, 3),
        (12, 12, 3, 3),
        (12, 12, 3, 3),
        (10, 12, 3, 3),
        (10, 10, 3, 3),
        (3, 10, 1, 1),
    ]
    names = [*(f"layer{number}" for number in range(1, 7)), "output_16x16"]
    chance = torch.Generator().manual_seed(7)
    weights = {
        f"{name}.conv.weight": torch.randn(shape, generator=chance)
        for name, shape in zip(names, shapes, strict=True)
    }
    return weights | {
        f"{name}.wscale.bias": torch.randn(shape[0], generator=chance)
        for name, shape in zip(names, shapes, strict=True)
    }


def test_a_pretrained_generator_gives_the_same_pictures(tmp_path):
    weights = synthetic()
    codes = torch.randn(3, 16)
    torch.save(weights, tmp_path / "generator.pth")
    model = build(pretrained=str(tmp_path / "generator.pth"))
    model.prepare(pictures(2))
    assert torch.allclose(model.decode(codes), interfacegan(weights, codes, 6), atol=1e-5)
    assert [model.phase(progress) for progress in (0.0, 0.59, 0.61, 1.0)] == [
        3,
        3,
        4,
        4,
    ]  # the whole budget is the inverter's
    assert [part for part, _, _ in model.losses(pictures(4), 0.0)] == ["inverter"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda weights: {**weights, "layer3.conv.weight": torch.zeros(5, 12, 3, 3)},
            r"layer3.conv.weight is \(5, 12, 3, 3\), expected",
        ),
        (
            lambda weights: {name: value for name, value in weights.items() if name != "layer2.wscale.bias"},
            "lacks layer2.wscale.bias",
        ),
        (
            lambda weights: {**weights, "layer7.conv.weight": torch.zeros(1)},
            "has an unknown layer7.conv.weight; a generator of 16x16",
        ),
        (lambda weights: list(weights.values()), "expected a state dict, found list"),
        (lambda weights: {"code": math.sqrt, **weights}, "not a PyTorch file of plain tensors"),
    ],
)
def test_a_wrong_checkpoint_is_named_in_one_line(model, tmp_path, damage, message):
    path = tmp_path / "generator.pth"
    torch.save(damage(synthetic()), path)
    with pytest.raises(ParamsError, match=message) as caught:
        load_generator(model.smooth, path)
    assert str(caught.value).startswith(f"models.pggan.pretrained: {path}")
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_checkpoint(model, tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        load_generator(model.smooth, tmp_path / "none.pth")
    (tmp_path / "page.pth").write_text("<html>quota exceeded</html>")
    with pytest.raises(ParamsError, match="not a PyTorch file"):
        load_generator(model.smooth, tmp_path / "page.pth")


def test_shares_outside_0_to_1_are_refused():
    with pytest.raises(ParamsError, match=r"models.pggan.final_share = 1.5"):
        build(final_share=1.5)
