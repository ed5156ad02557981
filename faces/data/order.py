"""Order in which training sees its rows: epochs of seeded shuffles, end to end.

Without a window an epoch is a uniform shuffle: every row is read on its own, which a disk does well only as
long as memory holds the faces. With a window it is a block shuffle, the shuffle buffer of tf.data and
WebDataset as a pure order of row numbers: blocks of neighbouring rows are shuffled, then the rows of some
blocks at a time, a window. A disk reads whole blocks, each once an epoch, while memory holds a window.

The order depends on the arguments alone. Every process computes the same, and a run continues at any step.

Where neighbours have nothing in common, batches are those of a uniform shuffle. Where all rows of a block
have one label, its share varies more from batch to batch (`excess_variance`), and batches of B rows from one
window of K blocks are alike: a correlation of about B/(B + K).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
    """Blocks of an epoch in their order; the first place of each window, and last the number of rows."""

    blocks: np.ndarray  # (M,)
    starts: np.ndarray  # (W + 1,)


class Order:
    """Rows (N,) in the order of `seed`; `window` rows are mixed, in blocks of `block`. window 0: all rows."""

    def __init__(self, rows: np.ndarray, seed: int, window: int = 0, block: int = 1) -> None:
        self.rows = rows
        self.seed = seed
        self.window = window
        self.block = block
        self.at_once = max(1, window // block)  # blocks of a window
        self._shuffled = lru_cache(1)(self._shuffle)  # the next step needs it again
        self._layout = lru_cache(2)(self._lay_out)
        self._mixed = lru_cache(2)(self._mix)

    def of_step(self, step: int, batch: int) -> np.ndarray:
        """The (batch,) rows that step number `step` sees."""
        places = np.arange(step * batch, (step + 1) * batch)
        epochs, places = np.divmod(places, len(self.rows))
        found = np.empty(batch, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            found[here] = self._places(int(epoch), places[here])
        return self.rows[found]

    def ahead(self, step: int, batch: int) -> list[tuple[int, int]]:
        """First and last row of the blocks of the next window that are to be read while this step is taken.

        All are there when their window begins.
        """
        if not self.window:
            return []
        found = []
        for total in range(step * batch, (step + 1) * batch):
            epoch, place = divmod(total, len(self.rows))
            starts = self._layout(epoch).starts
            window = int(np.searchsorted(starts, place, "right")) - 1
            number, rest = divmod(place - int(starts[window]), self.block)
            if rest:
                continue
            last = window == len(starts) - 2
            blocks = self._blocks(epoch + 1, 0) if last else self._blocks(epoch, window + 1)
            ends = place + self.block >= starts[window + 1]  # the last window may have fewer blocks
            found += map(self._ends, blocks[number : None if ends else number + 1])
        return found

    def at_start(self, step: int, batch: int) -> list[tuple[int, int]]:
        """The same of the window in which this step begins."""
        if not self.window:
            return []
        epoch, place = divmod(step * batch, len(self.rows))
        window = int(np.searchsorted(self._layout(epoch).starts, place, "right")) - 1
        return [self._ends(block) for block in self._blocks(epoch, window)]

    def _ends(self, block: int) -> tuple[int, int]:
        """First and last row of a block."""
        last = min((block + 1) * self.block, len(self.rows)) - 1
        return int(self.rows[block * self.block]), int(self.rows[last])

    def _places(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """Which of `rows` stand at these places of an epoch."""
        if not self.window:
            return self._shuffled(epoch)[places]
        starts = self._layout(epoch).starts
        windows = np.searchsorted(starts, places, "right") - 1
        found = np.empty(len(places), np.int64)
        for window in np.unique(windows):
            here = windows == window
            found[here] = self._mixed(epoch, int(window))[places[here] - starts[window]]
        return found

    def _shuffle(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))

    def _lay_out(self, epoch: int) -> Layout:
        count = -(-len(self.rows) // self.block)
        blocks = np.random.default_rng((self.seed, epoch)).permutation(count)
        lengths = np.minimum(self.block, len(self.rows) - blocks * self.block)
        ends = np.cumsum(lengths)
        return Layout(blocks, np.concatenate([(ends - lengths)[:: self.at_once], ends[-1:]]))

    def _blocks(self, epoch: int, window: int) -> np.ndarray:
        return self._layout(epoch).blocks[window * self.at_once : (window + 1) * self.at_once]

    def _mix(self, epoch: int, window: int) -> np.ndarray:
        starts = self._blocks(epoch, window) * self.block
        places = np.concatenate(
            [np.arange(start, min(start + self.block, len(self.rows))) for start in starts]
        )
        return np.random.default_rng((self.seed, epoch, window)).permutation(places)


def excess_variance(batch: int, blocks: int) -> float:
    """How many times the variance of a batch's label share is that of a uniform shuffle, at most: where each
    block has one label.

    With V the variance of the label: V/B of `batch` rows from a known mean, and V/K (1 - 1/B) more since the
    mean of the window of K `blocks` varies itself (a cluster sample's design effect, Kish 1965, section 5.4).
    """
    return 1 + (batch - 1) / blocks
