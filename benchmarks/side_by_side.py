"""Jobs of scoring side by side, each on one thread, against one after another on all threads.

    python -m benchmarks.side_by_side [--jobs 24] [--rounds 3] [NAME]

A job is what an edit costs at one strength: 64 codes decoded and read by a classifier, both untrained, at the
sizes that params.yaml says. The rounds alternate; the best of each counts.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from faces import models
from faces.classifier import AttributeClassifier
from faces.core.batches import batches
from faces.core.params import FILE, read
from faces.nn.device import side_by_side

FACES = 64
ATTRIBUTES = 20


def job_of(name: str) -> Callable[[int], np.ndarray]:
    """A job of the system `name`, by its number: its output does not depend on what runs beside it."""
    values = read(Path(FILE))
    size = values["crop"]["size"]
    torch.manual_seed(0)
    model = models.find(name).Model(models.config(name, values["models"]), size).eval()
    settings = values["classifier"]
    classifier = AttributeClassifier(size, ATTRIBUTES, settings["widths"][0], settings["features"]).eval()
    for network in (model, classifier):
        network.requires_grad_(False).to(memory_format=torch.channels_last)

    def work(number: int) -> np.ndarray:
        codes = torch.randn(FACES, model.code_length, generator=torch.Generator().manual_seed(number))
        found = []
        for rows in batches(FACES, values["score"]["batch"]):
            found.append(classifier.log_odds(model.decode(codes[rows]).clamp(-1, 1))[0])
        return torch.cat(found).numpy()

    return work


def seconds(run: Callable[..., Iterator[np.ndarray]], work: Callable[[int], np.ndarray], jobs: int) -> float:
    """What all jobs take."""
    start = time.perf_counter()
    for _ in run(work, range(jobs)):
        pass
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="vae", help="of a system")
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    work = job_of(asked.name)
    ways = {"one after another": map, "side by side": side_by_side(torch.device("cpu"))}
    best = dict.fromkeys(ways, np.inf)
    for _ in range(asked.rounds):
        for way, run in ways.items():
            best[way] = min(best[way], seconds(run, work, asked.jobs))
    for way, found in best.items():
        print(f"{way:18s} {asked.jobs * FACES / found:7.0f} faces a second")
    print(
        f"ratio, on {torch.get_num_threads()} threads: {best['one after another'] / best['side by side']:.2f}"
    )


if __name__ == "__main__":
    main()
