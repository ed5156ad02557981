"""A Gaussian in code space, from which every seed draws one face: the same in the pipeline, on the server and in the browser (web/API.md).

Needs numpy alone, since the website's server reads it too.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """A Gaussian in code space: mean (D,) and covariance factor^T factor + diag(residual^2), factor (K, D), residual (D,). float64."""

    mean: np.ndarray
    factor: np.ndarray
    residual: np.ndarray

    @classmethod
    def of_moments(cls, mean: np.ndarray, covariance: np.ndarray, rank: int) -> "Spread":
        """The `rank` widest axes of a covariance (D, D); what they leave of each variance is the residual."""
        values, axes = np.linalg.eigh(covariance)
        order = np.argsort(values)[::-1][:rank]
        return cls._of_axes(mean, np.maximum(values[order], 0), axes[:, order].T, np.diag(covariance))

    @classmethod
    def of_codes(cls, codes: np.ndarray, rank: int) -> "Spread":
        """The same from codes (n, D) with n below D, through the n x n products."""
        mean = codes.mean(0, dtype=np.float64)
        centred = codes - mean
        values, sides = np.linalg.eigh(centred @ centred.T / len(codes))
        order = np.argsort(values)[::-1][: min(rank, len(codes) - 1)]
        values = np.maximum(values[order], 1e-12)
        axes = (centred.T @ sides[:, order]).T / np.sqrt(values * len(codes))[:, None]
        return cls._of_axes(mean, values, axes, np.square(centred).mean(0))

    @classmethod
    def _of_axes(
        cls, mean: np.ndarray, values: np.ndarray, axes: np.ndarray, variances: np.ndarray
    ) -> "Spread":
        axes = (
            axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
        )  # an eigenvector's sign is arbitrary
        factor = np.sqrt(values)[:, None] * axes
        left = variances - np.square(factor).sum(0)
        whole = len(factor) == len(variances)
        return cls(mean, factor, np.zeros_like(mean) if whole else np.sqrt(np.maximum(left, 0)))

    def sample(self, seed: int, temperature: float) -> np.ndarray:
        """(D,) the code of a seed, as web/API.md defines it: the same face here, on the server and in the browser."""
        rank, length = self.factor.shape
        noise = normals(seed, rank + length)
        return self.mean + temperature * (noise[:rank] @ self.factor + noise[rank:] * self.residual)


def normals(seed: int, count: int) -> np.ndarray:
    """(count,) normal numbers out of a 32-bit seed, by a counter, a hash (lowbias32) and Box-Muller: simple enough to be the same in every language."""

    def mix(x: np.ndarray) -> np.ndarray:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        return x ^ (x >> np.uint32(16))

    pairs = (count + 1) // 2
    counter = np.arange(1, 2 * pairs + 1, dtype=np.uint32)
    words = mix(mix(counter) + mix(np.array([seed ^ 0x9E3779B9], np.uint32)))
    radius, angle = ((words + 0.5) / 2**32).reshape(pairs, 2).T
    radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]
