"""Checkpoints in data/model: weights, and all that is needed to rebuild the model and feed it.

model.safetensors   the averaged weights
model.json          model name, its params, the labels that trained it, where there are any, and the crop
                    geometry: all that is needed to rebuild and feed it
history.csv         loss curves
snapshots.npy       uint8 (T, K, H, W, 3): K valid faces as they are, then reconstructed at each of T - 1
                    reports
"""

from pathlib import Path

from safetensors.torch import load_file, save_file

from faces import models
from faces.core.files import read_json, write_json
from faces.core.params import parse
from faces.data.crops import Geometry


class CheckpointError(ValueError):
    """The folder is not a checkpoint of this version. The message names the file and the reason."""


def save(folder: Path, name: str, config: models.Config, geometry: Geometry, model: models.Model) -> None:
    """Write weights and description of a model built from `config` and `geometry.size`."""
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    about = {
        "model": name,
        "config": config.model_dump(mode="json"),
        "geometry": geometry.model_dump(mode="json"),
    }
    if model.labels:
        about["labels"] = model.labels
    write_json(folder / "model.json", about)


def load(folder: Path) -> tuple[models.Model, Geometry]:
    """The model, in evaluation mode on the CPU, and the geometry of its faces. Raises CheckpointError."""
    try:
        about = read_json(folder / "model.json")
        name = about["model"]
        geometry = parse(Geometry, about["geometry"], "geometry")
        model = models.build(name, models.config(name, {name: about["config"]}), geometry.size)
        model.supervise(tuple(about.get("labels", ())))
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename} is missing; run `dvc repro train`") from None
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{folder}: not a checkpoint of this version: {reason}; run `dvc repro train`"
        ) from None
    return model.eval().requires_grad_(False), geometry
