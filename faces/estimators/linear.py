"""Linear boundaries between the codes with and without each attribute, fitted for all attributes together by
L-BFGS over blocks of codes.

Every evaluation reads the codes once and costs 4 N D A multiplications; memory holds one block and some
twenty matrices (A, D). One solver thus serves codes of 64 numbers and Glow's of 12,288, for which a Newton
step or scikit-learn's float64 copy would not fit in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from faces.core.params import Group
from faces.latents.codes import Codes, blocks


class Boundary(Group):
    ridge: Annotated[float, Field(gt=0)]
    faces: Annotated[int, Field(ge=2)]
    iterations: Annotated[int, Field(ge=1)]


Loss = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def logistic_loss(margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log(1 + e^-m) and its slope."""
    decay = np.exp(-np.abs(margins))
    return np.log1p(decay) + np.maximum(-margins, 0), -np.where(margins > 0, decay, 1) / (1 + decay)


def squared_hinge(margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max(0, 1 - m)^2 and its slope."""
    short = np.maximum(1 - margins, 0)
    return short**2, -2 * short


def told(loss: Loss, margins: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of margins under labels of 1 and -1, 0 for unknown, and its slope along the margins.

    Labels that are floats may lie between -1 and 1: y counts as 1 by (1 + y) / 2 and as -1 by the rest, so
    that the logistic loss reads the expected label (Papke & Wooldridge 1996).
    """
    if labels.dtype.kind != "f":
        losses, slope = loss(labels * margins)
        return (labels != 0) * losses, slope * labels
    upper, up = loss(margins)
    lower, down = loss(-margins)
    share = (1 + labels) / 2
    known = labels != 0
    return known * (share * upper + (1 - share) * lower), known * (share * up - (1 - share) * down)


@dataclass(frozen=True)
class Boundaries:
    """The boundary of attribute a is where z . normals[a] + intercepts[a] = 0, positive on the side with the
    attribute.
    """

    normals: np.ndarray  # (A, D), not of unit length
    intercepts: np.ndarray  # (A,)
    converged: bool


def fit(
    codes: Codes, labels: np.ndarray, mean: np.ndarray, std: np.ndarray, loss: Loss, settings: Boundary
) -> Boundaries:
    """Minimise for each attribute, over w (D,) and b: mean of loss(y (w . x + b)) over the faces whose label
    y is known, + ridge / 2 |w|^2.

    x are codes (N, D) brought to mean 0 and deviation 1 by `mean` and `std` (D,); the intercept pays no
    ridge. Equal to scikit-learn's LogisticRegression with C = 1 / (ridge n). Labels (N, A) are as in `told`.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 (half a second, and only needed to fit)

    attributes = labels.shape[1]
    length = codes.shape[1]
    inverse = np.divide(
        1, std, out=np.zeros_like(std), where=std > 1e-8 * max(std.max(), 1e-30)
    )  # a dimension that never moves gets no weight
    centre = mean.astype(np.float32)
    shares = 1 / np.maximum((labels != 0).sum(0), 1)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(attributes, length + 1)
        normals = (weights[:, :-1] * inverse).T.astype(np.float32)  # (D, A)
        value = 0.0
        slopes = np.zeros((attributes, length))
        offsets = np.zeros(attributes)
        for rows, block in blocks(codes):
            moved = block - centre
            losses, slope = told(loss, moved @ normals + weights[:, -1], labels[rows])
            value += float(losses.sum(0) @ shares)
            slope *= shares  # (B, A), zero where the label is unknown
            slopes += slope.T.astype(np.float32) @ moved
            offsets += slope.sum(0)
        value += settings.ridge / 2 * float(np.square(weights[:, :-1]).sum())
        gradient = np.concatenate([slopes * inverse + settings.ridge * weights[:, :-1], offsets[:, None]], 1)
        return value, gradient.ravel()

    options = {"maxiter": settings.iterations, "maxfun": 2 * settings.iterations, "gtol": 1e-5, "ftol": 1e-9}
    found = minimize(
        objective, np.zeros(attributes * (length + 1)), jac=True, method="L-BFGS-B", options=options
    )
    weights = found.x.reshape(attributes, length + 1)
    normals = weights[:, :-1] * inverse
    return Boundaries(normals, weights[:, -1] - normals @ mean, bool(found.success))


class CrossFitted(NamedTuple):
    """Means of the folds' boundaries, and what each says of the faces that it has not seen."""

    normals: np.ndarray  # (A, D)
    intercepts: np.ndarray  # (A,)
    log_odds: np.ndarray  # (N, A)


def cross_fitted(
    codes: Codes,
    labels: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    folds: int,
    settings: Boundary,
    rng: np.random.Generator,
) -> CrossFitted:
    """Logistic boundaries as of `fit`; each fold's are fitted to the others, to `settings.faces` of them at
    most.
    """
    fold = rng.permutation(np.arange(len(codes)) % folds)
    log_odds = np.zeros(labels.shape)
    normals = np.zeros((labels.shape[1], codes.shape[1]))
    intercepts = np.zeros(labels.shape[1])
    for number in range(folds):
        others = np.flatnonzero(fold != number)
        if len(others) > settings.faces:
            others = np.sort(rng.choice(others, settings.faces, replace=False))
        found = fit(codes.part(others), labels[others], mean, std, logistic_loss, settings)
        own = np.flatnonzero(fold == number)
        for rows, block in blocks(codes.part(own)):
            log_odds[own[rows]] = block @ found.normals.T + found.intercepts
        normals += found.normals / folds
        intercepts += found.intercepts / folds
    return CrossFitted(normals, intercepts, log_odds)
