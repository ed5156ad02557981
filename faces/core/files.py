"""Writing so that nothing is ever seen half-written: beside the goal under a temporary name, then renamed into place."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A fresh folder to fill; it takes the place of `path` when the block ends, and is removed if the block fails."""
    draft = path.with_name(f".{path.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(draft, path)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path to write; it takes the place of `path` when the block ends, and is removed if the block fails."""
    draft = path.with_name(f".{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def fingerprint(settings: Any, paths: Iterable[Path]) -> str:
    """16 hexadecimal digits of what unfinished work depends on: plain settings, the content of `paths`, and every file of ours that is loaded."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    ours = [
        module.__file__
        for name, module in sys.modules.items()
        if name.split(".")[0] in ("faces", "stages") and module.__file__
    ]
    for path in (*paths, *map(Path, sorted(ours))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def write_json(path: Path, values: Any) -> None:
    """Sorted keys, two spaces, one newline at the end: the same values are the same bytes. NaN and infinity are refused."""
    with new_file(path) as draft:
        draft.write_text(
            json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )
