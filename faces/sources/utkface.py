"""UTKFace: 23,708 faces from 0 to 116 years, age, sex and race in the file name:
`[age]_[gender]_[race]_[date].jpg.chip.jpg`.

Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", CVPR 2017. gender 0
male, 1 female; race 0 White, 1 Black, 2 Asian, 3 Indian, 4 other. `path` is a folder (nested ones allowed), a
zip or a tar, of the aligned and cropped edition (200x200, `.jpg.chip.jpg`) or of copies that dropped `.chip`.
Where a picture is there in both forms, or in several folders, the chip counts, or else the first.

The chips are framed otherwise than CelebA's pictures (200x200, the whole head): `crop.box: square` takes them
whole. Models and figures from one frame do not carry over to the other.

Attributes: Male; Young (age <= young_until) and Old (age >= old_from), so that the years between are neither;
one per race. Some names are malformed: those with known repairs are repaired, the others are left out and
listed in source.json.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

import pandas as pd
from pydantic import Field

from faces import sources
from faces.core.console import Report
from faces.core.params import Group
from faces.data import annotations
from faces.data.annotations import RawError
from faces.ingest import writer
from faces.ingest.archives import Files, is_picture, open_files
from faces.ingest.writer import split_of
from faces.sources import SourceError

DESCRIPTION = "UTKFace, aligned and cropped, 200x200 (Zhang et al., CVPR 2017)"
LICENCE = (
    "UTKFace: for non-commercial research only. The copyright of the pictures belongs to their owners; "
    "crops, codes, sheets and films made from them must not be committed or published; "
    "weights trained on them are to be labelled non-commercial. "
    "https://susanqq.github.io/UTKFace/"
)
RACES = ("White", "Black", "Asian", "Indian", "Other_Race")
ATTRIBUTES = ("Male", "Young", "Old", *RACES)

ENDING = r"\s*\.?(jpe?g|png|webp|bmp)(\.chip\.(jpg|png))?"
PATTERN = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)" + ENDING, re.IGNORECASE)
# a field is missing: the age, the gender (None where published repairs disagree) and the race that belong
# there
REPAIRS = {
    "39_1_20170116174525125": (39, None, 1),
    "61_1_20170109150557335": (61, 1, 3),
    "61_1_20170109142408075": (61, 1, 1),
}
OLDEST = 116


class Config(Group):
    path: str  # folder or archive of the aligned and cropped edition
    young_until: Annotated[int, Field(ge=0, le=OLDEST)]  # years; Young up to and including this age
    old_from: Annotated[int, Field(ge=0, le=OLDEST)]  # years; Old from this age on
    valid: Annotated[float, Field(ge=0, le=0.5)]  # share of the pictures, drawn by a hash of the name
    test: Annotated[float, Field(ge=0, le=0.5)]


class Source(sources.Source):
    config: Config

    def attributes(self) -> tuple[str, ...]:
        """The same for every copy. Raises SourceError where `path` is empty or not there."""
        _path(self.config)
        return ATTRIBUTES

    def fetch(self, seed: int, folder: Path, report: Report) -> None:
        """Fill `folder`; `seed` is not used. Raises SourceError."""
        try:
            with open_files(_path(self.config)) as files:
                table, members, left_out = read_names(files, self.config)
                names = dict(zip(members, table["name"], strict=True))
                writer.write_images(
                    folder / "images.zip",
                    ((names[member], content) for member, content in files.each(members, report)),
                )
        except (RawError, OSError) as error:
            raise SourceError(f"sources.utkface.path: {error}") from None
        writer.write_labels(folder / annotations.LABELS, table)
        about = {
            "source": "utkface",
            "description": DESCRIPTION,
            "licence": LICENCE,
            "request": self.config.model_dump(mode="json"),
            "origin": self.config.path,
            "malformed_names": left_out,
            "visible": list(ATTRIBUTES),
            "flippable": [],
        }
        writer.write_source(folder / "source.json", about, table, folder / "images.zip")


def parse(name: str) -> tuple[int, int | None, int] | None:
    """(age in years, gender, race) of a file name, None where it has another form.

    >>> parse("26_1_2_20170116172132354.jpg.chip.jpg")
    (26, 1, 2)
    """
    if match := PATTERN.fullmatch(name):
        age, gender, race = (int(field) for field in match.groups()[:3])
        return (age, gender, race) if age <= OLDEST else None
    return REPAIRS.get(_key(name))


def read_names(files: Files, config: Config) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The label table, the member of each row, and the names without labels. Raises RawError where none has
    any.
    """
    chosen: dict[str, str] = {}
    left_out = []
    for member in filter(is_picture, files.names):
        name = PurePosixPath(member).name
        if parse(name) is None:
            left_out.append(name)
        elif _key(name) not in chosen or (_is_chip(name) and not _is_chip(chosen[_key(name)])):
            chosen[_key(name)] = member
    if not chosen:
        example = f"; the first: {left_out[0]}" if left_out else ""
        raise RawError(f"{files.path}: no picture is named [age]_[gender]_[race]_[date].jpg{example}")
    members = sorted(chosen.values(), key=lambda member: PurePosixPath(member).name)
    return (
        pd.DataFrame([_row(PurePosixPath(member).name, config) for member in members]),
        members,
        sorted(set(left_out)),
    )


def _row(name: str, config: Config) -> dict[str, object]:
    age, gender, race = parse(name)
    return {
        "name": name,
        "split": split_of(name, config.valid, config.test),
        "Male": 0 if gender is None else _sign(gender == 0),
        "Young": _sign(age <= config.young_until),
        "Old": _sign(age >= config.old_from),
        **{label: _sign(race == number) for number, label in enumerate(RACES)},
    }


def _sign(yes: bool) -> int:
    return 1 if yes else -1


def _key(name: str) -> str:
    """The name without its ending: the same for both editions of a picture."""
    return re.sub(ENDING + "$", "", name, flags=re.IGNORECASE)


def _is_chip(name: str) -> bool:
    return name.lower().endswith(("chip.jpg", "chip.png"))


def _path(config: Config) -> Path:
    if not config.path:
        raise SourceError(
            "sources.utkface.path is empty; set it to a folder or archive of UTKFace, aligned and cropped"
        )
    path = Path(config.path).expanduser()
    if not path.exists():
        raise SourceError(f"sources.utkface.path: {path} does not exist")
    return path
