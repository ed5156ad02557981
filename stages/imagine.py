"""Sample faces from the model's prior and label them with a classifier, as InterFaceGAN does.

in    data/crops/        table.parquet: the attributes
      data/model/        the trained model
      data/classifier/   the classifiers
out   data/imagined/     codes.npy    float32 (M, D), from the prior at temperature 1
                         labels.npy   int8 (M, A) in the order of table.parquet: 1 and -1 for the extremes of
                                      the classifier's score, 0 between them
      an empty folder unless vectors.labels is imagined: directions then come from the data's own labels

Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face Editing", CVPR 2020, section
3.1. The last classifier labels: with two of them (classifier.widths) the first, which scores edits, has not
labelled the faces that the directions come from.

Several processes (faces/core/ranks.py) share the faces; codes are drawn by each, which costs little. An
interrupted run continues after the finished shards.
"""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faces import checkpoints
from faces.classifier import Ensemble, NoUsableAttribute
from faces.core import ranks
from faces.core.batches import batches
from faces.core.console import Progress, stop
from faces.core.files import new_folder
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.metrics.label_stats import extremes
from faces.models import Model
from faces.nn.device import pick_device


class Imagine(Group):
    faces: Annotated[int, Field(ge=1)]
    extremes: Annotated[float, Field(gt=0, le=0.5)]
    batch: Annotated[int, Field(ge=1)]


class Params(Group):
    seed: int
    imagine: Imagine
    labels: str = Field(alias="vectors.labels")


def drawn(model: Model, params: Imagine, seed: int) -> Iterator[tuple[slice, Tensor]]:
    """Codes from the prior, batch by batch: the rows, and codes (B, D) on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    for rows in batches(params.faces, params.batch):
        yield rows, model.sample(rows.stop - rows.start, generator, 1.0).cpu()


@torch.no_grad()
def read(
    model: Model, ensemble: Ensemble, params: Imagine, seed: int, cut: Iterable[slice]
) -> Iterator[dict[str, np.ndarray]]:
    """Codes (n, D) of each piece of `cut`, and log-odds ratios (n, A) that the last classifier reads in their
    faces.
    """
    cut = list(cut)
    device = next(model.parameters()).device
    last = len(ensemble.classifiers) - 1
    bar = Progress("imagine", params.faces, "faces")
    codes: list[np.ndarray] = []
    log_odds: list[np.ndarray] = []
    for rows, some in drawn(model, params, seed):
        if not cut:
            break
        if rows.start < cut[0].start:
            continue
        faces = model.decode(some.to(device)).clamp(-1, 1)
        codes.append(some.numpy())
        log_odds.append(ensemble.predict(last, faces)[0])
        bar.update(rows.stop)
        if rows.stop == cut[0].stop:
            yield {"codes": np.concatenate(codes), "log_odds": np.concatenate(log_odds)}
            del cut[0]
            codes = []
            log_odds = []
    bar.close()


def run(params: Params, crops_folder: Path, weights: Path, classifiers: Path, out: Path) -> None:
    """Write codes and labels of `imagine.faces` faces; an empty folder where nothing asks for them.

    Raises ValueError.
    """
    crops = Crops.open(crops_folder)
    if params.labels != "imagined":
        if ranks.rank() == 0:
            with new_folder(out):
                pass
        return
    device = pick_device()
    model = checkpoints.load(weights)[0].to(device)
    ensemble = Ensemble.open(classifiers).to(device)
    if not ensemble.attributes:
        raise NoUsableAttribute(
            f"{classifiers}: no attribute reaches classifier.min_auroc, so no face can be labelled; "
            "train longer or lower it, or set vectors.labels to crops/table.parquet"
        )
    files = [*sorted(weights.glob("model.*")), *sorted(classifiers.glob("classifier.*"))]
    work = ranks.unfinished([params.seed, params.imagine.model_dump()], files)
    cut = ranks.pieces(params.imagine.faces, params.imagine.batch)
    with ranks.joined(device):
        ranks.deal("imagine", work, cut, partial(read, model, ensemble, params.imagine, params.seed))
    if ranks.rank() > 0:
        return
    with new_folder(out) as folder:
        shape = (params.imagine.faces, model.code_length)
        codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.float32, shape)
        found = []
        for rows, shard in ranks.merged(work, cut):
            codes[rows] = shard["codes"]
            found.append(shard["log_odds"])
        log_odds = np.concatenate(found)
        labels = np.zeros((len(codes), len(crops.attributes)), np.int8)
        columns = [crops.attributes.index(name) for name in ensemble.attributes]
        labels[:, columns] = extremes(log_odds, round(params.imagine.extremes * len(codes)))
        codes.flush()
        np.save(folder / "labels.npy", labels)
    ranks.discard(work)


def main(crops_folder: Path, weights: Path, classifiers: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, weights, classifiers, out)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.imagine")
    main(*map(Path, sys.argv[1:]))
