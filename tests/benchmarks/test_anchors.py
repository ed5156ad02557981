"""The two anchors are the networks that they are called after."""

import copy
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from benchmarks import anchors
from benchmarks.anchors import AntixkVanilla, PythaeResNet
from faces.core.params import parse, pick
from faces.data.crops import Crops
from faces.ingest import writer
from stages import encode


@pytest.mark.parametrize(("anchor", "millions"), [(AntixkVanilla, 3.94), (PythaeResNet, 1.75)])
def test_shapes_and_parameters(anchor, millions):
    model = anchor().eval()
    images = torch.zeros(2, 3, 64, 64)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.005
    )
    codes = model.encode(images)
    assert codes.shape == (2, model.code_length) and model.decode(codes).shape == images.shape


def test_losses_weigh_the_bound_as_published():
    """In [0, 1], an error of 1/2 everywhere and 8 nats: means against sums."""
    pictures = torch.zeros(2, 3, 64, 64)
    kl = torch.tensor(8.0)
    assert AntixkVanilla().bound(pictures, pictures + 0.5, kl).item() == pytest.approx(0.25 + 0.00025 * 8)
    assert PythaeResNet().bound(pictures, pictures + 0.5, kl).item() == pytest.approx(0.5 * 0.25 * 12288 + 8)


def test_the_loss_is_of_the_posteriors_own_divergence():
    torch.manual_seed(0)
    model = PythaeResNet()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    seen = []
    model.bound = lambda pictures, decoded, kl: seen.append((pictures, kl)) or kl
    model.loss(images)
    features = model.encoder((images + 1) / 2)
    mean = model.mean(features)
    logvar = model.logvar(features)
    torch.testing.assert_close(seen[0][0], (images + 1) / 2)
    torch.testing.assert_close(
        seen[0][1], kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean()
    )


def test_antixks_rate_falls_by_a_twentieth_an_epoch():
    optimiser, schedule = AntixkVanilla().optimiser(3)
    for _ in range(6):
        optimiser.step()
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(5e-3 * 0.95**2)]


@pytest.mark.parametrize("name", anchors.CONTESTANTS)
def test_every_contestant_trains_until_the_time_is_up(name, tmp_path, monkeypatch, params, rng):
    """Forty faces of which half are light: what is trained in four seconds, of a clock that goes on by 0.4
    whenever it is looked at, tells them apart, and has seen as many images as it says.
    """
    labels = np.tile([1, -1], 20)
    table = pd.DataFrame(
        {"name": map(str, range(40)), "split": ["train"] * 24 + ["valid"] * 8 + ["test"] * 8, "Light": labels}
    )
    writer.write_labels(tmp_path / "table.parquet", table)
    np.save(
        tmp_path / "images.npy",
        (rng.integers(0, 56, (40, 64, 64, 3)) + 100 * (labels[:, None, None, None] + 1) // 2).astype(
            np.uint8
        ),
    )
    (tmp_path / "geometry.json").write_text('{"box": "square", "size": 64, "filter": "lanczos"}')
    clock = itertools.count(0, 0.4)
    monkeypatch.setattr(anchors, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(anchors, "WARM", 0)
    monkeypatch.setattr(anchors, "TRIAL", 1)
    params = copy.deepcopy(params)
    params["models"]["vae"] |= {"width": 4, "code_length": 8, "batch": 8}
    params["prior"]["diffusion"] = 4
    settings = parse(anchors.Params, pick(anchors.Params, params))
    crops = Crops.open(tmp_path)
    device = torch.device("cpu")
    torch.manual_seed(0)
    model, seen = anchors.CONTESTANTS[name](crops, settings, 4.0, device)
    batch = params["models"]["vae"]["batch"] if name == "vae" else model.batch
    assert seen >= batch and seen % batch == 0 and not model.training
    codes, mirrored = (
        np.concatenate([chunk for _, chunk in encode.encode(model, crops.images, 8, device, mirror=mirror)])
        for mirror in (False, True)
    )
    for also in (None, mirrored):
        assert anchors.separation(codes, also, crops, settings.boundary) == {
            "means": {"Light": 1.0},
            "logistic": {"Light": 1.0},
        }
    row = anchors.measure(model, crops, settings, device)
    assert (
        row["mean AUROC, means"] == row["mean AUROC, logistic"] == 1.0
        and 0 < row["best prior"] < math.inf
        and 5 < row["PSNR, dB"] < 40
    )
