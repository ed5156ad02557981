"""Compute the direction of every attribute, by every estimator, from the train split; judge them on the test
split.

in    data/crops/     table.csv: labels and splits
      data/latents/   latents.npy; mirrored.npy, where there is one: each train face then counts twice, as it
                      is and mirrored
      data/imagined/  codes.npy and labels.npy of imagined faces, where directions are to come from those
                      (stages/imagine.py)
out   data/vectors/   vectors.npz, vectors.csv, cosines.csv, phi.csv (faces/edits/directions.py)
"""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from faces.core.console import Progress, say, stop
from faces.core.files import new_folder
from faces.core.params import Group, load, one_of, present
from faces.data.crops import Crops
from faces.data.sharded_array import Parts
from faces.edits.exclusions import Exclusive, exclusions
from faces.estimators.estimators import ESTIMATORS, Estimate, Problem, Settings
from faces.estimators.reliability import agreement, appraise, condition, cosine_table, reliability
from faces.latents.codes import Codes
from faces.latents.pca import principal_components
from faces.metrics.auroc import resamples
from faces.metrics.label_stats import LabelStatistics, counts, sample

COLUMNS = [
    "estimator",
    "attribute",
    "positives",
    "negatives",
    "length",
    "sigma",
    "intercept",
    "inflation",
    "agreement",
    "reliability",
]
COLUMNS += ["test_positives", "auroc", "auroc_low", "auroc_high", "note"]


class Vectors(Settings):
    estimators: Annotated[tuple[str, ...], Field(min_length=1)]
    primary: str
    condition_on: tuple[str, ...]
    exclusive: Exclusive
    sample: Annotated[int, Field(ge=0)]
    min_faces: Annotated[int, Field(ge=2)]
    halvings: Annotated[int, Field(ge=0)]
    bootstrap: Annotated[int, Field(ge=0)]
    components: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def names_are_known(self) -> "Vectors":
        for name in self.estimators:
            one_of("vectors.estimators", name, ESTIMATORS)
        one_of("vectors.primary", self.primary, self.estimators)
        return self


class Params(Group):
    seed: int
    vectors: Vectors


def wanted_attributes(params: Params) -> list[tuple[str, tuple[str, ...]]]:
    """Which keys name attributes that the data must have."""
    vectors = params.vectors
    return [
        ("vectors.condition_on", vectors.condition_on),
        ("vectors.balanced.confounders", vectors.balanced.confounders),
        ("vectors.exclusive.sets", vectors.exclusive.names()),
    ]


def invented(imagined: Path) -> tuple[Codes, np.ndarray] | None:
    """The codes (N, D) and labels (N, A) of imagined faces, if there are any."""
    if not (imagined / "codes.npy").is_file():
        return None
    codes, labels = (
        np.load(imagined / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("codes", "labels")
    )
    return Codes.all(codes), np.array(labels)


def examples(codes: np.ndarray, mirrored: np.ndarray | None, crops: Crops) -> tuple[Codes, np.ndarray]:
    """The codes of the train split (N, D) and its labels (N, A). With `mirrored` ones codes are (2 N, D): of
    all faces, then of all their mirror images.
    """
    train = crops.rows("train")
    if mirrored is None:
        return Codes(codes, train), crops.labels[train]
    return Codes(Parts([codes, mirrored]), np.concatenate([train, len(codes) + train])), crops.labels[train]


def compute(
    params: Vectors,
    seed: int,
    conditions: tuple[str, ...],
    given: tuple[Codes, np.ndarray],
    codes: np.ndarray,
    crops: Crops,
) -> tuple[dict, pd.DataFrame]:
    """The arrays of vectors.npz and the rows of vectors.csv, from `given` codes (C N, D) and labels (N, A);
    judged on the faces of `crops` and their `codes`.

    With more codes than labels, all faces are there several times over.
    """
    valid, test = (crops.rows(split) for split in ("valid", "test"))
    rng, (own, labels) = np.random.default_rng(seed), given
    labels = sample(labels, params.sample, rng) if params.sample else labels
    draws = resamples(len(test), params.bootstrap, rng) if params.bootstrap else None
    positives, negatives = counts(labels)
    usable = np.flatnonzero(np.minimum(positives, negatives) >= params.min_faces)
    names = tuple(crops.attributes[a] for a in usable)
    labels = labels if len(usable) == labels.shape[1] else labels[:, usable]
    copies = len(own) // len(labels)
    held_out = Codes(codes, valid), crops.labels[np.ix_(valid, usable)]
    problem = Problem(own, np.tile(labels, (copies, 1)), names, *held_out, params, rng, copies)
    shape = (len(params.estimators), len(crops.attributes))
    vectors, covariance, intercepts = (
        np.full((*shape, *more), np.nan) for more in ((codes.shape[1],), shape[1:], ())
    )
    tables = []
    bar = Progress("vectors", len(params.estimators), "estimators")
    for e, name in enumerate(params.estimators):
        problem.rng = np.random.default_rng(
            [seed, *name.encode()]
        )  # an estimator's draws do not depend on which others are asked for

        def estimate(problem: Problem, name: str = name) -> Estimate:
            return condition(ESTIMATORS[name](problem), names, conditions)

        found = estimate(problem)
        appraisal = appraise(found, problem, Codes(codes, test), crops.labels[np.ix_(test, usable)], draws)
        vectors[e, usable] = found.vectors
        intercepts[e, usable] = appraisal.intercepts
        covariance[np.ix_([e], usable, usable)] = appraisal.covariance
        cosines = agreement(estimate, problem, params.halvings)
        table = appraisal.table.assign(
            agreement=cosines, reliability=reliability(cosines), inflation=problem.statistics.inflation()
        )
        table = table.reindex(crops.attributes).assign(
            estimator=name, positives=positives, negatives=negatives
        )
        tables.append(
            table.fillna({"note": f"left out: fewer than {params.min_faces} train faces on one side"})
        )
        bar.update(e + 1, name)
    bar.close()
    components, along = principal_components(
        problem.codes, problem.moments.mean(), problem.covariance, params.components, rng
    )
    sigma = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0))
    arrays = {"vectors": vectors, "sigma": sigma, "covariance": covariance, "intercepts": intercepts}
    arrays |= {"components": components, "component_sigma": along}
    arrays |= {"mean": problem.moments.mean(), "std": problem.moments.std()}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    table = pd.concat(tables).rename_axis("attribute").reset_index()[COLUMNS]
    return arrays | {
        "attributes": np.array(crops.attributes),
        "estimators": np.array(params.estimators),
    }, table


def main(crops_folder: Path, latents: Path, imagined: Path, out: Path) -> None:
    try:
        params = load(Params)
        crops = Crops.open(crops_folder)
        conditions, *_ = (present(key, names, crops.attributes) for key, names in wanted_attributes(params))
        exclusive = exclusions(
            "vectors.exclusive.sets",
            params.vectors.exclusive,
            crops.attributes,
            crops.labels[crops.rows("train")],
        )
        codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
        path = latents / "mirrored.npy"
        mirrored = np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
        given = invented(imagined) or examples(codes, mirrored, crops)
        arrays, table = compute(params.vectors, params.seed, conditions, given, codes, crops)
    except ValueError as error:
        raise stop(error) from None
    phi = pd.DataFrame(
        LabelStatistics.of(crops.labels[crops.rows("train")]).phi(), columns=list(crops.attributes)
    )
    phi.insert(0, "attribute", crops.attributes)
    with new_folder(out) as folder:
        np.savez(folder / "vectors.npz", exclusive=exclusive, **arrays)
        cosines = cosine_table(arrays["vectors"], params.vectors.estimators, crops.attributes)
        for name, frame in {"vectors": table, "cosines": cosines, "phi": phi}.items():
            frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    for row in table[table["note"] != ""].itertuples():
        say(f"vectors: {row.estimator}: {row.attribute}: {row.note}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
