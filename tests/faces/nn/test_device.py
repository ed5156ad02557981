"""Which device computes: what the environment names, or else the best that torch says it can use."""

import threading
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


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_calls_on_the_cpu_run_at_once_each_on_one_thread_in_order(two_threads):
    met = threading.Barrier(2, timeout=60)  # passed only where two calls are under way

    def work(job):
        met.wait()
        return job, torch.get_num_threads()

    assert list(device.side_by_side(torch.device("cpu"))(work, range(6))) == [(job, 1) for job in range(6)]
    assert torch.get_num_threads() == 2


def test_a_call_that_fails_gives_up_those_that_have_not_begun(two_threads):
    begun = []

    def work(job):
        begun.append(job)
        if job == 1:
            raise ValueError("job 1")
        return job

    with pytest.raises(ValueError, match="job 1"):
        list(device.side_by_side(torch.device("cpu"))(work, range(10_000)))
    assert len(begun) < 10_000
    assert torch.get_num_threads() == 2


def test_calls_on_a_gpu_or_a_single_thread_run_one_after_another(two_threads):
    assert device.side_by_side(torch.device("cuda")) is map
    torch.set_num_threads(1)
    assert device.side_by_side(torch.device("cpu")) is map
