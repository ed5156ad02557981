"""Many processes, one run: torch.distributed as torchrun starts it, one process a device, told apart by their rank.

    FACES_LAUNCH="torchrun --standalone --nproc-per-node 2" dvc repro

How many there are is environment, not params: what comes out does not depend on it, but for rounding where gradients of shares of a batch are added up.
Rank 0 alone writes outputs and talks to the terminal. Ranks on several hosts need the working folder on a file system that they share.
"""

import ctypes
import io
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from faces.terminal import stop

PR_SET_PDEATHSIG = 1  # from linux/prctl.h: the signal that a process gets when its parent ends
PATIENCE = timedelta(hours=2)  # that a rank waits for another: rank 0 reads, measures and merges while the others wait


def rank() -> int:
    """This process's number, from 0."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """How many processes work on this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launch(module: str) -> None:
    """Where FACES_LAUNCH names a launcher and this process is no rank yet: become it, and let it start `python -m module` with these arguments."""
    command = shlex.split(os.environ.get("FACES_LAUNCH", ""))
    if command and "RANK" not in os.environ:
        try:
            os.execvp(command[0], [*command, "-m", module, *sys.argv[1:]])
        except OSError as error:
            raise stop(ValueError(f"FACES_LAUNCH: {command[0]}: {error.strerror}; put it on the PATH, or unset FACES_LAUNCH")) from None


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """For the length of the block the ranks can talk to each other; one process alone needs nothing. A rank that fails is for torchrun to report."""
    if size() == 1:
        yield
        return
    if sys.platform == "linux":  # torchrun puts ranks in sessions of their own, where a killed launcher would leave them working on
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield
    dist.destroy_process_group()


def broadcast(value: Any) -> Any:
    """Rank 0's value, on every rank: plain values and tensors, which arrive on the CPU. The others' is ignored."""
    if size() == 1:
        return value
    letter: list[bytes | None] = [None]
    if rank() == 0:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        letter = [buffer.getvalue()]
    dist.broadcast_object_list(letter, device=torch.device("cpu"))
    return torch.load(io.BytesIO(letter[0]), map_location="cpu", weights_only=True)


def wait() -> None:
    """Until every rank is here."""
    if size() > 1:
        dist.all_reduce(torch.zeros(1))


def own(things: Sequence) -> Sequence:
    """What this rank gets when `things` are dealt like cards: every one goes to exactly one rank."""
    return things[rank() :: size()]
