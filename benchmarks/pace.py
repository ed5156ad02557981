"""How fast each system trains here at the settings of `make systems`, and how long its budget therefore
takes.

    python -m benchmarks.pace --threads 2 [NAME ...]

Pictures are noise: the pace does not depend on them. A progressive model's steps cost more as it grows, so
steps are timed at several points of the budget.
"""

import argparse
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faces import models
from faces.core.params import parse, pick, read
from faces.data import annotations
from faces.data.crops import Crops, Geometry
from faces.nn.device import pick_device
from ops.experiments.systems import Changes, Plan, device_name
from stages import train

ROOT = Path(__file__).parents[1]
POINTS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # of the budget
# at each
WARM = 2
STEPS = 6


def noise(size: int, count: int = 640) -> Crops:
    images = np.random.default_rng(0).integers(256, size=(count, size, size, 3), dtype=np.uint8)
    splits = np.where(
        np.arange(count) < count - 64, annotations.SPLITS.index("train"), annotations.SPLITS.index("valid")
    )
    return Crops(
        Path(),
        images,
        Geometry(box="square", size=size, filter="lanczos"),
        (),
        np.empty((count, 0), np.int8),
        splits,
    )


def changed(values: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """params.yaml's values after `changes`."""
    values = deepcopy(values)
    for key, value in changes.items():
        *above, last = key.split(".")
        group = values
        for part in above:
            group = group[part]
        group[last] = value
    return values


def pace(name: str, values: dict[str, Any], device: torch.device) -> tuple[float, int]:
    """Images per second over the whole budget, and the budget in images."""
    params = parse(train.Params, pick(train.Params, values))
    config = models.config(name, values["models"])
    run = train.Run(params, config, noise(values["crop"]["size"]), device)
    run.prepare()
    seconds = 0.0
    for point in POINTS:
        run.step = int(point * run.steps)
        for _ in range(WARM):
            run.advance()
        begun = time.perf_counter()
        for _ in range(STEPS):
            run.advance()
        seconds += (time.perf_counter() - begun) / STEPS
    return config.batch * len(POINTS) / seconds, params.train.images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plan = Plan.read()
    values = read(ROOT / "params.yaml")
    print(
        f"{arguments.threads} threads, {device_name()}\n\n"
        "| system | images/s | images | minutes |\n|---|---|---|---|"
    )
    for name in arguments.names or plan.systems:
        speed, budget = pace(
            name, changed(values, {"model": name, **plan.systems[name].params}), pick_device()
        )
        print(f"| {name} | {speed:,.0f} | {budget:,} | {budget / speed / 60:.1f} |", flush=True)


if __name__ == "__main__":
    main()
