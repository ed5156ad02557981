"""Where faces come from. The directory is the registry: `data.source: celeba` names faces/sources/celeba.py
and the group `sources.celeba`.

Each file exports

    Config                                          the group of params, frozen
    paths(config) -> tuple[Path, ...]               what it reads outside of the project, whether there or not
    attributes(config) -> tuple[str, ...]           the label columns it will offer; cheap, touches no
                                                    network; raises SourceError
    fetch(config, seed, folder, report)             fills `folder` as faces/data/annotations.py describes;
                                                    `report(done, total, unit)` shows progress
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from faces.core.params import one_of, parse


class SourceError(RuntimeError):
    """The faces cannot be had. The message names what was tried, why it failed, and the way out."""


def names() -> list[str]:
    """Every source, by file."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The module of the source called `name`. Raises ParamsError with the valid names."""
    return importlib.import_module(f"{__name__}.{one_of('data.source', name, names())}")


def config(name: str, groups: dict[str, Any]) -> Any:
    """The checked params of source `name`, out of the group `sources` of params.yaml."""
    return parse(find(name).Config, groups.get(name), f"sources.{name}")
