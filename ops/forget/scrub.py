"""Removal of faces from files that hold many: tables, archives, arrays with a row per face, reports.

A folder is written anew beside the old one and the two are swapped by renaming, so table and arrays never
disagree; `mend` puts a swap right that was cut off.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from faces.core.files import new_file, write_json
from faces.data import sharded_array
from faces.data.annotations import LABELS, read_labels
from faces.ingest import writer
from faces.ingest.removal import rows_naming, rows_without, tables, take_rows, without
from ops.forget.journal import Journal
from ops.forget.needles import Needles, files

WORDS = "(forgotten)"


def mend(folder: Path) -> None:
    """Undo a swap that was cut off, and clear what it left."""
    old = folder.with_name(f".{folder.name}.old")
    if old.is_dir() and not folder.is_dir():
        os.replace(old, folder)
    for left in (old, folder.with_name(f".{folder.name}.draft")):
        shutil.rmtree(left, ignore_errors=True)


def swap(folder: Path, draft: Path) -> None:
    """Put `draft` in the place of `folder`."""
    old = folder.with_name(f".{folder.name}.old")
    os.replace(folder, old)
    os.replace(draft, folder)
    shutil.rmtree(old)


def draft_of(folder: Path) -> Path:
    """A copy of `folder` beside it, to be changed; links become files."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.copytree(folder, draft)
    for path in files(draft):
        path.chmod(0o644)  # what DVC linked from its cache may not be written to
    return draft


def data_folder(journal: Journal, folder: Path) -> None:
    """Take the faces out of a folder of tables, archives and arrays, such as data/crops."""
    mend(folder)
    if not any(_names(path, journal.names) for path in files(folder)):
        return
    draft = draft_of(folder)
    gone = set(journal.names)
    rows: dict[str, tuple[int, np.ndarray]] = {}
    for path in tables(draft):
        count, dropped, firsts = take_rows(path, journal.names)
        rows[path.stem] = (count, dropped)
        gone |= firsts
    for path in sorted(draft.glob("*.zip")):
        without(path, gone)
    for path in sorted(draft.glob("*.npy")):
        stem = path.name.split(".")[0]
        table = rows.get(stem, rows.get("table"))
        if path.name == f"{stem}.npy" and table is not None and len(table[1]):
            array(path, *table)
    (draft / "sheet.png").unlink(missing_ok=True)  # pictures of some faces: drawn again with the crops
    if (draft / LABELS).is_file() and (draft / "source.json").is_file():
        about = json.loads((draft / "source.json").read_text(encoding="utf-8"))
        table = read_labels(draft / LABELS)
        writer.write_source(draft / "source.json", about, table, draft / "images.zip")
    for path in draft.glob("*.json"):
        document(path, journal.needles)
    put(journal, folder, draft, "rows and members of the faces")


def put(journal: Journal, folder: Path, draft: Path, what: str) -> None:
    """Record which files of `folder` change, and swap it with `draft`."""
    for path in files(folder):
        new = draft / path.relative_to(folder)
        if not new.is_file() or new.read_bytes() != path.read_bytes():
            journal.record(path, what, new)
    swap(folder, draft)


def array(path: Path, count: int, dropped: np.ndarray) -> bool:
    """Write an array of `count` rows, sharded or not, without the rows `dropped`. False where it has another
    number of rows.
    """
    rows = sharded_array.open_parts(path)
    if len(rows) != count or not len(dropped):
        return False
    old = sharded_array.files(path)
    length = len(np.load(old[0], mmap_mode="r"))
    kept = np.setdiff1d(np.arange(count), dropped)
    draft = path.with_name("draft.npy")
    with sharded_array.Writer(draft, rows.shape[1:], rows.dtype, length) as out:
        for some in np.array_split(kept, max(len(kept) // 4096, 1)):
            out.append(np.asarray(rows[some]))
    new = sharded_array.files(draft)
    for place in old[len(new) :]:
        place.unlink()
    for number, place in enumerate(new):
        os.replace(place, sharded_array.path_of(path, number))
    return True


def document(path: Path, needles: Needles, suffix: str = ".json") -> None:
    """Take names out of a report in JSON, or else in Markdown or plain text, where there are any."""
    text = path.read_text(encoding="utf-8")
    if not needles.words.search(text):
        return
    if suffix == ".json":
        write_json(path, _forget(json.loads(text), needles))
        return
    with new_file(path) as draft:
        draft.write_text(needles.words.sub(WORDS, text), encoding="utf-8")


def _forget(value: Any, needles: Needles) -> Any:
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if not needles.words.fullmatch(name)}
        return {name: _forget(inner, needles) for name, inner in kept.items()}
    if isinstance(value, list):
        kept = [inner for inner in value if not (isinstance(inner, str) and needles.words.fullmatch(inner))]
        return [_forget(inner, needles) for inner in kept]
    return needles.words.sub(WORDS, value) if isinstance(value, str) else value


def reports(journal: Journal, folder: Path) -> None:
    """Take names out of every text file below `folder`, tables row by row."""
    for path in files(folder):
        if path.name.startswith(".") and path.name.endswith((".draft", ".scrubbed")):
            path.unlink()  # of a run that was cut off
        elif path.suffix in (".json", ".md", ".txt", ".csv") and journal.needles.within(path) is not None:
            changed = path.with_name(f".{path.name}.scrubbed")
            shutil.copyfile(path, changed)
            if path.suffix == ".csv":
                kept = rows_without(path.read_text(encoding="utf-8"), journal.names)[3]
                changed.write_text(journal.needles.words.sub(WORDS, kept), encoding="utf-8")
            else:
                document(changed, journal.needles, path.suffix)
            journal.record(path, "names", changed)
            os.replace(changed, path)


def remove(journal: Journal, path: Path, what: str) -> None:
    """Remove a file or a folder; nothing where it is not there."""
    if not path.exists() and not path.is_symlink():
        return
    for each in files(path) if path.is_dir() else [path]:
        journal.record(each, what)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def progress(journal: Journal, path: Path) -> None:
    """Take the faces out of a model's snapshots.npy, uint8 (T, K, H, W, 3): valid faces as they are, and as
    training came to draw them.
    """
    if journal.crops is None or not path.is_file():
        return
    frames = np.load(path, allow_pickle=False)
    gone = np.array([any(np.array_equal(face, crop) for crop in journal.crops) for face in frames[0]], bool)
    if gone.any():
        with new_file(path) as draft:
            with draft.open("wb") as file:
                np.save(file, frames[:, ~gone])
            journal.record(path, "pictures of the training's progress", draft)


def _names(path: Path, names: Collection[str]) -> bool:
    """Whether a table or an archive names a face."""
    if path.suffix in (".csv", ".parquet"):
        return bool(len(rows_naming(path, names)[1]))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as file:
            return bool(set(file.namelist()) & set(names))
    return False
