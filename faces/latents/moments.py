"""Count, mean and covariance of codes, in one pass."""

from dataclasses import dataclass

import numpy as np

from faces.core.batches import batches

LARGEST_COVARIANCE = 2048  # longer codes keep variances only: (D, D) in float64 would be 32 MB and more
NUMBERS = 1 << 20  # read at once: 8,192 codes of length 128, 85 of length 12,288


@dataclass(frozen=True)
class Moments:
    """Sums over `count` codes: of z (D,), of z^2 (D,), and of z z^T (D, D) or None.

    All float64, about a `centre` (D,) near the mean.
    """

    count: int
    centre: np.ndarray
    first: np.ndarray
    squares: np.ndarray
    products: np.ndarray | None

    @classmethod
    def of(cls, codes: np.ndarray, rows: np.ndarray, products: bool = True) -> "Moments":
        """Of the chosen rows of codes (N, D), read in blocks: memory does not grow with N.

        Without `products`, or where D is above LARGEST_COVARIANCE, there is no covariance.
        """
        length = codes.shape[1]
        size = max(NUMBERS // length, 1)
        centre = codes[rows[:size]].mean(0, dtype=np.float64)
        first = np.zeros(length)
        squares = np.zeros(length)
        outer = np.zeros((length, length)) if products and length <= LARGEST_COVARIANCE else None
        for where in batches(len(rows), size):
            block = codes[rows[where]].astype(np.float64) - centre
            first += block.sum(0)
            squares += np.square(block).sum(0)
            if outer is not None:
                outer += block.T @ block
        return cls(len(rows), centre, first, squares, outer)

    def mean(self) -> np.ndarray:
        return self.centre + self.first / self.count

    def std(self) -> np.ndarray:
        return np.sqrt(np.maximum(self.squares / self.count - np.square(self.first / self.count), 0))

    def covariance(self) -> np.ndarray | None:
        if self.products is None:
            return None
        shift = self.first / self.count
        return self.products / self.count - np.outer(shift, shift)

    def arrays(self) -> dict[str, np.ndarray]:
        """What moments.npz holds."""
        found = {"count": np.array(self.count), "mean": self.mean(), "std": self.std()}
        covariance = self.covariance()
        return found if covariance is None else found | {"covariance": covariance}
