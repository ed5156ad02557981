"""Forms of labels (subclasses, modes): kinds of hat or of open mouth that no label of the data tells apart.

A flow that knew of "a hat" alone would draw some hats half of one form and half of another. So it is told the
forms too, which were found among the train faces (faces/flow/forms.py), as further conditions beside the
labels. Nobody asks for one. A face's own form is read off its code; where a label comes that the face lacks,
its noise draws the form by lot, as often as faces have it, and always the same one.

A form is a number in [-1, 1] as a label is: 1 shown, -1 not, 0 where its label is unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ARRAYS = ("normals", "intercepts", "lots", "edges")


@dataclass(frozen=True)
class Forms:
    """F forms of G sides of labels, those of a side one after the other."""

    places: np.ndarray  # (G,) of the labels, among all A
    sides: np.ndarray  # (G,) 1 where faces with the label have forms, -1 where those without
    groups: np.ndarray  # (F,) which of the G a form belongs to, rising
    normals: np.ndarray  # (F, D) log-odds of a form within its group, up to a constant, are z . normals[f] +
    intercepts: np.ndarray  # (F,) these
    lots: np.ndarray  # (G, K) axes of the noise; where a face's noise lies along one is drawn
    edges: np.ndarray  # (F,) of a lot: a form comes below its edge, unless the form before it does

    @classmethod
    def none(cls) -> "Forms":
        """Of labels that have no forms."""
        whole = np.zeros(0, np.int64)
        nothing = np.zeros((0, 0))
        return cls(whole, whole, whole, nothing, np.zeros(0), nothing, np.zeros(0))

    @classmethod
    def of(cls, attributes: Sequence[str], names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> "Forms":
        """From `names`, and `arrays` of ARRAYS: `names` has for each form its label, one of `attributes`,
        with "-" in front where faces without it have the form.
        """
        if not names:
            return cls.none()
        owners = list(dict.fromkeys(names))
        return cls(
            np.array([list(attributes).index(name.removeprefix("-")) for name in owners]),
            np.array([-1 if name.startswith("-") else 1 for name in owners]),
            np.array([owners.index(name) for name in names]),
            *(np.asarray(arrays[name], np.float64) for name in ARRAYS),
        )

    def names(self, attributes: Sequence[str]) -> list[str]:
        """Of each form its label, as `of` takes it."""
        signs = ("-" if side < 0 else "" for side in self.sides)
        owners = [sign + attributes[place] for sign, place in zip(signs, self.places, strict=True)]
        return [owners[group] for group in self.groups]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Those of ARRAYS, float32, in the order of C: safetensors takes any array to be in that order."""
        return {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in ARRAYS}

    def __len__(self) -> int:
        return len(self.groups)

    def read(self, codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(..., F) the forms of codes (..., D) with labels (..., A)."""
        told = self.told(labels)
        if not len(self):
            return told
        scores = codes @ self.normals.T + self.intercepts
        odds = np.exp(scores - self.largest(scores))
        share = odds / (odds @ self.together)
        return np.where(told == 0, 0.0, (1 + told) * share - 1)

    def after(self, labels: np.ndarray, forms: np.ndarray, goal: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """(..., F) the forms when labels (..., A), of faces with `forms` (..., F), become goal (..., A).

        They follow their label. Where it goes, all do. Where it comes, the likeliest does of a face that has
        the label more or less, and else the one that noise (..., K) draws.
        """
        before, ahead = self.told(labels), self.told(goal)
        if not len(self):
            return ahead
        known = before != 0
        had = np.where(known, (1 + before) / 2, 0.0)
        has = (1 + ahead) / 2
        shown = np.where(known, (1 + forms) / 2, 0.0)
        comes = np.where(before > 0, forms == self.largest(forms), self.drawn(noise))
        gained = shown + (has - had) / np.maximum(1 - had, 1e-12) * (comes - shown)
        kept = shown * has / np.maximum(had, 1e-12)
        return np.where(ahead == before, forms, 2 * np.where(has > had, gained, kept) - 1)

    def of_noise(self, labels: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """(..., F) the forms that noise (..., K) draws for a new face with labels (..., A)."""
        told = self.told(labels)
        if not len(self):
            return told
        return np.where(told == 0, 0.0, (1 + told) * self.drawn(noise) - 1)

    def told(self, labels: np.ndarray) -> np.ndarray:
        """(..., F) how far labels (..., A) are on the side of each form: 1, or -1."""
        return labels[..., self.places[self.groups]] * self.sides[self.groups]

    def drawn(self, noise: np.ndarray) -> np.ndarray:
        """Bool (..., F): of each group the form that noise (..., K) draws."""
        below = (noise @ self.lots.T)[..., self.groups] < self.edges
        earlier = np.zeros_like(below)
        earlier[..., 1:] = below[..., :-1] & (self.groups[1:] == self.groups[:-1])
        return below & ~earlier

    def largest(self, values: np.ndarray) -> np.ndarray:
        """(..., F) for each form the largest of its group's values (..., F)."""
        starts = np.searchsorted(self.groups, np.arange(len(self.places)))
        return np.maximum.reduceat(values, starts, -1)[..., self.groups]

    @property
    def together(self) -> np.ndarray:
        """(F, F) whether two forms are of one group: 1 or 0."""
        return (self.groups[:, None] == self.groups).astype(np.float64)
