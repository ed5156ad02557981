"""New faces, prior by prior: distance to real faces, coverage, sharpness, and how even the way between faces
is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from faces.core import ranks
from faces.metrics import coverage
from faces.metrics.edit_effects import distances
from faces.metrics.frechet import frechet, frechet_infinity, grams, kernel, polynomial, with_interval
from faces.metrics.sharpness import sharpness
from faces.nn.device import side_by_side, to_uint8
from faces.priors import Priors
from faces.scoring.context import Codec, Context, Score

FEWEST = 8  # faces in each set below which their distances are not measured
SHOWN = 12  # faces of each set that are kept for pictures
EPSILON = 1e-2  # of a path: how far apart two pictures are from which its speed is taken

Features = Callable[[Tensor], np.ndarray]


@dataclass(frozen=True)
class FaceSet:
    """Images (n, 3, H, W), and the codes (n, D) that they were decoded from, None for real faces and
    reconstructions.
    """

    images: Tensor
    codes: np.ndarray | None = None


def sets(
    codec: Codec,
    images: np.ndarray,
    codes: np.ndarray,
    train: np.ndarray,
    rows: np.ndarray,
    priors: Priors,
    seed: int,
) -> dict[str, FaceSet]:
    """As many faces of each kind as there are `rows` of the test split: train faces, those rows rebuilt, and
    samples from each prior.

    images (N, H, W, 3) uint8 and codes (N, D) are all faces; `train` holds the rows of the train split.
    """
    count = len(rows)
    rng = np.random.default_rng(seed)
    faces = {
        "train_faces": FaceSet(codec.pictures(images[np.sort(rng.permutation(train)[:count])])),
        "reconstruction": FaceSet(codec.decode(codes[rows])),
    }
    for name, draw in priors.samplers(codec.model, seed).items():
        drawn = draw(count, rng)
        faces[name] = FaceSet(codec.decode(drawn), drawn)
    return faces


def score_sets(
    faces: dict[str, FaceSet],
    real: Tensor,
    codes: np.ndarray,
    train: np.ndarray,
    networks: dict[str, Features],
    params: Score,
    work: Path | None = None,
) -> list[dict[str, Any]]:
    """Rows of priors.csv: each set against `real` test faces, with 95% intervals where they are cheap. With
    `work` the processes (faces/core/ranks.py) share the sets as shards in that folder.

    Distances and coverage are told by each network's features. Codes of samples are held against the train
    codes (N, D), beside the real faces' codes (n, D).
    """
    wanted = {name: features(real) for name, features in networks.items()}
    reference = to_uint8(real)

    def score_set(name: str) -> dict[str, np.ndarray]:
        drawn = faces[name]
        row: dict[str, Any] = {"set": name, "faces": len(drawn.images)}
        for network, features in networks.items():
            found = features(drawn.images)
            row |= distances_of(found, wanted[network], network, params.groups)
            support = coverage.support(found, wanted[network], params.neighbours)
            row |= {f"{key}_{network}": value for key, value in support.items()}
        row["sharpness"] = sharpness(to_uint8(drawn.images), reference)
        if drawn.codes is not None:
            row["variance"] = coverage.variance_ratio(drawn.codes, train)
            row |= coverage.nearness(drawn.codes, codes, train)
        return {"row": ranks.as_text([row])}

    run = side_by_side(real.device)
    shards = ranks.dealt_jobs("score priors", "sets", work, list(faces), score_set, run)
    return [row for arrays in shards for row in ranks.from_text(arrays["row"])]


def distances_of(found: np.ndarray, wanted: np.ndarray, network: str, groups: int) -> dict[str, float]:
    """KID, FD extrapolated to sets without end, both with intervals, and the plain FD, of features (n, K) and
    (m, K).
    """
    products = grams(found, wanted)
    row = {f"frechet_{network}": frechet(*products)}
    for name, distance, values in (
        ("kernel", kernel, polynomial(found, wanted)),
        ("frechet_inf", frechet_infinity, products),
    ):
        keys = (f"{name}_{network}{end}" for end in ("", "_low", "_high"))
        row |= dict(zip(keys, with_interval(distance, values, groups), strict=True))
    return row


def score_interpolation(codec: Codec, features: Features, codes: np.ndarray, scale: float) -> dict[str, Any]:
    """Row of priors.csv: perceptual path length of the straight lines from each of codes (n, D) to the one
    before it.

    Karras et al. 2019, section 4.1: the mean squared speed along paths of length one, from features EPSILON
    apart, in units of `scale`.
    """
    starts = codes
    ends = np.roll(codes, 1, 0)
    places = np.linspace(0, 1, len(codes) + 2)[1:-1, None]
    before, after = (
        features(codec.decode(starts + (places + move) * (ends - starts)))
        for move in (-EPSILON / 2, EPSILON / 2)
    )
    speed = distances(after, before) / scale / EPSILON
    return {"set": "interpolation", "faces": len(codes), "path_length": float(np.square(speed).mean())}


def score_priors(
    context: Context,
    faces: dict[str, FaceSet],
    real: Tensor,
    codes: np.ndarray,
    train: np.ndarray,
    networks: dict[str, Features],
    scale: float,
    work: Path,
) -> pd.DataFrame:
    """priors.csv: every set of `faces` against `real` ones, by each of `networks`, and the ways between
    these, whose codes are (n, D), by the context's. Without rows where there are fewer real faces than
    FEWEST, or than jackknife groups.
    """
    if len(real) < max(FEWEST, context.params.groups):
        return pd.DataFrame(columns=["set", "faces"])
    rows = score_sets(faces, real, codes, train, networks, context.params, work)
    return pd.DataFrame([*rows, score_interpolation(context.codec, context.features, codes, scale)])


def portraits(faces: dict[str, FaceSet]) -> dict[str, np.ndarray]:
    """The first SHOWN faces of each set, uint8 (n, H, W, 3)."""
    return {name: to_uint8(drawn.images[:SHOWN]) for name, drawn in faces.items()}
