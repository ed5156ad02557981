"""Spearman's rank correlation; tied values share the mean of their ranks."""

import numpy as np
import pandas as pd


def ranked(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 in each column of values (n,) or (n, K)."""
    return pd.DataFrame(values).rank().to_numpy().reshape(values.shape)


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of two arrays (n,); NaN where one of them does not vary."""
    a, b = ranked(first), ranked(second)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else np.nan
