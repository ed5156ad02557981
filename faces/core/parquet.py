"""Tables as Parquet: written and read a block of rows at a time, so that memory does not grow with them.

One format, so that the same rows are the same bytes, whatever the parts that they came in: row groups of ROWS
rows, zstd, and nothing about the writer but pyarrow's version. NaN is stored as null, which is no value.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from faces.core.files import new_file

ROWS = 1 << 17  # of a row group: 5 MB of labels in memory, 20 MB of whole rows
MAGIC = b"PAR1"  # first bytes of every Parquet file


class Writer:
    """Context that appends rows to a table, in constant memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        repeated = [field.name for field in schema if pa.types.is_int8(field.type) or field.name == "split"]
        self.schema = schema
        self.file = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated)
        self.waiting = schema.empty_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if len(self.waiting):
            self._write(self.waiting)
        self.file.close()

    def append(self, rows: pa.Table | pd.DataFrame) -> None:
        """Rows with the columns of the schema. Raises pa.ArrowInvalid where a value does not fit it."""
        if isinstance(rows, pd.DataFrame):
            rows = pa.Table.from_pandas(rows, self.schema, preserve_index=False)
        self.waiting = pa.concat_tables([self.waiting, rows.replace_schema_metadata(None)])
        while len(self.waiting) >= ROWS:
            self._write(self.waiting[:ROWS])
            self.waiting = self.waiting[ROWS:]

    def _write(self, rows: pa.Table) -> None:
        self.file.write_table(rows.combine_chunks(), row_group_size=ROWS)


def write(path: Path, table: pd.DataFrame, schema: pa.Schema) -> None:
    """A whole table, or else no file."""
    with new_file(path) as draft, Writer(draft, schema) as out:
        for start in range(0, len(table), ROWS):
            out.append(table.iloc[start : start + ROWS])


def keep(path: Path, goal: Path, kept: np.ndarray) -> None:
    """Write the rows of a table that are `kept` (N,) bool to `goal`, which may be the table itself."""
    with new_file(goal) as draft, Writer(draft, pq.read_schema(path).remove_metadata()) as out:
        start = 0
        for block in blocks(path):
            out.append(block.filter(pa.array(kept[start : start + len(block)])))
            start += len(block)


def blocks(path: Path, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
    """Each row group, or some `columns` of it."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, None if columns is None else list(columns), use_threads=False)


def read(path: Path, columns: Collection[str] | None = None) -> pd.DataFrame:
    """The table in memory, or some `columns` of it, in their order."""
    with pq.ParquetFile(path) as file:
        found = file.read(None if columns is None else list(columns), use_threads=False)
    return found.to_pandas(split_blocks=True, self_destruct=True)


class Rows:
    """Rows of some columns of a table, read as they are asked for; one row group stays in memory."""

    def __init__(self, path: Path, columns: Collection[str]) -> None:
        self.file = pq.ParquetFile(path)
        self.columns = [name for name in columns if name in self.file.schema_arrow.names]
        head = self.file.metadata
        self.starts = np.cumsum(
            [0, *(head.row_group(place).num_rows for place in range(head.num_row_groups))]
        )
        self.number = -1
        self.empty = self.file.schema_arrow.empty_table().select(self.columns)
        self.block = self.empty

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: slice | np.ndarray) -> pd.DataFrame:
        """Rows by slice, or by ascending numbers."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        groups = np.searchsorted(self.starts, rows, "right") - 1
        parts = [self.empty]
        for number in np.unique(groups):
            parts.append(self._group(number).take(rows[groups == number] - self.starts[number]))
        return pa.concat_tables(parts).to_pandas()

    def _group(self, number: int) -> pa.Table:
        if number != self.number:
            self.block = self.file.read_row_group(int(number), self.columns, use_threads=False)
            self.number = number
        return self.block


def columns(path: Path) -> list[str]:
    """The columns of a table, in order."""
    return pq.read_schema(path).names


def naming(path: Path, values: Collection[str]) -> np.ndarray:
    """(N,) bool: which rows hold one of `values` in a column of text."""
    texts = [field.name for field in pq.read_schema(path) if field.type in (pa.string(), pa.large_string())]
    found = []
    for block in blocks(path, texts):
        rows = np.zeros(len(block), bool)
        for column in block.columns:
            rows |= pc.is_in(column, pa.array(list(values), column.type)).to_numpy()
        found.append(rows)
    return np.concatenate(found) if found else np.zeros(0, bool)
