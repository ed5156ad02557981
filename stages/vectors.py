"""Compute the direction of every attribute, by every estimator, from the train split; test them on the test
split.

in    data/crops/     table.parquet: labels and splits
      data/measures/  labels that were measured, beside those of the table
      data/latents/   latents.npy; mirrored.npy, where there is one: each train face then counts twice
      data/crops/table.parquet again, or data/imagined/ with codes.npy and labels.npy of sampled faces:
                      the labels that directions come from (vectors.labels)
out   data/vectors/   vectors.npz, vectors.csv, cosines.csv, phi.csv (faces/edits/directions.py);
                      measured.csv where there are measured labels: how well each is read off the test codes;
                      relabelled.csv where labels are turned: how many of each attribute

Several processes (faces/core/ranks.py) share the estimators, each of which draws from a random state of its
own. An interrupted run continues after the finished ones.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from faces.core import ranks
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, open_npy, write_csv
from faces.core.params import Group, load, one_of, present
from faces.data import annotations
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.data.sharded_array import Parts
from faces.edits.exclusions import Exclusions, Exclusive
from faces.estimators.estimators import ESTIMATORS, Estimate, Problem, Settings
from faces.estimators.relabelling import relabelled
from faces.estimators.reliability import agreement, appraise, condition, cosine_table, reliability
from faces.latents.codes import Codes
from faces.latents.pca import principal_components
from faces.metrics.auroc import resamples
from faces.metrics.label_stats import LabelStatistics, counts, sample

COLUMNS = [
    *("estimator", "attribute", "positives", "negatives", "length", "sigma", "intercept"),
    *("inflation", "agreement", "reliability", "test_positives", "auroc", "auroc_low", "auroc_high", "note"),
]
FIGURES = [
    *("length", "sigma", "intercept", "test_positives", "auroc", "auroc_low", "auroc_high"),
    *("agreement", "reliability", "inflation"),
]  # of an attribute, in a shard


class Vectors(Settings):
    labels: Literal["crops/table.parquet", "imagined"]
    estimators: Annotated[tuple[str, ...], Field(min_length=1)]
    primary: str
    condition_on: tuple[str, ...]
    exclusive: Exclusive
    relabel: Annotated[float, Field(ge=0)]
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


def imagined_faces(folder: Path) -> tuple[Codes, np.ndarray]:
    """Codes (M, D) and labels (M, A) of imagined faces."""
    return Codes.all(open_npy(folder / "codes.npy")), np.array(open_npy(folder / "labels.npy"))


def train_faces(
    codes: np.ndarray, mirrored: np.ndarray | None, crops: Crops, labels: np.ndarray
) -> tuple[Codes, np.ndarray]:
    """Codes (N, D) of the train split and its rows of all faces' labels.

    With `mirrored` codes there are (2 N, D): of all faces, then of all their mirror images.
    """
    train = crops.rows("train")
    if mirrored is None:
        return Codes(codes, train), labels[train]
    both = np.concatenate([train, len(codes) + train])
    return Codes(Parts([codes, mirrored]), both), labels[train]


@dataclass(frozen=True)
class Labelled:
    """Labels of all N faces: those of the table, then those that were measured, if any."""

    attributes: tuple[str, ...]
    labels: np.ndarray  # (N, A) int8, of a measure its outer thirds
    measures: Measures

    @classmethod
    def of(cls, crops: Crops, measures: Measures) -> "Labelled":
        """Both kinds together."""
        labels = np.concatenate([crops.labels, measures.sides], 1) if measures.scales else crops.labels
        return cls((*crops.attributes, *measures.names), labels, measures)

    def signs(self) -> np.ndarray:
        """(A,) int8: the sign of each label in a mirror image."""
        own = np.ones(len(self.attributes) - len(self.measures.scales), np.int8)
        return np.concatenate([own, self.measures.signs])


def turned(
    params: Params, faces: tuple[Codes, np.ndarray], attributes: tuple[str, ...]
) -> tuple[np.ndarray, pd.DataFrame]:
    """The labels (N, A) of `faces` after relabelling, measured ones as they are, and relabelled.csv:
    attribute, known labels, how many were turned, and to which side.

    `attributes` are those of the table.
    """
    codes, labels = faces
    own = len(attributes)
    rng = np.random.default_rng([params.seed, *b"relabel"])
    originals = codes.part(np.arange(len(labels)))
    found = labels.copy()
    vectors = params.vectors
    found[:, :own] = relabelled(originals, labels[:, :own], vectors.relabel, vectors.boundary, rng)
    changed = found[:, :own] != labels[:, :own]
    table = pd.DataFrame(
        {
            "attribute": list(attributes),
            "known": (labels[:, :own] != 0).sum(0),
            "turned": changed.sum(0),
            "turned_on": (changed & (found[:, :own] > 0)).sum(0),
        }
    )
    return found, table


def pose(
    params: Vectors,
    codes: np.ndarray,
    faces: tuple[Codes, np.ndarray],
    crops: Crops,
    labelled: Labelled,
    rng: np.random.Generator,
) -> tuple[Problem, np.ndarray, np.ndarray]:
    """The `Problem` for all estimators, the columns of its attributes, and counts (2, A) of labelled faces.

    `faces` are codes (C N, D), of every face C times, the second time mirrored, and labels (N, A). Attributes
    with few faces are left out.
    """
    given, labels = faces
    if params.sample:
        labels = sample(labels, params.sample, rng)
    sides = counts(labels)
    usable = np.flatnonzero(sides.min(0) >= params.min_faces)
    names = tuple(labelled.attributes[column] for column in usable)
    copies = len(given) // len(labels)
    labels = labels if len(usable) == labels.shape[1] else labels[:, usable]
    valid = crops.rows("valid")
    problem = Problem(
        codes=given,
        labels=mirrored_too(labels, copies, labelled.signs()[usable]),
        names=names,
        valid_codes=Codes(codes, valid),
        valid_labels=labelled.labels[np.ix_(valid, usable)],
        settings=params,
        rng=rng,
        copies=copies,
    )
    own = len(crops.attributes)
    columns = usable[usable >= own] - own
    if len(columns):
        values = labelled.measures.labels[:, columns]
        signs = labelled.measures.signs[columns]
        problem.measured = mirrored_too(values[crops.rows("train")], copies, signs)
        problem.valid_measured = values[valid]
    return problem, usable, sides


def mirrored_too(labels: np.ndarray, copies: int, signs: np.ndarray) -> np.ndarray:
    """Labels (N, A) of `copies` of each face, (copies N, A): the second is its mirror image, in which labels
    change by `signs` (A,).
    """
    return np.concatenate([labels, labels * signs][:copies])


def estimate_each(
    params: Vectors,
    seed: int,
    conditions: tuple[str, ...],
    problem: Problem,
    test_codes: Codes,
    truth: np.ndarray,
    draws: np.ndarray | None,
    cut: Iterable[slice],
) -> Iterator[dict[str, np.ndarray]]:
    """Of each estimator whose number is in `cut`, over the attributes of `problem`: vectors (A, D),
    covariance (A, A), intercepts (A,), and of vectors.csv the FIGURES (A, F) and note (A,).
    """
    cut = list(cut)
    bar = Progress("vectors", len(cut), "estimators")
    for done, piece in enumerate(cut, 1):
        name = params.estimators[piece.start]
        problem.rng = np.random.default_rng([seed, *name.encode()])  # whichever others are asked for

        def estimate(problem: Problem, name: str = name) -> Estimate:
            return condition(ESTIMATORS[name](problem), problem.names, conditions)

        found = estimate(problem)
        appraisal = appraise(found, problem, test_codes, truth, draws)
        cosines = agreement(estimate, problem, params.halvings)
        table = appraisal.table.assign(
            agreement=cosines, reliability=reliability(cosines), inflation=problem.statistics.inflation()
        )
        yield {
            "vectors": found.vectors,
            "covariance": appraisal.covariance,
            "intercepts": appraisal.intercepts,
            "figures": table[FIGURES].to_numpy(np.float64),
            "note": table["note"].to_numpy(str),
        }
        bar.update(done, name)
    bar.close()


def compute(
    params: Params,
    conditions: tuple[str, ...],
    faces: tuple[Codes, np.ndarray],
    codes: np.ndarray,
    crops: Crops,
    labelled: Labelled,
    work: Path,
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The arrays of vectors.npz and the rows of vectors.csv, from the codes and labels of `faces`; by way of
    shards in `work`.

    Directions are tested on the test faces of `crops` and their `codes` (N, D). Ranks other than 0 get
    nothing.
    """
    vectors = params.vectors
    rng = np.random.default_rng(params.seed)
    test = crops.rows("test")
    problem, usable, (positives, negatives) = pose(vectors, codes, faces, crops, labelled, rng)
    draws = resamples(len(test), vectors.bootstrap, rng) if vectors.bootstrap else None
    truth = labelled.labels[np.ix_(test, usable)]
    tested = (problem, Codes(codes, test), truth, draws)
    cut = ranks.pieces(len(vectors.estimators))
    ranks.deal("vectors", work, cut, partial(estimate_each, vectors, params.seed, conditions, *tested))
    if ranks.rank() > 0:
        return {}, pd.DataFrame()
    shape = (len(vectors.estimators), len(labelled.attributes))
    directions = np.full((*shape, codes.shape[1]), np.nan)
    covariance = np.full((*shape, shape[1]), np.nan)
    intercepts = np.full(shape, np.nan)
    tables = []
    for piece, found in ranks.merged(work, cut):
        number = piece.start
        directions[number, usable] = found["vectors"]
        intercepts[number, usable] = found["intercepts"]
        covariance[np.ix_([number], usable, usable)] = found["covariance"]
        table = pd.DataFrame(found["figures"], columns=FIGURES, index=list(problem.names))
        table = table.astype({"test_positives": np.int64}).assign(note=found["note"].astype(object))
        table = table.reindex(labelled.attributes)
        table = table.assign(estimator=vectors.estimators[number], positives=positives, negatives=negatives)
        left_out = f"left out: fewer than {vectors.min_faces} train faces on one side"
        tables.append(table.fillna({"note": left_out}))
    components, component_sigma = principal_components(
        problem.codes, problem.moments.mean(), problem.covariance, vectors.components, rng
    )
    numbers = {
        "vectors": directions,
        "sigma": np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0)),
        "covariance": covariance,
        "intercepts": intercepts,
        "components": components,
        "component_sigma": component_sigma,
        "mean": problem.moments.mean(),
        "std": problem.moments.std(),
    }
    arrays = {name: array.astype(np.float32) for name, array in numbers.items()}
    arrays["attributes"] = np.array(labelled.attributes)
    arrays["estimators"] = np.array(vectors.estimators)
    return arrays, pd.concat(tables).rename_axis("attribute").reset_index()[COLUMNS]


def correlations(
    arrays: dict[str, np.ndarray], codes: np.ndarray, crops: Crops, measures: Measures
) -> pd.DataFrame:
    """measured.csv: estimator, attribute, test faces whose measure is known, and its correlation with the
    codes' projection on the direction.
    """
    test = crops.rows("test")
    labels = measures.labels[test]
    lines = []
    for estimator, vectors in zip(arrays["estimators"], arrays["vectors"], strict=True):
        for place, name in enumerate(measures.names):
            vector = vectors[len(crops.attributes) + place]
            known = labels[:, place] != 0
            found = np.nan
            if np.isfinite(vector).all() and known.sum() > 1:
                found = np.corrcoef(codes[test[known]] @ vector, labels[known, place])[0, 1]
            lines.append((estimator, name, int(known.sum()), found))
    return pd.DataFrame(lines, columns=["estimator", "attribute", "faces", "correlation"])


def run(
    params: Params, crops_folder: Path, latents: Path, chosen: Path, measures_folder: Path, out: Path
) -> None:
    """Write directions and their tables.

    `chosen` is the table of the crops, or the folder of imagined faces, of which nothing is measured. Raises
    ValueError.
    """
    crops = Crops.open(crops_folder)
    measures = Measures.open(measures_folder, len(crops.labels))
    if chosen.is_dir() and measures.scales:
        say("vectors: measured labels are left out: imagined faces have none")
        measures = Measures((), measures.values[:, :0])
    labelled = Labelled.of(crops, measures)
    labels = labelled.labels[crops.rows("train")]
    vectors = params.vectors
    for key, names in wanted_attributes(params):
        present(key, names, crops.attributes)
    conditions = present("vectors.condition_on", vectors.condition_on, crops.attributes)
    ruled_out = Exclusions.of("vectors.exclusive.sets", vectors.exclusive, labelled.attributes, labels)
    codes = open_npy(latents / "latents.npy")
    mirrored = open_npy(latents / "mirrored.npy") if (latents / "mirrored.npy").is_file() else None
    faces = (
        imagined_faces(chosen) if chosen.is_dir() else train_faces(codes, mirrored, crops, labelled.labels)
    )
    turns = None
    if vectors.relabel:
        given, turns = turned(params, faces, crops.attributes)
        faces = (faces[0], given)
    work = ranks.unfinished(
        [params.seed, vectors.model_dump()],
        [
            crops_folder / annotations.TABLE,
            *sorted(latents.glob("*.npy")),
            *(sorted(chosen.iterdir()) if chosen.is_dir() else []),
            *sorted(measures_folder.iterdir()),
        ],
    )
    with ranks.joined():
        arrays, table = compute(params, conditions, faces, codes, crops, labelled, work)
    if ranks.rank() > 0:
        return
    phi = pd.DataFrame(LabelStatistics.of(labels).phi(), columns=list(labelled.attributes))
    phi.insert(0, "attribute", labelled.attributes)
    with new_folder(out) as folder:
        np.savez(folder / "vectors.npz", exclusive=ruled_out.pairs, exhaustive=ruled_out.exhaustive, **arrays)
        write_csv(folder / "vectors.csv", table)
        write_csv(
            folder / "cosines.csv", cosine_table(arrays["vectors"], vectors.estimators, labelled.attributes)
        )
        write_csv(folder / "phi.csv", phi)
        if measures.scales:
            write_csv(folder / "measured.csv", correlations(arrays, codes, crops, measures))
        if turns is not None:
            write_csv(folder / "relabelled.csv", turns)
    ranks.discard(work)
    for row in table[table["note"] != ""].itertuples():
        say(f"vectors: {row.estimator}: {row.attribute}: {row.note}")


def main(*paths: Path) -> None:
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.vectors")
    main(*map(Path, sys.argv[1:]))
