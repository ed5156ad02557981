"""Snapshots of a growing folder of pictures: checked, and frozen as one archive named by date and content.

Refused pictures are left out and reported: a picture that cannot be read, one that is already there under
another name, one whose content changed under its name, one without a row in labels.csv or the other way
round. A labels.csv that is wrong stops everything. Splits follow from names (faces/sources/folder.py), so a
picture never moves from one to another.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faces.core.files import new_file, write_json
from faces.data.annotations import RawError
from faces.ingest import decode, writer
from faces.ingest.archives import open_files
from faces.ingest.forgotten import Forgotten
from faces.sources.folder import LABELS, Sheet, find_sheet, read_table
from ops.retrain.ledger import rested


class SnapshotError(RuntimeError):
    """The folder cannot be used as it is. The message names file and row."""


@dataclass(frozen=True)
class Snapshot:
    """What would be trained on: `pictures` maps each accepted name to the SHA-256 of its content, `refused`
    each other name to the reason.
    """

    name: str
    labels: str
    pictures: dict[str, str]
    refused: dict[str, str]
    root: str

    def added(self, before: Mapping[str, str]) -> list[str]:
        """The names that `before` does not have."""
        return [name for name in self.pictures if name not in before]


def take(
    folder: Path, settle: float, today: str, index: Path, forgotten: Forgotten | None = None
) -> Snapshot | None:
    """Look at `folder` as it is now; None where labels.csv is still being written. `index` is where earlier
    snapshots are described. What is `forgotten` is passed over and not named anywhere.

    Raises SnapshotError.
    """
    earlier = latest(index)
    try:
        with open_files(folder) as files:
            sheet = find_sheet(files)
            if not rested(sheet.place, settle):
                return None
            names = list(read_table(sheet, 0.0, 0.0)["name"])
            pictures, refused = judge(
                folder / sheet.root, names, sheet.pictures, settle, earlier.get("pictures", {})
            )
            if forgotten is not None:
                out = {
                    name
                    for name in {*pictures, *refused}
                    if forgotten.knows(name, _content(folder / sheet.root / name))
                }
                pictures = {name: digest for name, digest in pictures.items() if name not in out}
                refused = {name: reason for name, reason in refused.items() if name not in out}
    except (RawError, OSError) as error:
        raise SnapshotError(f"source.folder: {error}") from None
    if not pictures:
        raise SnapshotError(
            f"source.folder: {folder}: none of the {len(names)} pictures of {LABELS} can be used; "
            f"first: {next(iter(refused.items()))}"
        )
    labels = rows_of(sheet, set(pictures))
    content = hashlib.sha256(labels.encode())
    for name in sorted(pictures):
        content.update(f"{name}\0{pictures[name]}\n".encode())
    mark = content.hexdigest()[:12]
    known = sorted(path.stem for path in index.glob(f"*-{mark}.json"))
    return Snapshot(known[0] if known else f"{today}-{mark}", labels, pictures, refused, sheet.root)


def judge(
    folder: Path, names: list[str], here: Set[str], settle: float, before: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Which of the pictures that labels.csv names are taken, and why the others are not. Names of an earlier
    snapshot come first: they keep their place.
    """
    pictures: dict[str, str] = {}
    refused = {name: f"no row in {LABELS}" for name in sorted(here - set(names))}
    by_content: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (name not in before, name)):
        if name not in here:
            refused[name] = "no such picture"
            continue
        if not rested(folder / name, settle):
            refused[name] = "still being written"
            continue
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if name in before and before[name] != digest:
            refused[name] = "changed since an earlier snapshot; a changed picture needs a new name"
        elif digest in by_content:
            refused[name] = f"the same picture as {by_content[digest]}"
        elif name not in before and (wrong := unreadable(content)):
            refused[name] = wrong
        else:
            pictures[name] = digest
            by_content[digest] = name
    return pictures, refused


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def unreadable(content: bytes) -> str | None:
    """Why a picture cannot be decoded; None where it can."""
    try:
        decode.decode_whole(content)
    except decode.BadPicture as error:
        return f"cannot be read: {str(error).removeprefix('unreadable: ')}"
    return None


def rows_of(sheet: Sheet, names: Set[str]) -> str:
    """labels.csv with the rows of `names` alone, in their order."""
    column = sheet.table.header.index("name")
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(sheet.table.header)
    lines.writerows(row for row in sheet.table.rows.values() if row[column] in names)
    return out.getvalue()


def write(snapshot: Snapshot, folder: Path, out: Path) -> None:
    """The archive, byte for byte the same for the same snapshot: pictures in order of name, then labels.csv.

    Raises SnapshotError where a picture is no longer what it was when the snapshot was taken.
    """

    def members() -> Iterator[tuple[str, bytes]]:
        for name in sorted(snapshot.pictures):
            content = (folder / snapshot.root / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != snapshot.pictures[name]:
                raise SnapshotError(
                    f"source.folder: {folder / snapshot.root / name} changed while it was being copied; "
                    "the next run takes it up"
                )
            yield name, content
        yield LABELS, snapshot.labels.encode()

    with new_file(out) as draft:
        writer.write_images(draft, members())


def whole(archive: Path, snapshot: Snapshot) -> bool:
    """Whether `archive` already is that snapshot."""
    try:
        with zipfile.ZipFile(archive) as file:
            return len(file.namelist()) == len(snapshot.pictures) + 1 and file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def remember(snapshot: Snapshot, index: Path) -> None:
    """Describe a snapshot, so that the next one knows what was there."""
    path = index / f"{snapshot.name}.json"
    if not path.is_file():
        write_json(path, {"name": snapshot.name, "pictures": snapshot.pictures})


def pictures_of(name: str | None, index: Path) -> dict[str, str]:
    """The pictures of a snapshot; none where it is unknown."""
    path = index / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["pictures"] if name and path.is_file() else {}


def latest(index: Path) -> dict[str, Any]:
    """The description of the snapshot that was taken last; empty where there is none."""
    found = max(index.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)
    return json.loads(found.read_text(encoding="utf-8")) if found else {}
