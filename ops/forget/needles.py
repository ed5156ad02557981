"""Search for forgotten faces in files: by the bytes of picture, crop and code, and by name in text and in
Parquet tables.
"""

import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from faces.core import parquet

HEAD = 8192  # bytes without a zero byte that make a file text


class Needles:
    """What gives a face away: byte strings, and names as whole words in text files."""

    def __init__(self, contents: Iterable[bytes], names: Iterable[str]) -> None:
        self.contents = [content for content in contents if content]
        self.names = sorted(names, key=len, reverse=True)
        words = "|".join(map(re.escape, self.names))
        self.words = re.compile(rf"(?<![\w./-])(?:\./)?(?:{words})(?![\w-])")
        self.raw = re.compile(self.words.pattern.encode())

    def within(self, path: Path) -> str | None:
        """What of a face the file holds: "picture" for its bytes, "name"; None for nothing."""
        if not path.is_file() or not path.stat().st_size:
            return None
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if any(content.find(needle) >= 0 for needle in self.contents):
                return "picture"
            if content[: len(parquet.MAGIC)] == parquet.MAGIC:
                return "name" if self._in_table(path) else None
            if b"\0" not in content[:HEAD] and self.raw.search(content):
                return "name"
        return None

    def _in_table(self, path: Path) -> bool:
        """Whether a Parquet table has a name for a cell."""
        try:
            return bool(parquet.naming(path, self.names).any())
        except pa.ArrowInvalid:  # no table, or a damaged one
            return False


def files(folder: Path, leave_out: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file below `folder`, by name; links are not followed."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path in leave_out:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files(path, leave_out)
        elif path.is_file():
            yield path
