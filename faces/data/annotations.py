"""Reader of data/raw: the CelebA layout, the same for every source.

    images.zip        JPEG members, stored, never extracted
    labels.parquet    one row per image: name, split, identity, ten landmark columns, one int8 column per
                      attribute (faces/core/parquet.py)
    source.json       provenance, licence, counts, checksums

`name` is the member's name in images.zip. `split` is train, valid or test. `identity` is -1 where unknown.
The landmark columns (lefteye_x, lefteye_y, ... in pixels of the image, "left" is the left of the picture) are
null where unknown. An attribute is 1, -1, or 0 for unknown.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from faces.core import parquet

SPLITS = ("train", "valid", "test")
LANDMARKS = tuple(
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
LABELS = "labels.parquet"
TABLE = "table.parquet"  # of data/crops
FIXED = ("name", "split", "identity", *LANDMARKS)
STAGES = {LABELS: "download", TABLE: "crop"}  # what writes each table


class RawError(ValueError):
    """data/raw or its source is malformed. The message names the file and the way out."""


def attributes(table: pd.DataFrame) -> tuple[str, ...]:
    """The attribute columns of a label table, in order."""
    return tuple(column for column in table.columns if column not in FIXED)


def schema(names: Collection[str]) -> pa.Schema:
    """The columns of a label table with these attributes, in order."""
    fixed = {"name": pa.string(), "split": pa.string(), "identity": pa.int64()}
    return pa.schema({**fixed, **dict.fromkeys(LANDMARKS, pa.float64()), **dict.fromkeys(names, pa.int8())})


def read_labels(path: Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """The table, or some `columns` of it; attributes are int8, a byte a label. Raises RawError where it is
    missing, lacks a fixed column or holds something else.
    """
    read_attributes(path)
    return parquet.read(path, columns)


def read_attributes(path: Path) -> tuple[str, ...]:
    """The attribute columns. Raises RawError as `read_labels` does; no row is read."""
    stage = STAGES.get(path.name, "crop")
    if not path.is_file():
        if path.with_suffix(".csv").is_file():
            raise RawError(
                f"{path} is missing: {path.with_suffix('.csv').name} beside it is of an earlier version; "
                f"run `dvc repro -f {stage}`"
            )
        raise RawError(f"{path} is missing; run `dvc repro {stage}`")
    try:
        head = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise RawError(f"{path} is no Parquet table ({error}); run `dvc repro -f {stage}`") from None
    if missing := [column for column in ("name", "split", "identity") if column not in head.names]:
        raise RawError(f"{path}: column {missing[0]!r} is missing; run `dvc repro -f {stage}`")
    names = tuple(name for name in head.names if name not in FIXED)
    for name in names:
        if not pa.types.is_int8(head.field(name).type):
            raise RawError(
                f"{path}: column {name!r} holds {head.field(name).type}, and a label is 1, -1 or 0 (int8); "
                f"run `dvc repro -f {stage}`"
            )
    return names


def read_numbers(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N, A) int8 and splits (N,) int8 (indices into SPLITS).

    `count` is the expected number of rows; no other column is read. Raises RawError as `read_labels` does,
    and where the number of rows differs.
    """
    names = read_attributes(path)
    rows = pq.read_metadata(path).num_rows
    if rows != count:
        raise RawError(f"{path} has {rows} rows for {count} images; run `dvc repro -f crop`")
    labels = np.empty((count, len(names)), np.int8)
    splits = np.empty(count, np.int8)
    start = 0
    for block in parquet.blocks(path, ["split", *names]):
        rows = slice(start, start + len(block))
        splits[rows] = places(block["split"])
        for column, name in enumerate(names):
            if block[name].null_count:
                raise RawError(f"{path}: column {name!r} has blanks, and a label is 1, -1 or 0")
            labels[rows, column] = block[name].to_numpy()
        start = rows.stop
    return labels, splits


def places(splits: pa.ChunkedArray) -> np.ndarray:
    """(N,) int8: index into SPLITS of each name, -1 for any other."""
    return pc.index_in(splits, pa.array(SPLITS)).fill_null(-1).to_numpy().astype(np.int8)
