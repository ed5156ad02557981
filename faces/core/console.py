"""Progress bars and messages on standard error: a live bar on a terminal, a plain line now and then
elsewhere.
"""

import os
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

Report = Callable[[int, int, str], None]  # shows progress: done, total, unit
UNFIT = 3  # exit code of a stage that need not be tried again


def leads() -> bool:
    """Whether this process prints: rank 0 of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


class Progress:
    """Progress of a task of `total` units.

    FACES_LOG_SECONDS is the least time between plain lines (default 15).
    """

    def __init__(self, task: str, total: int, unit: str) -> None:
        self.task = task
        self.total = total
        self.unit = unit
        self.start = time.monotonic()
        self.start_done = None
        self.last = time.monotonic()
        self.pause = float(os.environ.get("FACES_LOG_SECONDS", "15"))
        self.bar = (
            tqdm(total=total, desc=task, unit=unit, unit_scale=True)
            if leads() and sys.stderr.isatty()
            else None
        )

    def update(self, done: int, note: str = "") -> None:
        """`done` of `total` so far; `note` is shown behind the rate."""
        if self.start_done is None:  # a resumed run does not count what an earlier process did
            self.start_done = done
        if self.bar is not None:
            self.bar.n = done
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(0)
        elif leads() and (time.monotonic() - self.last >= self.pause or done >= self.total > 0):
            self.last = time.monotonic()
            rate = (done - self.start_done) / max(self.last - self.start, 1e-9)
            left = f", {(self.total - done) / rate:.0f} s left" if rate and done < self.total else ""
            print(
                f"{self.task}: {done:,} of {self.total:,} {self.unit} ({rate:,.0f}/s{left}) {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()


def say(line: str) -> None:
    """Print one line."""
    if leads():
        print(line, file=sys.stderr, flush=True)


class Unfit(ValueError):
    """These data and params give a useless model, on a retry too. The message says why and what to change."""


def stop(error: Exception) -> SystemExit:
    """The SystemExit with which a stage fails: one line, no traceback, printed once per host.

    The exit code is 1, or UNFIT where a retry would fail alike; the retraining job then rejects the
    challenger for good.
    """
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if not isinstance(error, Unfit | FloatingPointError):
        return SystemExit(f"error: {error}" if first else 1)
    if first:
        print(f"error: {error}", file=sys.stderr, flush=True)
    return SystemExit(UNFIT)
