"""Sample faces from the model's prior and label them with a classifier, as InterFaceGAN does.

in    data/crops/        table.csv: the attributes
      data/model/        the trained model
      data/classifier/   the classifiers
out   data/imagined/     codes.npy    float32 (M, D), from the prior at temperature 1
                         labels.npy   int8 (M, A) in the order of table.csv: 1 and -1 for the extremes of the
                                      classifier's score, 0 between them
      an empty folder unless vectors.labels is imagined: directions then come from the data's own labels

Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face Editing", CVPR 2020, section
3.1. The last classifier labels: with two of them (classifier.widths) the first, which scores edits, has not
labelled the faces that the directions come from.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from faces import checkpoints
from faces.classifier import Ensemble, NoUsableAttribute
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


@torch.no_grad()
def imagine(model: Model, ensemble: Ensemble, params: Imagine, seed: int, codes: np.ndarray) -> np.ndarray:
    """Fill `codes` (M, D) from the prior; log-odds ratios (M, A) that the last classifier reads in their
    faces.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    last = len(ensemble.classifiers) - 1
    log_odds = []
    bar = Progress("imagine", len(codes), "faces")
    for rows in batches(len(codes), params.batch):
        drawn = model.sample(rows.stop - rows.start, generator, 1.0)
        codes[rows] = drawn.cpu().numpy()
        faces = model.decode(drawn.to(device)).clamp(-1, 1)
        log_odds.append(ensemble.predict(last, faces)[0])
        bar.update(rows.stop)
    bar.close()
    return np.concatenate(log_odds)


def run(params: Params, crops_folder: Path, weights: Path, classifiers: Path, out: Path) -> None:
    """Write codes and labels of `imagine.faces` faces; an empty folder where nothing asks for them.

    Raises ValueError.
    """
    crops = Crops.open(crops_folder)
    with new_folder(out) as folder:
        if params.labels != "imagined":
            return
        device = pick_device()
        model = checkpoints.load(weights)[0].to(device)
        ensemble = Ensemble.open(classifiers).to(device)
        if not ensemble.attributes:
            raise NoUsableAttribute(
                f"{classifiers}: no attribute reaches classifier.min_auroc, so no face can be labelled; "
                "train longer or lower it, or set vectors.labels to crops/table.csv"
            )
        shape = (params.imagine.faces, model.code_length)
        codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.float32, shape)
        log_odds = imagine(model, ensemble, params.imagine, params.seed, codes)
        labels = np.zeros((len(codes), len(crops.attributes)), np.int8)
        columns = [crops.attributes.index(name) for name in ensemble.attributes]
        labels[:, columns] = extremes(log_odds, round(params.imagine.extremes * len(codes)))
        codes.flush()
        np.save(folder / "labels.npy", labels)


def main(crops_folder: Path, weights: Path, classifiers: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, weights, classifiers, out)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
