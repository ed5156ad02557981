"""Train the attribute classifiers that score edits; they know nothing of the face model.

in    data/crops/        images.npy, table.parquet
out   data/classifier/   classifier.safetensors, classifier.json, scores.csv, history.csv
      (faces/classifier.py)

Trained on the train split, stopped and calibrated on the valid split, measured on the test split. Of data
without labels nothing is learnt, and the tables have no rows.
Several processes (faces/core/ranks.py) share each batch and take the same steps; only rank 0 measures.
"""

import sys
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from faces.classifier import Settings, measure, train
from faces.core import ranks
from faces.core.console import say, stop
from faces.core.files import new_folder, write_csv, write_json
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.nn.device import pick_device

SCORES = ("width", "attribute", "auroc", "usable")  # columns, of data without labels
HISTORY = ("width", "images", "train_loss", "valid_auroc")


class Params(Group):
    seed: int
    classifier: Settings


def run(params: Params, crops_folder: Path, out: Path) -> None:
    """Train one classifier for each width, each with a seed of its own. Raises ValueError."""
    settings = params.classifier
    crops = Crops.open(crops_folder)
    device = pick_device()
    torch.use_deterministic_algorithms(device.type != "cpu", warn_only=True)
    classifiers = nn.ModuleList()
    history: list[dict[str, float]] = []
    scores: list[dict[str, dict[str, float | bool | None]]] = []
    if settings.batch % ranks.size():
        raise ValueError(
            f"params.yaml: classifier.batch = {settings.batch} cannot be dealt evenly to {ranks.size()} "
            "processes; start another number"
        )
    with ranks.joined(device):
        for number, width in enumerate(settings.widths):
            model, lines = train(settings, params.seed + number, width, crops, device)
            classifiers.append(model)
            history += lines
            if ranks.rank() == 0:
                scores.append(measure(settings, model, crops, device))
    if ranks.rank() > 0:
        return
    rows = [
        {"width": width, "attribute": name, **found[name]}
        for width, found in zip(settings.widths, scores, strict=True)
        for name in found
    ]
    about = {
        "attributes": list(crops.attributes),
        "size": crops.geometry.size,
        "widths": list(settings.widths),
        "features": settings.features,
        "classifiers": scores,
    }
    weights = {name: value.cpu().contiguous() for name, value in classifiers.state_dict().items()}
    with new_folder(out) as folder:
        save_file(weights, folder / "classifier.safetensors")
        write_json(folder / "classifier.json", about)
        write_csv(folder / "scores.csv", pd.DataFrame(rows, columns=None if rows else SCORES))
        write_csv(folder / "history.csv", pd.DataFrame(history, columns=None if history else HISTORY))
    for row in rows:
        if not row["usable"]:
            area = "one side only in the test split" if row["auroc"] is None else f"AUROC {row['auroc']:.3f}"
            say(f"classifier: {row['attribute']} cannot be read ({area}); its edits will not be scored")


def main(crops_folder: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, out)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.classifier")
    main(*map(Path, sys.argv[1:]))
