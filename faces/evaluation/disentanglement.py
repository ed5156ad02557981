"""How far single numbers of a code stand for single attributes: SAP, MIG, DCI, and the AUROC gap.

All take codes (N, D) and labels (N, A) of whole numbers, 0 for unknown; each first gives a table (D, A) of
how much code number i tells of attribute j, then one score of the table. SAP, MIG and DCI were made for
attributes that vary independently of one another; those of faces do not, so the scores compare models on the
same faces and mean little by themselves. The AUROC gap asks each attribute alone and suits them better. D x A
is small: a code longer than a couple of thousand numbers is to be given as its principal components
(`shortened`).
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.linear_model import Lasso

from faces.core import ranks
from faces.core.batches import batches
from faces.core.params import Group
from faces.latents.pca import gaussian_of_codes
from faces.metrics.rank_correlation import ranked

BLOCK = 16  # code numbers whose places are told at once


class Settings(Group):
    """The group `evaluate.disentanglement`."""

    faces: Annotated[int, Field(ge=2)]
    longest: Annotated[int, Field(ge=2)]
    bins: Annotated[int, Field(ge=2)]
    penalty: Annotated[float, Field(gt=0, lt=1)]
    floor: Annotated[float, Field(ge=0.5, lt=1)]


def scores(
    codes: np.ndarray,
    asked: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    settings: Settings,
    work: Path | None = None,
) -> dict[str, float]:
    """Every score of codes (N, D) with labels (N, A); informativeness is asked of held-out codes `asked` (M,
    D) with labels `truth` (M, A).

    With `work` the processes (faces/core/ranks.py) share the lassos by attribute and the AUROC by blocks of
    code numbers, as shards in that folder.
    """
    table, told = importances(codes, labels, (asked, truth), settings.penalty, work and work / "importances")
    disentangled, complete = dci(table)
    gap, count = auroc_gap(codes, labels, settings.floor, work and work / "aurocs")
    return {
        "sap": sap(codes, labels),
        "mig": mig(codes, labels, settings.bins),
        "dci_disentanglement": disentangled,
        "dci_completeness": complete,
        "dci_informativeness": float(np.nanmean(told)) if np.isfinite(told).any() else np.nan,
        "auroc_gap": gap,
        "auroc_gap_attributes": count,
    }


def shortened(
    codes: np.ndarray, others: np.ndarray, longest: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both as they are where a code is no longer than `longest`; else their places along the first `longest`
    principal axes of `codes`.
    """
    if codes.shape[1] <= longest:
        return codes, others
    axes = gaussian_of_codes(codes, longest, seed)
    return axes.whiten(codes), axes.whiten(others)


def gaps(table: np.ndarray) -> np.ndarray:
    """(A,) the largest entry of each column of table (D, A) less the second largest."""
    if len(table) < 2:
        return table.max(0)
    second, first = np.sort(table, axis=0)[-2:]
    return first - second


def sap(codes: np.ndarray, labels: np.ndarray) -> float:
    """Separated attribute predictability: the mean gap of squared correlations (Kumar, Sattigeri,
    Balakrishnan, ICLR 2018, section 3).

    Its score for continuous factors, cov^2 / (var var), also for labels of two values, since it is 0 for what
    tells nothing and 1 for what tells all, where the paper's classification score starts at one half.
    """
    return float(gaps(squared_correlations(codes, labels)).mean())


def squared_correlations(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(D, A) squared correlation of each code number with each label, over the faces that know it; 0 where
    either never varies.
    """
    table = np.zeros((codes.shape[1], labels.shape[1]))
    for a, column in enumerate(labels.T):
        known = column != 0
        x = codes[known] - codes[known].mean(0, dtype=np.float64)
        y = column[known] - column[known].mean()
        below = np.square(x).sum(0) * np.square(y).sum()
        table[:, a] = np.divide(np.square(y @ x), below, out=np.zeros(len(below)), where=below > 1e-12)
    return table


def mig(codes: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Mutual information gap: the mean gap of I(z_i; y_j) / H(y_j) (Chen et al., NeurIPS 2018, eq. 6), each
    z_i cut into `bins` equal parts of its range.
    """
    table, entropies = mutual_information(codes, labels, bins)
    varies = entropies > 0
    return float((gaps(table)[varies] / entropies[varies]).mean()) if varies.any() else 0.0


def mutual_information(codes: np.ndarray, labels: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """I(z_i; y_j) (D, A) and H(y_j) (A,) in nats, over the faces that know the label."""
    low = codes.min(0)
    high = codes.max(0)
    width = np.where(high > low, high - low, 1)
    cut = np.minimum(((codes - low) / width * bins).astype(np.int64), bins - 1)  # (N, D)
    places = cut + bins * np.arange(codes.shape[1])
    table = np.zeros((codes.shape[1], labels.shape[1]))
    entropies = np.zeros(labels.shape[1])
    for a, column in enumerate(labels.T):
        values = np.unique(column[column != 0])
        if len(values):
            joint = np.stack(
                [
                    np.bincount(places[column == value].ravel(), minlength=codes.shape[1] * bins)
                    for value in values
                ],
                1,
            )
            joint = joint.reshape(codes.shape[1], bins, len(values)) / (column != 0).sum()
            entropies[a] = _entropy(joint[0].sum(0))
            table[:, a] = entropies[a] + _entropy(joint.sum(2)) - _entropy(joint.reshape(codes.shape[1], -1))
    return np.maximum(table, 0), entropies


def dci(importances: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness of importances (D, A), each in [0, 1] (Eastwood & Williams, ICLR 2018,
    section 2).

    Disentanglement: does a code number serve one attribute only? 1 - H_A of its row, weighted by its share of
    all importance. Completeness: is an attribute served by one code number only? 1 - H_D of its column,
    weighted likewise.
    """
    return _concentration(importances), _concentration(importances.T)


def _concentration(table: np.ndarray) -> float:
    """1 - entropy of each row, in units of the largest there can be, weighted by the rows' shares; 0 for a
    table of zeros.
    """
    totals = table.sum(1)
    if not totals.any() or table.shape[1] < 2:
        return 0.0
    rows = table[totals > 0] / totals[totals > 0, None]
    return float((1 - _entropy(rows) / np.log(table.shape[1])) @ (totals[totals > 0] / totals.sum()))


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Of the last axis, in nats, with 0 log 0 = 0."""
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1)


def importances(
    codes: np.ndarray,
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    penalty: float,
    work: Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What DCI needs: importance (D, A) of each code number in telling each attribute, and the determination
    (A,) on `held_out` codes and labels.

    Importances are the absolute weights of a lasso on codes and labels of unit variance, one of the paper's
    two regressors: linear, as are the steps that edit a face, and cheap for hundreds of numbers where boosted
    trees are not. Of two equal code numbers it takes one, so completeness does not see duplicates. `penalty`
    is a share of the smallest one that leaves no weight at all. The determination (R^2, at most 1, below 0
    for worse than the mean) is DCI's informativeness; NaN where either side does not vary.
    """

    def of_attribute(a: int) -> dict[str, np.ndarray]:
        weights, told = _importance(codes, labels[:, a], held_out[0], held_out[1][:, a], penalty)
        return {"weights": weights, "told": np.array(told)}

    numbers = range(labels.shape[1])
    shards = list(ranks.dealt_jobs("evaluate lassos", "attributes", work, numbers, of_attribute))
    table = np.zeros((codes.shape[1], len(numbers)))
    for a, found in enumerate(shards):
        table[:, a] = found["weights"]
    return table, np.array([float(found["told"]) for found in shards])


def _importance(
    codes: np.ndarray, column: np.ndarray, held_codes: np.ndarray, truth: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """Of one attribute: importances (D,) and determination."""
    known = column != 0
    asked = truth != 0
    x = codes[known].astype(np.float64)
    y = column[known].astype(np.float64)
    if not len(y) or y.std() == 0:
        return np.zeros(codes.shape[1]), np.nan
    mean = x.mean(0)
    std = x.std(0)
    scale = np.divide(1, std, out=np.zeros_like(std), where=std > 1e-12)
    x = (x - mean) * scale
    middle = y.mean()
    deviation = y.std()
    y = (y - middle) / deviation
    strongest = np.abs(x.T @ y).max() / len(y)
    if strongest == 0:
        return np.zeros(codes.shape[1]), np.nan
    lasso = Lasso(alpha=penalty * strongest, fit_intercept=False).fit(x, y)
    told = np.nan
    if asked.any() and truth[asked].std() > 0:
        fitted = middle + deviation * ((held_codes[asked] - mean) * scale @ lasso.coef_)
        told = 1 - np.square(truth[asked] - fitted).mean() / truth[asked].var()
    return np.abs(lasso.coef_), told


def auroc_gap(
    codes: np.ndarray, labels: np.ndarray, floor: float, work: Path | None = None
) -> tuple[float, int]:
    """Total AUROC difference: the sum of gaps over the attributes that some single number tells with an AUROC
    above `floor`, and how many those are.

    Yeats et al., "NashAE", ECCV 2022, section 5, with a floor of .75. Labels are 1, -1, 0.
    """
    blocks = list(batches(codes.shape[1], BLOCK))
    shards = ranks.dealt_jobs(
        *("evaluate code numbers", "blocks", work, blocks),
        lambda block: {"aurocs": single_aurocs(codes[:, block], labels)},
    )
    table = np.concatenate([found["aurocs"] for found in shards])
    told = table.max(0) > floor
    return float(gaps(table)[told].sum()), int(told.sum())


def single_aurocs(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(D, A) AUROC of each code number for each attribute, of the two signs the better: at least 1/2; 1/2
    where a class is empty.
    """
    table = np.full((codes.shape[1], labels.shape[1]), 0.5)
    cached = {}
    for a, column in enumerate(labels.T):
        known = column != 0
        positive = column == 1
        cases = int(positive.sum())
        others = int((column == -1).sum())
        if not cases or not others:
            continue
        if (key := known.tobytes()) not in cached:  # most attributes are known on the same faces
            cached = {key: ranked(codes[known])}
        wins = cached[key][positive[known]].sum(0) - cases * (cases + 1) / 2  # Mann & Whitney 1947
        table[:, a] = np.maximum(wins, cases * others - wins) / (cases * others)
    return table
