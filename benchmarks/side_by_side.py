"""Edits scored side by side, each on one thread, against one after another on all threads.

    python -m benchmarks.side_by_side DATA [--rounds 2]

DATA is a folder of outputs (`data` after `dvc repro`). The edits are those of the flow, as the stage `score`
has them. The rounds alternate; the best of each counts.
"""

import argparse
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from faces.core.params import load
from faces.nn.device import side_by_side
from faces.scoring import edit_curves
from faces.scoring.context import Scales
from faces.scoring.identity import identity_scales
from stages import score

WAYS = {"one after another": lambda _: map, "side by side": side_by_side}
FOLDERS = ("crops", "model", "latents", "prior", "vectors", "flow", "classifier")
EDITOR = "flow"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    params = load(score.Params)
    inputs = score.opened(params, *(asked.data / name for name in FOLDERS))
    context = inputs.context
    rng = np.random.default_rng(params.seed)
    choice = score.chosen_faces(params, inputs.crops, rng)
    real = context.codec.pictures(inputs.crops.images[choice.real])
    features = context.features(real)
    _, units = identity_scales(context, inputs.crops, inputs.pairs is not None, real, rng)
    scales = Scales.of(units, features)
    editors = {EDITOR: score.editors_of(params, inputs, None)[EDITOR]}
    best = dict.fromkeys(WAYS, np.inf)
    for _ in range(asked.rounds):
        for way, run in WAYS.items():
            with tempfile.TemporaryDirectory() as work, mock.patch.object(edit_curves, "side_by_side", run):
                start = time.perf_counter()
                score.edit_tables(inputs, choice, editors, features, scales, Path(work) / "edits")
                best[way] = min(best[way], time.perf_counter() - start)
    for way, seconds in best.items():
        print(f"{way:18s} {seconds:6.1f} s")
    ratio = best["one after another"] / best["side by side"]
    print(f"ratio, on {torch.get_num_threads()} threads: {ratio:.2f}")


if __name__ == "__main__":
    main()
