"""Fit priors of codes, and choose the one that new faces are drawn from.

in    data/crops/     images.npy, table.parquet: the faces of the valid split
      data/model/     the trained model, whose own prior competes
      data/latents/   latents.npy
      data/flow/      the flow of codes, which competes too
out   data/prior/     prior.safetensors, prior.json (faces/priors.py)

Fitted to codes of the train split. The valid split stops the training and chooses: by kernel distance (KID)
on EfficientNet-Lite1's features, which is in no loss. Several processes (faces/core/ranks.py) share the
priors, to fit them and to measure them.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faces import checkpoints
from faces.core import ranks
from faces.core.batches import batches
from faces.core.console import say, stop
from faces.core.files import new_folder, open_npy
from faces.core.params import Group, load
from faces.data.annotations import SPLITS
from faces.data.crops import Crops
from faces.flow.editor import FlowEditor
from faces.flow.prior import FlowPrior
from faces.metrics.frechet import kernel, polynomial
from faces.models import Model
from faces.nn import perceptual
from faces.nn.device import pick_device, to_device
from faces.priors import Distance, Draw, Priors, Settings


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    prior: Settings
    samples: int = Field(alias="score.samples")
    side: int = Field(alias="score.side")
    batch: int = Field(alias="score.batch")


def distance_to(images: np.ndarray, model: Model, params: Params, device: torch.device) -> Distance:
    """Kernel distance of a prior's faces to `images` (n, H, W, 3), on as many of them."""
    network = perceptual.load("efficientnet_lite1", "", device)

    @torch.no_grad()
    def features(pictures: Callable[[slice], Tensor]) -> np.ndarray:
        found = [
            network.pooled(pictures(rows), params.side).cpu() for rows in batches(len(images), params.batch)
        ]
        return torch.cat(found).numpy()

    real = features(lambda rows: to_device(images[rows], device))

    def distance(draw: Draw) -> float:
        codes = torch.from_numpy(draw(len(images), np.random.default_rng(params.seed)))
        drawn = features(lambda rows: model.decode(codes[rows].to(device)).float().clamp(-1, 1))
        return kernel(*polynomial(drawn, real))

    return distance


def run(
    params: Params, crops_folder: Path, weights: Path, latents: Path, flow: Path | None, out: Path
) -> None:
    """The stage with these params; without a `flow` none competes. Raises ValueError where an input is
    missing or does not fit.
    """
    crops = Crops.open(crops_folder)
    codes = open_npy(latents / "latents.npy")
    device = pick_device()
    model = checkpoints.load(weights)[0].to(device, memory_format=torch.channels_last)
    rng = np.random.default_rng(params.seed)
    train = np.sort(rng.permutation(crops.rows("train"))[: params.prior.fit])
    valid = np.flatnonzero(crops.splits == SPLITS.index("valid"))  # an exam has none
    shown = valid[: params.samples]
    distance = distance_to(crops.images[shown], model, params, device) if len(shown) > 1 else None
    work = ranks.unfinished(params.model_dump(), (crops_folder, weights, latents, *([flow] if flow else [])))
    told = None
    if flow is not None:
        editor = FlowEditor.open(flow, device)
        labels = editor.arranged(crops.attributes, crops.labels[train])
        told = FlowPrior.of_faces(editor, codes[train], labels)
    fitting = (params.prior, params.seed, device, distance, work, told)
    with ranks.joined(device):
        priors = Priors.fit(model, codes[train], codes[valid], *fitting)
    if ranks.rank() > 0:
        return
    with new_folder(out) as folder:
        priors.save(folder)
    ranks.discard(work)
    found = ", ".join(f"{name} {value:.3g}" for name, value in priors.distances.items())
    say(f"prior: new faces come from {priors.best}; KID to valid faces: {found or 'none to compare with'}")


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.prior")
    main(*map(Path, sys.argv[1:]))
