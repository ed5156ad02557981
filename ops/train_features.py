"""Train the network by whose features `models.dfc_vae.network: classifier` compares faces.

    python -m ops.train_features data/crops FOLDER     leaves FOLDER/classifier-XXXXXXXX.pth, for models.dfc_vae.weights

It is trained as the judge is, by the group `classifier` of params.yaml, on the same train split; but from another seed and at another width: the judge
itself must not know the model that it judges. The name ends in the file's SHA-256, so that DVC sees a model's params change when the network does.
"""

import hashlib
import io
import sys
from pathlib import Path

import torch

from faces.core.console import say, stop
from faces.core.files import new_file
from faces.core.params import load
from faces.data.crops import Crops
from faces.nn.device import pick_device
from faces.nn.perceptual import ClassifierTrunk
from stages import classifier

SEEDS_APART = 1000  # from the first judge's seed; the others' follow it one by one


def main(crops_folder: Path, out: Path) -> None:
    try:
        params, crops, device = load(classifier.Params), Crops.open(crops_folder), pick_device()
    except ValueError as error:
        raise stop(error) from None
    critic, _ = classifier.train(
        params.classifier, params.seed + SEEDS_APART, ClassifierTrunk.WIDTH, crops, device
    )
    content = io.BytesIO()
    torch.save({name: value.cpu().contiguous() for name, value in critic.state_dict().items()}, content)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"classifier-{hashlib.sha256(content.getvalue()).hexdigest()[:8]}.pth"
    with new_file(path) as draft:
        draft.write_bytes(content.getvalue())
    say(f"critic: {path.resolve()}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
