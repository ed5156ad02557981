"""The systems. The directory is the registry: `model: glow` names faces/models/glow.py and the group `models.glow`.

Each file exports `Config` (a group of params) and `Model(config, size)`, which keeps this contract. Images are float (B, 3, H, W) in [-1, 1].

    code_length                        D
    parts() -> dict[str, Module]       what has an optimiser of its own, by name; one part for most
    prepare(images)                    a look at some train faces before the first step, for an initialisation that depends on data; nothing for most
    phase(progress) -> int             a new number tells the training loop to begin with fresh optimisers; 0 throughout for most
    encode(images) -> codes            (B, 3, H, W) -> (B, D), deterministic
    decode(codes) -> images            (B, D) -> (B, 3, H, W)
    sample(count, generator, temperature) -> codes      (count, D) from the prior
    losses(images, progress)           generator of (part, loss, log): the part to step, the scalar to descend, scalars to write down

`losses` is a generator so that one loop serves one optimiser (autoencoders, Glow) and two (critic, then generator, computed after the first has stepped).
`progress` in [0, 1] is the share of the budget already spent: warm-ups and growth are functions of it, inside the model.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from faces.core.params import one_of, parse


def names() -> list[str]:
    """Every model, by file."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The module of the model called `name`. Raises ParamsError with the valid names."""
    return importlib.import_module(f"{__name__}.{one_of('model', name, names())}")


def config(name: str, groups: dict[str, Any]) -> Any:
    """The checked params of model `name`, out of the group `models` of params.yaml."""
    return parse(find(name).Config, groups.get(name), f"models.{name}")
