"""Shards of an array that lie elsewhere: in other folders, or under an address that fsspec reads (s3://, gs://).

NAME.shards.json stands where NAME.npy would and lists the shards in order: `place`, an address or a path
(relative to the list where it is not absolute), and `shape`, `dtype`, `bytes` and `sha256`. A shard under an
address is fetched whole when a row of it is asked for, checked, and kept in FACES_SHARDS (by default shards/
below FACES_CACHE, or ~/.cache/facemorph). There the least recently used go where all together would exceed
FACES_SHARDS_GB gigabytes (default 50). Processes of one host share the folder.
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from faces.core.files import read_json

SUFFIX = ".shards.json"
BLOCK = 1 << 24  # bytes copied at once


class ShardError(ValueError):
    """A shard cannot be had. The message names it and the way out."""


def list_of(path: Path) -> Path:
    """Where the list of the array at `path` would stand."""
    return path.with_name(path.stem + SUFFIX)


def folder() -> Path:
    """Where fetched shards are kept on this host."""
    home = Path(os.environ.get("FACES_CACHE") or "~/.cache/facemorph").expanduser()
    return Path(os.environ.get("FACES_SHARDS") or home / "shards")


def room() -> float:
    """Bytes that fetched shards may take."""
    return float(os.environ.get("FACES_SHARDS_GB") or 50) * 1e9


class Remote:
    """An array under an address, fetched when it is read."""

    def __init__(self, place: str, shape: tuple[int, ...], dtype: str, size: int, sha256: str) -> None:
        self.place = place
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.size = size
        self.sha256 = sha256

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Rows, from the file on this host. Raises ShardError."""
        return self.local()[rows]

    def local(self) -> np.ndarray:
        """The array as a map of its file on this host; fetched where it is not there. Raises ShardError."""
        path = folder() / f"{self.sha256}.npy"
        for _ in range(2):  # another process may remove it meanwhile
            with contextlib.suppress(FileNotFoundError):
                array = np.load(path, mmap_mode="r", allow_pickle=False)
                os.utime(path)
                return array
            path.parent.mkdir(parents=True, exist_ok=True)
            make_room(path.parent, self.size)
            fetch(self.place, self.sha256, path)
        raise ShardError(
            f"{path} does not stay: raise FACES_SHARDS_GB, too small for one shard of each process"
        )


def fetch(place: str, sha256: str, path: Path) -> None:
    """Bring a shard to `path`, whole or not at all. Raises ShardError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    digest = hashlib.sha256()
    try:
        with opened(place, "rb") as source, draft.open("wb") as goal:
            while block := source.read(BLOCK):
                digest.update(block)
                goal.write(block)
        if digest.hexdigest() != sha256:
            raise ShardError(f"{place} is not the file that was stored there: store it again")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def make_room(place: Path, size: int) -> None:
    """Remove the shards of `place` that were read longest ago, until `size` bytes fit beside the others."""
    kept = []
    for path in place.glob("*.npy"):
        with contextlib.suppress(FileNotFoundError):  # of another process
            found = path.stat()
            kept.append((found.st_mtime_ns, found.st_size, path))
    total = sum(taken for _, taken, _ in kept)
    for _, taken, path in sorted(kept):
        if total + size <= room():
            return
        path.unlink(missing_ok=True)
        total -= taken


def opened(place: str, mode: str) -> Any:
    """A file under an address, as fsspec opens it. Raises ShardError where it cannot be."""
    import fsspec  # noqa: PLC0415 (only where there are addresses)

    try:
        return fsspec.open(place, mode).open()
    except ImportError as error:
        raise ShardError(f"{place}: {error}; pip install it beside the pipeline") from None
    except OSError as error:
        raise ShardError(f"{place} cannot be opened ({error}); are address and credentials right?") from None


def shards(listed: Path) -> list[np.ndarray | Remote]:
    """The shards of a list, in order; those in folders are mapped. Raises ShardError."""
    found: list[np.ndarray | Remote] = []
    for entry in read_json(listed)["shards"]:
        remote = Remote(
            entry["place"], tuple(entry["shape"]), entry["dtype"], entry["bytes"], entry["sha256"]
        )
        if "://" in remote.place:
            found.append(remote)
            continue
        path = listed.parent / remote.place
        if not path.is_file() or path.stat().st_size != remote.size:
            raise ShardError(f"{listed}: {path} is missing or not whole: is its disk mounted?")
        found.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return found


def store(path: Path, place: str) -> dict[str, Any]:
    """Copy a .npy file to a folder or an address, and return its entry of the list."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    goal = f"{place.rstrip('/')}/{path.name}"
    if "://" in place:
        with path.open("rb") as source, opened(goal, "wb") as file:
            shutil.copyfileobj(source, file, BLOCK)
    else:
        goal = str(Path(goal).resolve())
        Path(goal).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, goal)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "place": goal,
        "shape": list(array.shape),
        "dtype": np.lib.format.dtype_to_descr(array.dtype),
        "bytes": path.stat().st_size,
        "sha256": digest,
    }
