"""A closed-form model of a run: seconds and memory of each part, fitted to small sets and checked on larger.

    OMP_NUM_THREADS=1 python -m benchmarks.cost_model [PART ...]

A part costs a + b N for N faces: a line, fitted to repeated measurements of a few sizes (least squares of
relative errors), with the standard errors of both constants. It is held to 15% of other sizes, which are not
in the fit. Then follows what it says of 10^8 faces on several processes, and how far off the whole would be
if every part were off by the largest error of its checks. Seconds are those of one core at work, whatever
else runs beside; waiting for a disk is not in them.
"""

import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from benchmarks import memory, scale
from faces import models
from faces.core import ranks
from faces.core.batches import batches
from faces.core.files import write_json
from faces.core.params import load
from faces.data.crops import Crops
from faces.data.sharded_array import Writer
from faces.ingest import writer
from faces.latents.moments import Moments
from faces.scoring.context import Codec
from faces.scoring.reconstruction import reconstruction
from stages import crop, encode, score, train

TOLERANCE = 0.15
ROUNDS = 3  # measurements of each size
QUICK = 7  # the same of parts that take less than a few seconds
AGAIN = 3  # times that such a part runs in each; the least counts, since whatever else runs only adds to it
FACES = 10**8
PROCESSES = (1, 8, 64)
LENGTH = 160  # of a code, at the default params
STAGES_THAT_READ_LABELS = 9
TESTED = 0.1  # share of the faces in the test split


@dataclass(frozen=True)
class Line:
    """a + b N, with the standard errors of a and b."""

    fixed: float
    each: float
    fixed_error: float
    each_error: float

    @classmethod
    def fit(cls, counts: np.ndarray, values: np.ndarray) -> "Line":
        """Least squares of relative errors, of values (n,) measured at counts (n,); n above 2."""
        design = np.stack([np.ones(len(counts)), counts], 1) / values[:, None]
        inverse = np.linalg.inv(design.T @ design)
        solution = inverse @ design.sum(0)
        left = 1 - design @ solution
        errors = np.sqrt(np.diag(inverse) * (left @ left) / (len(counts) - 2))
        return cls(*map(float, solution), *map(float, errors))

    def at(self, count: float) -> float:
        """What `count` faces cost."""
        return self.fixed + self.each * count


@dataclass(frozen=True)
class Part:
    """A part of a run, its sizes, and how processes share it."""

    measure: Callable[[Path, int], dict[str, float]]  # by unit: s, or MB
    fit: tuple[int, ...]
    check: tuple[int, ...]
    shares: int | None  # most processes that can share it; None: any number
    times: float  # how often a run does it, for each face
    rounds: int = ROUNDS


def hours(line: Line, part: Part, count: int, processes: int) -> tuple[float, float]:
    """Predicted hours of a part and their standard error, by the slope: fixed costs are seconds.

    Work that few pieces make up, such as estimators, takes as long as the process with most of them.
    """
    share = 1 / processes if part.shares is None else math.ceil(part.shares / processes) / part.shares
    factor = part.times * count * share / 3600
    return line.each * factor, line.each_error * factor


@contextmanager
def place() -> Iterator[Path]:
    """Context: an empty folder with the default params.yaml, as the working folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "params.yaml").write_bytes((memory.ROOT / "params.yaml").read_bytes())
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def least(run: Callable[[], object]) -> float:
    """Seconds of a quick part that can run again and again."""
    return min(scale.seconds(run) for _ in range(AGAIN))


def picture(number: int = 0) -> bytes:
    """A JPEG of the size and weight of CelebA's, another for each number."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)).resize((178, 218))
    grain = np.asarray(coarse) + rng.normal(0, 6, (218, 178, 1))
    return writer.encode_jpeg(Image.fromarray(grain.clip(0, 255).astype(np.uint8)), 92)


def faces(count: int) -> np.ndarray:
    """(count, 64, 64, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def cut(folder: Path, count: int) -> dict[str, float]:
    """The stage crop, of pictures that stand under many names, by one worker."""
    content = picture()
    (folder / "raw").mkdir()
    names = [f"{number:08d}.jpg" for number in range(count)]
    writer.write_images(folder / "raw/images.zip", ((name, content) for name in names))
    writer.write_labels(folder / "raw/labels.parquet", memory.labels(count, names))
    os.environ["FACES_WORKERS"] = "1"
    params = load(crop.Params)
    return {"s": scale.seconds(lambda: crop.run(params, folder / "raw", folder / "crops"))}


def merge(folder: Path, count: int) -> dict[str, float]:
    """Shards of faces put together by rank 0."""
    pieces = ranks.pieces(count, crop.CHUNK, crop.SHARDS)
    block = faces(crop.CHUNK)
    for piece in pieces:
        ranks.write(
            ranks.shard(folder / "shards", piece),
            rows=np.array([piece.start, piece.stop]),
            faces=block[: piece.stop - piece.start],
        )

    def run() -> None:
        with Writer(folder / "images.npy", block.shape[1:], np.uint8, 10**6) as out:
            for _, found in ranks.merged(folder / "shards", pieces):
                out.append(found["faces"])

    return {"s": scale.seconds(run)}


def read_labels(folder: Path, count: int) -> dict[str, float]:
    """Crops.open, as every stage does it, and the labels of the train split."""
    crops = folder / "crops"
    crops.mkdir()
    np.lib.format.open_memmap(crops / "images.npy", "w+", np.uint8, (count, 8, 8, 3)).flush()
    names = [f"{number:08d}.jpg" for number in range(count)]
    writer.write_labels(crops / "table.parquet", memory.labels(count, names))
    write_json(crops / "geometry.json", {"box": "square", "size": 32, "filter": "lanczos"})

    def run() -> None:
        opened = Crops.open(crops)
        opened.labels[opened.rows("train")]

    return {"s": least(run)}


def write_codes(path: Path, count: int) -> np.ndarray:
    """Codes (count, LENGTH) in a file, mapped."""
    codes = np.lib.format.open_memmap(path, "w+", np.float32, (count, LENGTH))
    block = np.random.default_rng(0).standard_normal((memory.BLOCK, LENGTH), np.float32)
    for rows in batches(count, memory.BLOCK):
        codes[rows] = block[: rows.stop - rows.start]
    codes.flush()
    return np.load(path, mmap_mode="r", allow_pickle=False)


def moments(folder: Path, count: int) -> dict[str, float]:
    """Moments of mapped codes, in one pass."""
    codes = write_codes(folder / "latents.npy", count)
    return {"s": least(lambda: Moments.of(codes, np.arange(count)))}


def network(params: train.Params) -> models.Model:
    """The default system with the weights that it starts with."""
    torch.manual_seed(0)
    config = models.config(params.model, params.models)
    return models.build(params.model, config, 64).to(memory_format=torch.channels_last).eval()


def codes_of(folder: Path, count: int) -> dict[str, float]:
    """The network's part of the stage encode."""
    images = faces(count)
    model = network(load(train.Params))
    batch = load(encode.Params).encode.batch
    list(encode.encode(model, images[:batch], batch, torch.device("cpu")))
    return {"s": scale.seconds(lambda: list(encode.encode(model, images, batch, torch.device("cpu"))))}


def rebuilt(folder: Path, count: int) -> dict[str, float]:
    """What score does with every test face."""
    params = load(score.Params).score
    images = faces(count)
    codec = Codec(network(load(train.Params)), torch.device("cpu"), params.batch)
    codes = np.zeros((count, LENGTH), np.float32)
    rows = np.arange(count)

    def run() -> None:
        reconstruction(codec, images, codes, rows, params.rounds, folder / "shards")

    return {"s": scale.seconds(run)}


def steps(folder: Path, count: int) -> dict[str, float]:
    """Training on `count` images."""
    params = load(train.Params)
    config = models.config(params.model, params.models)
    write_json(folder / "geometry.json", {"box": "square", "size": 64, "filter": "lanczos"})
    names = [f"{number}.jpg" for number in range(1000)]
    splits = ["train"] * 800 + ["valid"] * 100 + ["test"] * 100
    writer.write_labels(
        folder / "table.parquet", pd.DataFrame({"name": names, "split": splits, "A": [1, -1] * 500})
    )
    np.save(folder / "images.npy", faces(1000))
    run = train.Run(params, config, Crops.open(folder), torch.device("cpu"))
    run.prepare()
    train.advance(run)
    return {"s": scale.seconds(lambda: [train.advance(run) for _ in range(count // config.batch)])}


def directions(folder: Path, count: int) -> dict[str, float]:
    """The stage vectors at the default estimators, in a process of its own: seconds and anonymous memory."""
    memory.write_vectors(folder, count)
    peaks: list[float] = []
    taken = scale.seconds(lambda: peaks.append(memory.run_vectors(folder)))
    return {"s": taken, "MB": peaks[0]}


ESTIMATORS = len(
    yaml.safe_load((memory.ROOT / "params.yaml").read_text(encoding="utf-8"))["vectors"]["estimators"]
)
PARTS = {
    "crop": Part(cut, (500, 2000), (1000, 8000), None, 1),
    "merging faces": Part(merge, (131_072, 393_216), (262_144, 524_288), 1, 1),
    "train, an image seen": Part(steps, (128, 256), (512,), None, 1),
    "encode": Part(codes_of, (512, 2048), (1024, 8192), None, 2),  # mirror images too
    "reading labels": Part(
        read_labels, (100_000, 500_000), (200_000, 1_000_000), 1, STAGES_THAT_READ_LABELS, QUICK
    ),
    "moments": Part(moments, (100_000, 500_000), (300_000, 1_000_000), 1, 1, QUICK),
    "vectors": Part(directions, (200_000, 500_000), (300_000, 1_000_000), ESTIMATORS, 1),
    "score, a test face": Part(rebuilt, (128, 512), (256, 1024), None, TESTED),
}


def measured(part: Part, count: int) -> dict[str, float]:
    """One measurement, in a folder of its own."""
    with place() as folder:
        return part.measure(folder, count)


def check(line: Line, count: int, values: list[float]) -> tuple[float, float, float]:
    """What the model says of `count` faces, the median that was measured, and the relative error."""
    found = float(np.median(values))
    said = line.at(count)
    return said, found, said / found - 1


def weighed(told: list[float], errors: list[float]) -> float:
    """Largest relative error of a sum of hours whose parts are off by `errors`."""
    return sum(value * abs(error) for value, error in zip(told, errors, strict=True)) / sum(told)


def fitted(name: str, part: Part) -> tuple[dict[str, Line], float]:
    """The lines of a part by unit and the largest error of its seconds, after a table of its checks."""
    measured(part, min(part.fit))  # what a first call costs more is not in the model
    taken: dict[int, list[dict[str, float]]] = {count: [] for count in part.fit + part.check}
    for _ in range(part.rounds):  # of all sizes in turn, so that a slow minute bends no line
        for count, values in taken.items():
            values.append(measured(part, count))
    points = [(count, value) for count in part.fit for value in taken[count]]
    lines = {}
    worst = 0.0
    for unit in points[0][1]:
        counts = np.array([count for count, _ in points], float)
        lines[unit] = line = Line.fit(counts, np.array([value[unit] for _, value in points]))
        print(
            f"{name}, {unit}: {line.fixed:.3g} ± {line.fixed_error:.2g}, and for a million faces "
            f"{1e6 * line.each:.4g} ± {1e6 * line.each_error:.2g}",
            flush=True,
        )
        for count in part.check:
            said, found, error = check(line, count, [value[unit] for value in taken[count]])
            worst = max(worst, abs(error)) if unit == "s" else worst
            verdict = "" if abs(error) <= TOLERANCE else "  beyond 15%"
            print(
                f"    {count:>9,} faces: said {said:.4g}, measured {found:.4g}: {error:+.0%}{verdict}",
                flush=True,
            )
    return lines, worst


def main(*names: str) -> None:
    os.environ["FACES_LOG_SECONDS"] = "1e9"
    torch.set_num_threads(1)
    chosen = {name: PARTS[name] for name in names or PARTS}
    found = {name: fitted(name, part) for name, part in chosen.items()}
    lines = {name: line for name, (line, _) in found.items()}
    errors = [error for _, error in found.values()]
    print(f"{f'{FACES:.0e} faces, hours':24}" + "".join(f"{f'{count} processes':>20}" for count in PROCESSES))
    for name, part in chosen.items():
        told = [hours(lines[name]["s"], part, FACES, count) for count in PROCESSES]
        print(f"{name:24}" + "".join(f"{f'{value:.2f} ± {error:.2f}':>20}" for value, error in told))
    totals = []
    off = []
    for count in PROCESSES:
        told = [hours(lines[name]["s"], part, FACES, count) for name, part in chosen.items()]
        totals.append((sum(value for value, _ in told), math.hypot(*(error for _, error in told))))
        off.append(weighed([value for value, _ in told], errors))
    print(f"{'all':24}" + "".join(f"{f'{value:.2f} ± {error:.2f}':>20}" for value, error in totals))
    print(f"{'off by, at most':24}" + "".join(f"{share:>20.0%}" for share in off))
    for name in chosen:
        if "MB" in lines[name]:
            print(f"memory of {name}, each process: {lines[name]['MB'].at(FACES) / 1024:.1f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
