"""Reader of data/raw: the CelebA layout, the same for every source.

    images.zip    JPEG members, stored, never extracted
    labels.csv    one row per image: name, split, identity, ten landmark columns, one column per attribute
    source.json   provenance, licence, counts, checksums

`name` is the member's name in images.zip. `split` is train, valid or test. `identity` is -1 where unknown.
The landmark columns (lefteye_x, lefteye_y, ... in pixels of the image, "left" is the left of the picture) are
empty where unknown. An attribute is 1, -1, or 0 for unknown.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

SPLITS = ("train", "valid", "test")
LANDMARKS = tuple(
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
FIXED = ("name", "split", "identity", *LANDMARKS)
CHUNK = 65536  # rows of labels.csv read at once


class RawError(ValueError):
    """data/raw or its source is malformed. The message names the file and the way out."""


def attributes(table: pd.DataFrame) -> tuple[str, ...]:
    """The attribute columns of a label table, in order."""
    return tuple(column for column in table.columns if column not in FIXED)


def read_labels(path: Path) -> pd.DataFrame:
    """labels.csv as a table; attributes are int8, a byte a label. Raises RawError where it is missing, lacks
    a fixed column or holds something else.
    """
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
    """Labels (N, A) int8 and splits (N,) int8 (indices into SPLITS) of labels.csv.

    `count` is the expected number of rows; the file is read in chunks. Raises RawError as `read_labels` does,
    and where the number of rows differs.
    """
    names = read_attributes(path)
    labels = np.empty((count, len(names)), np.int8)
    splits = np.empty(count, np.int8)
    done = 0
    kinds = {"split": pd.CategoricalDtype(SPLITS), **dict.fromkeys(names, "int8")}
    with label_errors(path), pd.read_csv(path, usecols=list(kinds), dtype=kinds, chunksize=CHUNK) as chunks:
        for chunk in chunks:
            rows = slice(done, min(done + len(chunk), count))
            labels[rows], splits[rows] = (
                part[: rows.stop - rows.start] for part in (chunk[list(names)], chunk["split"].cat.codes)
            )
            done += len(chunk)
    if done != count:
        raise RawError(f"{path} has {done} rows for {count} images; run `dvc repro -f crop`")
    return labels, splits


@contextmanager
def label_errors(path: Path) -> Iterator[None]:
    """Context that turns pandas' error about a wrong label into RawError."""
    try:
        yield
    except ValueError as error:
        raise RawError(f"{path}: a label is not 1, -1 or 0 ({error}); run `dvc repro -f download`") from None
