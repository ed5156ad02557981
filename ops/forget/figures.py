"""Figures of a forgetting that need the faces once more: directions without them, membership inference."""

from pathlib import Path
from typing import Any

import numpy as np

from facemorph.export import BadExport, Export
from faces.core.files import open_npy
from faces.core.params import FILE, parse, read
from faces.data.crops import Crops
from faces.estimators import estimators
from faces.estimators.estimators import Estimate, Problem
from faces.estimators.reliability import condition
from faces.latents.codes import Codes
from faces.latents.moments import LARGEST_COVARIANCE
from faces.metrics.label_stats import counts
from ops.forget import membership
from ops.forget.sums import CLOSED, Sums, confounders_of
from ops.forget.sums import directions as closed_form
from stages.vectors import Vectors, train_faces

SEED = 1


class Doubles:
    """View of an array (N, D) that is read as float64."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape = array.shape

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.array[rows].astype(np.float64)


def directions(project: Path, gone: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Closed-form directions without the rows `gone` of data/crops, by downdating; empty where there are no
    codes, or where directions come from imagined faces.

    For the certificate, by estimator: how far any number moved, and differs from one computed without the
    faces. And the directions (A, D), NaN where there is none.
    """
    latents = project / "data/latents/latents.npy"
    if not latents.is_file():
        return {}, {}
    values = read(project / FILE)
    settings = parse(Vectors, values["vectors"], "vectors")
    crops = Crops.open(project / "data/crops")
    codes = open_npy(latents)
    if settings.labels == "imagined" or len(codes) != len(crops.labels):
        return {}, {}
    if codes.shape[1] > LARGEST_COVARIANCE:
        return {}, {}
    mirrors = latents.with_name("mirrored.npy")
    given, labels = train_faces(codes, open_npy(mirrors) if mirrors.is_file() else None, crops, crops.labels)
    given = Codes(Doubles(given.array), given.rows)
    copies = len(given) // len(labels)
    lost = np.isin(crops.rows("train"), gone)
    usable = np.flatnonzero(counts(labels[~lost]).min(0) >= settings.min_faces)
    names = tuple(crops.attributes[column] for column in usable)
    labels = np.tile(labels[:, usable], (copies, 1))
    valid = np.setdiff1d(crops.rows("valid"), gone)
    conditions = tuple(name.rstrip("?") for name in settings.condition_on if name.rstrip("?") in names)

    def problem(chosen: np.ndarray) -> Problem:
        return Problem(
            given.part(chosen),
            labels[chosen],
            names,
            Codes(Doubles(codes), valid),
            crops.labels[np.ix_(valid, usable)],
            settings,
            np.random.default_rng(SEED),
            copies,
        )

    kept, out = (np.flatnonzero(np.tile(side, copies)) for side in (~lost, lost))
    confounders = confounders_of(names, settings)
    centre = given[slice(0, 4096)].mean(0)
    every = Sums.of(given, labels, confounders, centre)
    left = every - Sums.of(given.part(out), labels[out], confounders, centre)
    before = closed_form(every, problem(np.arange(len(given))))
    found = closed_form(left, problem(kept))
    report = {}
    full = {}
    for name in CLOSED:
        anew = getattr(estimators, name)(problem(kept)).vectors
        report[name] = {
            "moved": _furthest(found[name], before[name]),
            "differs": _furthest(found[name], anew),
        }
        full[name] = np.full((len(crops.attributes), codes.shape[1]), np.nan)
        full[name][usable] = condition(Estimate(found[name]), names, conditions).vectors
    return report, full


def _furthest(first: np.ndarray, second: np.ndarray) -> float:
    differences = np.abs(first - second)
    return float(np.nanmax(differences)) if np.isfinite(differences).any() else 0.0


def betrayal(project: Path, gone: np.ndarray) -> dict[str, Any]:
    """Both membership attacks on the forgotten train faces: before, and of the codes' Gaussian without them.

    Empty where none of them is in the train split, or where there is no export. Of the networks there is no
    after yet: a challenger is to be trained first.
    """
    try:
        export = Export(project / "data/export")
    except BadExport:
        return {}
    crops = Crops.open(project / "data/crops")
    train = crops.rows("train")
    mine = np.intersect1d(gone, train)
    if not len(mine) or crops.images.shape[1] != export.size:
        return {}
    rng = np.random.default_rng(SEED)
    others = membership.some(np.setdiff1d(train, mine), rng)
    strangers = membership.some(np.setdiff1d(crops.rows("test"), gone), rng)
    own, foreign, usual = (
        membership.losses(export, crops.images[rows]) for rows in (mine, strangers, others)
    )
    found = {
        "loss threshold, before": membership.area(-own, -foreign, rng),
        "loss threshold, all other train faces": membership.area(-usual, -foreign, rng),
    }
    latents = project / "data/latents/latents.npy"
    if latents.is_file() and len(codes := open_npy(latents)) == len(crops.labels):
        sides = (codes[mine], codes[strangers])
        found |= {
            "shadow, before": membership.shadow(codes[train], *sides, rng),
            "shadow, after": membership.shadow(codes[np.setdiff1d(train, mine)], *sides, rng),
        }
    return found
