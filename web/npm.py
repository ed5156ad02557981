"""npm packages, exactly as a package-lock.json beside our own files asks for them."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "package-lock.json"


class NoPackages(RuntimeError):
    """The packages could not be fetched. The message says why and what to do."""


def pinned(folder: Path, package: str) -> str:
    """The version that the lock in `folder` asks for."""
    return json.loads((folder / LOCK).read_text(encoding="utf-8"))["packages"][f"node_modules/{package}"][
        "version"
    ]


@contextmanager
def installed(folder: Path) -> Iterator[Path]:
    """The node_modules of `folder`'s package-lock.json, in a temporary place; no script of theirs is run.

    Raises NoPackages.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NoPackages(
            "npm is missing; install Node.js 20 or newer (nodejs.org, or your system's package nodejs), "
            "then run this again"
        )
    with tempfile.TemporaryDirectory() as place:
        for name in ("package.json", LOCK):
            shutil.copy(folder / name, place)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoPackages(f"npm ci failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        yield Path(place, "node_modules")
