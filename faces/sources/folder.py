"""Any pictures with a table of labels: a folder, or an archive of one, that holds pictures (nested folders allowed) and labels.csv.

labels.csv, UTF-8, comma separated, one row per picture:

    name       the picture's path from labels.csv, with forward slashes
    split      train, valid or test. Where column or value is missing, a hash of the name decides: it never moves when pictures are added
    identity   a whole number per person, -1 or blank where unknown; the column may be missing
    lefteye_x, lefteye_y, ...   landmarks in pixels (faces/data/annotations.py), blank where unknown; the columns may be missing
    any other  an attribute: 1 = yes, -1 = no, blank = unknown. 0 = no, unless the column also holds -1: then 0 = unknown

A row without its picture is kept, for cropping to report; pictures without a row are left out and counted in source.json.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import pandas as pd
from pydantic import Field

from faces.core.params import Group
from faces.data import annotations
from faces.data.annotations import LANDMARKS, RawError
from faces.ingest import writer
from faces.ingest.archives import Files, Report, is_picture, open_files
from faces.ingest.writer import split_of
from faces.sources import SourceError

LABELS = "labels.csv"


class Config(Group):
    path: str  # folder or archive with pictures and labels.csv
    licence: str  # the note on use that travels with the data
    valid: Annotated[float, Field(ge=0, le=0.5)]  # share of the pictures that come without a split
    test: Annotated[float, Field(ge=0, le=0.5)]


@dataclass(frozen=True)
class Sheet:
    """labels.csv where it was found, before its rows are read."""

    place: Path  # for messages
    root: str  # what stands before each name in the folder or archive: "", or a folder and a slash
    text: str
    header: list[str]


def attributes(config: Config) -> tuple[str, ...]:
    """The attribute columns of labels.csv. Raises SourceError where there is none."""
    try:
        with open_files(_path(config)) as files:
            return tuple(name for name in find_sheet(files).header if name not in annotations.FIXED)
    except (RawError, OSError) as error:
        raise SourceError(f"sources.folder.path: {error}") from None


def fetch(config: Config, seed: int, folder: Path, report: Report) -> None:
    """Fill `folder`. Nothing is drawn by chance: `seed` is not used. Raises SourceError naming file and row."""
    try:
        with open_files(_path(config)) as files:
            sheet = find_sheet(files)
            table = read_table(sheet, config.valid, config.test)
            here = {
                name.removeprefix(sheet.root)
                for name in files.names
                if is_picture(name) and name.startswith(sheet.root)
            }
            named = set(table["name"])
            if not named & here:
                raise RawError(
                    f"{sheet.place}: none of the {len(table)} pictures that it names is here ({table['name'][0]}, ...)"
                )
            members = files.each({sheet.root + name for name in named & here}, report)
            writer.write_images(
                folder / "images.zip", ((name.removeprefix(sheet.root), content) for name, content in members)
            )
        writer.write_labels(folder / "labels.csv", table)
    except (RawError, OSError) as error:
        raise SourceError(f"sources.folder.path: {error}") from None
    about = {
        "source": "folder",
        "description": "a folder of pictures with labels.csv",
        "licence": config.licence,
        "request": config.model_dump(mode="json"),
        "origin": config.path,
        "images_without_row": len(here - named),
        "rows_without_image": len(named - here),
        "visible": list(annotations.attributes(table)),
        "flippable": [],
    }
    writer.write_source(folder / "source.json", about, table, folder / "images.zip")


def find_sheet(files: Files) -> Sheet:
    """The labels.csv nearest to the top. Raises RawError where it is missing, or lacks a name or any attribute."""
    found = sorted(
        (name for name in files.names if PurePosixPath(name).name == LABELS), key=lambda name: name.count("/")
    )
    if not found:
        raise RawError(
            f"{files.path}: {LABELS} is missing; write one row per picture: name, then a column of 1 and 0 for each attribute"
        )
    place = files.path / found[0]
    try:
        text = files.read(found[0]).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RawError(f"{place}: not UTF-8 text; save it as CSV (UTF-8)") from None
    header = [column.strip() for column in next(csv.reader(io.StringIO(text)), [])]
    columns = ", ".join(header)
    if "name" not in header:
        raise RawError(
            f"{place}: no column 'name' (found: {columns}); the first row must name the columns, separated by commas"
        )
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise RawError(f"{place}: column {twice[0]!r} stands twice")
    if "" in header:
        raise RawError(f"{place}: column {header.index('') + 1} has no name")
    if not set(header) - set(annotations.FIXED):
        raise RawError(
            f"{place}: no attribute column (found: {columns}); at least one is needed to compute a direction"
        )
    return Sheet(place, found[0].removesuffix(LABELS), text, header)


def read_table(sheet: Sheet, valid: float, test: float) -> pd.DataFrame:
    """The rows as faces.data.annotations.write_labels wants them.

    Raises RawError naming the row, counted as a spreadsheet does: the header is row 1.
    """
    rows = list(csv.reader(io.StringIO(sheet.text)))
    for number, row in enumerate(rows, 1):
        if any(row[len(sheet.header) :]):
            raise RawError(
                f"{sheet.place}: row {number} has {len(row)} fields, the header {len(sheet.header)}"
            )
    width = len(sheet.header)
    table = pd.DataFrame(
        [[field.strip() for field in row[:width]] + [""] * (width - len(row)) for row in rows],
        columns=sheet.header,
    )
    table.index += 1
    table = table.iloc[1:].loc[
        lambda rest: (rest != "").any(axis=1)
    ]  # without the header and blank lines; the index is the row number
    if not len(table):
        raise RawError(f"{sheet.place}: no rows")
    for row, name in table["name"].items():
        if not name:
            raise RawError(f"{sheet.place}: row {row} has no name")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise RawError(
                f"{sheet.place}: row {row}: {name} leads out of the folder; names are paths inside it"
            )
    if (twice := table["name"].duplicated()).any():
        raise RawError(f"{sheet.place}: row {twice.idxmax()}: {table['name'][twice.idxmax()]} stands twice")
    given = table["split"] if "split" in table else [""] * len(table)
    values = {"name": table["name"]}
    values["split"] = [
        split or split_of(name, valid, test) for split, name in zip(given, table["name"], strict=True)
    ]
    for name in sheet.header:
        if name not in values:
            values[name] = _values(table[name], sheet.place)
    return pd.DataFrame(values).reset_index(drop=True)


def _path(config: Config) -> Path:
    if not config.path:
        raise SourceError(
            "sources.folder.path is empty; set it to a folder or archive with pictures and labels.csv"
        )
    return Path(config.path).expanduser()


def _values(column: pd.Series, place: Path) -> pd.Series:
    """A column of text as what it means: landmarks with NaN, identities with -1, attributes with 0 where unknown."""
    numbers = pd.to_numeric(column, errors="coerce")
    known = column != ""
    if column.name in LANDMARKS:
        right, allowed = numbers.notna(), "a number, or blank"
    elif column.name == "identity":
        right, allowed = numbers % 1 == 0, "a whole number, or blank"
    else:
        right, allowed = numbers.isin((-1, 0, 1)), "1, 0, -1, or blank"
    if (wrong := known & ~right).any():
        raise RawError(
            f"{place}: row {wrong.idxmax()}, column {column.name!r}: {column[wrong.idxmax()]!r}; allowed: {allowed}"
        )
    if column.name in LANDMARKS:
        return numbers
    if column.name == "identity":
        return numbers.fillna(-1).astype("int64")
    if not (numbers == -1).any():
        numbers = numbers.replace(0, -1)
    return numbers.fillna(0).astype("int8")
