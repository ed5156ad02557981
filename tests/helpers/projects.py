"""A miniature of the project (tests/helpers/miniature): the same doors, no torch, and a pipeline of principal
components that takes half a second.
"""

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from ops.retrain.ledger import Ledger
from tests.conftest import ROOT
from tests.helpers import standin

BUILD = [sys.executable, "build.py"]
GIT = {
    f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}
ENVIRONMENT = {**os.environ, **GIT, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


class Project:
    """A miniature repository at `place`, its retrain.yaml beside it."""

    def __init__(self, place: Path, dvc: bool = False, **changes: Any) -> None:
        self.place = place
        self.config = place.with_name(f"{place.name}.yaml")
        shutil.copytree(ROOT / "tests/helpers/miniature", place, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "tests/helpers/standin.py", place)
        if dvc:
            shutil.copytree(
                ROOT / ".dvc", place / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local")
            )
        self.git("init", "-q", "-b", "main")
        self.commit("a project")
        self.values = yaml.safe_load((ROOT / "ops/retrain/retrain.yaml").read_text(encoding="utf-8"))
        self.set(
            {
                "challenger.command": BUILD,
                "challenger.rest": [],
                "challenger.free": 0.0,
                "source.settle": 0.0,
                "gates.floors": {"reconstruction.psnr": 12.0, "auroc.mean": 0.6},
                "gates.tolerances": {"reconstruction.psnr": 1.5, "auroc.*": 0.15},
                **changes,
            }
        )
        self.ledger = Ledger(place / ".retrain")

    def set(self, changes: dict[str, Any]) -> None:
        """Change some of retrain.yaml."""
        for key, value in changes.items():
            *above, last = key.split(".", 1)
            (self.values[above[0]] if above else self.values)[last] = value
        self.config.write_text(yaml.safe_dump(self.values), encoding="utf-8")

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=self.place, env=ENVIRONMENT, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def params(self, **values: Any) -> None:
        """Commit a change of params.yaml."""
        file = self.place / "params.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values), encoding="utf-8")
        self.commit(f"params: {values}")

    def start(self, *arguments: str, program: str = "ops.retrain", **options: Any) -> subprocess.Popen:
        command = [
            sys.executable,
            "-m",
            program,
            "--project",
            str(self.place),
            "--config",
            str(self.config),
            *arguments,
        ]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def run(self, *arguments: str, program: str = "ops.retrain", **options: Any) -> tuple[int, str]:
        """Exit code, and what was printed."""
        process = self.start(*arguments, program=program, **options)
        said = process.communicate(timeout=600)[0]
        return process.returncode, said


class Inbox:
    """A folder of pictures with labels.csv that grows."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.rows = []
        place.mkdir()

    def add(self, count: int, seed: int, prefix: str) -> None:
        images, labels = standin.faces(count, seed)
        for number, (image, truth) in enumerate(zip(images, labels, strict=True)):
            name = f"{prefix}{number:03d}.png"
            Image.fromarray(image).save(self.place / name)
            self.rows.append([name, *("1" if value else "0" for value in truth)])
        self.write(self.rows)

    def spoil(self) -> None:
        """Add what must be refused: a picture that was copied by half (half.png), and one that is there
        already (twice.png).
        """
        first = self.place / self.rows[0][0]
        (self.place / "half.png").write_bytes(first.read_bytes()[:200])
        (self.place / "twice.png").write_bytes(first.read_bytes())
        self.rows += [[name, *self.rows[0][1:]] for name in ("half.png", "twice.png")]
        self.write(self.rows)

    def shuffled(self) -> list[list[str]]:
        """The rows with labels that belong to other pictures."""
        return [
            [row[0], *other[1:]] for row, other in zip(self.rows, self.rows[7:] + self.rows[:7], strict=True)
        ]

    def write(self, rows: list[list[str]]) -> None:
        with (self.place / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["name", *standin.ATTRIBUTES], *rows])


def wait(condition, seconds: float) -> bool:
    """Whether `condition()` came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
