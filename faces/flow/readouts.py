"""Labels read off codes by logistic regression, cross-fitted and calibrated: for faces that come without
labels, and for labels that are often wrong.

The train faces are dealt into folds; the readout of each fold is fitted to the others. What the readouts say
of faces that they have not seen decides scale and shift of their log-odds (Platt 1999), and how well an
attribute can be read. A new face is read by the mean of the readouts.

Of a model that labels trained, the codes of train faces know their labels, so that readouts are too sure of
others: faces that it has not seen decide scale and shift then (`calibrated_on`).

A measured label, a number in [-1, 1] (faces/data/measured.py), is read by the same regression on its number:
the expected label, as of any other.

A label that is read is 2 p - 1, the expected label: 1 with, -1 without. An attribute with too few faces on a
side is not read: 0, unknown.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from faces.classifier import calibration_error, platt
from faces.estimators.linear import Boundary, CrossFitted, cross_fitted
from faces.latents.codes import Codes
from faces.metrics.auroc import auroc

BINS = 10  # of the calibration error


@dataclass(frozen=True)
class Readouts:
    """Calibrated log-odds z . normals[a] + intercepts[a] of each attribute."""

    attributes: tuple[str, ...]
    normals: np.ndarray  # (A, D) float32
    intercepts: np.ndarray  # (A,) float32

    def labels(self, codes: np.ndarray) -> np.ndarray:
        """(N, A) float32 the expected labels, in [-1, 1], of codes (N, D)."""
        return expected(codes @ self.normals.T + self.intercepts)

    def fill(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Labels (N, A), those that are unknown, 0, read off codes (N, D)."""
        return np.where(labels == 0, self.labels(codes), labels).astype(np.float32)

    def joined(self, other: "Readouts") -> "Readouts":
        """Both, one after the other."""
        return Readouts(
            self.attributes + other.attributes,
            np.concatenate([self.normals, other.normals]),
            np.concatenate([self.intercepts, other.intercepts]),
        )


def expected(log_odds: np.ndarray) -> np.ndarray:
    """2 p - 1 of log-odds: float32."""
    return np.tanh(log_odds / 2).astype(np.float32)


def read_crosswise(
    codes: np.ndarray, labels: np.ndarray, folds: int, boundary: Boundary, seed: int
) -> CrossFitted:
    """`cross_fitted` on codes (N, D) in memory and labels (N, A)."""
    mean = codes.mean(0, dtype=np.float64)
    std = codes.std(0, dtype=np.float64)
    rng = np.random.default_rng(seed)
    return cross_fitted(Codes.all(codes), labels, mean, std, folds, boundary, rng)


def fit_readouts(
    attributes: tuple[str, ...],
    codes: np.ndarray,
    labels: np.ndarray,
    folds: int,
    min_faces: int,
    boundary: Boundary,
    seed: int,
) -> tuple[Readouts, np.ndarray, list[dict[str, float | str]]]:
    """Readouts from codes (N, D) and labels (N, A), the expected labels (N, A) of these very faces, each by a
    readout that has not seen it, and a table.

    The table has a row for each attribute: attribute, known faces, and the cross-fitted auroc and
    calibration_error, None where it is not read.
    """
    found = read_crosswise(codes, labels, folds, boundary, seed)
    normals = found.normals
    intercepts = found.intercepts
    log_odds = found.log_odds
    rows = []
    for a, name in enumerate(attributes):
        known = labels[:, a] != 0
        positive = labels[known, a] == 1
        row = {"attribute": name, "known": int(known.sum()), "auroc": None, "calibration_error": None}
        scale = 0.0
        shift = 0.0
        if min(positive.sum(), (~positive).sum()) >= min_faces:
            scale, shift = platt(log_odds[known, a], positive)
        normals[a] *= scale
        intercepts[a] = scale * intercepts[a] + shift
        log_odds[:, a] = scale * log_odds[:, a] + shift
        if scale:
            row["auroc"] = float(auroc(log_odds[known, a], positive)[0])
            row["calibration_error"] = calibration_error(expit(log_odds[known, a]), positive, BINS)
        rows.append(row)
    return (
        Readouts(attributes, normals.astype(np.float32), intercepts.astype(np.float32)),
        expected(log_odds),
        rows,
    )


def calibrated_on(
    readouts: Readouts, read: np.ndarray, codes: np.ndarray, labels: np.ndarray, min_faces: int
) -> tuple[Readouts, np.ndarray]:
    """Readouts, and the labels (N, A) that they have read, with another scale and shift of their log-odds:
    those of faces with codes (V, D) and labels (V, A). An attribute that is not read, or has too few of these
    on a side, stays as it is.
    """
    scales, shifts = np.ones(len(readouts.attributes)), np.zeros(len(readouts.attributes))
    log_odds = codes @ readouts.normals.T + readouts.intercepts
    for a in range(len(readouts.attributes)):
        known = labels[:, a] != 0
        positive = labels[known, a] == 1
        if readouts.normals[a].any() and min(positive.sum(), (~positive).sum()) >= min_faces:
            scales[a], shifts[a] = platt(log_odds[known, a].astype(np.float64), positive)
    surest = 1 - np.finfo(np.float32).eps
    said = 2 * np.arctanh(np.clip(read, -surest, surest))
    again = Readouts(
        readouts.attributes,
        (scales[:, None] * readouts.normals).astype(np.float32),
        (scales * readouts.intercepts + shifts).astype(np.float32),
    )
    return again, expected(scales * said + shifts)


def fit_measured(
    attributes: tuple[str, ...],
    codes: np.ndarray,
    labels: np.ndarray,
    folds: int,
    boundary: Boundary,
    seed: int,
) -> tuple[Readouts, np.ndarray, list[dict[str, float | str]]]:
    """The same of measured labels (N, M), numbers in [-1, 1] with 0 for unknown: readouts, the expected
    labels (N, M) of these very faces, and a table of attribute, known faces and cross-fitted correlation.
    """
    found = read_crosswise(codes, labels.astype(np.float64), folds, boundary, seed)
    read = expected(found.log_odds)
    rows = []
    for place, name in enumerate(attributes):
        known = labels[:, place] != 0
        correlation = float(np.corrcoef(read[known, place], labels[known, place])[0, 1])
        rows.append({"attribute": name, "known": int(known.sum()), "correlation": correlation})
    return (
        Readouts(attributes, found.normals.astype(np.float32), found.intercepts.astype(np.float32)),
        read,
        rows,
    )
