"""A folder or archive with pictures (nested folders allowed) and a table of labels, labels.csv.

labels.csv has one row per picture. Commas, semicolons or tabs separate its columns (faces/ingest/tables.py):

    name       the picture's path from labels.csv; also called image_id, filename, file_name, image, file or
               path
    split      train, valid or test (or 0, 1, 2). Where column or value is missing, a hash of the name
               decides: it never moves when
               pictures are added
    identity   a whole number per person, -1 or blank where unknown; the column may be missing
    lefteye_x, lefteye_y, ...   landmarks in pixels (faces/data/annotations.py), blank where unknown; the
                                columns may be missing
    any other  an attribute: 1, yes or true; -1, no or false; blank or NaN = unknown. 0 = no, unless the
               column also holds -1: then unknown

With `unlabelled` there need be no table: every picture is taken, and none has a label (stage `measure` finds
some). A table is read all the same, and may then be without attributes.

A row without its picture is kept, for cropping to report; pictures without a row are left out and counted in
source.json.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import pandas as pd
from pydantic import Field

from faces import sources
from faces.core.console import Report
from faces.core.params import Group
from faces.data import annotations
from faces.data.annotations import LANDMARKS, RawError
from faces.data.attribute_names import safe_names
from faces.ingest import tables, writer
from faces.ingest.archives import ARCHIVES, Files, Lookup, is_picture, open_files
from faces.sources import SourceError

LABELS = "labels.csv"
TABLES = (LABELS, "labels.tsv", "labels.txt", "metadata.csv")  # the last as Hugging Face calls it
PACKED = (
    ".parquet",
    ".arrow",
    ".feather",
    ".h5",
    ".hdf5",
    ".tfrecord",
    ".tfrecords",
    ".mdb",
    ".npz",
)  # tables that hold pictures themselves


class Config(Group):
    path: str  # folder or archive with pictures and labels.csv
    licence: str  # the note on use that travels with the data
    valid: Annotated[float, Field(ge=0, le=0.5)]  # share of the pictures that come without a split
    test: Annotated[float, Field(ge=0, le=0.5)]
    unlabelled: bool  # pictures without a table of labels are taken too


@dataclass(frozen=True)
class Sheet:
    """A labels.csv that was found, with the pictures beside it."""

    place: Path  # for messages
    root: str  # what stands before each name in the folder or archive: "", or a folder and a slash
    table: tables.Table
    pictures: frozenset[str]  # names of the pictures that are here, from `root`

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attribute columns."""
        return tuple(name for name in self.table.header if name not in annotations.FIXED)


class Source(sources.Source):
    config: Config

    def attributes(self) -> tuple[str, ...]:
        """The attribute columns of labels.csv. Raises SourceError where there is none."""
        try:
            with open_files(_path(self.config)) as files:
                return find_sheet(files, self.config.unlabelled).attributes
        except (RawError, OSError) as error:
            raise SourceError(f"sources.folder.path: {error}") from None

    def fetch(self, seed: int, folder: Path, report: Report) -> None:
        """Fill `folder`; `seed` is not used. Raises SourceError naming file and row."""
        try:
            with open_files(_path(self.config)) as files:
                sheet = find_sheet(files, self.config.unlabelled)
                table = read_table(sheet, self.config.valid, self.config.test)
                named = set(table["name"])
                here = sheet.pictures
                if not named & here:
                    raise RawError(
                        f"{sheet.place}: none of the {len(table)} pictures that it names is here "
                        f"({table['name'][0]}, ...); {_where(files)}"
                    )
                members = files.each({sheet.root + name for name in named & here}, report)
                writer.write_images(
                    folder / "images.zip",
                    ((name.removeprefix(sheet.root), content) for name, content in members),
                )
            writer.write_labels(folder / annotations.LABELS, table)
        except (RawError, OSError) as error:
            raise SourceError(f"sources.folder.path: {error}") from None
        about = {
            "source": "folder",
            "description": "A folder of pictures with labels.csv"
            if sheet.attributes
            else "A folder of pictures without labels",
            "licence": self.config.licence,
            "request": self.config.model_dump(mode="json"),
            "origin": self.config.path,
            "assumed": sheet.table.notes,
            "images_without_row": len(here - named),
            "rows_without_image": len(named - here),
            "visible": list(annotations.attributes(table)),
            "flippable": [],
        }
        writer.write_source(folder / "source.json", about, table, folder / "images.zip")


def find_sheet(files: Files, unlabelled: bool = False) -> Sheet:
    """The labels.csv nearest to the top; of `unlabelled` pictures without one their names alone. Raises
    RawError where it is missing or not the only one, or lacks a name or, of labelled pictures, any attribute.
    """
    found = sorted(
        (name for name in files.names if PurePosixPath(name).name.casefold() in TABLES),
        key=lambda name: (name.count("/"), TABLES.index(PurePosixPath(name).name.casefold()), name),
    )
    if not found and unlabelled:
        return _without_table(files)
    if not found:
        raise RawError(f"{files.path}: {LABELS} is missing; {_instead(files)}")
    beside = [name for name in found[1:] if name.count("/") == found[0].count("/")]
    if any(PurePosixPath(name).parent != PurePosixPath(found[0]).parent for name in beside):
        raise RawError(
            f"{files.path}: {found[0]} and {beside[0]} are both tables of labels; "
            f"put one {LABELS} above all pictures"
        )
    place = files.path / found[0]
    root = found[0].removesuffix(PurePosixPath(found[0]).name)
    table = tables.read(place, files.read(found[0]))
    if not unlabelled and not set(table.header) - set(annotations.FIXED):
        raise RawError(
            f"{place}: no attribute column (found: {', '.join(table.header)}); "
            "at least one is needed to compute a direction"
        )
    pictures = frozenset(
        name.removeprefix(root) for name in files.names if is_picture(name) and name.startswith(root)
    )
    here = {name.removeprefix(root) for name in files.names if name.startswith(root)}
    pictures |= here & set(table.column("name").values())  # whatever its ending: decoding says what it is
    depth = root.count("/")
    spellings = {
        name.removeprefix(root): ["/".join(other.split("/")[depth:]) for other in others]
        for name, others in files.spellings.items()
        if name.removeprefix(root) in pictures
    }
    lookup = Lookup(pictures, str((files.path / root).absolute()), spellings)
    table = _resolved(_safe(table), lookup)
    return Sheet(place, root, table, pictures)


def _without_table(files: Files) -> Sheet:
    """All pictures, with their names for a table. Raises RawError where there is none."""
    pictures = sorted(name for name in files.names if is_picture(name))
    if not pictures:
        raise RawError(f"{files.path}: no picture in it")
    rows = {number: [name] for number, name in enumerate(pictures, 2)}
    return Sheet(files.path, "", tables.Table(files.path, ["name"], rows, []), frozenset(pictures))


def read_table(sheet: Sheet, valid: float, test: float) -> pd.DataFrame:
    """The rows for faces.ingest.writer.write_labels. Raises RawError naming the row."""
    table = sheet.table
    if not table.rows:
        raise RawError(f"{sheet.place}: no rows")
    values = {"name": list(table.column("name").values())}
    given = tables.splits(table).values() if "split" in table.header else [""] * len(table.rows)
    values["split"] = writer.splits_of(values["name"], list(given), valid, test)
    for column in table.header:
        if column in values:
            continue
        if column in LANDMARKS:
            values[column] = list(tables.numbers(table, column, float, "a number, or blank").values())
        elif column == "identity":
            people = tables.numbers(table, column, tables.whole, "a whole number, or blank").values()
            values[column] = [-1 if person is None else int(person) for person in people]
        else:
            values[column] = list(tables.sides(table, column).values())
    kinds = {name: "int8" for name in sheet.attributes} | {
        name: "float64" for name in LANDMARKS if name in values
    }
    return pd.DataFrame(values).astype(kinds)


def _safe(table: tables.Table) -> tables.Table:
    """`table` with attribute names that are safe as file names and keys of metrics."""
    own = [name for name in table.header if name not in annotations.FIXED]
    renamed = {name: safe for name, safe in zip(own, safe_names(own), strict=True) if safe != name}
    table.notes.extend(f"column {name!r} is called {safe!r} here" for name, safe in renamed.items())
    header = [renamed.get(name, name) for name in table.header]
    return tables.Table(table.place, header, table.rows, table.notes)


def _resolved(table: tables.Table, lookup: Lookup) -> tables.Table:
    """`table` with the names that the pictures have here; a row without its picture keeps its own. Raises
    RawError.
    """
    place = table.header.index("name")
    names = {}
    other = 0
    for number, row in table.rows.items():
        name = row[place]
        if not name:
            raise RawError(f"{table.place}: row {number} has no name")
        names[number] = lookup.find(name) or lookup.plain(name)
        if PurePosixPath(names[number]).is_absolute() or ".." in PurePosixPath(names[number]).parts:
            raise RawError(
                f"{table.place}: row {number}: {name} leads out of the folder; names are paths inside it"
            )
        other += names[number] != name
    if other:
        table.notes.append(
            f"{other} names are written otherwise than the pictures (slashes, capitals, ending, encoding)"
        )
    table = tables.without_copies(table, names)
    rows = {number: [*row[:place], names[number], *row[place + 1 :]] for number, row in table.rows.items()}
    return tables.Table(table.place, table.header, rows, table.notes)


def _instead(files: Files) -> str:
    """What to do where there is no table of labels, by what is there."""
    for name in files.names:
        if PurePosixPath(name).name.casefold().startswith(("labels", "metadata")):
            return f"{name} is not read: save it as {LABELS}, CSV (UTF-8)"
    if inner := _archive(files):
        return f"{inner} is an archive inside: unpack it"
    if packed := next((name for name in files.names if name.lower().endswith(PACKED)), None):
        return f"{packed} holds pictures as a table: write them into a folder, with {LABELS}"
    return (
        "write one row per picture: name, then a column of 1 and 0 for each attribute; "
        "for pictures without labels set sources.folder.unlabelled and measure.enabled to true"
    )


def _where(files: Files) -> str:
    """What to do where no picture of the table is found."""
    if inner := _archive(files):
        return f"{inner} is an archive inside: unpack it"
    return f"names are paths from {LABELS}, which stands above all pictures"


def _archive(files: Files) -> str | None:
    return next((name for name in files.names if name.lower().endswith(ARCHIVES)), None)


def _path(config: Config) -> Path:
    if not config.path:
        raise SourceError(
            "sources.folder.path is empty; set it to a folder or archive with pictures and labels.csv"
        )
    return Path(config.path).expanduser()
