"""data/vectors: one direction per attribute and estimator, and what a step along it means.

    vectors.npz     attributes (A,), estimators (E,), vectors (E, A, D), sigma (E, A), mean (D,), std (D,)
    vectors.csv     one row per estimator and attribute: counts, length, sigma, held-out AUROC with its interval, a note where one was left out

A vector has its native length (for a mean difference: from the mean without to the mean with). Strength is counted in sigmas: 1.0 is one standard
deviation of the train codes' projection on the direction, so one number means the same for every attribute and model.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faces.params import one_of


@dataclass(frozen=True)
class Directions:
    """The directions of one estimator. Attributes that could not be estimated are absent."""

    attributes: tuple[str, ...]
    vectors: np.ndarray  # (A, D) float32, native length
    sigma: np.ndarray  # (A,) standard deviation of the train codes along each direction
    mean: np.ndarray  # (D,) of the train codes
    std: np.ndarray  # (D,) of the train codes

    @classmethod
    def open(cls, folder: Path, estimator: str) -> "Directions":
        """Read one estimator's directions. Raises ParamsError naming the estimators there are."""
        with np.load(folder / "vectors.npz", allow_pickle=False) as file:
            index = list(file["estimators"]).index(one_of("vectors.primary", estimator, map(str, file["estimators"])))
            vectors, sigma = file["vectors"][index], file["sigma"][index]
            known = np.isfinite(vectors).all(axis=1)
            names = tuple(str(name) for name, good in zip(file["attributes"], known, strict=True) if good)
            return cls(names, vectors[known], sigma[known], file["mean"], file["std"])

    def native(self, attribute: str) -> np.ndarray:
        """(D,) the direction at its own length: the scale that the literature's 1.5 v and 2 v are counted in."""
        return self.vectors[self.attributes.index(attribute)]

    def unit(self, attribute: str) -> np.ndarray:
        """(D,) the direction at length one."""
        vector = self.native(attribute)
        return vector / np.linalg.norm(vector)

    def one_sigma(self, attribute: str) -> np.ndarray:
        """(D,) the step of strength 1.0."""
        return self.unit(attribute) * self.sigma[self.attributes.index(attribute)]
