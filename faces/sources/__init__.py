"""Where faces come from, and the contract that each source keeps. The directory is the registry.

`data.source: celeba` in params.yaml names the file faces/sources/celeba.py and the group `sources.celeba`.
Each file exports `Config`, a group of params, and `Source(config)`, a subclass of the `Source` below.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import Any

from faces.core.console import Report
from faces.core.params import Group, one_of, parse


class SourceError(RuntimeError):
    """The faces cannot be had. The message names what was tried, why it failed, and the way out."""


class Source(ABC):
    """A source of labelled faces, made from its group of params."""

    config: Group

    def __init__(self, config: Group) -> None:
        self.config = config

    @abstractmethod
    def attributes(self) -> tuple[str, ...]:
        """The label columns that it will offer; cheap, without a network. Raises SourceError."""

    @abstractmethod
    def fetch(self, seed: int, folder: Path, report: Report) -> None:
        """Fill `folder` as faces/data/annotations.py describes. Raises SourceError."""


def names() -> list[str]:
    """Every source, by file."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def paths(name: str, groups: dict[str, Any]) -> tuple[Path, ...]:
    """What the source `name` reads outside of the project, whether it is there or not. Its params are not
    checked, since that loads its module. Raises ParamsError where there is no such source.
    """
    group = groups.get(one_of("data.source", name, names()))
    path = group.get("path") if isinstance(group, dict) else None
    return (Path(path).expanduser(),) if path and isinstance(path, str) else ()


def find(name: str) -> ModuleType:
    """The module of the source called `name`. Raises ParamsError with the valid names."""
    return importlib.import_module(f"{__name__}.{one_of('data.source', name, names())}")


def config(name: str, groups: dict[str, Any]) -> Group:
    """The checked params of source `name`, out of the group `sources` of params.yaml. Raises ParamsError."""
    return parse(find(name).Config, groups.get(name), f"sources.{name}")


def build(name: str, groups: dict[str, Any]) -> Source:
    """The source `name` with its params out of the group `sources` of params.yaml. Raises ParamsError."""
    return find(name).Source(config(name, groups))
