"""Child processes of the job: logged, limited in time, and ended with it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faces.core.console import UNFIT
from ops.retrain import watchdog

TAIL = 20_000  # bytes of a log in which its last words are looked for


class CommandFailed(RuntimeError):
    """A command failed. The message has the command, its exit code and its last error line.

    `code` is its exit code; `unfit` says that it, or a stage that it ran for DVC, found the challenger of no
    use (faces/core/console.py).
    """

    def __init__(self, message: str, code: int, unfit: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.unfit = unfit


@dataclass(frozen=True)
class Runner:
    """Runs commands for one job: what they say goes to `log`, and they hold `lock` while they live."""

    log: Path
    lock: int

    def run(
        self, command: Sequence[str], cwd: Path, timeout: float, extra: Mapping[str, str] | None = None
    ) -> None:
        """Run to the end, with `extra` added to the environment. Raises CommandFailed, also after `timeout`
        seconds.
        """
        reading, writing = os.pipe()
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", watchdog.__file__, str(reading), *command],
                    cwd=cwd,
                    env=environment() | dict(extra or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(reading, self.lock),
                    start_new_session=True,  # what kills the job's process group must not kill the guard
                )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout)
            finally:
                late = process.poll() is None
                os.close(writing)  # the guard reads this as the end of its caller
                os.close(reading)
        code = process.wait()
        if late:
            raise CommandFailed(f"{_name(command)}: not done after {timeout:g} s, killed", code)
        if code:
            unfit = code == UNFIT or any(
                line.endswith(f"exited with {UNFIT}") for line in tail(self.log, start)
            )
            raise CommandFailed(
                f"{_name(command)}: exit code {code}: {last_word(self.log, start)}", code, unfit
            )


def environment() -> dict[str, str]:
    """The job's own, with the programs of its Python environment first on PATH."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DVC_NO_ANALYTICS": "1",
    }


def tail(log: Path, start: int) -> list[str]:
    """The last lines after `start`."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TAIL))
        return [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]


def last_word(log: Path, start: int) -> str:
    """The last line after `start` that reads as an error, otherwise the last line."""
    lines = tail(log, start)
    telling = [line for line in lines if line.lower().startswith(("error:", "fatal:")) or "Error:" in line]
    spoken = (
        [line for line in telling if "failed to reproduce" not in line]
        or telling
        or lines
        or ["it said nothing"]
    )
    return spoken[-1][:500]


def _name(command: Sequence[str]) -> str:
    return " ".join(Path(part).name if number == 0 else part for number, part in enumerate(command[:3]))
