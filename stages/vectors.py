"""Compute the direction of every attribute, by every estimator, from the train split; judge them on the test split.

in    data/crops/     table.csv: labels and splits
      data/latents/   latents.npy
out   data/vectors/   vectors.npz, vectors.csv (faces/directions.py)
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from faces.crops import Crops
from faces.estimators import ESTIMATORS, project, sample
from faces.files import new_folder
from faces.moments import Moments
from faces.params import Group, load, one_of
from faces.scores import auroc, resamples
from faces.terminal import say, stop


class Vectors(Group):
    estimators: tuple[str, ...]
    primary: str
    sample: Annotated[int, Field(ge=0)]
    min_faces: Annotated[int, Field(ge=2)]
    bootstrap: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def names_are_known(self) -> "Vectors":
        for name in self.estimators:
            one_of("vectors.estimators", name, ESTIMATORS)
        one_of("vectors.primary", self.primary, self.estimators)
        return self


class Params(Group):
    seed: int
    vectors: Vectors


def compute(params: Vectors, seed: int, codes: np.ndarray, crops: Crops) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The arrays of vectors.npz and the rows of vectors.csv."""
    rng = np.random.default_rng(seed)
    train, test = crops.rows("train"), crops.rows("test")
    train_codes = Rows(codes, train)
    labels, truth = crops.labels[train], crops.labels[test]
    if params.sample:
        labels = sample(labels, params.sample, rng)
    positives, negatives = (labels == 1).sum(0), (labels == -1).sum(0)
    usable = (positives >= params.min_faces) & (negatives >= params.min_faces)
    draws = resamples(len(test), params.bootstrap, rng) if params.bootstrap else None
    moments = Moments.of(codes, train)
    shape = (len(params.estimators), len(crops.attributes))
    vectors, sigma = np.full((*shape, codes.shape[1]), np.nan, np.float32), np.full(shape, np.nan, np.float32)
    rows = []
    for e, name in enumerate(params.estimators):
        found = ESTIMATORS[name](train_codes, labels[:, usable])
        lengths = np.linalg.norm(found, axis=1)
        units = found / np.maximum(lengths, 1e-12)[:, None]
        vectors[e, usable] = found
        sigma[e, usable] = project(train_codes, units).std(0, dtype=np.float64)
        seen = project(Rows(codes, test), units)
        columns = dict(zip(np.flatnonzero(usable), range(len(units)), strict=True))
        for a, attribute in enumerate(crops.attributes):
            row = {"estimator": name, "attribute": attribute, "positives": positives[a], "negatives": negatives[a]}
            if a not in columns:
                rows.append(row | {"note": f"left out: fewer than {params.min_faces} train faces on one side"})
                continue
            known = truth[:, a] != 0
            scores, positive = seen[known, columns[a]], truth[known, a] == 1
            row |= {
                "length": lengths[columns[a]],
                "sigma": sigma[e, a],
                "test_positives": int(positive.sum()),
                "auroc": auroc(scores, positive)[0],
            }
            if draws is not None:
                spread = auroc(scores, positive, draws[:, known])
                row |= dict(zip(("auroc_low", "auroc_high"), np.nanquantile(spread, (0.025, 0.975)), strict=True)) if positive.any() else {}
            rows.append(row | {"note": "" if positive.any() and not positive.all() else "the test split has one class only"})
    order = [
        "estimator",
        "attribute",
        "positives",
        "negatives",
        "length",
        "sigma",
        "test_positives",
        "auroc",
        "auroc_low",
        "auroc_high",
        "note",
    ]
    arrays = {
        "attributes": np.array(crops.attributes),
        "estimators": np.array(params.estimators),
        "vectors": vectors,
        "sigma": sigma,
        "mean": moments.mean().astype(np.float32),
        "std": moments.std().astype(np.float32),
    }
    return arrays, pd.DataFrame(rows).reindex(columns=order)


class Rows:
    """Some rows of a large array, read only when a block of them is asked for."""

    def __init__(self, array: np.ndarray, rows: np.ndarray) -> None:
        self.array, self.rows = array, rows
        self.shape = (len(rows), array.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, where: slice) -> np.ndarray:
        return self.array[self.rows[where]]


def main(crops_folder: Path, latents: Path, out: Path) -> None:
    try:
        params = load(Params)
        crops = Crops.open(crops_folder)
        codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
        arrays, table = compute(params.vectors, params.seed, codes, crops)
    except ValueError as error:
        raise stop(error) from None
    with new_folder(out) as folder:
        np.savez(folder / "vectors.npz", **arrays)
        table.to_csv(folder / "vectors.csv", index=False, lineterminator="\n", float_format="%.6g")
    for row in table[table["note"] != ""].itertuples():
        say(f"vectors: {row.attribute}: {row.note}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
