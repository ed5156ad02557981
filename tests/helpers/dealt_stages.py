"""Every stage that processes share, one after another over small data: a program that torchrun may start.

    torchrun ... -m tests.helpers.dealt_stages DATA OUT [STAGE ...]

Everything is read from DATA, so that a stage that is the same but for rounding does not change the next.
params.yaml is in this folder. With FACES_LAUNCH the program starts itself under it, as stages do. With
FACES_TEST_DIES=N rank 1 dies as it writes the shard after its first N.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from faces.core import ranks
from faces.core.params import load
from stages import classifier, crop, encode, evaluate, guarantee, imagine, prior, score, vectors, witness


def main(data: Path, out: Path, *stages: str) -> None:
    """Run `stages`, all without any."""
    crops = data / "crops"
    model = data / "model"
    latents, priors, directions, flow, classifiers, scores = (
        data / name for name in ("latents", "prior", "vectors", "flow", "classifier", "scores")
    )
    measures = data / "measures"

    def make_crops() -> None:
        crop.run(load(crop.Params), data / "raw", out / "crops")

    def make_latents() -> None:
        encode.run(load(encode.Params), crops, model, out / "latents")

    def make_classifier() -> None:
        classifier.run(load(classifier.Params), crops, out / "classifier")

    def make_imagined() -> None:
        asked = load(imagine.Params).model_copy(update={"labels": "imagined"})
        imagine.run(asked, crops, model, classifiers, out / "imagined")

    def make_vectors() -> None:
        vectors.run(load(vectors.Params), crops, latents, crops / "table.parquet", measures, out / "vectors")

    def make_scores() -> None:
        found = out / "scores"
        score.run(load(score.Params), crops, model, latents, priors, directions, None, classifiers, found)

    def make_priors() -> None:
        prior.run(load(prior.Params), crops, model, latents, flow, out / "prior")

    def make_guarantee() -> None:
        inputs = (crops, model, latents, directions, flow, classifiers)
        guarantee.run(load(guarantee.Params), *inputs, out / "guarantee")

    def make_witness() -> None:
        inputs = (crops, model, latents, priors, directions, flow, classifiers, scores, measures)
        witness.run(load(witness.Params), *inputs, out / "witness")

    def make_plots() -> None:
        inputs = (crops, model, latents, directions, classifiers, scores, None, None)
        evaluate.run(load(evaluate.Params), *inputs, out / "metrics.json", out / "plots")

    makers = {
        "crops": make_crops,
        "latents": make_latents,
        "classifier": make_classifier,
        "imagined": make_imagined,
        "vectors": make_vectors,
        "scores": make_scores,
        "prior": make_priors,
        "guarantee": make_guarantee,
        "witness": make_witness,
        "plots": make_plots,
    }
    for stage in stages or makers:
        makers[stage]()


def die_after(shards: int) -> None:
    """Have this process kill itself as it writes the shard after its first `shards`."""
    write = np.savez
    left = shards

    def savez(*args: object, **arrays: np.ndarray) -> None:
        nonlocal left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        write(*args, **arrays)

    np.savez = savez


if __name__ == "__main__":
    ranks.launch("tests.helpers.dealt_stages")
    if "FACES_TEST_DIES" in os.environ and ranks.rank() == 1:
        die_after(int(os.environ["FACES_TEST_DIES"]))
    with ranks.joined():
        main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
