"""Strong scaling: the same work on 1, 2 and 4 processes of this machine.

    OMP_NUM_THREADS=1 python -m benchmarks.scaling

Each stage runs whole, reading and merging included, in processes that torchrun has started and joined
already, with one thread and, for crop, one worker each. The speed-up is the time of one process, without
torchrun, over that of several; the best of two rounds, in which the numbers of processes take turns.
Processes beyond the cores show nothing but what sharing costs. Faces are synthesised and the model is
untrained: neither changes the work.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks import cost_model, memory
from faces import checkpoints, models
from faces.core import ranks
from faces.core.files import read_json, write_json
from faces.core.params import load
from faces.core.threads import usable_cores
from faces.data.crops import Crops, read_geometry
from faces.ingest import writer
from stages import classifier, crop, encode, evaluate, prior, score, train, vectors

PROCESSES = (1, 2, 4)
ROUNDS = 2
COUNT = 2048  # faces
STEPS = 16  # of training
CHANGES = {  # what is not measured is short
    "classifier.widths": [8],
    "classifier.images": 2048,
    "classifier.min_auroc": 0.0,
    "prior.diffusion": 0,
    "score.estimators": ["mean_difference", "partial"],
    "score.faces": 100,
    "score.samples": 200,
}
STAGES = ("crop", "train", "encode", "vectors", "score", "evaluate")


def prepare(folder: Path) -> None:
    """What the stages read, in the working folder."""
    memory.params(folder, CHANGES)
    data = folder / "data"
    (data / "raw").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(COUNT)]
    pictures = ((name, cost_model.picture(number)) for number, name in enumerate(names))
    writer.write_images(data / "raw/images.zip", pictures)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"name": names, "split": np.resize(["train"] * 8 + ["valid", "test"], COUNT)})
    table = table.assign(identity=-1, **{f"A{number}": rng.choice([-1, 1], COUNT) for number in range(8)})
    writer.write_labels(data / "raw/labels.parquet", table)
    crop.run(load(crop.Params), data / "raw", data / "crops")
    params = load(train.Params)
    torch.manual_seed(0)
    config = models.config(params.model, params.models)
    geometry = read_geometry(data / "crops/geometry.json")
    model = models.build(params.model, config, geometry.size)
    (data / "model").mkdir()
    checkpoints.save(data / "model", params.model, config, geometry, model)
    pd.DataFrame({"images": [1, 2], "valid_psnr": 9.0}).to_csv(data / "model/history.csv", index=False)
    (data / "measures").mkdir()
    write_json(data / "measures/measures.json", {"enabled": False})
    for work in works(data, data).values():
        work()


def works(data: Path, out: Path) -> dict[str, Callable[[], object]]:
    """The stages that fill `data`, by name, in order; written to `out`."""
    crops = data / "crops"
    found = [data / name for name in ("model", "latents", "prior", "vectors", "classifier", "scores")]
    model, latents, priors, directions, classifiers, scores = found
    chosen = (crops / "table.parquet", data / "measures")
    scored = (crops, model, latents, priors, directions, None, classifiers)
    summed = (crops, model, latents, directions, classifiers, scores, None, None)
    return {
        "encode": lambda: encode.run(load(encode.Params), crops, model, out / "latents"),
        "classifier": lambda: classifier.run(load(classifier.Params), crops, out / "classifier"),
        "prior": lambda: prior.run(load(prior.Params), crops, model, latents, None, out / "prior"),
        "vectors": lambda: vectors.run(load(vectors.Params), crops, latents, *chosen, out / "vectors"),
        "score": lambda: score.run(load(score.Params), *scored, out / "scores"),
        "evaluate": lambda: evaluate.run(load(evaluate.Params), *summed, out / "metrics.json", out / "plots"),
    }


def steps(data: Path) -> None:
    """STEPS steps of training, and its start."""
    params = load(train.Params)
    crops = Crops.open(data / "crops")
    config = models.config(params.model, params.models)
    run = train.begin(params, config, crops, torch.device("cpu"), data / "none")
    for _ in range(STEPS):
        train.advance(run)


def measure(data: Path, out: Path) -> None:
    """As one of some processes: seconds of each stage, in OUT/seconds.json."""
    measured = works(data, out) | {
        "crop": lambda: crop.run(load(crop.Params), data / "raw", out / "crops"),
        "train": lambda: steps(data),
    }
    taken = {}
    with ranks.joined():
        for name in STAGES:
            ranks.wait()
            start = time.perf_counter()
            measured[name]()
            ranks.wait()
            taken[name] = time.perf_counter() - start
    if ranks.rank() == 0:
        write_json(out / "seconds.json", taken)


def launched(folder: Path, processes: int) -> dict[str, float]:
    """Seconds of each stage on that many processes."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [
            sys.executable,
            *(torchrun if processes > 1 else []),
            "-m",
            "benchmarks.scaling",
            "data",
            out,
        ]
        environment = os.environ | {
            "PYTHONPATH": str(memory.ROOT),
            "OMP_NUM_THREADS": "1",
            "FACES_WORKERS": "1",
            "FACES_DEVICE": "cpu",
            "FACES_LOG_SECONDS": "1e9",
        }
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"error: {processes} processes: {done.stderr[-2000:]}")
        return read_json(Path(out) / "seconds.json")


def table(taken: dict[int, dict[str, float]]) -> list[str]:
    """Lines of a table: seconds of one process, and the speed-up of others, by stage."""
    others = [count for count in taken if count > 1]
    lines = [
        "| | 1 process, s | " + " | ".join(f"{count} processes" for count in others) + " |",
        "|---|---|" + "---|" * len(others),
    ]
    for stage, alone in taken[1].items():
        ratios = " | ".join(f"{alone / taken[count][stage]:.2f}" for count in others)
        lines.append(f"| {stage} | {alone:.1f} | {ratios} |")
    return lines


def main() -> None:
    os.environ["FACES_LOG_SECONDS"] = "1e9"
    os.environ["FACES_DEVICE"] = "cpu"
    best: dict[int, dict[str, float]] = {count: {} for count in PROCESSES}
    with cost_model.place() as folder:
        prepare(folder)
        for _ in range(ROUNDS):
            for count in PROCESSES:
                for stage, seconds in launched(folder, count).items():
                    best[count][stage] = min(seconds, best[count].get(stage, seconds))
    print(f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f}; speed-up over one process")
    print("\n".join(table(best)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
