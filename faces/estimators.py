"""How a direction is estimated from codes and labels. The dictionary at the end is the registry: `vectors.estimators` names its keys.

An estimator takes codes (N, D), a memory map read in blocks, labels (N, A) of 1, -1 and 0 for unknown, and returns (A, D) float64: the direction of each
attribute at its native length. The caller leaves out attributes with too few faces on a side; they never reach an estimator.
"""

from collections.abc import Callable

import numpy as np

from faces.devices import batches

ROWS = 8192  # codes read at once


def mean_difference(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean code of the faces with the attribute minus mean code of those without (Larsen et al. 2016; White 2016), for all attributes in one pass."""
    with_, without = np.zeros((2, labels.shape[1], codes.shape[1]))
    for rows in batches(len(codes), ROWS):
        block = codes[rows]
        with_ += (labels[rows] == 1).astype(np.float32).T @ block
        without += (labels[rows] == -1).astype(np.float32).T @ block
    return with_ / (labels == 1).sum(0)[:, None] - without / (labels == -1).sum(0)[:, None]


ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean_difference": mean_difference,
}


def sample(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Keep the labels of `count` faces with and `count` without each attribute (or all there are); the others become unknown. (N, A) -> (N, A)."""
    kept = np.zeros_like(labels)
    for attribute in range(labels.shape[1]):
        for value in (1, -1):
            rows = np.flatnonzero(labels[:, attribute] == value)
            kept[rng.permutation(rows)[:count], attribute] = value
    return kept


def project(codes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Codes (N, D) along unit vectors (V, D): float32 (N, V), block by block."""
    out = np.empty((len(codes), len(vectors)), np.float32)
    for rows in batches(len(codes), ROWS):
        out[rows] = codes[rows] @ vectors.T.astype(np.float32)
    return out
