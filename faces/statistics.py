"""What a labelled data set is made of: rates, correlations, mean faces. Labels are 1, -1, and 0 for unknown."""

import numpy as np

from faces.devices import batches

CHUNK = 2048  # images summed at once: 255 * 2048 < 2^24, so that sums of pixels are exact in float32 in whatever order they are taken


def rates(labels: np.ndarray) -> np.ndarray:
    """The share of positives among the known labels (N, A) of each attribute: (A,), NaN where none is known."""
    known = (labels != 0).sum(axis=0)
    return np.divide((labels == 1).sum(axis=0), known, out=np.full(labels.shape[1], np.nan), where=known > 0)


def phi(labels: np.ndarray) -> np.ndarray:
    """Correlation of each two attributes of `labels` (N, A), over the rows that know both: (A, A), NaN where one of them never varies.

    The mean square contingency coefficient: Pearson's correlation of two binary variables (Yule 1912).
    """
    yes, no = (labels == 1).astype(np.float64), (labels == -1).astype(np.float64)
    both, neither, first, second = yes.T @ yes, no.T @ no, yes.T @ no, no.T @ yes  # (A, A) counts of each pair's four cells
    spread = np.sqrt((both + first) * (neither + second) * (both + second) * (neither + first))
    return np.divide(both * neither - first * second, spread, out=np.full(both.shape, np.nan), where=spread > 0)


def class_means(values: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The means of `values` (N, ...) over `rows` (M,), without and with each attribute of those rows' `labels` (M, A).

    Two float64 (A, ...), NaN for an empty class. One pass over `values`, which may be a memory map.
    """
    classes = np.concatenate((labels == -1, labels == 1), axis=1).T.astype(np.float32)  # (2A, M)
    sums = np.zeros((len(classes), int(np.prod(values.shape[1:]))))
    for some in batches(len(rows), CHUNK):
        sums += classes[:, some] @ values[rows[some]].reshape(-1, sums.shape[1]).astype(np.float32)
    counts = classes.sum(axis=1, dtype=np.float64)[:, None]
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0).reshape(2, labels.shape[1], *values.shape[1:])
    return means[0], means[1]
