"""Files and folders: written under a temporary name and renamed into place, so nothing is ever half-written.

One format each for JSON and CSV, so that the same values are the same bytes.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Context: a temporary folder that replaces `path` at the end, and is removed if the block fails."""
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
    """Context: a temporary file that replaces `path` at the end, and is removed if the block fails."""
    draft = path.with_name(f".{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def fingerprint(settings: Any, paths: Iterable[Path]) -> str:
    """Key of unfinished work, 16 hexadecimal digits: a hash of all that it depends on.

    That is plain `settings`, the content of `paths`, and every file of faces/ and stages/ that is loaded.
    """
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


def read_json(path: Path) -> Any:
    """The values in a JSON file. Raises FileNotFoundError, or ValueError where it is not JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    """JSON with sorted keys, two spaces, one newline at the end. NaN and infinity raise ValueError."""
    text = json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n"
    with new_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """CSV without the index, floats to six significant digits."""
    with new_file(path) as draft:
        table.to_csv(draft, index=False, lineterminator="\n", float_format="%.6g")


def open_npy(path: Path) -> np.ndarray:
    """A .npy file as a read-only memory map; pickled objects are refused."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
