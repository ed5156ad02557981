"""Statistics of binary labels: rates, correlations (phi), variance inflation, counts. Labels are 1, -1, and 0
for unknown; moments are of numbers between them too, such as measured labels.

Every figure of a pair of attributes is over the faces on which both are known.
"""

from dataclasses import dataclass

import numpy as np

from faces.core.batches import batches

ROWS = 65536  # label rows counted at once


def rates(labels: np.ndarray) -> np.ndarray:
    """Share of positives among the known labels (N, A) of each attribute: (A,), NaN where none is known."""
    known = (labels != 0).sum(axis=0)
    return np.divide((labels == 1).sum(axis=0), known, out=np.full(labels.shape[1], np.nan), where=known > 0)


def phi(labels: np.ndarray) -> np.ndarray:
    """Phi coefficient of each pair of attributes of `labels` (N, A), over the rows where both are known: (A,
    A).

    The mean square contingency coefficient: Pearson's correlation of two binary variables (Yule 1912). It is
    undefined where one of them never varies.
    """
    return LabelStatistics.of(labels).correlations()


@dataclass(frozen=True)
class LabelStatistics:
    """Moments of the labels, counted as 0 (without) and 1 (with), over `together` (A, A) faces with both
    known.

    covariance (A, A), and variance (A, A): entry [a, b] is the variance of label a over the faces on which b
    is known too. Where two labels are never known together, nothing says that they are related, and their
    covariance is 0.
    """

    together: np.ndarray
    covariance: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> "LabelStatistics":
        """Of labels (N, A) of 1, -1 and 0, or of numbers in [-1, 1] with 0 for unknown."""
        attributes = labels.shape[1]
        together = np.zeros((attributes, attributes))
        sums = np.zeros((attributes, attributes))
        products = np.zeros((attributes, attributes))
        for rows in batches(len(labels), ROWS):
            signs = labels[rows].astype(np.float32)
            known = (signs != 0).astype(np.float32)
            together += known.T @ known
            sums += signs.T @ known  # [a, b]: sum of label a over the faces on which b is known
            products += signs.T @ signs
        count = np.maximum(together, 1)
        means = sums / count
        return cls(together, (products / count - means * means.T) / 4, (together / count - means**2) / 4)

    def deviation(self) -> np.ndarray:
        """(A,) standard deviation of each label."""
        return np.sqrt(np.diag(self.variance))

    def correlations(self) -> np.ndarray:
        """(A, A) correlation of the labels (Pearson's phi), NaN where one of them never varies."""
        below = np.sqrt(self.variance * self.variance.T)
        found = np.divide(self.covariance, below, out=np.full(below.shape, np.nan), where=below > 0)
        np.fill_diagonal(found, np.where(np.isfinite(np.diag(found)), 1, np.nan))
        return found

    def phi(self) -> np.ndarray:
        """The same with 0 where it is undefined, and 1 on the diagonal."""
        found = np.nan_to_num(self.correlations())
        np.fill_diagonal(found, 1)
        return found

    def inflation(self) -> np.ndarray:
        """(A,) variance inflation factor 1 / (1 - R^2) of each label regressed on all others.

        1 for an uncorrelated label, infinite for one that the others determine. The diagonal of the inverse
        correlation matrix (Belsley, Kuh, Welsch 1980, section 3.1).
        """
        values, vectors = np.linalg.eigh(self.phi())
        inflation = (vectors**2 / np.maximum(values, 1e-12)).sum(1)
        return np.where(inflation > 1e9, np.inf, inflation)


def counts(labels: np.ndarray) -> np.ndarray:
    """(2, A) faces with and without each attribute, of labels (N, A)."""
    found = np.zeros((2, labels.shape[1]), np.int64)
    for rows in batches(len(labels), ROWS):
        found += [(labels[rows] == 1).sum(0), (labels[rows] == -1).sum(0)]
    return found


def extremes(scores: np.ndarray, count: int) -> np.ndarray:
    """Labels from scores (N, A): 1 for the `count` highest of each column, -1 for the lowest, 0 else: int8
    (N, A).

    InterFaceGAN fits its boundaries between these faces (Shen et al., CVPR 2020, section 3.1). NaN is 0.
    Raises ValueError where there are too few scores.
    """
    labels = np.zeros(scores.shape, np.int8)
    for attribute, column in enumerate(scores.T):
        known = np.flatnonzero(np.isfinite(column))
        if len(known) < 2 * count:
            raise ValueError(
                f"{count} extremes on either side of {len(known)} scores: ask for {len(known) // 2} or fewer"
            )
        order = known[np.argsort(column[known], kind="stable")]
        labels[order[:count], attribute] = -1
        labels[order[len(order) - count :], attribute] = 1
    return labels


def sample(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random subset of labels (N, A): at most `count` faces with and without each attribute, others become
    unknown.
    """
    kept = np.zeros_like(labels)
    for attribute in range(labels.shape[1]):
        for value in (1, -1):
            rows = np.flatnonzero(labels[:, attribute] == value)
            kept[rng.permutation(rows)[:count], attribute] = value
    return kept
