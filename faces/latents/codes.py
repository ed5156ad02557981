"""Codes on disk, read block by block, so that memory does not grow with the number of faces."""

from collections.abc import Iterator

import numpy as np

from faces.core.batches import batches

NUMBERS = 1 << 21  # in a block: 8 MB of float32, 16,384 codes of length 128 or 170 of length 12,288


class Codes:
    """A view of some rows of an array (N, D), often a memory map, read lazily."""

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self.array = array
        self.rows = rows
        self.shape = (len(rows), array.shape[1])

    @classmethod
    def all(cls, array: np.ndarray) -> "Codes":
        """Every row of `array`."""
        return cls(array, np.arange(len(array)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, where: slice | np.ndarray) -> np.ndarray:
        rows = self.rows[where]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self.array[rows[0] : rows[-1] + 1]  # neighbours on disk need no copy
        return self.array[rows]

    def part(self, rows: np.ndarray) -> "Codes":
        """A subset, by positions in this view."""
        return Codes(self.array, self.rows[rows])


def blocks(codes: Codes) -> Iterator[tuple[slice, np.ndarray]]:
    """Consecutive blocks of `codes`: the slice of its rows, and the codes (B, D)."""
    for rows in batches(len(codes), max(NUMBERS // codes.shape[1], 1)):
        yield rows, codes[rows]
