"""python -m ops.preset NAME [KEY=VALUE ...]: a preset, a named set of overrides, applied to params.yaml or
run as an experiment.

    python -m ops.preset --list                    each preset in one sentence
    python -m ops.preset quick                     params.yaml changed, its comments kept
    python -m ops.preset photographs --exp sources.celeba.path=/data/celeba
                                                   the same values as `dvc exp run -S ...`

in    presets/NAME.yaml, params.yaml
out   params.yaml; with --exp what the experiment leaves

KEY=VALUE changes one more key, or a key of the preset. Everything is checked as the stage `check` does before
anything is written or run; only whether the faces are at hand is left to that stage.
"""

import argparse
import os
import shlex
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field

from faces.core import params
from faces.core.console import say, stop
from faces.core.params import Group, ParamsError, did_you_mean
from ops.params_file import Changes, set_params, written
from stages.check import check_keys

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "presets"


class Preset(Group):
    """One file of presets/."""

    about: Annotated[str, Field(min_length=1)]  # one sentence, for --list
    like: str = ""  # the preset whose values hold where this one has none; none where empty
    params: Annotated[Changes, Field(min_length=1)]  # new values by dotted key of params.yaml


def names() -> list[str]:
    """Every preset, by file."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read(name: str, builders: tuple[str, ...] = ()) -> Preset:
    """The preset called `name`, with the values of those that it builds on; `builders` build on it. Raises
    ParamsError.
    """
    known = names()
    place = f"presets/{builders[-1]}.yaml: like: " if builders else ""
    if name in builders:
        raise ParamsError(f"{place}{name} builds on {builders[-1]} itself")
    if name not in known:
        raise ParamsError(
            f"{place}there is no preset {name!r}{did_you_mean(name, known)}; presets: {', '.join(known)}"
        )
    own = params.parse(Preset, params.read(PRESETS / f"{name}.yaml"), file=f"presets/{name}.yaml")
    if not own.like:
        return own
    below = read(own.like, (*builders, name))
    return own.model_copy(update={"params": {**below.params, **own.params}})


def leaves(values: dict[str, Any], above: str = "") -> Changes:
    """Nested params as values by dotted key."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def changed(values: dict[str, Any], changes: Changes, place: str) -> dict[str, Any]:
    """A copy of the nested params with `changes`. Raises ParamsError where a key is not among them; `place`
    names the origin.
    """
    known = leaves(values)
    result = deepcopy(values)
    for key, value in changes.items():
        if key not in known:
            raise ParamsError(f"{place}: {key} is not a key of {params.FILE}{did_you_mean(key, known)}")
        *above, last = key.split(".")
        group = result
        for part in above:
            group = group[part]
        group[last] = list(value) if isinstance(value, tuple) else value
    return result


def words(arguments: list[str]) -> Changes:
    """KEY=VALUE arguments as changes; a value is read as YAML. Raises ParamsError."""
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ParamsError(f"{argument!r}: expected KEY=VALUE, such as train.images=100000")
        try:
            found[key] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError:
            raise ParamsError(f"{argument!r}: the value is not valid YAML; put quotes round it") from None
    return found


def command(changes: Changes) -> list[str]:
    """The experiment with these changes, as `dvc` takes it."""
    return [
        "exp",
        "run",
        *(word for key, value in changes.items() for word in ("-S", f"{key}={written(value)}")),
    ]


def apply(file: Path, before: Changes, changes: Changes) -> None:
    """Write what differs, and say it."""
    different = {key: value for key, value in changes.items() if written(value) != written(before[key])}
    set_params(file, different)
    for key, value in different.items():
        say(f"{params.FILE}: {key}: {written(value)} (was {written(before[key])})")
    say(
        "Next: make run. `git checkout params.yaml` takes the committed values back."
        if different
        else "Nothing to change."
    )


def run(changes: Changes) -> int:
    """The experiment, from the root of the project; its exit code."""
    arguments = command(changes)
    say(shlex.join(["dvc", *arguments]))
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # the stages call `python`
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=ROOT, env=os.environ | {"PATH": path}, check=False
    )
    return done.returncode


def listing() -> str:
    """A line for each preset."""
    known = names()
    width = max(map(len, known))
    return "\n".join(f"{name:{width}}  {read(name).about}" for name in known)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.preset",
        description="Apply a preset to params.yaml, or run it as a DVC experiment.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a file of presets/, without .yaml")
    parser.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE", help="one more key of params.yaml to change"
    )
    parser.add_argument("--exp", action="store_true", help="run it as an experiment, by dvc exp run -S")
    parser.add_argument("--list", action="store_true", help="list the presets, one sentence each")
    chosen = parser.parse_intermixed_args(arguments)
    if chosen.list or chosen.name is None:
        print(listing())
        return 0
    file = ROOT / params.FILE
    try:
        values = params.read(file)
        ours = read(chosen.name).params
        more = words(chosen.changes)
        after = changed(changed(values, ours, f"presets/{chosen.name}.yaml"), more, "command line")
        check_keys(after)
    except ParamsError as error:
        raise stop(error) from None
    changes = {key: leaves(after)[key] for key in {**ours, **more}}
    if chosen.exp:
        return run(changes)
    apply(file, leaves(values), changes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
