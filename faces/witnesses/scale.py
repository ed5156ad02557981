"""Calibrated distance of identities: how far apart two people are, and below what two pictures show one."""

from dataclasses import dataclass

import numpy as np

from faces.witnesses.weights import WitnessError

FALSE_ACCEPT = 0.01  # share of the pairs of different people that are taken for one person


def scale_rows(valid: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows of the faces that give the scale: up to `count` of the valid split, the same in every stage."""
    return np.sort(np.random.default_rng(seed).permutation(valid)[:count])


@dataclass(frozen=True)
class Pairs:
    """All pairs (P,) of n faces."""

    first: np.ndarray  # (P,) place of one face
    second: np.ndarray  # (P,) place of the other
    same: np.ndarray  # (P,) bool: of one person
    distance: np.ndarray  # (P,) between their features

    @classmethod
    def of(cls, features: np.ndarray, people: np.ndarray) -> "Pairs":
        """Features (n, 128) of people (n,); -1 is unknown, and counts as someone else."""
        from scipy.spatial.distance import pdist  # noqa: PLC0415 (a quarter second, and seldom needed)

        first, second = np.triu_indices(len(features), 1)
        same = (people[first] == people[second]) & (people[first] >= 0)
        distance = pdist(features) if len(features) > 1 else np.empty(0)  # in the order of triu_indices
        return cls(first, second, same, distance)


@dataclass(frozen=True)
class Scale:
    """Calibrated distance of identities, from faces of different people."""

    unit: float  # median distance of two people
    threshold: float  # FALSE_ACCEPT of the pairs of two people are nearer

    @classmethod
    def of(cls, features: np.ndarray, people: np.ndarray) -> "Scale":
        """Features (n, 128) of people (n,), as `Pairs.of` takes them. Raises WitnessError where there are no
        two people.
        """
        pairs = Pairs.of(features, people)
        apart = pairs.distance[~pairs.same]
        if not len(apart):
            raise WitnessError(
                "witness: the scale of identity is taken from valid faces of different people, and there are "
                "no two; give the valid split more faces, or set witness.enabled to false"
            )
        return cls(float(np.median(apart)), float(np.quantile(apart, FALSE_ACCEPT)))
