"""CelebA: 202,599 aligned photographs of 10,177 people, forty attributes each.

Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015. Routes, in order: `path`, then `mirrors`
as listed.

A `path` that exists is used or refused, never silently replaced by a mirror. Where it does not exist (params
from another machine), the mirrors are tried.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from faces import sources
from faces.core.console import Report
from faces.core.params import Group
from faces.data import annotations
from faces.data.annotations import RawError
from faces.ingest import celeba_layout, writer
from faces.ingest.celeba_mirrors import BY_HAND, MIRRORS
from faces.ingest.http import FetchError
from faces.sources import SourceError

DESCRIPTION = "CelebFaces Attributes (CelebA), aligned and cropped, 178x218 (Liu et al., ICCV 2015)"
LICENCE = (
    "CelebA: for non-commercial research only. The pictures are not the property of the authors; "
    "they, and any portion of derived data, may not be reproduced, sold, exploited, copied, published "
    "or distributed. Crops, codes, sheets and films made from them must not be "
    "committed or published; weights trained on them are to be labelled non-commercial. "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
)

NO_PARTITION = (
    "there is no partition table: a hash of each name says whether it is for training, validation or test"
)
ROWS = 202_599
SPLIT_SIZES = {"train": 162_770, "valid": 19_867, "test": 19_962}
POSITIVES = {  # of all 202,599, in the order of the official header
    "5_o_Clock_Shadow": 22516, "Arched_Eyebrows": 54090, "Attractive": 103833, "Bags_Under_Eyes": 41446,
    "Bald": 4547, "Bangs": 30709, "Big_Lips": 48785, "Big_Nose": 47516,
    "Black_Hair": 48472, "Blond_Hair": 29983, "Blurry": 10312, "Brown_Hair": 41572,
    "Bushy_Eyebrows": 28803, "Chubby": 11663, "Double_Chin": 9459, "Eyeglasses": 13193,
    "Goatee": 12716, "Gray_Hair": 8499, "Heavy_Makeup": 78390, "High_Cheekbones": 92189,
    "Male": 84437, "Mouth_Slightly_Open": 97942, "Mustache": 8417, "Narrow_Eyes": 23329,
    "No_Beard": 169158, "Oval_Face": 57567, "Pale_Skin": 8701, "Pointy_Nose": 56210,
    "Receding_Hairline": 16163, "Rosy_Cheeks": 13315, "Sideburns": 11449, "Smiling": 97669,
    "Straight_Hair": 42222, "Wavy_Hair": 64744, "Wearing_Earrings": 38276, "Wearing_Hat": 9818,
    "Wearing_Lipstick": 95715, "Wearing_Necklace": 24913, "Wearing_Necktie": 14732, "Young": 156734,
}  # fmt: skip
OFFICIAL = tuple(POSITIVES)


class Config(Group):
    path: str  # folder or archive in one of CelebA's layouts; "" = none
    mirrors: tuple[Literal["kaggle", "huggingface", "gdrive"], ...]  # tried in this order


class Source(sources.Source):
    config: Config

    def attributes(self) -> tuple[str, ...]:
        """Those of the table at `path`, or the forty official ones.

        Raises SourceError where `path` exists and is not CelebA.
        """
        path = Path(self.config.path).expanduser()
        if not self.config.path or not path.exists():
            return OFFICIAL
        try:
            with celeba_layout.open_layout(path) as layout:
                return celeba_layout.attribute_names(layout)
        except (RawError, OSError) as error:
            raise SourceError(f"sources.celeba.path: {error}") from None

    def fetch(self, seed: int, folder: Path, report: Report) -> None:
        """Fill `folder` from `path`, or else from the first mirror that works; `seed` is not used.

        Raises SourceError.
        """
        tried = []
        if self.config.path:
            path = Path(self.config.path).expanduser()
            if path.exists():
                try:
                    return _take(path, str(path), folder, self.config, report)
                except (RawError, OSError) as error:
                    raise SourceError(f"sources.celeba.path: {error}") from None
            tried.append(f"path: {path} does not exist")
        for mirror in self.config.mirrors:
            try:
                path, origin = MIRRORS[mirror](report)
                return _take(path, origin, folder, self.config, report, whole=True)
            except (FetchError, RawError, OSError) as error:
                tried.append(f"{mirror}: {error}")
        raise SourceError(
            "\n  ".join(
                [
                    "CelebA cannot be had.",
                    *(tried or ["sources.celeba: path is empty and mirrors names none"]),
                    BY_HAND,
                ]
            )
        )


def check(table: pd.DataFrame, whole: bool) -> None:
    """Compare a table that is, or claims to be, all of CelebA with the published counts. A smaller set is not
    compared.

    Raises RawError with the first difference.
    """
    names = annotations.attributes(table)
    if not whole and (len(table) != ROWS or set(names) != set(OFFICIAL)):
        return
    if len(table) != ROWS:
        raise RawError(f"{len(table)} rows, CelebA has {ROWS}")
    if set(names) != set(OFFICIAL):
        raise RawError(f"attribute {sorted(set(names) ^ set(OFFICIAL))[0]!r}: not the forty of CelebA")
    for split, size in SPLIT_SIZES.items():
        if (found := int((table["split"] == split).sum())) != size:
            raise RawError(f"split {split}: {found} rows, CelebA has {size}")
    for name, size in POSITIVES.items():
        if (found := int((table[name] == 1).sum())) != size:
            raise RawError(f"{name}: {found} positives, CelebA has {size}")


def _take(
    path: Path, origin: str, folder: Path, config: Config, report: Report, *, whole: bool = False
) -> None:
    """Bring the set that lies at `path` into `folder`. `whole`: it must be all of CelebA."""
    with celeba_layout.open_layout(path) as layout, celeba_layout.open_images(layout) as images:
        table, counts = celeba_layout.read_table(layout, images)
        if whole or celeba_layout.PARTITION in layout.tables:
            check(table, whole)
        if whole and counts["rows_without_image"]:
            raise RawError(f"{images.path}: {counts['rows_without_image']} of {ROWS} pictures are missing")
        table = celeba_layout.take_images(images, table, folder / "images.zip", report)
    writer.write_labels(folder / annotations.LABELS, table)
    about = {
        "source": "celeba",
        "description": DESCRIPTION,
        "licence": LICENCE,
        "request": config.model_dump(mode="json"),
        "origin": origin,
        "assumed": [] if celeba_layout.PARTITION in layout.tables else [NO_PARTITION],
        **counts,
        "visible": list(annotations.attributes(table)),
        "flippable": [],
    }
    writer.write_source(folder / "source.json", about, table, folder / "images.zip")
