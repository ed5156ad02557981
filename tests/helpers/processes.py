"""Runs of several processes: start, await, kill them. They talk by gloo on this machine's CPU."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TWO = [*TORCHRUN, "--standalone", "--nproc-per-node", "2"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "FACES_DEVICE": "cpu", **more}


def start(place: Path, launcher: list[str], command: list[str], **more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*launcher, *command],
        cwd=place,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said[-3000:]
    return said


def await_that(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """Return once `reached()`, while the run goes on."""
    while not reached():
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.005)


def kill_when(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """SIGKILL to every process of the run, once `reached()`."""
    await_that(process, reached)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def kill_rank(number: int, mark: str) -> None:
    """SIGKILL to the rank of the run whose environment has `mark` ("NAME=value"); Linux alone."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # gone, or another user's
            continue
        if mark in words and f"RANK={number}" in words:
            found.append(int(path.parent.name))
    os.kill(min(found), signal.SIGKILL)  # its workers came later
