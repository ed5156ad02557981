"""How fast training reads faces that are not in memory: any row, or blocks mixed a window at a time.

    python -m benchmarks.reading [FOLDER]     on the disk of FOLDER; of the temporary folder if not given

A file of FACES faces of 64 pixels is written, and before each contestant the system is asked to forget it
(posix_fadvise, Linux). The contestants take turns; each reads the same number of batches, as stages/train.py
does, and nothing else is done meanwhile. Windows are smaller than one would set; two are used and a third is
read ahead. What counts is the ratio: the cache of a disk, or of a virtual machine's host, forgets nothing.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from faces.core.batches import batches
from faces.data.order import Order
from faces.data.sharded_array import read_ahead

FACES = 200_000  # 2.5 GB
BATCH = 64
STEPS = 400
ROUNDS = 3
WINDOW = 12_800
CONTESTANTS = {"any row": (0, 1), "blocks of 128": (WINDOW, 128), "blocks of 512": (WINDOW, 512)}
BLOCK = 4096  # faces written at once


def write(path: Path) -> np.ndarray:
    """(FACES, 64, 64, 3) uint8, mapped."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (FACES, 64, 64, 3))
    some = np.random.default_rng(0).integers(0, 256, (BLOCK, 64, 64, 3), dtype=np.uint8)
    for rows in batches(FACES, BLOCK):
        images[rows] = some[: rows.stop - rows.start]
    images.flush()
    return np.load(path, mmap_mode="r", allow_pickle=False)


def forget(path: Path) -> np.ndarray:
    """The array mapped anew, after the system has dropped its pages."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def rate(images: np.ndarray, order: Order) -> float:
    """Faces a second over STEPS batches."""
    start = time.perf_counter()
    for first, last in order.at_start(0, BATCH):
        read_ahead(images, first, last)
    for step in range(STEPS):
        images[order.of_step(step, BATCH)].sum(dtype=np.uint64)
        for first, last in order.ahead(step, BATCH):
            read_ahead(images, first, last)
    return STEPS * BATCH / (time.perf_counter() - start)


def main(folder: str = "") -> None:
    found: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory(dir=folder or None) as temporary:
        path = Path(temporary) / "images.npy"
        write(path)
        for turn in range(ROUNDS):
            for name, (window, block) in CONTESTANTS.items():
                images = forget(path)
                found[name].append(rate(images, Order(np.arange(FACES), turn, window, block)))
                del images  # mapped pages are not forgotten
    first = statistics.median(found["any row"])
    for name, rates in found.items():
        middle = statistics.median(rates)
        spread = f"({min(rates):,.0f} to {max(rates):,.0f})"
        print(f"{name:16}{middle:10,.0f} faces/s {spread}, {middle / first:.1f} times")


if __name__ == "__main__":
    main(*sys.argv[1:])
