"""The scale of likeness: how far apart a classifier's features put two pictures of one person, and two
people.
"""

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from faces.classifier import augment
from faces.data.crops import Crops
from faces.metrics import edit_effects
from faces.scoring.context import Context

COLUMNS = ("classifier", "attribute", "same_person", "unit", "same_median", "same_95", "different_05")


def same_person(
    crops: Crops, drawn: bool, count: int, rng: np.random.Generator
) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Pairs of test faces of one person: how they were found, and the pixels of both.

    Pictures with one known identity; otherwise `copies`, which are to be made from the first (None). Where
    faces are `drawn`, identity is known pixel by pixel (psnr_outside) and none of this is needed: `none`.
    """
    test = crops.rows("test")
    if drawn:
        return "none", crops.images[np.sort(rng.permutation(test)[:count])], None
    first, second = edit_effects.identity_pairs(crops.column("identity").to_numpy()[test], count, rng)
    if len(first) >= count // 4:
        return "identities", crops.images[test[first]], crops.images[test[second]]
    return "copies", crops.images[np.sort(rng.permutation(test)[:count])], None


def identity_scales(
    context: Context, crops: Crops, drawn: bool, real: Tensor, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """identity.csv, and the units of the scales (J, A). real (n, 3, H, W) are test faces, nearly all of
    different people.

    The features are trained to tell attributes, so the scale says little of a person where same_95 >
    different_05.
    """
    source, left, right = same_person(crops, drawn, context.params.samples, rng)
    rows: list[dict[str, Any]] = []
    first = context.codec.pictures(left)
    second = augment(first) if right is None else context.codec.pictures(right)
    for number in context.numbers:
        faces = context.read(number, real)[1]
        one = context.read(number, first)[1]
        other = context.read(number, second)[1]
        for name, axis in zip(context.attributes, context.axes(number), strict=True):
            same = edit_effects.distances(one, other, axis)
            different = edit_effects.distances(faces, np.roll(faces, 1, 0), axis)
            marks = edit_effects.identity_scale(same, different)
            if source == "none":
                marks |= {"same_median": np.nan, "same_95": np.nan}
            rows.append({"classifier": number, "attribute": name, "same_person": source, **marks})
    units = np.array([row["unit"] for row in rows]).reshape(len(context.numbers), -1)
    return pd.DataFrame(rows, columns=COLUMNS), units
