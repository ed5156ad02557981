"""Whether samples cover a distribution: precision, recall, density, coverage, variance, and nearest train
faces.
"""

import numpy as np

ROWS = 256  # whose distances to all others are held at once


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances between a (n, K) and b (m, K): (n, m)."""
    centre = b.mean(0)
    a = (a - centre).astype(np.float64)
    b = (b - centre).astype(np.float64)
    found = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.maximum(found, 0)


def support(samples: np.ndarray, real: np.ndarray, neighbours: int) -> dict[str, float]:
    """Precision, recall, density and coverage of samples (n, K) against real ones (m, K), in shares.

    A picture's ball reaches to its k-th nearest neighbour in its own set. Precision: samples inside a real
    ball; recall: real ones inside a sample's ball (Kynkäänniemi et al., NeurIPS 2019, eq. 1 and 2). Density:
    how many real balls hold a sample, over k; coverage: real balls that hold one (Naeem et al., ICML 2020,
    eq. 3 and 4). Coverage of two samples of one distribution is about 1 - 2^-k.
    """
    between = squared_distances(samples, real)
    of_real = _radii(squared_distances(real, real), neighbours)
    of_samples = _radii(squared_distances(samples, samples), neighbours)
    inside = between <= of_real
    return {
        "precision": float(inside.any(1).mean()),
        "recall": float((between <= of_samples[:, None]).any(0).mean()),
        "density": float(inside.sum(1).mean() / neighbours),
        "coverage": float(inside.any(0).mean()),
    }


def _radii(within: np.ndarray, neighbours: int) -> np.ndarray:
    """(n,) squared distance to the k-th nearest other one; the farthest where there are fewer."""
    place = min(neighbours, len(within) - 1)
    return np.partition(within, place, axis=1)[:, place]  # place 0 is the picture itself


def variance_ratio(samples: np.ndarray, train: np.ndarray) -> float:
    """Total variance of codes (n, D) over that of train codes (m, D): below 1 they vary too little."""
    return float(samples.var(0, dtype=np.float64).sum() / max(train.var(0, dtype=np.float64).sum(), 1e-30))


def nearest(codes: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(n,) distance of each of codes (n, D) to the nearest train code (m, D)."""
    found = [
        squared_distances(codes[start : start + ROWS], train).min(1) for start in range(0, len(codes), ROWS)
    ]
    return np.sqrt(np.concatenate(found))


def nearness(samples: np.ndarray, held_out: np.ndarray, train: np.ndarray) -> dict[str, float]:
    """Low quantiles of the samples' distance to the nearest train code, over those of held-out real codes.

    Copies of train faces show as quantiles far below 1. The median is left out: it falls with the variance
    alone.
    """
    ours = nearest(samples, train)
    theirs = nearest(held_out, train)
    found = {}
    for percent in (1, 5):
        reference = max(float(np.quantile(theirs, percent / 100)), 1e-12)
        found[f"nearest_{percent:02d}"] = float(np.quantile(ours, percent / 100)) / reference
    return found
