"""Device and precision, set by the environment: FACES_DEVICE names a device, by default the best available
one.

FACES_COMPILE=1 compiles the networks for training (torch.compile), which takes a minute or two at the start.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

ABREAST = 16  # calls at once, at most: each needs memory of its own

Job = TypeVar("Job")
Map = Callable[[Callable[[Job], Any], Iterable[Job]], Iterator[Any]]


def pick_device() -> torch.device:
    """The device of this process: FACES_DEVICE (cpu, cuda, cuda:1, mps), or the best that torch can use.

    CUDA comes first, then Apple's GPU (MPS), then the CPU. Of the processes that torchrun starts on a host,
    each takes the CUDA device of its local rank. Raises ValueError where the chosen device cannot be used.
    """
    name = os.environ.get("FACES_DEVICE") or best_device()
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"FACES_DEVICE={name} cannot be used here: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def best_device() -> str:
    """The first available of cuda, mps, cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def double(values: Tensor) -> Tensor:
    """Tensor in double precision, moved to the CPU where the device has none (Apple's GPU)."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


@contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """Autocast to bfloat16 where the device multiplies it faster than float32. For training only; codes and
    scores stay float32.
    """
    if device.type == "cuda":
        gains = torch.cuda.is_bf16_supported()
    else:
        has = torch.cpu.get_capabilities()
        gains = device.type == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    with torch.autocast(device.type, torch.bfloat16, enabled=gains):
        yield


def side_by_side(device: torch.device) -> Map:
    """A `map` for calls that do not depend on each other and whose networks are on the `device`.

    On the CPU as many calls run at once as torch has threads, ABREAST at most, each on its share of them: on
    one, as a rule, so that no core waits for another within a call, and results do not depend on the number
    of cores. On a GPU, one after another.
    """
    return _abreast if device.type == "cpu" and torch.get_num_threads() > 1 else map


def _abreast(work: Callable[[Job], Any], jobs: Iterable[Job]) -> Iterator[Any]:
    """As `map`. Jobs that have not begun are given up when the iterator is."""
    threads = torch.get_num_threads()
    calls = min(threads, ABREAST)
    torch.set_num_threads(threads // calls)  # holds for threads that start from here on
    pool = ThreadPoolExecutor(calls)
    try:
        with threadpool_limits(1, "blas"):
            yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def compile_where_asked(model: nn.Module) -> None:
    """Under FACES_COMPILE=1, compile each of the model's networks in place: weights and their names stay as
    they are, results differ by rounding.

    A model that sets `second_order` is not compiled: torch.compile does not support gradients of gradients.
    """
    if os.environ.get("FACES_COMPILE") != "1" or getattr(model, "second_order", False):
        return
    for network in model.children():
        network.compile(dynamic=False)


def to_device(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [-1, 1], converted on the device; the memory stays
    channels-last.
    """
    pixels = torch.from_numpy(np.array(images)).to(
        device, non_blocking=True
    )  # a copy: the map on disk is read-only
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> np.ndarray:
    """float (B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3), rounded to nearest."""
    return (
        images.float()
        .clamp(-1, 1)
        .add(1)
        .mul(127.5)
        .round()
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        .cpu()
        .numpy()
    )
