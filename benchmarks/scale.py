"""What a face costs in each stage, and from that what a million, ten million and a hundred million cost.

    OMP_NUM_THREADS=1 python -m benchmarks.scale

Seconds are those of one core at work, whatever else runs beside, at the default params (64 pixels, `vae`);
memory and storage are bytes per face. Cost that does not grow with the number of faces (imports, training's
budget) is left out: vectors is the slope between two sizes. docs/scale.md says what follows.
"""

import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from benchmarks import memory, throughput
from faces import models
from faces.core.params import load
from faces.data.crops import Crops
from stages import crop, encode, train

SIZES = (10**6, 10**7, 10**8)
STEPS = 10  # of training
VECTORS = (100_000, 1_000_000)  # faces between which the slope is taken


def seconds(run: Callable[[], object]) -> float:
    """Processor time that `run` and the processes it starts take."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    start = spent()
    run()
    return spent() - start


def size(path: Path) -> int:
    return path.stat().st_size


def pixels(folder: Path) -> dict[str, tuple[float, float]]:
    """Of the stages that read pixels: seconds and bytes per face."""
    throughput.synthesise(folder)
    count = throughput.COUNT
    os.environ["FACES_WORKERS"] = "1"
    cut = seconds(lambda: crop.run(load(crop.Params), folder / "raw", folder / "crops"))
    params = load(train.Params)
    crops = Crops.open(folder / "crops")
    device = torch.device("cpu")
    run = train.Run(params, models.config(params.model, params.models), crops, device)
    run.prepare()
    train.advance(run)
    trained = seconds(lambda: [train.advance(run) for _ in range(STEPS)]) / (STEPS * run.config.batch)
    batch = load(encode.Params).encode.batch
    model = run.averaged
    images = crops.images[: 4 * batch]
    encoded = seconds(lambda: list(encode.encode(model, images, batch, device))) / len(images)
    return {
        "raw": (0.0, size(folder / "raw" / "images.zip") / count),
        "crop": (cut / count, size(folder / "crops" / "images.npy") / count),
        "train, per image seen": (trained, 0.0),
        "encode": (encoded, 4.0 * model.code_length),
    }


def directions() -> tuple[float, float, float]:
    """Of the stage vectors, at the default estimators and 40 attributes: seconds, bytes of resident memory
    and of table.parquet, per face more.
    """
    found = []
    for count in VECTORS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "params.yaml").write_text(
                yaml.safe_dump(yaml.safe_load((memory.ROOT / "params.yaml").read_text(encoding="utf-8")))
            )
            peaks: list[float] = []
            memory.write_vectors(folder, count)
            taken = seconds(lambda folder=folder, peaks=peaks: peaks.append(memory.run_vectors(folder)))
            found.append((taken, peaks[0] * 2**20, size(folder / "data/crops/table.parquet")))
            print(
                f"vectors of {count:,} faces: {taken:.0f} s, {peaks[0]:,.0f} MB at most, "
                f"of them {512 * count / 2**20:,.0f} of mapped codes",
                flush=True,
            )
    few, many = found
    return tuple((b - a) / (VECTORS[1] - VECTORS[0]) for a, b in zip(few, many, strict=True))


def hashing() -> float:
    """Seconds per byte of the MD5 that DVC takes of each output."""
    content = bytes(1 << 28)
    return seconds(lambda: hashlib.md5(content, usedforsecurity=False).digest()) / len(content)


def main() -> None:
    os.environ["FACES_LOG_SECONDS"] = "1e9"
    with tempfile.TemporaryDirectory() as temporary:
        costs = pixels(Path(temporary))
    taken, held, table = directions()
    costs |= {"vectors": (taken, 0.0), "table.parquet": (0.0, table)}
    costs["DVC's hash of all"] = (hashing() * sum(stored for _, stored in costs.values()), 0.0)
    print(
        f"{'per face':24}{'core ms':>10}{'bytes':>10}   and for " + ", ".join(f"{count:,}" for count in SIZES)
    )
    for name, (took, stored) in costs.items():
        totals = ", ".join(f"{took * count / 3600:,.1f} h {stored * count / 1e9:,.0f} GB" for count in SIZES)
        print(f"{name:24}{1000 * took:10.3f}{stored:10,.0f}   {totals}", flush=True)
    print(
        f"resident memory of vectors: {held:,.0f} bytes per face: "
        + ", ".join(f"{held * count / 1e9:,.1f} GB" for count in SIZES)
    )


if __name__ == "__main__":
    main()
