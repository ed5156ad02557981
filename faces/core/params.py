"""Typed params from params.yaml: strict and complete; an error is one clear line.

A stage declares the keys it reads as a `Group` beside the code that uses them, and asks for them with `load`.
No group has defaults: a value that is not in params.yaml does not exist.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

FILE = "params.yaml"


class ParamsError(ValueError):
    """A value in params.yaml is wrong. The message is one line: file, key, value, what is allowed."""


class Group(BaseModel):
    """A group of params: immutable; conversions, unknown keys and infinities are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


G = TypeVar("G", bound=Group)


def read(path: Path) -> dict[str, Any]:
    """The whole file as plain values. Raises ParamsError where it is missing, not YAML, or not a mapping."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the root of the project") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: expected groups of keys, found {type(values).__name__}")
    return values


def parse(group: type[G], values: Any, key: str = "", file: str = FILE) -> G:
    """Validate `values` as `group`. Raises ParamsError naming the first wrong key.

    `file` and `key` say where the values are, for the message.
    """
    try:
        return group.model_validate(_tuples(values))
    except ValidationError as error:
        raise ParamsError(_explain(group, error.errors()[0], key, file)) from None


def load(group: type[G], path: Path = Path(FILE)) -> G:
    """Read and validate the keys of params.yaml that `group` names; other keys are ignored.

    A field whose alias has dots reads one key out of another stage's group: `primary: str =
    Field(alias="vectors.primary")`.
    """
    return parse(group, pick(group, read(path)))


def keys(group: type[Group]) -> list[str]:
    """The dotted keys of params.yaml that `group` reads, which dvc.yaml lists for the stage."""
    return [field.alias or name for name, field in group.model_fields.items()]


def pick(group: type[Group], values: dict[str, Any]) -> dict[str, Any]:
    """The part of the file's `values` that `group` reads; missing keys are left out."""
    picked = {}
    for key in keys(group):
        value: Any = values
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        else:
            picked[key] = value
    return picked


def one_of(key: str, value: str, allowed: Iterable[str]) -> str:
    """`value`, if allowed. Raises ParamsError with the nearest name and the whole list."""
    names = list(allowed)
    if value in names:
        return value
    raise ParamsError(f"{FILE}: {key} = {value!r}{did_you_mean(value, names)}; allowed: {', '.join(names)}")


def present(key: str, wanted: Iterable[str], available: Iterable[str]) -> tuple[str, ...]:
    """The wanted names that the data have, in order.

    A name that ends in "?" is wanted only where the data have it; any other name must exist. Raises
    ParamsError otherwise.
    """
    names = tuple(available)
    required = [one_of(key, name, names) for name in wanted if not name.endswith("?")]
    return tuple(name.rstrip("?") for name in wanted if name in required or name.rstrip("?") in names)


def _tuples(values: Any) -> Any:
    """YAML's lists as tuples, so that a frozen group is immutable all the way down."""
    if isinstance(values, list):
        return tuple(map(_tuples, values))
    if isinstance(values, dict):
        return {name: _tuples(value) for name, value in values.items()}
    return values


def _explain(group: type[Group], error: dict[str, Any], key: str, file: str) -> str:
    where = ".".join(str(part) for part in (key, *error["loc"]) if part != "")
    value = error.get("input")
    kind = error["type"]
    if kind == "value_error" and isinstance(
        error["ctx"]["error"], ParamsError
    ):  # a validator with a message of its own
        return str(error["ctx"]["error"])
    if kind == "missing":
        return f"{file}: {where} is missing"
    if kind == "extra_forbidden":
        siblings = _fields(group, error["loc"][:-1])
        meant = did_you_mean(str(error["loc"][-1]), siblings)
        return f"{file}: {where} is not a known key{meant}; allowed: {', '.join(sorted(siblings))}"
    if kind == "literal_error":
        return f"{file}: {where} = {value!r}; allowed: {error['ctx']['expected'].replace(' or ', ', ')}"
    hint = (
        " (in YAML a float needs a dot: write 1.0e-3)" if isinstance(value, str) and _is_number(value) else ""
    )
    return f"{file}: {where} = {value!r}; {error['msg'][0].lower()}{error['msg'][1:]}{hint}"


def _fields(group: type[Group], location: tuple[Any, ...]) -> list[str]:
    """The keys allowed at `location` below `group`."""
    for part in location:
        if part in group.model_fields:
            annotation = group.model_fields[part].annotation
            inner = [
                kind
                for kind in (annotation, *get_args(annotation))
                if isinstance(kind, type) and issubclass(kind, Group)
            ]
            if not inner:
                return []
            group = inner[0]
    return list(group.model_fields)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of an error line: the one of `names` nearest to `name`, or nothing where none is near."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
