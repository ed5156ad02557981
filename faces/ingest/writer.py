"""Writer of data/raw, the CelebA layout that every source leaves (faces/data/annotations.py reads it)."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from faces.core import parquet
from faces.core.batches import batches
from faces.core.files import new_file, write_json
from faces.data import annotations
from faces.data.annotations import LANDMARKS, SPLITS, RawError, attributes


def write_images(path: Path, members: Iterable[tuple[str, bytes]]) -> int:
    """Store `members` (name, encoded picture) in one archive, byte for byte the same for the same members.
    Returns how many.
    """
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(
                zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content
            )  # writestr(str) would store the time of day
            count += 1
    return count


def write_labels(path: Path, table: pd.DataFrame) -> None:
    """Write labels.parquet with its columns in order; columns that `table` lacks are filled as unknown.

    Raises RawError where a name stands twice, a split is not one of train, valid, test, or an attribute is
    not 1, -1 or 0.
    """
    names = attributes(table)
    if twice := table["name"][table["name"].duplicated()].tolist():
        raise RawError(
            f"{path.name}: {len(twice)} names stand twice, first {twice[0]!r}; "
            "a name is an image's identity here"
        )
    if wrong := sorted(set(table["split"]) - set(SPLITS)):
        raise RawError(f"{path.name}: split {wrong[0]!r}; allowed: {', '.join(SPLITS)}")
    for name in names:
        if not table[name].isin((-1, 0, 1)).all():
            raise RawError(
                f"{path.name}: column {name!r} holds {sorted(set(table[name]) - {-1, 0, 1})[0]!r}; "
                "allowed: 1, -1, 0 (unknown)"
            )
    schema = annotations.schema(names)
    with new_file(path) as draft, parquet.Writer(draft, schema) as out:
        for rows in batches(len(table), parquet.ROWS):
            some = table.iloc[rows].reindex(columns=schema.names)
            some["identity"] = some["identity"].fillna(-1).astype("int64")
            out.append(some.astype(dict.fromkeys(LANDMARKS, "float64") | dict.fromkeys(names, "int8")))


def write_source(path: Path, about: dict[str, Any], labels: pd.DataFrame, images: Path) -> None:
    """source.json: what the caller knows about the origin and the licence, with counts and the archive's
    checksum added.
    """
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
    """Split of an image that has none: by a hash of its name, so that it stays when images are added.

    `valid` and `test` are shares of the whole, in [0, 1].
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return "test" if place < test else "valid" if place < test + valid else "train"


def splits_of(names: list[str], given: list[str], valid: float, test: float) -> list[str]:
    """The split of each image: as given, or else by `split_of`. In a set too small for a hash to fill all
    three, each gets an image.

    `valid` and `test` are shares of the whole, in [0, 1]; a split with a share of 0 stays empty.
    """
    splits = [split or split_of(name, valid, test) for split, name in zip(given, names, strict=True)]
    free = [place for place, split in enumerate(given) if not split]
    free.sort(key=lambda place: hashlib.sha256(names[place].encode()).digest())
    if len(free) < len(SPLITS):
        return splits
    for split, share in (("test", test), ("valid", valid)):
        if share and split not in splits:
            most = max(SPLITS, key=lambda other: sum(splits[place] == other for place in free))
            splits[next(place for place in free if splits[place] == most)] = split
    if "train" not in splits:
        splits[free[-1]] = "train"
    return splits


def encode_jpeg(image: Any, quality: int) -> bytes:
    """A Pillow image as JPEG bytes, 4:4:4 chroma (CelebA's own files keep full chroma; subsampling would blur
    flat drawings).
    """
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
