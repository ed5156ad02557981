"""Labels that no face shows together, and what an edit must therefore take away, or bring, with one of them.

Where labels shut one another out, a direction of one alone leads nowhere: brown lies between black and blond,
so no single step browns both; a bald head has no long hair left to hold still. And where they add up to one,
as colours of hair do, regression tells only differences between them. So an edit of a face is a switch: its
own direction, less those of the face's labels that cannot stay. Where every face shows one of a set, and an
edit takes that one away, another must come, or the edit leads to hair of no colour: the commonest of the
others does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Exclusions:
    """What labels rule out of one another."""

    pairs: np.ndarray  # (R, A) int8: two entries of 1 or -1 (the attribute's absence) that no face shows
    exhaustive: np.ndarray  # (S, A) int8: every face shows one of these, k or -k the k-th commonest; else 0

    @classmethod
    def none(cls, attributes: int) -> "Exclusions":
        """Of labels that go together in any way."""
        return cls(*np.zeros((2, 0, attributes), np.int8))

    @classmethod
    def of(cls, key: str, settings: Exclusive, attributes: Sequence[str], labels: np.ndarray) -> "Exclusions":
        """Every pair of labels from one set that labels (N, A) do not speak against, and the sets that are
        exhaustive.

        A set names conditions of which a face meets one at most: `Bald`, `-Long_Hair`; with "?" behind, where
        the data have it. A pair that more than `tolerance` of the faces with the rarer of the two show
        together is passed over: whether bangs rule out waves depends on who drew the faces. A set is
        exhaustive where all its pairs hold, and the faces that show none of it are as few. Raises ParamsError
        naming `key`.
        """
        pairs = []
        exhaustive = []
        known = list(attributes)
        for names in settings.sets:
            signs = {name.strip("-?"): -1 if name.startswith("-") else 1 for name in names}
            members = [
                (known.index(name), signs[name])
                for name in present(key, [name.removeprefix("-") for name in names], attributes)
            ]
            places, sides = np.array(members, np.int64).reshape(-1, 2).T
            shown = labels[:, places] == sides  # (N, M)
            counts = shown.sum(0)
            held = 0
            for one, other in combinations(range(len(members)), 2):
                together = (shown[:, one] & shown[:, other]).sum()
                if together <= settings.tolerance * min(counts[one], counts[other]):
                    row = np.zeros(len(known), np.int8)
                    row[places[[one, other]]] = sides[[one, other]]
                    pairs.append(row)
                    held += 1
            none = (~shown.any(1)).sum()
            whole = held == len(members) * (len(members) - 1) // 2
            if len(members) > 1 and whole and 0 < counts.min() and none <= settings.tolerance * counts.min():
                row = np.zeros(len(known), np.int8)
                order = np.argsort(-counts, kind="stable")
                row[places[order]] = sides[order] * np.arange(1, len(order) + 1)
                exhaustive.append(row)
        return cls(*(np.array(rows, np.int8).reshape(-1, len(known)) for rows in (pairs, exhaustive)))

    def among(self, known: np.ndarray) -> "Exclusions":
        """Those of `known` labels alone, bool (A,), in their order."""
        kept = (rows[(rows[:, ~known] == 0).all(1)][:, known] for rows in (self.pairs, self.exhaustive))
        return Exclusions(*kept)

    def members(self) -> list[list[tuple[int, int]]]:
        """Of each exhaustive set the places and sides, 1 or -1, the commonest first."""
        return [
            sorted(((a, int(np.sign(row[a]))) for a in np.flatnonzero(row)), key=lambda one: abs(row[one[0]]))
            for row in self.exhaustive
        ]


def switched(attribute: int, values: np.ndarray, labels: np.ndarray, exclusions: Exclusions) -> np.ndarray:
    """What changes in faces with labels (F, A) when number `attribute` becomes values (F,), each 1 or -1: (F,
    A) of 1, -1, and 0 for what stays.

    The attribute itself, every label of the face that is ruled out beside the new value, and what must come
    in its place (`goals`). An unknown label, 0, stays.
    """
    wanted = np.zeros(labels.shape, np.int8)
    wanted[:, attribute] = values
    goal = goals(labels, wanted, exclusions, None)
    change = np.where(goal != labels, goal, 0).astype(np.int8)
    change[:, attribute] = values
    return change


def goals(
    labels: np.ndarray, wanted: np.ndarray, exclusions: Exclusions, locked: np.ndarray | None
) -> np.ndarray:
    """The labels of faces after an edit: labels (F, A) in [-1, 1] become wanted (F, A), 1 or -1, where that
    is not 0.

    What is ruled out beside a wanted label goes, unless it is wanted itself, locked (A,), or unknown, 0.
    Where a face is left with none of an exhaustive set since one of it went, the commonest comes that is free
    to.
    """
    held = np.zeros(labels.shape[1], bool) if locked is None else locked
    goal = np.where(wanted != 0, wanted, labels).astype(np.float32)
    for pair in exclusions.pairs:
        first, second = np.flatnonzero(pair)
        for comes, goes in ((first, second), (second, first)):
            out = (wanted[:, comes] == pair[comes]) & (wanted[:, goes] == 0) & (labels[:, goes] != 0)
            goal[out & ~held[goes], goes] = -pair[goes]
    for members in exclusions.members():
        places, sides = np.array(members).T
        went = (labels[:, places] * sides > 0) & (goal[:, places] * sides < 0)  # (F, M)
        free = (wanted[:, places] == 0) & ~held[places] & (labels[:, places] != 0) & ~went
        lacks = went.any(1) & (goal[:, places] * sides < 0).all(1) & free.any(1)
        comes = free[lacks].argmax(1)
        goal[lacks, places[comes]] = sides[comes]
    return goal
