"""Low-rank Gaussian of codes: the simplest prior, from which the website samples new faces.

The pipeline and the runtime draw with the same code. Depends on NumPy only.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class LowRankGaussian:
    """A Gaussian of codes: mean (D,), covariance factor^T factor + diag(residual^2), factor (K, D). float64.

    The rows of `factor` are orthogonal: principal axes, as long as the standard deviation along them.
    """

    mean: np.ndarray
    factor: np.ndarray
    residual: np.ndarray

    @classmethod
    def of_axes(
        cls, mean: np.ndarray, axes: np.ndarray, sigma: np.ndarray, variances: np.ndarray
    ) -> "LowRankGaussian":
        """Standard deviations (K,) along unit axes (K, D), and the variance (D,) of every code number."""
        factor = sigma[:, None] * axes
        if len(factor) == len(variances):
            return cls(mean, factor, np.zeros_like(mean))
        return cls(mean, factor, np.sqrt(np.maximum(variances - np.square(factor).sum(0), 0)))

    @cached_property
    def sigma(self) -> np.ndarray:
        """(K,) standard deviation along each axis."""
        return np.linalg.norm(self.factor, axis=1)

    def whiten(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N, D) -> coordinates (N, K) along the axes, of unit variance."""
        return (codes - self.mean) @ (self.factor / np.maximum(self.sigma, 1e-12)[:, None] ** 2).T

    def colour(self, y: np.ndarray, rng: np.random.Generator, temperature: float) -> np.ndarray:
        """Coordinates (n, K) -> codes (n, D) float32; the residual is drawn at `temperature`."""
        codes = self.mean + y @ self.factor
        if self.residual.any():
            codes += temperature * self.residual * rng.standard_normal(codes.shape)
        return codes.astype(np.float32)

    def draw(self, count: int, rng: np.random.Generator, temperature: float) -> np.ndarray:
        """Codes (count, D) float32; `temperature` multiplies the standard deviation."""
        y = temperature * rng.standard_normal((count, len(self.factor)))
        return self.colour(y, rng, temperature)

    def sample(self, seed: int, temperature: float) -> np.ndarray:
        """Code (D,) of a seed: the same face in pipeline, server and browser (web/API.md)."""
        rank, length = self.factor.shape
        noise = normals(seed, rank + length)
        return self.mean + temperature * (noise[:rank] @ self.factor + noise[rank:] * self.residual)


def normals(seed: int, count: int) -> np.ndarray:
    """(count,) normal numbers out of a 32-bit seed, reproducible in any language: Box-Muller on `uniform`."""
    unit, turn = uniform(seed, 2 * ((count + 1) // 2)).reshape(-1, 2).T
    radius = np.sqrt(-2 * np.log(unit))
    angle = 2 * np.pi * turn
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]


def place(seed: int, count: int) -> int:
    """A place in a list of `count`, out of a 32-bit seed."""
    return int(uniform(seed, 1)[0] * count)


def uniform(seed: int, count: int) -> np.ndarray:
    """(count,) numbers in (0, 1) out of a 32-bit seed: a counter and a hash (lowbias32)."""

    def mix(x: np.ndarray) -> np.ndarray:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        return x ^ (x >> np.uint32(16))

    words = mix(mix(np.arange(1, count + 1, dtype=np.uint32)) + mix(np.array([seed ^ 0x9E3779B9], np.uint32)))
    return (words + 0.5) / 2**32
