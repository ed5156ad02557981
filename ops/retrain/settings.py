"""ops/retrain/retrain.yaml, checked as strictly as params.yaml is."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from faces.core.params import FILE as PARAMS
from faces.core.params import Group, ParamsError, parse, read

FILE = Path(__file__).with_name("retrain.yaml")
Seconds = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Command = tuple[str, ...]


class SettingsError(ValueError):
    """A value in retrain.yaml is wrong. The message is one line: file, key, value, what is allowed."""


class Lock(Group):
    wait: Seconds


class Source(Group):
    folder: str
    refresh: Command
    settle: Seconds
    push: bool


class Challenger(Group):
    base: Annotated[str, Field(min_length=1)]
    command: Annotated[Command, Field(min_length=1)]
    rest: Command
    timeout: Positive
    free: Annotated[float, Field(ge=0)]


class Exam(Group):
    train_faces: Annotated[int, Field(ge=2)]
    timeout: Positive


class Noise(Group):
    seeds: Annotated[tuple[int, ...], Field(min_length=3)]
    command: Annotated[Command, Field(min_length=1)]


class Gates(Group):
    factor: Positive
    reject: Annotated[float, Field(ge=1)]
    floors: dict[str, float]
    tolerances: dict[str, Annotated[float, Field(ge=0)]]
    parity: Positive
    latency: Positive
    spread: Annotated[float, Field(ge=0)]


class Git(Group):
    remote: str
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
    name: Annotated[str, Field(min_length=1)]
    email: Annotated[str, Field(min_length=1)]


class Notify(Group):
    command: Command
    webhook: Annotated[str, Field(pattern=r"^(https?://.+)?$")]
    timeout: Positive


class Settings(Group):
    home: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]  # what GTO allows in a name
    stage: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]
    period: Positive
    keep: Annotated[int, Field(ge=1)]
    lock: Lock
    source: Source
    challenger: Challenger
    exam: Exam
    noise: Noise
    gates: Gates
    git: Git
    notify: Notify


def load(path: Path = FILE) -> Settings:
    """The whole file. Raises SettingsError."""
    try:
        return parse(Settings, read(path))
    except ParamsError as error:
        raise SettingsError(str(error).replace(f"{PARAMS}:", f"{path}:", 1)) from None
