"""Params of the stage render."""

from typing import Annotated, Literal

from pydantic import Field

from faces.core.params import Group

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]  # of a file
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=16, le=1024)]
Labels = tuple[str, ...]  # of a face: `Smiling`, `-Male`; with "?" behind: only where the data have it


class Animation(Group):
    """How animations move."""

    tile: Pixels
    frames: Annotated[int, Field(ge=2)]
    fps: Annotated[int, Field(ge=1, le=50)]
    hold: Annotated[int, Field(ge=0)]


class Edit(Group):
    """One face, edited there and back."""

    name: Name
    attribute: str
    where: Labels
    path: tuple[float, float]


class Pair(Group):
    """Two faces of different people."""

    name: Name
    first: Labels
    second: Labels


class Morphs(Group):
    """Closed walks through the codes of test faces."""

    count: Annotated[int, Field(ge=0)]
    anchors: Annotated[int, Field(ge=3)]
    frames: Count


class Render(Group):
    """The group `render`."""

    batch: Count
    rivals: Count
    tile: Pixels
    faces: Annotated[int, Field(ge=2)]
    attributes: tuple[str, ...]
    strengths: tuple[float, ...]
    sigmas: tuple[float, ...]
    stepping: Literal["relative", "absolute"]
    components: Annotated[int, Field(ge=0)]
    native: float
    gain: float
    samples: Count  # new faces
    asked: tuple[Labels, ...]  # new faces with these labels
    way: Literal["line", "arc"]
    steps: Annotated[int, Field(ge=2)]
    interpolations: tuple[Pair, ...]
    animation: Animation
    edits: tuple[Edit, ...]
    journeys: tuple[Pair, ...]
    morphs: Morphs
