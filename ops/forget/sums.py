"""Additive sums over coded faces, from which every closed-form direction follows; faces are taken out by
subtraction (machine unlearning of a statistical query, Cao & Yang 2015, exact here).

All float64: what is left equals sums that never had the faces, to rounding.
"""

from dataclasses import dataclass

import numpy as np

from faces.estimators import estimators
from faces.estimators.estimators import Problem, Settings
from faces.latents.codes import Codes, blocks
from faces.latents.moments import Moments

CLOSED = ("mean_difference", "balanced", "partial", "lda")


@dataclass(frozen=True)
class Sums:
    """Sums of codes about `moments.centre`, by attribute, by side (without, with) and by confounder cell.

    counts (A, 2), totals (A, 2, D); held (A, C, 2), cells (A, C, 2, D). A face with an unknown confounder is
    in no cell.
    """

    moments: Moments
    counts: np.ndarray
    totals: np.ndarray
    held: np.ndarray
    cells: np.ndarray

    @classmethod
    def of(cls, codes: Codes, labels: np.ndarray, confounders: list[int], centre: np.ndarray) -> "Sums":
        """Of codes (N, D) and labels (N, A), in one pass; `confounders` are columns, `centre` (D,)."""
        attributes = labels.shape[1]
        length = codes.shape[1]
        places = 1 << len(confounders)
        first = np.zeros(length)
        products = np.zeros((length, length))
        counts = np.zeros((attributes, 2))
        totals = np.zeros((attributes, 2, length))
        held = np.zeros((attributes, places, 2))
        cells = np.zeros((attributes, places, 2, length))
        bits = 1 << np.arange(len(confounders))
        for rows, block in blocks(codes):
            moved = block.astype(np.float64) - centre
            signs = labels[rows]
            first += moved.sum(0)
            products += moved.T @ moved
            pattern = (signs[:, confounders] == 1) @ bits if confounders else np.zeros(len(signs), int)
            known = (signs[:, confounders] != 0).all(1)
            for side, value in enumerate((-1, 1)):
                has = (signs == value).astype(np.float64)
                counts[:, side] += has.sum(0)
                totals[:, side] += has.T @ moved
                for cell in np.unique(pattern[known]):
                    inside = known & (pattern == cell)
                    held[:, cell, side] += has[inside].sum(0)
                    cells[:, cell, side] += has[inside].T @ moved[inside]
        moments = Moments(len(codes), centre, first, np.diag(products).copy(), products)
        return cls(moments, counts, totals, held, cells)

    def __sub__(self, other: "Sums") -> "Sums":
        """Without the faces of `other`, which are among these and share the centre."""
        return Sums(
            without(self.moments, other.moments),
            self.counts - other.counts,
            self.totals - other.totals,
            self.held - other.held,
            self.cells - other.cells,
        )

    def differences(self) -> np.ndarray:
        """(A, D) mean code with minus mean code without."""
        with np.errstate(divide="ignore", invalid="ignore"):
            means = self.totals / self.counts[:, :, None]
        return means[:, 1] - means[:, 0]

    def balanced(self, confounders: list[int], least: int) -> np.ndarray:
        """(A, D) as faces.estimators.estimators.balanced: mean over cells that have `least` faces a side."""
        found = np.full((self.totals.shape[0], self.totals.shape[2]), np.nan)
        for attribute in range(len(found)):
            sums = self.cells[attribute]
            held = self.held[attribute]
            if attribute in confounders:  # it makes no cells of its own
                bit = confounders.index(attribute)
                off = [cell for cell in range(len(sums)) if not cell >> bit & 1]
                on = [cell | 1 << bit for cell in off]
                sums = sums[off] + sums[on]
                held = held[off] + held[on]
            kept = (held >= least).all(1)
            if kept.any():
                means = sums[kept] / held[kept][:, :, None]
                found[attribute] = (means[:, 1] - means[:, 0]).mean(0)
        return found


def without(moments: Moments, gone: Moments) -> Moments:
    """Downdate: `moments` less the codes of `gone`, which has the same centre. Raises ValueError where none
    is left.
    """
    if gone.count >= moments.count:
        raise ValueError("no face would be left")
    centre_shift = gone.centre - moments.centre
    if np.any(centre_shift):
        raise ValueError("moments about different centres cannot be subtracted")
    products = None if moments.products is None else moments.products - gone.products
    return Moments(
        moments.count - gone.count,
        moments.centre,
        moments.first - gone.first,
        moments.squares - gone.squares,
        products,
    )


def stored(arrays: dict[str, np.ndarray]) -> Moments:
    """The sums behind a moments.npz, about its mean."""
    count = int(arrays["count"])
    covariance = arrays.get("covariance")
    mean = arrays["mean"]
    return Moments(
        count,
        mean,
        np.zeros_like(mean),
        np.square(arrays["std"]) * count,
        None if covariance is None else covariance * count,
    )


def about(codes: np.ndarray, centre: np.ndarray, products: bool) -> Moments:
    """Moments of codes (n, D) about a given centre."""
    moved = codes.astype(np.float64) - centre
    outer = moved.T @ moved if products else None
    return Moments(len(codes), centre, moved.sum(0), np.square(moved).sum(0), outer)


def confounders_of(names: tuple[str, ...], settings: Settings) -> list[int]:
    """Columns of the confounders that the data have."""
    asked = (name.rstrip("?") for name in settings.balanced.confounders)
    return [names.index(name) for name in asked if name in names]


def directions(sums: Sums, problem: Problem) -> dict[str, np.ndarray]:
    """Every closed-form direction (A, D), by estimator, from sums alone; of `problem` only labels, the valid
    faces and settings are used.
    """
    problem.__dict__ |= {
        "moments": sums.moments,
        "covariance": sums.moments.covariance(),
        "differences": sums.differences(),
    }
    settings = problem.settings.balanced
    least = max(1, round(settings.min_faces * problem.share)) * problem.copies
    found = {name: getattr(estimators, name)(problem).vectors for name in CLOSED if name != "balanced"}
    return found | {"balanced": sums.balanced(confounders_of(problem.names, problem.settings), least)}
