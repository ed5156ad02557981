"""Which device computes: what the environment names, or else the best that torch says it can use."""

from types import SimpleNamespace

import pytest
import torch

from faces.nn import device


@pytest.mark.parametrize(
    ("cuda", "mps", "named", "expected"),
    [
        (True, True, None, "cuda"),
        (False, True, None, "mps"),
        (False, False, None, "cpu"),
        (False, True, "cpu", "cpu"),
        (True, False, "mps", "mps"),
        (False, True, "", "mps"),
    ],
)
def test_the_best_device_or_the_named_one(cuda, mps, named, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)  # this machine has none of them
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("FACES_DEVICE", raising=False)
    if named is not None:
        monkeypatch.setenv("FACES_DEVICE", named)
    assert device.pick_device() == torch.device(expected)


def test_a_process_of_torchrun_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    monkeypatch.delenv("FACES_DEVICE", raising=False)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device.pick_device() == torch.device("cuda:3")


def test_a_named_device_that_is_not_here_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("FACES_DEVICE", "nowhere")
    with pytest.raises(ValueError, match=r"^FACES_DEVICE=nowhere cannot be used here: ") as error:
        device.pick_device()
    assert "\n" not in str(error.value)


def test_double_precision_without_a_device_for_it():
    """Apple's GPU has none: the values go to the CPU first."""
    here = torch.tensor([1.5])
    there = SimpleNamespace(device=torch.device("mps"), cpu=lambda: here)
    assert device.double(here).dtype == device.double(there).dtype == torch.float64
    assert device.double(there).device == torch.device("cpu")


def test_apple_gpus_train_in_full_precision():
    """Autocast stays off there: nobody has measured that it gains."""
    with device.fast_arithmetic(torch.device("mps")):
        assert not torch.is_autocast_enabled("mps")
