"""Every stage that processes share, one after another over small data: a program that torchrun may start.

    torchrun ... -m tests.helpers.dealt_stages DATA OUT

Everything is read from DATA, so that a stage that is the same but for rounding does not change the next.
params.yaml is in this folder.
"""

import sys
from pathlib import Path

from faces.core import ranks
from faces.core.params import load
from stages import classifier, crop, encode, imagine, score, vectors


def main(data: Path, out: Path) -> None:
    crops = data / "crops"
    model = data / "model"
    crop.run(load(crop.Params), data / "raw", out / "crops")
    encode.run(load(encode.Params), crops, model, out / "latents")
    classifier.run(load(classifier.Params), crops, out / "classifier")
    asked = load(imagine.Params).model_copy(update={"labels": "imagined"})
    imagine.run(asked, crops, model, data / "classifier", out / "imagined")
    table = crops / "table.csv"
    measures = data / "measures"
    vectors.run(load(vectors.Params), crops, data / "latents", table, measures, out / "vectors")
    latents, prior, directions, classifiers = (
        data / name for name in ("latents", "prior", "vectors", "classifier")
    )
    score.run(load(score.Params), crops, model, latents, prior, directions, None, classifiers, out / "scores")


if __name__ == "__main__":
    with ranks.joined():
        main(*map(Path, sys.argv[1:]))
