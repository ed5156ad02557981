"""data/vectors: one direction per attribute and estimator, and what a step along it means.

    vectors.npz     attributes (A,), estimators (E,), vectors (E, A, D), sigma (E, A), intercepts (E, A), mean
                    (D,), std (D,),
                    covariance (E, A, A) of the train codes' projections on the unit directions, exclusive (R,
                    A) (faces/edits/exclusions.py), components (K, D) and component_sigma (K,): principal
                    components of the codes, which are nobody's attribute
    vectors.csv     one row per estimator and attribute: counts, length, sigma, intercept, variance inflation
                    of the label, agreement between halves of the
                    train faces, the reliability that follows from it, held-out AUROC with its interval, and a
                    note on what a reader must know
    cosines.csv     one row per estimator and attribute: the direction's cosine with that of every other
                    attribute
    phi.csv         one row per attribute: its label's correlation with every other. Cosines of mean
                    differences mostly restate it: read them side by side

A vector has its native length: from the mean without to the mean with, along it. Strength is counted in
sigmas: 1.0 is one standard deviation of the train codes' projection on the direction, so one number means the
same for every attribute and model. The boundary is where z . unit + intercept = 0.

An edit of a face is a switch: what cannot stay goes (`edit`), and its sigma is that of the step that it
takes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faces.core.params import one_of
from faces.edits.exclusions import Exclusions, switched


@dataclass(frozen=True)
class Directions:
    """The directions of one estimator. Attributes that could not be estimated are absent."""

    attributes: tuple[str, ...]
    vectors: np.ndarray  # (A, D) float32, native length
    sigma: np.ndarray  # (A,) standard deviation of the train codes along each direction
    mean: np.ndarray  # (D,) of the train codes
    std: np.ndarray  # (D,) of the train codes
    covariance: np.ndarray  # (A, A) of the train codes' projections on the unit directions
    exclusions: Exclusions

    @classmethod
    def open(cls, folder: Path, estimator: str) -> "Directions":
        """Read one estimator's directions. Raises ParamsError naming the estimators there are."""
        with np.load(folder / "vectors.npz", allow_pickle=False) as file:
            index = list(file["estimators"]).index(
                one_of("vectors.primary", estimator, map(str, file["estimators"]))
            )
            vectors = file["vectors"][index]
            sigma = file["sigma"][index]
            known = np.isfinite(vectors).all(axis=1)
            names = tuple(str(name) for name, good in zip(file["attributes"], known, strict=True) if good)
            covariance = file["covariance"][index][np.ix_(known, known)]
            exclusions = Exclusions(file["exclusive"], file["exhaustive"]).among(known)
            return cls(names, vectors[known], sigma[known], file["mean"], file["std"], covariance, exclusions)

    def native(self, attribute: str) -> np.ndarray:
        """(D,) the direction at its own length: the scale of the literature's 1.5 v and 2 v."""
        return self.vectors[self.attributes.index(attribute)]

    def unit(self, attribute: str) -> np.ndarray:
        """(D,) the direction at length one."""
        vector = self.native(attribute)
        return vector / np.linalg.norm(vector)

    def one_sigma(self, attribute: str) -> np.ndarray:
        """(D,) the step of strength 1.0."""
        return self.unit(attribute) * self.sigma[self.attributes.index(attribute)]

    def arranged(self, attributes: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
        """Labels (N, A') of `attributes` in the order of these directions: (N, A), as `arranged` below."""
        return arranged(self.attributes, attributes, labels)

    def edit(self, attribute: str, values: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(F, D) the step, at native length, that takes faces with labels (F, A), in the order of
        `attributes`, to values (F,) of 1 or -1; 0 stays.

        Labels that the new value rules out, or calls for, are switched with it: +v of what comes, -v of what
        goes.
        """
        return switched(self.attributes.index(attribute), values, labels, self.exclusions) @ self.vectors

    def edit_sigma(self, attribute: str, values: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(F, D) the same step at strength 1: one standard deviation of the train codes' projection on it."""
        change = switched(self.attributes.index(attribute), values, labels, self.exclusions)
        step = change @ self.vectors  # (F, D)
        return step / np.maximum(self.deviations(change), 1e-15)[:, None]

    def deviations(self, change: np.ndarray) -> np.ndarray:
        """(F,) the length of each step change (F, A) @ vectors, in standard deviations of the train codes'
        projection on it.
        """
        step = change @ self.vectors  # (F, D)
        along = change * np.linalg.norm(self.vectors, axis=1)  # (F, A) in units of the unit directions
        deviation = np.sqrt(np.einsum("fa,ab,fb->f", along, self.covariance, along))  # of z . step
        return np.square(step).sum(1) / np.maximum(deviation, 1e-15)


def arranged(wanted: tuple[str, ...], names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
    """Labels (N, A') of attributes `names` in the order of `wanted`: (N, A). What there is no column of, such
    as a measured label, is 0, unknown.
    """
    found = np.zeros((len(labels), len(wanted)), labels.dtype)
    for place, name in enumerate(wanted):
        if name in names:
            found[:, place] = labels[:, names.index(name)]
    return found


def conditioned(direction: np.ndarray, conditions: np.ndarray) -> np.ndarray:
    """What is left of a direction (D,) when its share in the span of `conditions` (C, D) is taken out: a step
    along it moves none of their projections.

    InterFaceGAN's conditional manipulation (Shen et al., CVPR 2020, section 3.3): n1 - (n1 . n2) n2 for one
    unit condition; here for any number, of any length, by least squares. The length is what remains; nothing
    where the direction lies in the span.
    """
    weights = np.linalg.lstsq(conditions.T, direction)[0]
    return direction - weights @ conditions


def components(folder: Path) -> np.ndarray:
    """(K, D) the principal components of the train codes, by falling sigma, each as a step of one sigma."""
    with np.load(folder / "vectors.npz", allow_pickle=False) as file:
        return file["components"] * file["component_sigma"][:, None]


def relative(codes: np.ndarray, unit: np.ndarray, distance: float | np.ndarray) -> np.ndarray:
    """z + t n: codes (..., D) moved by `distance` in code units along `unit` (D,). By each of (S,) distances
    where codes are (..., 1, D): (..., S, D).
    """
    return codes + np.multiply.outer(distance, unit)


def absolute(
    codes: np.ndarray, unit: np.ndarray, distance: float | np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """z + (t - (z - mean) . n) n: codes (..., D) moved to where they lie `distance` beyond `mean` (D,) along
    `unit` (D,); several as above.

    InterFaceGAN's step, which leaves the mean out because its codes have none (utils/manipulator.py,
    linear_interpolate).
    """
    return codes + (distance - (codes - mean) @ unit)[..., None] * unit
