"""Draw new faces from the model's prior and let a judge score them: labelled codes without a labelled face, InterFaceGAN's own way to its boundaries.

in    data/crops/        table.csv: the attributes
      data/model/        the trained model
      data/classifier/   the judges
out   data/imagined/     codes.npy    float32 (M, D), from the prior at temperature 1
                         labels.npy   int8 (M, A) in the order of table.csv: 1 and -1 for the extremes of the judge's score, 0 between them
      an empty folder where imagine.faces is 0: directions are then those of the data's own faces and labels

Shen, Gu, Tang, Zhou, "Interpreting the Latent Space of GANs for Semantic Face Editing", CVPR 2020, section 3.1. The last judge scores: with two of them
(classifier.widths) the first, who rates edits, has not drawn the directions.
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from faces import checkpoints
from faces.classifier import Panel
from faces.core.batches import batches
from faces.core.console import Progress, stop
from faces.core.files import new_folder
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.metrics.label_stats import extremes
from faces.nn.device import pick_device


class Imagine(Group):
    faces: Annotated[int, Field(ge=0)]
    extremes: Annotated[float, Field(gt=0, le=0.5)]
    batch: Annotated[int, Field(ge=1)]


class Params(Group):
    seed: int
    imagine: Imagine


@torch.no_grad()
def imagine(
    model: torch.nn.Module, panel: Panel, params: Imagine, seed: int, codes: np.ndarray
) -> np.ndarray:
    """Fill `codes` (M, D) from the prior; the evidence (M, A) that the last judge finds in the faces they decode to."""
    device, generator, evidence = next(model.parameters()).device, torch.Generator().manual_seed(seed), []
    bar = Progress("imagine", len(codes), "faces")
    for rows in batches(len(codes), params.batch):
        drawn = model.sample(rows.stop - rows.start, generator, 1.0)
        codes[rows] = drawn.cpu().numpy()
        evidence.append(panel.look(len(panel.judges) - 1, model.decode(drawn.to(device)).clamp(-1, 1))[0])
        bar.update(rows.stop)
    bar.close()
    return np.concatenate(evidence)


def main(crops_folder: Path, weights: Path, judges: Path, out: Path) -> None:
    try:
        params, crops, device = load(Params), Crops.open(crops_folder), pick_device()
        with new_folder(out) as folder:
            if params.imagine.faces:
                model, panel = checkpoints.load(weights)[0].to(device), Panel.open(judges).to(device)
                shape = (params.imagine.faces, model.code_length)
                codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.float32, shape)
                evidence = imagine(model, panel, params.imagine, params.seed, codes)
                labels = np.zeros((len(codes), len(crops.attributes)), np.int8)
                columns = [crops.attributes.index(name) for name in panel.attributes]
                labels[:, columns] = extremes(evidence, round(params.imagine.extremes * len(codes)))
                codes.flush()
                np.save(folder / "labels.npy", labels)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
