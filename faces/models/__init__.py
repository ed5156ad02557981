"""The face models, one file each. The directory is the registry.

`model: glow` in params.yaml names the file faces/models/glow.py and the group `models.glow`. Each file
exports `Config`, a group of params, and `Model(config, size)`, which keeps the contract: the class `Model` of
faces/nn/model.py. A new file is found, checked and tested (tests/faces/models/test_models.py) the moment it
exists.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from faces.core.params import one_of, parse
from faces.nn.model import Autoencoder, Config, Losses, Model

__all__ = ["Autoencoder", "Config", "Losses", "Model", "build", "config", "find", "names"]


def names() -> list[str]:
    """Every model, by file."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The module of the model called `name`. Raises ParamsError with the valid names."""
    return importlib.import_module(f"{__name__}.{one_of('model', name, names())}")


def config(name: str, groups: dict[str, Any]) -> Config:
    """The checked params of model `name`, out of the group `models` of params.yaml. Raises ParamsError."""
    return parse(find(name).Config, groups.get(name), f"models.{name}")


def build(name: str, config: Config, size: int) -> Model:
    """The untrained model `name` for pictures of `size` pixels a side, weights from torch's random state."""
    return find(name).Model(config, size)
