"""Codes on disk, read a block at a time: however many faces there are, memory holds one block."""

from collections.abc import Iterator

import numpy as np

from faces.core.batches import batches

NUMBERS = 1 << 21  # in a block: 8 MB of float32, 16,384 codes of length 128 or 170 of length 12,288


class Codes:
    """Some rows of an array (N, D), often a memory map; a row is read when a block that holds it is asked
    for.
    """

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
        """Some of these rows, by their numbers here."""
        return Codes(self.array, self.rows[rows])


def blocks(codes: Codes) -> Iterator[tuple[slice, np.ndarray]]:
    """All of `codes` in order: which of its rows, and those codes (B, D)."""
    for rows in batches(len(codes), max(NUMBERS // codes.shape[1], 1)):
        yield rows, codes[rows]
