"""data/model: a checkpoint that describes itself.

model.safetensors   the averaged weights
model.json          model name, its params, the crop geometry, which fix everything needed to rebuild and feed
                    it
history.csv         loss curves
snapshots.npy       uint8 (T, K, H, W, 3): the same K validation faces reconstructed at each of the T reports;
                    the first is the originals
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from faces import models
from faces.core.files import write_json
from faces.core.params import parse
from faces.data.crops import Geometry


class CheckpointError(ValueError):
    """The folder is not a model of ours, or not of this version. The message says which file and why."""


def save(folder: Path, name: str, config: Any, geometry: Geometry, model: Any) -> None:
    """Write weights and description of a model built from `config` and `geometry.size`."""
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    write_json(
        folder / "model.json",
        {
            "model": name,
            "config": config.model_dump(mode="json"),
            "geometry": geometry.model_dump(mode="json"),
        },
    )


def load(folder: Path) -> tuple[Any, Geometry]:
    """The model, in evaluation mode on the CPU, and the geometry its faces are cut by. Raises
    CheckpointError.
    """
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        name = about["model"]
        geometry = parse(Geometry, about["geometry"], "geometry")
        module = models.find(name)
        model = module.Model(parse(module.Config, about["config"], f"models.{name}"), geometry.size)
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename} is missing; run `dvc repro train`") from None
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: not a checkpoint of this version: {str(error).splitlines()[0]}; run `dvc repro train`"
        ) from None
    return model.eval().requires_grad_(False), geometry
