"""Lock for one job at a time: a kernel lock, which ends with its holders and so is never stale."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(RuntimeError):
    """Another job holds the lock. The message says which process."""


@contextmanager
def exclusive(path: Path, wait: float) -> Iterator[int]:
    """Hold the lock at `path`, for which up to `wait` seconds are spent. Yields its descriptor: a child that
    inherits it holds the lock as well.

    The file stays: removing it would let two processes lock two files of one name. Raises Busy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                    raise Busy(
                        f"{path}: process {holder or 'unknown'} is at work; try again when it has ended"
                    ) from None
                time.sleep(0.05)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk: the number is a courtesy, the lock holds without it
            pass
        yield descriptor
    finally:
        os.close(descriptor)
