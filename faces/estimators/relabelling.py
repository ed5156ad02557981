"""Labels that codes clearly contradict are turned, before directions are estimated from them.

A logistic boundary reads each train face that it was not fitted to (cross-fitting). Where its log-odds
against the label are above a threshold, the label counts as the other one: learning from the confident among
noisy labels (Northcutt, Jiang and Chuang 2021), without leaving faces out. It helps where more than some 7%
of the labels are wrong; where they are right, it turns what is rare.
"""

import numpy as np

from faces.estimators.linear import Boundary, cross_fitted
from faces.latents.codes import Codes
from faces.latents.moments import Moments

FOLDS = 5  # of the faces; each is read by what was fitted to the others


def relabelled(
    codes: Codes, labels: np.ndarray, log_odds: float, boundary: Boundary, rng: np.random.Generator
) -> np.ndarray:
    """Labels (N, A) of 1, -1 and 0 for unknown, those turned that the codes (N, D) contradict by more than
    `log_odds`. Unknown ones stay unknown.
    """
    moments = Moments.of(codes, np.arange(len(codes)), products=False)
    found = cross_fitted(codes, labels, moments.mean(), moments.std(), FOLDS, boundary, rng)
    contradicted = labels * found.log_odds < -log_odds
    return np.where(contradicted, -labels, labels)
