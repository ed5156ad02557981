"""Fit priors of codes, and choose the one that new faces are drawn from.

in    data/crops/     table.csv: which faces are of which split
      data/model/     the trained model, whose own prior competes
      data/latents/   latents.npy
out   data/prior/     prior.safetensors, prior.json (faces/latents/priors.py)

Fitted to codes of the train split; the valid split stops the training and chooses.
"""

import sys
from pathlib import Path

import numpy as np

from faces import checkpoints
from faces.core.console import say, stop
from faces.core.files import new_folder, open_npy
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.latents.priors import Priors, Settings
from faces.nn.device import pick_device


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    prior: Settings


def run(params: Params, crops_folder: Path, weights: Path, latents: Path, out: Path) -> None:
    """The stage with these params. Raises ValueError where an input is missing or does not fit."""
    crops = Crops.open(crops_folder)
    codes = open_npy(latents / "latents.npy")
    device = pick_device()
    model = checkpoints.load(weights)[0].to(device)
    rng = np.random.default_rng(params.seed)
    train = np.sort(rng.permutation(crops.rows("train"))[: params.prior.fit])
    priors = Priors.fit(model, codes[train], codes[crops.rows("valid")], params.prior, params.seed, device)
    with new_folder(out) as folder:
        priors.save(folder)
    told = ", ".join(f"{name} {value:.3g}" for name, value in priors.distances.items())
    say(f"prior: new faces come from {priors.best}; distances to valid codes: {told or 'no valid faces'}")


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
