"""data/raw: the CelebA layout that every source leaves, whatever it came from.

    images.zip    JPEG members, stored, never extracted
    labels.csv    one row per image: name, split, identity, ten landmark columns, one column per attribute
    source.json   provenance, licence, counts, checksums

`name` is the member's name in images.zip. `split` is train, valid or test. `identity` is -1 where unknown. The landmark columns
(lefteye_x, lefteye_y, ... in pixels of the image, "left" is the left of the picture) are empty where unknown. An attribute is 1, -1, or 0 for unknown.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faces.files import write_json

SPLITS = ("train", "valid", "test")
LANDMARKS = tuple(f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy")
FIXED = ("name", "split", "identity", *LANDMARKS)
CHUNK = 65536  # rows of labels.csv read at once


class RawError(ValueError):
    """data/raw, or what should become it, is not as it must be. The message names the file and the way out."""


def write_images(path: Path, members: Iterable[tuple[str, bytes]]) -> int:
    """Store `members` (name, encoded picture) in one archive, byte for byte the same for the same members. Returns how many."""
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)  # writestr(str) would store the time of day
            count += 1
    return count


def write_labels(path: Path, table: pd.DataFrame) -> None:
    """Write labels.csv with its columns in order; columns that `table` lacks are filled as unknown.

    Raises RawError where a name stands twice, a split is not one of train, valid, test, or an attribute is not 1, -1 or 0.
    """
    table = table.copy()
    table["identity"] = table["identity"].fillna(-1).astype("int64") if "identity" in table else -1
    for column in LANDMARKS:
        if column not in table:
            table[column] = float("nan")
    names = attributes(table)
    if not names:
        raise RawError(f"{path.name}: no attribute column; at least one is needed to compute a direction")
    if twice := table["name"][table["name"].duplicated()].tolist():
        raise RawError(f"{path.name}: {len(twice)} names stand twice, first {twice[0]!r}; a name is an image's identity here")
    if wrong := sorted(set(table["split"]) - set(SPLITS)):
        raise RawError(f"{path.name}: split {wrong[0]!r}; allowed: {', '.join(SPLITS)}")
    for name in names:
        if not table[name].isin((-1, 0, 1)).all():
            raise RawError(f"{path.name}: column {name!r} holds {sorted(set(table[name]) - {-1, 0, 1})[0]!r}; allowed: 1, -1, 0 (unknown)")
    table[list(names)] = table[list(names)].astype("int8")
    table[[*FIXED, *names]].to_csv(path, index=False, lineterminator="\n")


def attributes(table: pd.DataFrame) -> tuple[str, ...]:
    """The attribute columns of a label table, in order."""
    return tuple(column for column in table.columns if column not in FIXED)


def read_labels(path: Path) -> pd.DataFrame:
    """labels.csv as a table; attributes are int8, a byte a label. Raises RawError where it is missing, lacks a fixed column or holds something else."""
    names = read_attributes(path)
    with label_errors(path):
        return pd.read_csv(path, dtype={"name": str, "split": str, **dict.fromkeys(names, "int8")})


def read_attributes(path: Path) -> tuple[str, ...]:
    """The attribute columns of labels.csv. Raises RawError as `read_labels` does."""
    if not path.is_file():
        raise RawError(f"{path} is missing; run `dvc repro download`")
    head = pd.read_csv(path, nrows=0)
    if missing := [column for column in ("name", "split", "identity") if column not in head]:
        raise RawError(f"{path}: column {missing[0]!r} is missing; run `dvc repro -f download`")
    return attributes(head)


def read_numbers(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What most of what works on labels.csv needs, in a byte a label: labels (N, A) int8, and splits (N,) int8, places in SPLITS.

    `count` is how many rows there should be; memory holds no more than that beside a chunk of the file. Raises RawError as `read_labels` does, and where
    there are more or fewer rows.
    """
    names = read_attributes(path)
    labels, splits, done = np.empty((count, len(names)), np.int8), np.empty(count, np.int8), 0
    kinds = {"split": pd.CategoricalDtype(SPLITS), **dict.fromkeys(names, "int8")}
    with label_errors(path), pd.read_csv(path, usecols=list(kinds), dtype=kinds, chunksize=CHUNK) as chunks:
        for chunk in chunks:
            rows = slice(done, min(done + len(chunk), count))
            labels[rows], splits[rows] = (part[: rows.stop - rows.start] for part in (chunk[list(names)], chunk["split"].cat.codes))
            done += len(chunk)
    if done != count:
        raise RawError(f"{path} has {done} rows for {count} images; run `dvc repro -f crop`")
    return labels, splits


@contextmanager
def label_errors(path: Path) -> Iterator[None]:
    """What pandas says of a wrong label, as RawError."""
    try:
        yield
    except ValueError as error:
        raise RawError(f"{path}: a label is not 1, -1 or 0 ({error}); run `dvc repro -f download`") from None


def write_source(path: Path, about: dict[str, Any], labels: pd.DataFrame, images: Path) -> None:
    """source.json: what the caller knows about the origin and the licence, with counts and the archive's checksum added."""
    names = attributes(labels)
    with images.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    counts = {
        "images": len(labels),
        "splits": {split: int((labels["split"] == split).sum()) for split in SPLITS},
        "positives": {name: int((labels[name] == 1).sum()) for name in names},
    }
    write_json(path, {**about, "attributes": list(names), "counts": counts, "images_sha256": digest})


def split_of(name: str, valid: float, test: float) -> str:
    """The split of an image that came without one: from a hash of its name, so that it never moves when images are added.

    `valid` and `test` are shares of the whole, in [0, 1].
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "test" if place < test else "valid" if place < test + valid else "train"


def encode_jpeg(image: Any, quality: int) -> bytes:
    """A Pillow image as JPEG bytes, 4:4:4 chroma (CelebA's own files keep full chroma; subsampling would blur flat drawings)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
