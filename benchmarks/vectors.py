"""How fast and how large: mean differences and held-out AUROC of 40 attributes from CelebA's number of codes,
beside a plain loop over faces.

    python -m benchmarks.vectors

Then ten thousand, two hundred thousand and a million codes, 5,000 of which are held out: the memory held
beyond the labels should not grow, but for the 8 bytes that a face's row number takes.
"""

import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from faces.estimators.estimators import differences
from faces.estimators.reliability import project, units
from faces.latents.codes import Codes
from faces.metrics.auroc import auroc

FACES = 202_599
LENGTH = 128
ATTRIBUTES = 40
TEST = 19_962
SIZES = (10_000, 200_000, 1_000_000)
Result = tuple[np.ndarray, list[float]]


def write(path: Path, count: int) -> None:
    """Random codes (count, LENGTH) and, beside them, labels (count, ATTRIBUTES) that each move one number of
    the code.
    """
    rng = np.random.default_rng(0)
    codes = np.lib.format.open_memmap(path / "codes.npy", "w+", np.float32, (count, LENGTH))
    labels = np.lib.format.open_memmap(path / "labels.npy", "w+", np.int8, (count, ATTRIBUTES))
    for start in range(0, count, 10_000):
        rows = slice(start, min(start + 10_000, count))
        labels[rows] = rng.choice([-1, 1], labels[rows].shape, p=[0.8, 0.2])
        codes[rows] = rng.standard_normal(codes[rows].shape, np.float32)
        codes[rows, :ATTRIBUTES] += labels[rows]


def ours(codes: np.ndarray, labels: np.ndarray, train: int) -> Result:
    """Directions (A, D) from the first `train` faces, and the AUROC of each on the others."""
    found = differences(Codes(codes, np.arange(train)), labels[:train])
    scores = project(Codes(codes, np.arange(train, len(codes))), units(found))
    truth = labels[train:]
    return found, [auroc(scores[:, a], truth[:, a] == 1)[0] for a in range(ATTRIBUTES)]


def plain(codes: np.ndarray, labels: np.ndarray, train: int) -> Result:
    """The same as most scripts do it: for each attribute, gather the codes with and without, and compare
    their means; scikit-learn's AUROC.
    """
    found = np.empty((ATTRIBUTES, LENGTH))
    scores = []
    for a in range(ATTRIBUTES):
        with_ = labels[:train, a] == 1
        without = labels[:train, a] == -1
        found[a] = codes[:train][with_].mean(0) - codes[:train][without].mean(0)
        scores.append(roc_auc_score(labels[train:, a] == 1, codes[train:] @ found[a]))
    return found, scores


def timed(method: Callable[..., Result], path: Path, train: int) -> tuple[float, Result]:
    """Seconds, and what `method` finds in the codes at `path`. The codes are in the disk's cache, and
    libraries are warm, when the clock starts.
    """
    codes = np.load(path / "codes.npy", mmap_mode="r")
    labels = np.load(path / "labels.npy")
    method(codes[:3000], labels[:3000], 2000)
    start = time.perf_counter()
    found = method(codes, labels, train)
    return time.perf_counter() - start, found


def allocated(path: Path, train: int) -> float:
    """Most memory that our way holds at once beyond the labels, in MB."""
    codes = np.load(path / "codes.npy", mmap_mode="r")
    labels = np.load(path / "labels.npy")
    tracemalloc.start()
    ours(codes, labels, train)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write(path, FACES)
        fast, (found, scores) = timed(ours, path, FACES - TEST)
        slow, (expected, others) = timed(plain, path, FACES - TEST)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(scores, others, atol=1e-4)
        print(
            f"{FACES:,} x {LENGTH}, {ATTRIBUTES} attributes: ours {fast:.2f} s, plain {slow:.2f} s, "
            f"{slow / fast:.1f} times as fast, same figures"
        )
        for count in SIZES:
            write(path, count)
            print(
                f"{count:>9,} codes: {timed(ours, path, count - 5_000)[0]:5.2f} s, "
                f"{allocated(path, count - 5_000):4.0f} MB"
            )


if __name__ == "__main__":
    main()
