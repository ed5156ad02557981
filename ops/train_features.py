"""Train the feature network of `models.dfc_vae.network: classifier` on the data set's own attributes.

    python -m ops.train_features data/crops FOLDER     leaves FOLDER/classifier-XXXXXXXX.pth

Put that path into models.dfc_vae.weights. The network is trained as the classifiers that score edits are, by
the group `classifier` of params.yaml on the train split, but at another width and from another seed, so that
the classifier that scores a model is not in its loss. The name ends in the file's SHA-256, so DVC sees params
change with the network.
"""

import hashlib
import io
import sys
from pathlib import Path

import torch

from faces import classifier
from faces.core.console import say, stop
from faces.core.files import new_file
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.nn.device import pick_device
from faces.nn.perceptual import ClassifierTrunk

SEEDS_APART = 1000  # from the seed of the first classifier; the others' follow it one by one


class Params(Group):
    seed: int
    classifier: classifier.Settings


def main(crops_folder: Path, out: Path) -> None:
    try:
        params = load(Params)
        crops = Crops.open(crops_folder)
        device = pick_device()
    except ValueError as error:
        raise stop(error) from None
    seed = params.seed + SEEDS_APART
    network, _ = classifier.train(params.classifier, seed, ClassifierTrunk.WIDTH, crops, device)
    content = io.BytesIO()
    torch.save({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, content)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"classifier-{hashlib.sha256(content.getvalue()).hexdigest()[:8]}.pth"
    with new_file(path) as draft:
        draft.write_bytes(content.getvalue())
    say(f"train_features: {path.resolve()}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
