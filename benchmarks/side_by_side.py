"""Edits scored side by side, each on one thread, against one after another on all threads.

    python -m benchmarks.side_by_side DATA [--edits 10] [--rounds 2]

DATA is a folder of outputs (`data` after `dvc repro`). An edit, all along its strengths and at the compared
one, is a job of the stage `score`. The rounds alternate; the best of each counts.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from faces.core.params import load
from faces.nn.device import side_by_side
from faces.scoring import edit_curves
from faces.scoring.context import Sample, Scales
from faces.scoring.counterfactuals import labels_for
from faces.scoring.editors import ScoredEditor
from faces.scoring.identity import identity_scales
from stages import score

WAYS = {"one after another": lambda _: map, "side by side": side_by_side}
FOLDERS = ("crops", "model", "latents", "prior", "vectors", "flow", "classifier")


class Edits:
    """The first `count` edits of the stage, most of them by the first estimator, on the faces of a run."""

    def __init__(self, data: Path, count: int) -> None:
        params = load(score.Params)
        inputs = score.opened(params, *(data / name for name in FOLDERS))
        rng = np.random.default_rng(params.seed)
        choice = score.chosen_faces(params, inputs.crops, rng)
        context = inputs.context
        crops = inputs.crops
        real = context.codec.pictures(crops.images[choice.real])
        features = context.features(real)
        _, units = identity_scales(context, crops, inputs.pairs is not None, real, rng)
        rows = choice.edited
        columns = [crops.attributes.index(name) for name in context.attributes]
        labels = crops.labels[np.ix_(rows, columns)]
        self.sample = Sample.of(context, rows, crops.images[rows], inputs.codes[rows], labels)
        self.scales = Scales.of(units, features)
        self.real = {
            name: features[crops.labels[choice.real, column] == 1]
            for name, column in zip(context.attributes, columns, strict=True)
        }
        self.editors: dict[str, ScoredEditor] = score.editors_of(params, inputs, None)
        self.labels = {name: labels_for(editor, crops, rows) for name, editor in self.editors.items()}
        self.context = context
        self.jobs = [
            (name, target)
            for name, editor in self.editors.items()
            for target, attribute in enumerate(context.attributes)
            if attribute in editor.attributes
        ][:count]

    def score(self, job: tuple[str, int]) -> edit_curves.Scores:
        name, target = job
        wanted = self.real[self.context.attributes[target]]
        parts = (self.editors[name], self.labels[name], target, wanted)
        return edit_curves.score_edit(self.context, self.sample, self.scales, name, *parts)

    def seconds(self, way: str) -> float:
        """What all of them take."""
        start = time.perf_counter()
        for _ in WAYS[way](self.context.codec.device)(self.score, self.jobs):
            pass
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    edits = Edits(asked.data, asked.edits)
    rounds = [{way: edits.seconds(way) for way in WAYS} for _ in range(asked.rounds)]
    best = {way: min(each[way] for each in rounds) for way in WAYS}
    for way, found in best.items():
        print(f"{way:18s} {found / len(edits.jobs):6.2f} s an edit")
    ratio = best["one after another"] / best["side by side"]
    print(f"ratio, on {torch.get_num_threads()} threads: {ratio:.2f}")


if __name__ == "__main__":
    main()
