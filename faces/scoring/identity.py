"""The scale of likeness: how far apart a judge's features put two pictures of one person, and two people."""

import numpy as np
from torch import Tensor

from faces.classifier import augment
from faces.data.crops import Crops
from faces.metrics import edit_effects
from faces.scoring.context import Bench
from faces.scoring.counterfactuals import Counterfactuals
from faces.scoring.edit_curves import Rows


def same_person(
    crops: Crops, pairs: Counterfactuals | None, count: int, rng: np.random.Generator
) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Pairs of test faces of one person: how they were found, the faces' pixels, and those of their other pictures (None: to be made from the first).

    The best there is: pictures with one known identity; otherwise a drawn face and its counterfactuals; otherwise copies that are moved and relit.
    """
    test = crops.rows("test")
    first, second = edit_effects.identity_pairs(crops.table["identity"].to_numpy()[test], count, rng)
    if len(first) >= count // 4:
        return "identities", crops.images[test[first]], crops.images[test[second]]
    if pairs is not None:
        chosen = np.sort(rng.permutation(len(pairs.rows))[:count])
        return "counterfactuals", crops.images[pairs.rows[chosen]], pairs.images[chosen]
    return "copies", crops.images[np.sort(rng.permutation(test)[:count])], None


def identity_scales(
    bench: Bench, crops: Crops, pairs: Counterfactuals | None, real: Tensor, rng: np.random.Generator
) -> tuple[Rows, np.ndarray]:
    """Rows of identity.csv, and the units of the scales (J, A). real (n, 3, H, W) are test faces, nearly all of different people."""
    source, left, right = same_person(crops, pairs, bench.params.samples, rng)
    first = bench.pictures(left)
    second = augment(first) if right is None else bench.pictures(right)
    rows = []
    for judge in range(len(bench.panel.classifiers)):
        (_, one), (_, other), (_, faces) = (bench.judge(judge, images) for images in (first, second, real))
        for name, axis in zip(bench.panel.attributes, bench.panel.axes(judge), strict=True):
            marks = edit_effects.identity_scale(
                edit_effects.distances(one, other, axis),
                edit_effects.distances(faces, np.roll(faces, 1, 0), axis),
            )
            rows.append({"judge": judge, "attribute": name, "same_person": source, **marks})
    return rows, np.array([row["unit"] for row in rows]).reshape(len(bench.panel.classifiers), -1)
