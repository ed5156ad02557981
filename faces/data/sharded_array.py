"""An array sharded over .npy files of a maximum number of rows: faces.npy, faces.1.npy, faces.2.npy, ...
Usually one file holds all of it.

Each file but the last holds the same number of rows, so a row's file and its place in it follow from its
number. Files can lie on different disks, linked into one folder, or elsewhere: faces.shards.json then stands
for them (faces/data/shard_cache.py).
"""

import os
from itertools import count, takewhile
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from faces.data import shard_cache
from faces.data.shard_cache import Remote


def path_of(path: Path, number: int) -> Path:
    """Path of shard `number`; 0 is `path` itself."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}") if number else path


def files(path: Path) -> list[Path]:
    """The existing shards of the array, in order; or the list of where they are."""
    if not path.is_file() and (listed := shard_cache.list_of(path)).is_file():
        return [listed]
    return [path, *takewhile(Path.is_file, (path_of(path, number) for number in count(1)))]


class Parts:
    """Concatenated view of arrays (n, ...), indexed as one (N, ...) by row, slice or row numbers.

    What is read is a copy unless it lies in one array.
    """

    def __init__(self, arrays: list[np.ndarray | Remote]) -> None:
        """Raises ValueError where the arrays are not alike, or one before the last has another length than
        the first.
        """
        self.arrays = arrays
        self.length = len(arrays[0])
        self.dtype = arrays[0].dtype
        self.shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        if {(array.shape[1:], array.dtype) for array in arrays} != {(self.shape[1:], self.dtype)}:
            raise ValueError("they hold rows of different shapes")
        if {len(array) for array in arrays[:-1]} != {self.length} or not 0 < len(arrays[-1]) <= self.length:
            raise ValueError(
                f"they hold {', '.join(str(len(array)) for array in arrays)} rows, "
                "and all but the last should hold as many as the first"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            number = start // self.length
            if step == 1 and start < stop <= (number + 1) * self.length:
                return self.arrays[number][start - number * self.length : stop - number * self.length]
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not (0 <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"a row is outside of 0 to {len(self) - 1}")
        found = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        numbers, places = np.divmod(rows, self.length)
        for number in np.unique(numbers):
            here = numbers == number
            found[here] = self.arrays[number][places[here]]
        return found


def read_ahead(array: "np.ndarray | Parts", first: int, last: int) -> None:
    """Have the system read the rows from `first` to `last` into memory, without waiting for them. Nothing for
    rows that lie elsewhere, or where the system has no such call (macOS).
    """
    if isinstance(array, Parts):
        for number in range(first // array.length, last // array.length + 1):
            start = number * array.length
            part = array.arrays[number]
            read_ahead(part, max(first - start, 0), min(last - start, len(part) - 1))
    elif isinstance(array, np.memmap) and hasattr(os, "posix_fadvise"):
        size = array.strides[0]
        with open(array.filename, "rb") as file:
            where = (array.offset + first * size, (last - first + 1) * size)
            os.posix_fadvise(file.fileno(), *where, os.POSIX_FADV_WILLNEED)


def open_parts(path: Path) -> np.ndarray | Parts:
    """Memory-map the array whose first shard is `path`. Raises ValueError where its shards do not fit
    together.
    """
    here = files(path)
    if here[0].name.endswith(shard_cache.SUFFIX):
        arrays = shard_cache.shards(here[0])
    else:
        arrays = [np.load(file, mmap_mode="r", allow_pickle=False) for file in here]
    try:
        return arrays[0] if len(arrays) == 1 and isinstance(arrays[0], np.ndarray) else Parts(arrays)
    except ValueError as error:
        raise ValueError(
            f"{path} and the {len(arrays) - 1} files after it do not make one array: {error}"
        ) from None


class Writer:
    """Context that appends rows to a sharded array, in constant memory."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype | type, length: int) -> None:
        """Rows of `shape` and `dtype`, at most `length` of them to a file."""
        self.path = path
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.length = length
        self.count = 0
        self.file = self._begin(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def append(self, rows: np.ndarray) -> None:
        """Rows (n, *shape)."""
        while len(rows):
            if self.count and self.count % self.length == 0:
                self._end()
                self.file = self._begin(path_of(self.path, self.count // self.length))
            room = self.length - self.count % self.length
            self.file.write(np.ascontiguousarray(rows[:room], self.dtype).tobytes())
            self.count += len(rows[:room])
            rows = rows[room:]

    def _begin(self, path: Path) -> BinaryIO:
        file = path.open("wb")
        self._head(file, self.length)
        return file

    def _end(self) -> None:
        self._head(self.file, self.count - (max(self.count - 1, 0) // self.length) * self.length)
        self.file.close()

    def _head(self, file: BinaryIO, count: int) -> None:
        """NumPy pads the head so that its length does not depend on `count`: it can be written again at the
        end.
        """
        file.seek(0)
        head = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (count, *self.shape),
        }
        np.lib.format.write_array_header_1_0(file, head)
