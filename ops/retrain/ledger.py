"""State of the retraining job, in one folder (`home` of retrain.yaml). Files are written atomically.

champion.json    who serves: export, id (what the website follows), version, revision, exam, snapshot, since,
                 previous
status.json      the last run, the last success, when the next is due, what was judged
promotion.json   a promotion that has been decided and is not yet carried out whole; the next run finishes it
forgotten.json   which released versions saw faces that were forgotten since (python -m ops.forget)
forget/          what was to be forgotten when ops.forget was stopped; certificates/ of what is
noise.json       spread of each metric over seeds (ops.retrain.noise)
releases/v0.0.1/ model/, vectors/, flow/, export/ and release.json of what was promoted
exams/ID/        the frozen test split, and the classifier
snapshots/       NAME.json: which pictures a snapshot holds, by content
runs/TIME-PID/   report.json, report.md, log.txt, samples.png of each run that had something to do
work/            the clone in which challengers are trained
lock
"""

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from faces.core.files import write_json

RUNS = 100  # that are kept
KEYS = 1000  # judged challengers that are remembered


class Ledger:
    """The files of one job's home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = home / "lock"
        self.pointer = home / "champion.json"
        self.status = home / "status.json"
        self.journal = home / "promotion.json"
        self.noise = home / "noise.json"
        self.forgotten = home / "forgotten.json"
        self.forgetting = home / "forget"
        self.certificates = home / "certificates"
        self.releases, self.exams, self.snapshots, self.runs = (
            home / name for name in ("releases", "exams", "snapshots", "runs")
        )
        self.work = home / "work"

    def champion(self) -> dict[str, Any] | None:
        """Content of champion.json; None where no model serves yet."""
        return read_json(self.pointer)

    def release(self, version: str) -> Path:
        """The folder of a promoted version."""
        return self.releases / version

    def versions(self) -> list[str]:
        """The releases that are here, oldest first."""
        names = [path.parent.name for path in self.releases.glob("v*/release.json")]
        return sorted(names, key=lambda name: tuple(map(int, name[1:].split("."))))

    def haunted(self) -> list[str]:
        """Certificates of forgotten faces that the champion was trained on."""
        version = (self.champion() or {}).get("version")
        return [name for name, versions in (read_json(self.forgotten) or {}).items() if version in versions]

    def new_run(self) -> Path:
        """A fresh folder for a run's report."""
        folder = self.runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
        folder.mkdir(parents=True)
        return folder

    def point(self, version: str, since: str) -> dict[str, Any]:
        """Point the website at `version`, by one rename; the replaced one becomes `previous`. Returns the
        pointer.
        """
        before = self.champion()
        release = json.loads((self.release(version) / "release.json").read_text(encoding="utf-8"))
        if before is not None and before["version"] == version:
            return before
        pointer = release | {
            "export": f"releases/{version}/export",
            "since": since,
            "previous": before["version"] if before is not None else None,
        }
        write_json(self.pointer, pointer)
        settle(self.pointer)
        return pointer

    def note(self, **values: Any) -> None:
        """Change some of status.json."""
        write_json(self.status, (read_json(self.status) or {}) | values)

    def judged(self, key: str, verdict: str) -> None:
        """Remember what was judged, so that it is not judged again."""
        before = (read_json(self.status) or {}).get("judged", {})
        before.pop(key, None)
        self.note(judged=dict([*before.items(), (key, verdict)][-KEYS:]))

    def tidy(self, keep: int) -> None:
        """Remove leftovers of killed runs, and releases beyond the last `keep`; never the champion or its
        predecessor.
        """
        champion = self.champion() or {}
        needed = {champion.get("version"), champion.get("previous")}
        drop = [version for version in self.versions() if version not in needed]
        drafts = [path for folder in (self.releases, self.exams) for path in folder.glob(".*.draft")]
        kept = [
            read_json(self.release(version) / "release.json")
            for version in self.versions()
            if version not in drop[:-keep]
        ]
        exams = {release["exam"] for release in kept} | {champion.get("exam")}
        old = [path for path in self.exams.glob("*") if path.name not in exams] if champion else []
        for path in (*drafts, *map(self.release, drop[:-keep]), *old, *sorted(self.runs.glob("*"))[:-RUNS]):
            shutil.rmtree(path, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """A file's object; None where there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def later(moment: str, hours: float) -> str:
    return (datetime.fromisoformat(moment) + timedelta(hours=hours)).isoformat(timespec="seconds")


def settle(path: Path) -> None:
    """Sync a renamed file to disk."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def rested(path: Path, seconds: float) -> bool:
    """Whether a file has not been written to for so long."""
    return time.time() - path.stat().st_mtime >= seconds
