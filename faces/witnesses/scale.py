"""Calibrated distance of identities: how far apart two people are, and below what two pictures show one."""

from dataclasses import dataclass

import numpy as np

FALSE_ACCEPT = 0.01  # share of the pairs of different people that are taken for one person


@dataclass(frozen=True)
class Scale:
    """Calibrated distance of identities, from features (n, 128) of faces of different people."""

    unit: float  # median distance of two people
    threshold: float  # FALSE_ACCEPT of the pairs of two people are nearer

    @classmethod
    def of(cls, features: np.ndarray, people: np.ndarray) -> "Scale":
        """people (n,): number of the person, -1 where unknown, which then counts as someone else."""
        first, second = np.triu_indices(len(features), 1)
        other = (people[first] != people[second]) | (people[first] < 0)
        apart = np.linalg.norm(features[first[other]] - features[second[other]], axis=1)
        return cls(float(np.median(apart)), float(np.quantile(apart, FALSE_ACCEPT)))
