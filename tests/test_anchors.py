"""The two anchors are the networks that they are called after."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from benchmarks.anchors import AntixkVanilla, PythaeResNet


@pytest.mark.parametrize(("anchor", "millions"), [(AntixkVanilla, 3.94), (PythaeResNet, 1.75)])
def test_shapes_and_parameters(anchor, millions):
    model, images = anchor().eval(), torch.zeros(2, 3, 64, 64)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    codes = model.encode(images)
    assert codes.shape == (2, model.code_length) and model.decode(codes).shape == images.shape


def test_losses_weigh_the_bound_as_published():
    """In [0, 1], an error of 1/2 everywhere and 8 nats: means against sums."""
    pictures, kl = torch.zeros(2, 3, 64, 64), torch.tensor(8.0)
    assert AntixkVanilla().bound(pictures, pictures + 0.5, kl).item() == pytest.approx(0.25 + 0.00025 * 8)
    assert PythaeResNet().bound(pictures, pictures + 0.5, kl).item() == pytest.approx(0.5 * 0.25 * 12288 + 8)


def test_the_loss_is_of_the_posteriors_own_divergence():
    torch.manual_seed(0)
    model, images, seen = PythaeResNet(), torch.rand(2, 3, 64, 64) * 2 - 1, []
    model.bound = lambda pictures, decoded, kl: seen.append((pictures, kl)) or kl
    model.loss(images)
    features = model.encoder((images + 1) / 2)
    mean, logvar = model.mean(features), model.logvar(features)
    torch.testing.assert_close(seen[0][0], (images + 1) / 2)
    torch.testing.assert_close(seen[0][1], kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1).mean())


def test_antixks_rate_falls_by_a_twentieth_an_epoch():
    optimiser, schedule = AntixkVanilla().optimiser(3)
    for _ in range(6):
        optimiser.step()
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(5e-3 * 0.95**2)]
