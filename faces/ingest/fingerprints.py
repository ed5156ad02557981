"""Cheap fingerprint of a folder or file outside of the project; it changes when something is added, replaced
or corrected.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

TABLES = (".csv", ".tsv", ".txt")
MAX_TABLE = 2**28  # bytes of a table whose content is looked at


def of(path: Path) -> dict[str, int | str]:
    """Number of files and a checksum of their names, sizes, times of change and, of tables, contents; zero
    files where there is nothing.
    """
    digest = hashlib.sha256()
    count = 0
    for name, size, time in sorted(_entries(path)):
        digest.update(f"{name}\0{size}\0{time}\n".encode(errors="surrogateescape"))
        if name.lower().endswith(TABLES) and size <= MAX_TABLE:
            digest.update((path / name if name else path).read_bytes())
        count += 1
    return {"files": count, "checksum": digest.hexdigest()[:32]}


def _entries(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size in bytes and time of change in ns of every file that is not hidden; name is "" where `path`
    is a file.
    """
    if path.is_file():
        found = path.stat()
        yield "", found.st_size, found.st_mtime_ns
    elif path.is_dir():
        yield from _below(path, "", (os.path.realpath(path),))


def _below(path: str | Path, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                found = entry.stat()
                yield prefix + entry.name, found.st_size, found.st_mtime_ns
            elif entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:  # a link to a folder above would go on for ever
                    yield from _below(entry.path, f"{prefix}{entry.name}/", (*above, real))
