"""Journal of one forgetting: what is to go, written before anything is touched, and what went, line by line.

plan.json        names, rows and figures that cannot be had later
needles/         bytes to search for: pictures, crops, codes
crops.npy        uint8 (n, S, S, 3), where crops are known
elsewhere/       objects of DVC's remotes elsewhere that this machine did not have
removed.jsonl    one line per file, written just before the file is touched

The folder is removed when the certificate stands: until then it is the last place that knows the names.
"""

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from faces.core.files import write_json
from ops.forget.needles import Needles

ELSEWHERE = "elsewhere"  # folder in a journal's


@dataclass(frozen=True)
class Journal:
    """An open journal in `folder`, of the project at `project`."""

    folder: Path
    project: Path

    @cached_property
    def plan(self) -> dict[str, Any]:
        return json.loads((self.folder / "plan.json").read_text(encoding="utf-8"))

    @property
    def untouched(self) -> set[str]:
        """Names of DVC's remotes that are left as they are."""
        return set(self.plan.get("leave", ()))  # a plan of an earlier version has none

    def leave(self, remotes: Collection[str]) -> None:
        """From now on these remotes of DVC's are not touched."""
        if set(remotes) - self.untouched:
            self.plan["leave"] = sorted(self.untouched | set(remotes))
            write_json(self.folder / "plan.json", self.plan)

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self.plan["names"])

    @cached_property
    def needles(self) -> Needles:
        contents = (path.read_bytes() for path in sorted((self.folder / "needles").iterdir()))
        return Needles(contents, self.names)

    @cached_property
    def crops(self) -> np.ndarray | None:
        path = self.folder / "crops.npy"
        return np.load(path, allow_pickle=False) if path.is_file() else None

    def record(self, path: Path, what: str, after: Path | None = None, where: str = "") -> None:
        """Write down that `path` is about to go, or to become what `after` holds. With `where` it is what
        lies there that goes, and `path` has the same bytes.
        """
        line = {
            "where": where or shown(path, self.project),
            "what": what,
            "before": digest(path),
            "after": digest(after) if after is not None else None,
        }
        with (self.folder / "removed.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def removed(self) -> list[dict[str, Any]]:
        """What went, in order of place. Of two records of a file the first stands for before, the last for
        after; a line that a kill cut short is left out, since its file was not touched yet.
        """
        path = self.folder / "removed.jsonl"
        found: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            first = found.get(entry["where"], entry)
            found[entry["where"]] = entry | {"before": first["before"]}
        return [found[where] for where in sorted(found)]


def digest(path: Path) -> str | None:
    """SHA-256 of a file; None of a folder or of nothing."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(path: Path, project: Path) -> str:
    """A path as the certificate names it: from the project where it lies in it."""
    return str(path.relative_to(project)) if path.is_relative_to(project) else str(path)
