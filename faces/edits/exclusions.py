"""Labels that no face shows together, and what an edit must therefore take away when it brings one of them.

Where labels shut one another out, a direction of one alone leads nowhere: brown lies between black and blond,
so no single step browns both; a bald head has no long hair left to hold still. And where they add up to one,
as colours of hair do, regression tells only differences between them. So an edit of a face is a switch: its
own direction, less those of the face's labels that cannot stay (`switched`).

Exclusions are rows of an array (R, A), each of a pair of labels: two entries of 1 or -1 (the attribute's
absence), the others 0.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from faces.core.params import Group, present


class Exclusive(Group):
    sets: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]
    tolerance: Annotated[float, Field(ge=0, lt=1)]

    def names(self) -> tuple[str, ...]:
        """The attributes that the sets speak of, as they stand there but for the sign."""
        return tuple(name.removeprefix("-") for names in self.sets for name in names)


def exclusions(key: str, settings: Exclusive, attributes: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """(R, A) int8: every pair of labels from one set that labels (N, A) do not speak against.

    A set names conditions of which a face meets one at most: `Bald`, `-Long_Hair`; with "?" behind, where the
    data have it. A pair that more than `tolerance` of the faces with the rarer of the two show together is
    passed over: whether bangs rule out waves depends on who drew the faces. Raises ParamsError naming `key`.
    """
    found = []
    known = list(attributes)
    for names in settings.sets:
        signs = {name.strip("-?"): -1 if name.startswith("-") else 1 for name in names}
        members = [
            (known.index(name), signs[name])
            for name in present(key, [name.removeprefix("-") for name in names], attributes)
        ]
        for (a, first), (b, second) in combinations(members, 2):
            one = labels[:, a] == first
            other = labels[:, b] == second
            if (one & other).sum() <= settings.tolerance * min(one.sum(), other.sum()):
                row = np.zeros(len(known), np.int8)
                row[[a, b]] = first, second
                found.append(row)
    return np.array(found, np.int8).reshape(-1, len(known))


def switched(attribute: int, values: np.ndarray, labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """What changes in faces with labels (F, A) when number `attribute` becomes values (F,), each 1 or -1: (F,
    A) of 1, -1, and 0 for what stays.

    The attribute itself, and every label of the face that one of the exclusions `pairs` (R, A) rules out
    beside the new value. An unknown label, 0, stays.
    """
    change = np.zeros(labels.shape, np.int8)
    for pair in pairs[pairs[:, attribute] != 0]:
        goes = (values[:, None] == pair[attribute]) & (labels == pair) & (pair != 0)
        change[goes] = -labels[goes]
    change[:, attribute] = values
    return change


def goals(labels: np.ndarray, wanted: np.ndarray, pairs: np.ndarray, locked: np.ndarray | None) -> np.ndarray:
    """The labels of faces after an edit: labels (F, A) in [-1, 1] become wanted (F, A), 1 or -1, where that
    is not 0.

    What one of the exclusions `pairs` (R, A) rules out beside a wanted label goes, unless it is wanted
    itself, locked (A,), or unknown, 0.
    """
    goal = np.where(wanted != 0, wanted, labels).astype(np.float32)
    for pair in pairs:
        first, second = np.flatnonzero(pair)
        for comes, goes in ((first, second), (second, first)):
            if locked is not None and locked[goes]:
                continue
            out = (wanted[:, comes] == pair[comes]) & (wanted[:, goes] == 0) & (labels[:, goes] != 0)
            goal[out, goes] = -pair[goes]
    return goal
