"""Removal of pictures from a fetched data/raw, and from archives and tables like it.

A table is CSV or Parquet, as its name says; a row names a picture where a cell is its name.
"""

import csv
import json
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from faces.core import parquet
from faces.core.files import new_file
from faces.data.annotations import LABELS, read_labels
from faces.ingest import writer
from faces.ingest.forgotten import Forgotten


def withhold(folder: Path, forgotten: Forgotten) -> int:
    """Take forgotten pictures out of a fetched data/raw, with the rows of tables that name them. Returns how
    many there were; without any, no file is touched.
    """
    with zipfile.ZipFile(folder / "images.zip") as archive:
        found = {name for name in archive.namelist() if forgotten.knows(name, archive.read(name))}
    table = read_labels(folder / LABELS)
    found |= {name for name in table["name"] if forgotten.knows(name)}
    if not found:
        return 0
    gone = without(folder / "images.zip", found)
    for extra in tables(folder):
        if extra.name == LABELS:
            continue
        _, _, dropped = take_rows(extra, found)
        if dropped and extra.with_suffix(".zip").is_file():
            without(extra.with_suffix(".zip"), dropped)
    table = table[~table["name"].isin(gone | found)].reset_index(drop=True)
    writer.write_labels(folder / LABELS, table)
    about = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    writer.write_source(folder / "source.json", about, table, folder / "images.zip")
    return len(found)


def tables(folder: Path) -> list[Path]:
    """The tables in a folder, by name."""
    return sorted(path for path in folder.glob("*") if path.suffix in (".csv", ".parquet"))


def rows_naming(path: Path, names: Collection[str]) -> tuple[int, np.ndarray]:
    """Number of rows of a table, and which of them name a picture."""
    if path.suffix == ".parquet":
        found = parquet.naming(path, names)
        return len(found), np.flatnonzero(found)
    return rows_without(path.read_text(encoding="utf-8"), names)[:2]


def take_rows(path: Path, names: Collection[str]) -> tuple[int, np.ndarray, set[str]]:
    """Write a table again without the rows that name a picture. Returns how many rows there were, which went,
    and their first cells.
    """
    if path.suffix == ".parquet":
        found = parquet.naming(path, names)
        first = parquet.read(path, parquet.columns(path)[:1]).iloc[:, 0]
        firsts = {str(cell) for cell in first[found]}
        if found.any():
            parquet.keep(path, path, ~found)
        return len(found), np.flatnonzero(found), firsts
    count, dropped, firsts, kept = rows_without(path.read_text(encoding="utf-8"), names)
    path.write_text(kept, encoding="utf-8")
    return count, dropped, firsts


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
