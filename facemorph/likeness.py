"""How like the training faces a picture is: a conformal p-value, and the refusal of what is too unlike them.

Five statistics of a picture, its code and what the model draws of it are held against those of valid faces,
by their Mahalanobis distance: how badly it is drawn, how far the code lies along the leading axes of the
train codes and along the others, how colourful it is and how much detail it has. What no face of the data
has, too much or too little, is strange. Half of the valid faces say what is usual, the others how strange a
face of the data may be. Depends on NumPy only; web/page/js/likeness.js is the same.
"""

from dataclasses import dataclass

import numpy as np

from facemorph.gaussian import LowRankGaussian

LEADING = 0.2  # share of the axes that lead
FLOORS = (1e-7, 1e-3, 1e-3, 1e-4, 1e-5)  # added to the statistics before the logarithm
FEWEST = 20  # calibration faces


@dataclass(frozen=True)
class Likeness:
    """p-values of pictures. `scores` (n,) are the distances of calibration faces, rising."""

    mean: np.ndarray  # (5,) of the statistics
    precision: np.ndarray  # (5, 5)
    scores: np.ndarray
    refuse: float  # p-value up to which a picture is refused
    gradual: float  # and from which ranges are as they were calibrated

    @classmethod
    def of(cls, statistics: np.ndarray, refuse: float, gradual: float) -> "Likeness | None":
        """From the statistics (n, 5) of valid faces; None where there are too few of them."""
        usual = statistics[::2]
        others = statistics[1::2]
        if len(others) < FEWEST:
            return None
        mean = usual.mean(0)
        precision = np.linalg.pinv(np.cov(usual.T), hermitian=True)
        found = cls(mean, precision, np.zeros(0), refuse, gradual)
        return cls(mean, precision, np.sort(found.distances(others)), refuse, gradual)

    def distances(self, statistics: np.ndarray) -> np.ndarray:
        """(n,) squared Mahalanobis distances of statistics (n, 5)."""
        apart = statistics - self.mean
        return np.einsum("ni,ij,nj->n", apart, self.precision, apart)

    def p_values(self, statistics: np.ndarray) -> np.ndarray:
        """(n,) the share of calibration faces, and itself, that are at least as strange."""
        above = len(self.scores) - np.searchsorted(self.scores, self.distances(statistics), "left")
        return (1 + above) / (len(self.scores) + 1)

    def refused(self, p: float) -> bool:
        """Whether a picture with this p-value is too unlike the faces that the model knows."""
        return p <= self.refuse

    def range_of(self, low: float, high: float, p: float) -> tuple[float, float] | None:
        """The calibrated range of strengths as far as it is promised for a face: whole from `gradual` on,
        shrinking to the strength nearest 1, and none where the face is refused.

        What holds all over a range holds in a part of it, so shrinking keeps the guarantee.
        """
        if self.refused(p):
            return None
        share = min(1.0, (p - self.refuse) / (self.gradual - self.refuse))
        centre = min(max(1.0, low), high)
        return centre + share * (low - centre), centre + share * (high - centre)


def statistics(
    gaussian: LowRankGaussian, crops: np.ndarray, codes: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """(n, 5) logarithms of what a picture is judged by.

    crops uint8 (n, S, S, 3), their codes (n, D), and what is drawn of these, (n, S, S, 3) in [0, 255].
    """
    faces = crops / 255.0
    grey = faces.mean(3)
    across = np.square(np.diff(grey, axis=2)).mean((1, 2))
    down = np.square(np.diff(grey, axis=1)).mean((1, 2))
    along = np.square(gaussian.whiten(codes.astype(np.float64)))
    leading = max(1, round(LEADING * along.shape[1]))
    rest = along[:, leading:] if along.shape[1] > leading else along
    found = [
        np.square(drawn / 255.0 - faces).mean((1, 2, 3)),
        along[:, :leading].mean(1),
        rest.mean(1),
        np.square(faces - grey[..., None]).mean((1, 2, 3)),
        across + down,
    ]
    return np.log(np.stack(found, 1) + FLOORS)
