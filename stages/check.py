"""Validate all of params.yaml before any work, so that a typo does not cost a training.

in    data/inputs.json    what the source reads outside of the project is as it was
      params.yaml, stages/*.py, faces/models/*.py, faces/sources/*.py
                          every group is checked by the code that will read it
out   data/checked.json   the chosen source and the attributes that it offers
"""

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import stages
from faces import models, sources
from faces.core import params
from faces.core.console import stop
from faces.core.files import write_json

REGISTRIES = ("models", "sources")  # groups with one entry per file of the directory of that name
CHOICES = ("model",)  # top-level keys that choose among them


def groups() -> dict[str, type[params.Group]]:
    """What each stage reads of params.yaml, by stage."""
    found = {}
    for module in pkgutil.iter_modules(stages.__path__):
        group = getattr(importlib.import_module(f"stages.{module.name}"), "Params", None)
        if group is not None:
            found[module.name] = group
    return found


def check_keys(values: dict[str, Any]) -> None:
    """Raises ParamsError where a key of `values` is missing, unknown or wrong. The source itself is not
    asked.
    """
    readers = groups()
    known = {key.split(".")[0] for group in readers.values() for key in params.keys(group)} | {
        *REGISTRIES,
        *CHOICES,
    }
    for key in values:
        params.one_of("top level", key, sorted(known))
    for group in readers.values():
        params.parse(group, params.pick(group, values))
    for registry, package in (("models", models), ("sources", sources)):
        for name in values.get(registry) or {}:
            params.one_of(registry, name, package.names())
            package.config(name, values[registry])
    models.config(values["model"], values["models"])
    params.one_of("data.source", values["data"]["source"], sources.names())


def check(values: dict[str, Any]) -> tuple[str, ...]:
    """The attributes that the chosen source offers, if every key of `values` is good. Raises ParamsError or
    SourceError.
    """
    check_keys(values)
    offered = sources.build(values["data"]["source"], values["sources"]).attributes()
    for name, group in groups().items():
        if wanted := getattr(importlib.import_module(f"stages.{name}"), "wanted_attributes", None):
            for key, names in wanted(params.parse(group, params.pick(group, values))):
                params.present(key, names, offered)
    return offered


def run(values: dict[str, Any], out: Path) -> None:
    """Write what the chosen source offers, if every key of `values` is good. Raises as `check` does."""
    offered = check(values)
    write_json(out, {"source": values["data"]["source"], "attributes": list(offered)})


def main(file: Path, inputs: Path, out: Path) -> None:
    try:
        run(params.read(file), out)
    except (params.ParamsError, sources.SourceError) as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
