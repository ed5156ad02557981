"""Suppression list of forgotten pictures: salted hashes of names and contents, forgotten.json at the root.

No source brings such a picture back. Names are short: whoever has the list can test a guess.
"""

import csv
import hashlib
import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faces.core.files import new_file
from faces.data.annotations import read_labels
from faces.ingest import writer

FILE = Path("forgotten.json")


@dataclass(frozen=True)
class Forgotten:
    """Hashes of forgotten names and contents, hexadecimal, all with one `salt`."""

    salt: str
    names: frozenset[str]
    contents: frozenset[str]

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Forgotten":
        """From the values of forgotten.json."""
        return cls(values["salt"], frozenset(values["names"]), frozenset(values["contents"]))

    def values(self) -> dict[str, Any]:
        """What forgotten.json holds."""
        return {"salt": self.salt, "names": sorted(self.names), "contents": sorted(self.contents)}

    def hash(self, content: bytes) -> str:
        """Salted hash of a name or a content."""
        return hashlib.sha256(bytes.fromhex(self.salt) + content).hexdigest()

    def knows(self, name: str, content: bytes | None = None) -> bool:
        """Whether a picture is forgotten, by its name or its content."""
        return self.hash(name.encode()) in self.names or (
            content is not None and self.hash(content) in self.contents
        )


def read(path: Path = FILE) -> Forgotten | None:
    """The list; None where nothing was ever forgotten."""
    return Forgotten.of(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def withhold(folder: Path, forgotten: Forgotten) -> int:
    """Take forgotten pictures out of a fetched data/raw, with the rows of tables that name them. Returns how
    many there were; without any, no file is touched.
    """
    with zipfile.ZipFile(folder / "images.zip") as archive:
        found = {name for name in archive.namelist() if forgotten.knows(name, archive.read(name))}
    table = read_labels(folder / "labels.csv")
    found |= {name for name in table["name"] if forgotten.knows(name)}
    if not found:
        return 0
    gone = without(folder / "images.zip", found)
    for extra in sorted(folder.glob("*.csv")):
        if extra.name == "labels.csv":
            continue
        _, _, dropped, kept = rows_without(extra.read_text(encoding="utf-8"), found)
        extra.write_text(kept, encoding="utf-8")
        if dropped and extra.with_suffix(".zip").is_file():
            without(extra.with_suffix(".zip"), dropped)
    table = table[~table["name"].isin(gone | found)].reset_index(drop=True)
    writer.write_labels(folder / "labels.csv", table)
    about = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    writer.write_source(folder / "source.json", about, table, folder / "images.zip")
    return len(found)


def rows_without(text: str, names: Collection[str]) -> tuple[int, np.ndarray, set[str], str]:
    """Of a CSV text: the number of its rows, which of them name a face, their first cells, the rest."""
    head, *lines = text.splitlines(keepends=True) or [""]
    cells = list(csv.reader(lines))
    if len(cells) != len(lines):
        raise ValueError("a cell holds a line break")
    dropped = [number for number, row in enumerate(cells) if set(row) & set(names)]
    firsts = {cells[number][0] for number in dropped}
    kept = "".join([head, *(line for number, line in enumerate(lines) if number not in set(dropped))])
    return len(lines), np.array(dropped, int), firsts, kept


def without(path: Path, names: Collection[str]) -> set[str]:
    """Write a zip archive again without the members called `names`, its tables without their rows. Returns
    those that were there; without any, the file is not touched.
    """
    with zipfile.ZipFile(path) as old:
        members = old.namelist()
        gone = set(members) & set(names)
        if gone:
            with new_file(path) as draft:
                kept = ((name, _member(old, name, names)) for name in members if name not in gone)
                writer.write_images(draft, kept)
    return gone


def _member(old: zipfile.ZipFile, name: str, names: Collection[str]) -> bytes:
    content = old.read(name)
    return rows_without(content.decode(), names)[3].encode() if name.endswith(".csv") else content
