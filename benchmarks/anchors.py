"""Our `vae` beside two networks that one would otherwise reach for, each trained for the same time on the
same faces and measured by the same code.

    python -m benchmarks.anchors data/crops --seconds 900 --threads 2 [--only NAME]

antixk_vanilla   PyTorch-VAE's VanillaVAE with configs/vae.yaml: strided convolutions, batch norm; mean
                 squared error + 0.00025 KL; Adam 5e-3, 0.95 an epoch
pythae_resnet    pythae's Encoder_ResNet_VAE_CELEBA and Decoder_ResNet_AE_CELEBA with configs/celeba: 0.5 sum
                 of squares + KL; Adam 1e-3, 64 numbers
vae              ours, with the params of params.yaml; its budget in images is what the time allows, from the
                 rate of its first steps

Both anchors are written anew from those files, for 64 pixels. All three get our loader and the device's fast
arithmetic, so that only the networks and their losses differ. On standard output, a table: PSNR and SSIM of
test reconstructions; Frechet distances, extrapolated to sets without end, on EfficientNet-Lite1 features
between as many test faces as `score.samples` and their reconstructions, samples from the model's prior, and
samples from the best prior fitted to its train codes; held-out AUROC of mean differences and of logistic
boundaries, from mirror images too with `encode.mirror`. Faces of one set, sizes and numbers of faces differ
from the literature's: compare within the table only.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import models
from faces.core.console import say
from faces.core.params import load
from faces.data.crops import Crops
from faces.data.order import Order
from faces.estimators import linear
from faces.estimators.estimators import differences
from faces.latents.moments import Moments
from faces.metrics.auroc import auroc
from faces.nn import perceptual
from faces.nn.device import fast_arithmetic, pick_device, to_device
from faces.nn.gaussian_vae import gaussian_kl
from faces.nn.layers import Fold
from faces.priors import Priors, Settings
from faces.report import view
from faces.scoring import samples
from faces.scoring.context import Codec, FeatureNetwork, Score
from faces.scoring.reconstruction import reconstruction
from stages import encode, train, vectors

# steps of ours: those that are not timed, and those from whose rate its budget follows
WARM = 3
TRIAL = 40
ATTRIBUTES = ("Smiling", "Eyeglasses")  # told one by one where the data have them


class Params(train.Params):
    score: Score
    prior: Settings
    encode: encode.Encode
    boundary: Annotated[linear.Boundary, Field(alias="vectors.boundary")]


class Anchor(nn.Module):
    """Images in [-1, 1] outside, in [0, 1] inside, as the originals have them."""

    code_length: int
    batch: int
    flip: bool
    encoder: nn.Module  # images -> features (B, F)
    mean: nn.Linear
    logvar: nn.Linear
    decoder: nn.Module

    def encode(self, images: Tensor) -> Tensor:
        return self.mean(self.encoder((images + 1) / 2))

    def decode(self, codes: Tensor) -> Tensor:
        return self.decoder(codes).float() * 2 - 1

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        return temperature * torch.randn(count, self.code_length, generator=generator)

    def loss(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) in [-1, 1] -> a scalar."""
        pictures = (images + 1) / 2
        features = self.encoder(pictures)
        mean = self.mean(features).float()
        logvar = self.logvar(features).float()
        decoded = self.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)).float()
        return self.bound(pictures, decoded, gaussian_kl(mean, logvar).mean())

    def bound(self, pictures: Tensor, decoded: Tensor, kl: Tensor) -> Tensor:
        raise NotImplementedError

    def optimiser(self, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        """With its schedule, stepped after each of `steps` steps to an epoch."""
        raise NotImplementedError


class AntixkVanilla(Anchor):
    code_length = 128
    batch = 64
    flip = True

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 256, 512)

        def block(layer: nn.Module, outputs: int) -> list[nn.Module]:
            return [layer, nn.BatchNorm2d(outputs), nn.LeakyReLU()]

        down = []
        up = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            down += block(nn.Conv2d(inputs, outputs, 3, 2, 1), outputs)
        for inputs, outputs in zip(widths[::-1], (*widths[-2::-1], widths[0]), strict=True):
            up += block(nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1), outputs)
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(2048, self.code_length)
        self.logvar = nn.Linear(2048, self.code_length)
        self.decoder = nn.Sequential(
            nn.Linear(self.code_length, 2048), Fold(512, 2), *up, nn.Conv2d(32, 3, 3, 1, 1), nn.Tanh()
        )

    def bound(self, pictures: Tensor, decoded: Tensor, kl: Tensor) -> Tensor:
        return F.mse_loss(decoded, pictures) + 0.00025 * kl

    def optimiser(self, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        adam = torch.optim.Adam(self.parameters(), lr=5e-3)
        return adam, torch.optim.lr_scheduler.StepLR(adam, steps, gamma=0.95)


class Residual(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.ReLU(), nn.Conv2d(128, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 128, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class PythaeResNet(Anchor):
    code_length = 64
    batch = 100
    flip = False

    def __init__(self) -> None:
        super().__init__()
        strided = [
            nn.Conv2d(3, 64, 4, 2, 1),
            nn.Conv2d(64, 128, 4, 2, 1),
            nn.Conv2d(128, 128, 3, 2, 1),
            nn.Conv2d(128, 128, 3, 2, 1),
        ]
        self.encoder = nn.Sequential(*strided, Residual(), Residual(), nn.Flatten())
        self.mean = nn.Linear(2048, self.code_length)
        self.logvar = nn.Linear(2048, self.code_length)
        self.decoder = nn.Sequential(
            nn.Linear(self.code_length, 2048),
            Fold(128, 4),
            nn.ConvTranspose2d(128, 128, 3, 2, 1),  # 7 pixels
            Residual(),
            Residual(),
            nn.ConvTranspose2d(128, 128, 5, 2, 1),  # 15
            nn.Sigmoid(),
            nn.ConvTranspose2d(128, 64, 5, 2, 1, 1),  # 32
            nn.ConvTranspose2d(64, 3, 4, 2, 1),
            nn.Sigmoid(),
        )

    def bound(self, pictures: Tensor, decoded: Tensor, kl: Tensor) -> Tensor:
        return 0.5 * (decoded - pictures).square().sum((1, 2, 3)).mean() + kl

    def optimiser(self, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        adam = torch.optim.Adam(self.parameters(), lr=1e-3)
        return adam, torch.optim.lr_scheduler.ConstantLR(adam, 1.0)


def train_anchor(
    anchor: Anchor, crops: Crops, params: Params, seconds: float, device: torch.device
) -> tuple[nn.Module, int]:
    """The trained network and the images that it saw."""
    anchor = anchor.to(device, memory_format=torch.channels_last).train()
    rows = crops.rows("train")
    order = Order(rows, params.seed)
    optimiser, schedule = anchor.optimiser(max(1, len(rows) // anchor.batch))
    end = time.monotonic() + seconds
    step = 0
    while time.monotonic() < end:
        images = to_device(crops.images[order.of_step(step, anchor.batch)], device)
        if anchor.flip:
            images = torch.where(
                torch.rand(len(images), 1, 1, 1, device=device) < 0.5, images.flip(3), images
            )
        with fast_arithmetic(device):
            loss = anchor.loss(images)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        step += 1
    return anchor.eval(), step * anchor.batch


def train_ours(crops: Crops, params: Params, seconds: float, device: torch.device) -> tuple[nn.Module, int]:
    """The same of ours: its schedule ends where the time does, as well as its first steps can tell; the time
    decides.
    """
    config = models.config("vae", params.models)
    end = time.monotonic() + seconds

    def begin(images: int) -> train.Run:
        settings = params.model_copy(
            update={"model": "vae", "train": params.train.model_copy(update={"images": images})}
        )
        run = train.Run(settings, config, crops, device)
        run.prepare()
        return run

    trial = begin(10**9)
    for _ in range(WARM):
        train.advance(trial)
    begun = time.monotonic()
    for _ in range(TRIAL):
        train.advance(trial)
    pace = (time.monotonic() - begun) / TRIAL
    run = begin(max(1, round((end - time.monotonic()) / pace)) * config.batch)
    while run.step < run.steps and time.monotonic() < end:
        train.advance(run)
    return run.averaged, run.step * config.batch


def separation(
    codes: np.ndarray, mirrored: np.ndarray | None, crops: Crops, boundary: linear.Boundary
) -> dict[str, dict[str, float]]:
    """Held-out AUROC of mean differences and of logistic boundaries of the train codes, for each attribute
    whose test labels have both sides.
    """
    test = crops.rows("test")
    known, labels = vectors.train_faces(codes, mirrored, crops, crops.labels)
    labels = np.tile(labels, (len(known) // len(labels), 1))
    moments = Moments.of(known, np.arange(len(known)), products=False)
    logistic = linear.fit(known, labels, moments.mean(), moments.std(), linear.logistic_loss, boundary)
    found: dict[str, dict[str, float]] = {}
    for way, directions in (("means", differences(known, labels)), ("logistic", logistic.normals)):
        found[way] = {}
        for name, direction in zip(crops.attributes, directions, strict=True):
            truth = crops.labels[test, crops.attributes.index(name)]
            found[way][name] = float(auroc(codes[test[truth != 0]] @ direction, truth[truth != 0] == 1)[0])
    return found


def measure(model: nn.Module, crops: Crops, params: Params, device: torch.device) -> dict[str, float]:
    """The figures of one trained model."""
    batch = params.encode.batch

    def encoded(mirror: bool) -> np.ndarray:
        return np.concatenate(
            [chunk for _, chunk in encode.encode(model, crops.images, batch, device, mirror=mirror)]
        )

    codes = encoded(mirror=False)
    mirrored = encoded(mirror=True) if params.encode.mirror else None
    test = crops.rows("test")
    codec = Codec(model, device, params.score.batch)
    alike = reconstruction(codec, crops.images, codes, test, 1)
    rows = np.sort(np.random.default_rng(params.seed).permutation(test)[: params.score.samples])
    train_rows = crops.rows("train")
    fitted = codes[train_rows[: params.prior.fit]]
    priors = Priors.fit(model, fitted, codes[crops.rows("valid")], params.prior, params.seed, device)
    faces = samples.sets(codec, crops.images, codes, train_rows, rows, priors, params.seed)
    real = codec.pictures(crops.images[rows])
    network = perceptual.load("efficientnet_lite1", "", device)
    features = {"lite1": FeatureNetwork(network, params.score.side, params.score.batch)}
    table = samples.score_sets(faces, real, codes[rows], codes[train_rows], features, params.score)
    told = {row["set"]: row["frechet_inf_lite1"] for row in table}
    areas = separation(codes, mirrored, crops, params.boundary)
    return {
        "PSNR, dB": alike["psnr"].mean(),
        "SSIM": alike["ssim"].mean(),
        "reconstructions": told["reconstruction"],
        "samples": told["standard"],
        "best prior": min(told[prior] for prior in view.PRIORS if prior in told),
        **{f"mean AUROC, {way}": np.nanmean(list(area.values())) for way, area in areas.items()},
        **{
            f"{name}, {way}": area[name] for name in ATTRIBUTES for way, area in areas.items() if name in area
        },
    }


CONTESTANTS: dict[str, Callable[[Crops, Params, float, torch.device], tuple[nn.Module, int]]] = {
    "antixk_vanilla": lambda crops, params, seconds, device: train_anchor(
        AntixkVanilla(), crops, params, seconds, device
    ),
    "pythae_resnet": lambda crops, params, seconds, device: train_anchor(
        PythaeResNet(), crops, params, seconds, device
    ),
    "vae": train_ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crops", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--only", choices=CONTESTANTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    params = load(Params)
    crops = Crops.open(arguments.crops)
    device = pick_device()
    if crops.geometry.size != 64:
        raise SystemExit(
            f"error: {arguments.crops}: faces of {crops.geometry.size} pixels; "
            "the anchors are made for 64 (crop.size)"
        )
    print(
        f"{arguments.seconds:g} s each, {arguments.threads} threads, {device}, "
        f"{len(crops.rows('train')):,} train faces\n"
    )
    for number, name in enumerate([arguments.only] if arguments.only else CONTESTANTS):
        torch.manual_seed(params.seed)
        say(f"anchors: {name}")
        model, seen = CONTESTANTS[name](crops, params, arguments.seconds, device)
        trained = sum(parameter.numel() for parameter in model.parameters())
        row = {"parameters": f"{trained / 1e6:.2f} M", "images seen": f"{seen:,}"}
        row |= {key: f"{value:.4g}" for key, value in measure(model, crops, params, device).items()}
        if number == 0:
            print(f"| | {' | '.join(row)} |\n|---{'|---' * len(row)}|")
        print(f"| {name} | {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
