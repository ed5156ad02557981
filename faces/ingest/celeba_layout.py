"""Reader of a data set in one of CelebA's layouts, in place.

    official      img_align_celeba.zip beside list_attr_celeba.txt, list_eval_partition.txt, ... (also in
                  Anno/, Eval/, Img/)
    torchvision   a folder celeba/ with the same files, the pictures zipped or extracted
    Kaggle        img_align_celeba/img_align_celeba/*.jpg beside list_attr_celeba.csv, ..., as a folder or as
                  the archive downloaded

Tables may be .txt or .csv. The attribute table is needed, also as CelebAMask-HQ calls it. Without a partition
table a hash of the name decides. Identities and landmarks are taken where they are. The boxes are not: their
coordinates belong to the pictures before alignment.
"""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from faces.core.console import Report
from faces.data.annotations import LANDMARKS, SPLITS, RawError
from faces.data.attribute_names import safe_names
from faces.ingest.archives import Files, is_picture, open_files
from faces.ingest.writer import splits_of, write_images

IMAGES = "img_align_celeba.zip"
IN_THE_WILD = "img_celeba.zip"  # before alignment
ATTRIBUTES = "list_attr_celeba"
PARTITION = "list_eval_partition"
IDENTITIES = "identity_CelebA"
MARKS = "list_landmarks_align_celeba"
OTHER_NAMES = {
    ATTRIBUTES: "CelebAMask-HQ-attribute-anno",
    MARKS: "list_landmarks_celeba",
}  # of CelebA-HQ, and before alignment
SHARE = 0.1  # of valid and of test, where there is no partition table


@dataclass(frozen=True)
class Layout:
    """Places of the parts of a set."""

    files: Files  # what the path itself holds
    tables: dict[str, str]  # stem of a table -> its name in `files`
    archive: (
        str | None
    )  # the name of img_align_celeba.zip in `files`; None: the pictures lie there themselves


@contextmanager
def open_layout(path: Path) -> Iterator[Layout]:
    """The set at `path`. Raises RawError where a needed table is missing."""
    with open_files(path) as files:
        shallow = sorted(files.names, key=lambda name: (name.count("/"), name))
        tables: dict[str, str] = {}
        for stem in (ATTRIBUTES, PARTITION, IDENTITIES, MARKS):
            for name in (stem, OTHER_NAMES.get(stem, stem)):
                for ending in (".txt", ".csv"):
                    if match := [found for found in shallow if PurePosixPath(found).name == name + ending]:
                        tables.setdefault(stem, match[0])
        if ATTRIBUTES not in tables:
            raise RawError(
                f"{path}: {ATTRIBUTES}.txt (or .csv) is missing; "
                "set path to the folder that holds pictures and tables"
            )
        archives = (
            [name for name in shallow if PurePosixPath(name).name in (IMAGES, IN_THE_WILD)]
            if path.is_dir()
            else []
        )
        yield Layout(files, tables, archives[0] if archives else None)


@contextmanager
def open_images(layout: Layout) -> Iterator[Files]:
    """The files that hold the pictures. Raises RawError where the archive is not one."""
    if layout.archive is None:
        yield layout.files
    else:
        with open_files(layout.files.path / layout.archive) as images:
            yield images


def attribute_names(layout: Layout) -> tuple[str, ...]:
    """The attributes that the set is labelled with, in the order of its table's header."""
    name = layout.tables[ATTRIBUTES]
    return tuple(safe_names(_header(_lines(layout, name), layout.files.path / name)[0]))


def read_table(layout: Layout, images: Files) -> tuple[pd.DataFrame, dict[str, int]]:
    """One row per labelled picture, ready for faces.ingest.writer.write_labels, and how many pictures have
    no row, how many rows no picture.

    `name` is the picture's name in `images`; of nested copies, the one nearest to the top is taken. A row
    whose picture is missing keeps the name of the table: cropping will report it. Raises RawError naming file
    and row where the tables contradict themselves or each other, or no picture is there at all.
    """
    table = _attributes(layout)
    table["split"] = _splits(layout, table["name"])
    if IDENTITIES in layout.tables:
        table["identity"] = (
            _columns(layout, IDENTITIES, ("identity",))["identity"].reindex(table["name"]).to_numpy()
        )
    if MARKS in layout.tables:
        table[list(LANDMARKS)] = _columns(layout, MARKS, LANDMARKS).reindex(table["name"]).to_numpy()
    pictures: dict[str, str] = {}
    for name in sorted(filter(is_picture, images.names), key=lambda name: name.count("/")):
        pictures.setdefault(PurePosixPath(name).stem, name)
    stems = table["name"].str.rpartition(".")[0]
    if not stems.isin(pictures.keys()).any():
        raise RawError(
            f"{images.path}: none of the {len(table)} labelled pictures is here ({table['name'][0]}, ...)"
        )
    counts = {
        "images_without_row": len(pictures.keys() - set(stems)),
        "rows_without_image": int((~stems.isin(pictures.keys())).sum()),
    }
    table["name"] = [pictures.get(stem, name) for stem, name in zip(stems, table["name"], strict=True)]
    return table, counts


def take_images(images: Files, table: pd.DataFrame, goal: Path, report: Report) -> pd.DataFrame:
    """Write the pictures of `table` to the archive `goal`; returns `table` with the names that they have
    there.

    An archive of nothing but labelled pictures is copied whole (a hard link would hand the user's own file to
    the cache). Otherwise the pictures are stored one by one, unchanged, under the last part of their names.
    """
    wanted = set(table["name"])
    if images.path.suffix == ".zip" and images.complete and wanted.issuperset(images.names):
        shutil.copyfile(images.path, goal)
        report(len(wanted), len(wanted), "images")
        return table
    write_images(goal, ((PurePosixPath(name).name, content) for name, content in images.each(wanted, report)))
    return table.assign(name=[PurePosixPath(name).name for name in table["name"]])


def _place(layout: Layout, stem: str) -> Path:
    return layout.files.path / layout.tables[stem]


def _lines(layout: Layout, name: str) -> list[str]:
    try:
        return layout.files.read(name).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise RawError(f"{layout.files.path / name}: not a text table; fetch it again") from None


def _header(lines: list[str], place: Path) -> tuple[tuple[str, ...], int, int | None]:
    """The columns after the name, how many lines come before the first row, and how many rows are promised
    (None: not said).
    """
    if place.suffix == ".csv":
        return tuple(column.strip() for column in lines[0].split(","))[1:] if lines else (), 1, None
    if len(lines) < 2 or not lines[0].strip().isdigit():
        start = lines[0][:40] if lines else "nothing"
        raise RawError(
            f"{place}: the first line must be the number of rows, found {start!r}; fetch the file again"
        )
    return tuple(lines[1].split()), 2, int(lines[0])


def _attributes(layout: Layout) -> pd.DataFrame:
    """The attribute table: `name` and one column of 1 and -1 per attribute."""
    place = _place(layout, ATTRIBUTES)
    lines = _lines(layout, layout.tables[ATTRIBUTES])
    names, skip, promised = _header(lines, place)
    if not names:
        raise RawError(f"{place}: the header names no attribute; fetch the file again")
    if len(set(names)) < len(names):
        raise RawError(f"{place}: the header names an attribute twice")
    table = _parse(lines, skip, names, place)
    if promised is not None and promised != len(table):
        raise RawError(
            f"{place}: {promised} rows promised in the first line, {len(table)} found; "
            "the file was cut short or edited"
        )
    if not len(table):
        raise RawError(f"{place}: no rows")
    if not (table[list(names)] == -1).any(axis=None):
        table[list(names)] = table[list(names)].replace(0, -1)  # written as 1 and 0
    for name in names:
        if not (right := table[name].isin((-1, 1))).all():
            row = int((~right).to_numpy().argmax())
            raise RawError(
                f"{place}: line {row + skip + 1}, {name} = {table[name].iloc[row]:g}; "
                "allowed: 1, -1 (or 1, 0 throughout)"
            )
    return table.astype(dict.fromkeys(names, "int8")).set_axis(safe_names(names), axis=1).reset_index()


def _splits(layout: Layout, names: pd.Series) -> list[str]:
    """The split of each picture, by the partition table or else by a hash of its name."""
    if PARTITION not in layout.tables:
        return splits_of(names.tolist(), [""] * len(names), SHARE, SHARE)
    place = _place(layout, PARTITION)
    parts = _columns(layout, PARTITION, ("split",))["split"]
    if wrong := sorted(set(parts.dropna()) - {0, 1, 2}):
        raise RawError(f"{place}: partition {wrong[0]!r}; allowed: 0 (train), 1 (valid), 2 (test)")
    parts = parts.reindex(names)
    if without := parts.index[parts.isna()].tolist():
        raise RawError(f"{place}: {without[0]} has no partition ({len(without)} of {len(names)} rows)")
    return [SPLITS[int(part)] for part in parts]


def _columns(layout: Layout, stem: str, names: tuple[str, ...]) -> pd.DataFrame:
    """A side table, indexed by picture name. The official .txt files of splits and identities have no header,
    the others do.
    """
    place = _place(layout, stem)
    lines = _lines(layout, layout.tables[stem])
    if place.suffix == ".csv":
        skip = 1
    else:
        skip = 2 if lines and lines[0].strip().isdigit() else 0
    return _parse(lines, skip, names, place)


def _parse(lines: list[str], skip: int, names: tuple[str, ...], place: Path) -> pd.DataFrame:
    """Rows of a name and numbers, separated by commas or any white space, as a table indexed by name."""
    comma = place.suffix == ".csv"
    try:
        table = pd.read_csv(
            io.StringIO("\n".join(line.strip() for line in lines[skip:])),
            sep="," if comma else r"\s+",
            names=["name", *names, "surplus"],
            index_col=False,
            dtype={"name": str},
        )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise RawError(f"{place}: {' '.join(str(error).split())}; fetch the file again") from None
    table = table.set_index("name")
    numbers = table[list(names)].apply(pd.to_numeric, errors="coerce")
    wrong = (numbers.isna().any(axis=1) | table["surplus"].notna()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise RawError(
            f"{place}: line {row + skip + 1}: expected a name and {len(names)} numbers, "
            f"found {lines[row + skip]!r:.80}"
        )
    if twice := numbers.index[numbers.index.duplicated()].tolist():
        raise RawError(f"{place}: {twice[0]} stands twice")
    return numbers
