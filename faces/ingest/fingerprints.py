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
    lines = sorted(_lines(path))
    checksum = hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
    return {"files": len(lines), "checksum": checksum[:32]}


def _lines(path: Path) -> Iterator[str]:
    """A line for every file that is not hidden; one without a name where `path` is a file."""
    if path.is_file():
        yield _line("", path, path.stat())
    elif path.is_dir():
        yield from _below(path, "", (os.path.realpath(path),))


def _below(path: str | Path, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                yield _line(prefix + entry.name, entry, entry.stat())
            elif entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:  # a link to a folder above would go on for ever
                    yield from _below(entry.path, f"{prefix}{entry.name}/", (*above, real))


def _line(name: str, place: os.PathLike[str], found: os.stat_result) -> str:
    content = ""
    if name.lower().endswith(TABLES) and found.st_size <= MAX_TABLE:
        content = hashlib.sha256(Path(place).read_bytes()).hexdigest()
    return f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0{content}\n"
