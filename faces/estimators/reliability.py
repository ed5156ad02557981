"""Reliability of estimated directions: split-half agreement, sigma, and held-out AUROC."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faces.edits.directions import conditioned
from faces.estimators.estimators import Estimate, Problem, cosines
from faces.latents.codes import Codes, blocks
from faces.metrics.auroc import auroc


def units(vectors: np.ndarray) -> np.ndarray:
    """Vectors (A, D) at unit length; zero and NaN rows stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def agreement(estimator: Callable[[Problem], Estimate], problem: Problem, halvings: int) -> np.ndarray:
    """(A,) cosine between the directions from two halves of the train faces, mean over `halvings` random
    halvings; NaN for none.

    It costs two fits to half the faces for each halving.
    """
    found = []
    for _ in range(halvings):
        order = problem.rng.permutation(problem.faces)
        halves = (np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :]))
        found.append(cosines(*(estimator(problem.part(rows)).vectors for rows in halves)))
    return np.mean(found, axis=0) if found else np.full(len(problem.names), np.nan)


def reliability(agreement: np.ndarray) -> np.ndarray:
    """Expected cosine between a direction and the same estimator's from infinitely many faces: sqrt(2 c / (1
    + c)) (Spearman 1910, Brown 1910).

    With noise of variance e |v|^2 in all, halves have 2 e, so c = 1 / (1 + 2 e), and the cosine to v is 1 /
    sqrt(1 + e). A negative c counts as 0.
    """
    positive = np.maximum(agreement, 0)
    return np.sqrt(2 * positive / (1 + positive))


def spread(
    codes: Codes, labels: np.ndarray, directions: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Along unit `directions` (A, D): covariance (A, A) of the codes (N, D), and the midpoint (A,) between
    the class means; in one pass.
    """
    sums, products, sides, counts = (np.zeros((rows, len(directions))) for rows in (1, len(directions), 2, 2))
    narrow = directions.T.astype(np.float32)
    centre = mean.astype(np.float32)
    for rows, block in blocks(codes):
        along = ((block - centre) @ narrow).astype(np.float64)  # (B, A)
        sums += along.sum(0)
        products += along.T @ along
        for side, value in enumerate((1, -1)):
            chosen = labels[rows] == value
            sides[side] += np.where(chosen, along, 0).sum(0)
            counts[side] += chosen.sum(0)
    means = sums / len(codes)
    return products / len(codes) - means.T @ means, (sides / counts).mean(0) + directions @ centre


def project(codes: Codes, directions: np.ndarray) -> np.ndarray:
    """Codes (N, D) along unit directions (A, D): float32 (N, A), block by block."""
    out = np.empty((len(codes), len(directions)), np.float32)
    for rows, block in blocks(codes):
        out[rows] = block @ directions.T.astype(np.float32)
    return out


def condition(estimate: Estimate, names: tuple[str, ...], conditions: tuple[str, ...]) -> Estimate:
    """Conditioned directions: the projection on the directions of the other `conditions` is removed, and
    boundaries are dropped.

    A condition that was not estimated itself is passed over, and noted.
    """
    given = [
        name
        for name in conditions
        if name in names and np.isfinite(estimate.vectors[names.index(name)]).all()
    ]
    vectors = estimate.vectors.copy()
    notes = dict(estimate.notes)
    for a, name in enumerate(names):
        others = [names.index(condition) for condition in given if condition != name]
        if others and np.isfinite(vectors[a]).all():
            vectors[a] = conditioned(estimate.vectors[a], estimate.vectors[others])
        if missing := [condition for condition in conditions if condition not in (*given, name)]:
            notes[name] = joined(
                notes.get(name), f"not conditioned on {', '.join(missing)}, which could not be estimated"
            )
    return Estimate(vectors, None if given else estimate.intercepts, notes)


def joined(*notes: str | None) -> str:
    """Those notes that say something, in one line."""
    return "; ".join(filter(None, notes))


@dataclass(frozen=True)
class Appraisal:
    """Figures of one estimator in vectors.npz and vectors.csv: covariance (A, A), intercepts (A,), and a
    table by attribute.
    """

    covariance: np.ndarray
    intercepts: np.ndarray
    table: pd.DataFrame


def appraise(
    estimate: Estimate, problem: Problem, test_codes: Codes, truth: np.ndarray, draws: np.ndarray | None
) -> Appraisal:
    """Appraise directions from `problem` on test codes (T, D) with labels (T, A).

    `draws` (R, T) are bootstrap weights for the intervals, if any.

    Where an estimator has no boundary of its own, the boundary lies midway between the class means of the
    train faces.
    """
    directions = units(estimate.vectors)
    covariance, midpoints = spread(problem.codes, problem.labels, directions, problem.moments.mean())
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0))
    intercepts = -midpoints if estimate.intercepts is None else estimate.intercepts
    scores = project(test_codes, directions)
    rows = []
    for a, name in enumerate(problem.names):
        row = {"length": np.linalg.norm(estimate.vectors[a]), "sigma": sigma[a], "intercept": intercepts[a]}
        known = truth[:, a] != 0
        positive = truth[known, a] == 1
        note = ""
        row["test_positives"] = int(positive.sum())
        if not positive.any() or positive.all():
            note = "the test split has one class only"
        elif np.isfinite(directions[a]).all():
            row["auroc"] = auroc(scores[known, a], positive)[0]
            if draws is not None:
                weights = draws if known.all() else draws[:, known]
                row["auroc_low"], row["auroc_high"] = np.nanquantile(
                    auroc(scores[known, a], positive, weights), (0.025, 0.975)
                )
        rows.append(row | {"note": joined(estimate.notes.get(name), note)})
    columns = ["length", "sigma", "intercept", "test_positives", "auroc", "auroc_low", "auroc_high", "note"]
    return Appraisal(covariance, intercepts, pd.DataFrame(rows, index=list(problem.names), columns=columns))


def cosine_table(
    vectors: np.ndarray, estimators: tuple[str, ...], attributes: tuple[str, ...]
) -> pd.DataFrame:
    """cosines.csv from vectors (E, A, D): one row per estimator and attribute, one column per attribute."""
    tables = []
    for name, found in zip(estimators, vectors, strict=True):
        normal = units(found.astype(np.float64))
        table = pd.DataFrame(normal @ normal.T, columns=list(attributes))
        table.insert(0, "attribute", attributes)
        table.insert(0, "estimator", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
