"""The contract of an edit: codes of faces, what is to change and by how much -> codes of the same people,
changed.

**Strength** is counted in changes of the label: 0 is the face as it is, 1 the switch from its label to the
wanted one, with half the way between them at .5, more exaggerates, and a negative strength goes the other
way. That holds for every editor, so their edits compare at equal strengths; what the literature counts in
sigmas of a direction is `sigmas` times that.

Labels are numbers in [-1, 1]: 1 with, -1 without, 0 unknown, and between them what a readout believes
(faces/flow/readouts.py).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from faces.edits.directions import Directions, arranged
from faces.edits.exclusions import Exclusions, goals


@dataclass(frozen=True)
class Editor(ABC):
    """Edits of codes by their labels, in the order of `attributes`."""

    attributes: tuple[str, ...]
    exclusions: Exclusions

    def edit(
        self,
        codes: np.ndarray,
        labels: np.ndarray,
        wanted: np.ndarray,
        strength: float | np.ndarray,
        locked: np.ndarray | None = None,
    ) -> np.ndarray:
        """Codes (F, D) of faces with labels (F, A), changed towards wanted (F, A), 1, -1 or 0 for what is not
        asked for: (F, D) float32.

        strength is one number or (F,). A label that cannot stay beside a wanted one changes with it, and one
        that must come does (faces/edits/exclusions.py), unless it is locked (A,). All other known labels are
        held. At strength 0, and where a face has all that is wanted, the code comes back to the last bit.
        """
        labels = np.asarray(labels, np.float32)
        goal = goals(labels, wanted, self.exclusions, locked)
        amount = np.broadcast_to(np.asarray(strength, np.float32), len(codes))
        return self.move(np.asarray(codes, np.float32), labels, goal, amount)

    def switch(
        self,
        attribute: str,
        codes: np.ndarray,
        labels: np.ndarray,
        values: np.ndarray,
        strength: float | np.ndarray,
    ) -> np.ndarray:
        """`edit` where one attribute alone is wanted, with values (F,) of 1 or -1."""
        wanted = np.zeros((len(codes), len(self.attributes)), np.float32)
        wanted[:, self.attributes.index(attribute)] = values
        return self.edit(codes, labels, wanted, strength)

    def arranged(self, names: tuple[str, ...], labels: np.ndarray) -> np.ndarray:
        """(F, A) labels (F, N) of attributes `names` in the order of `attributes`, as `arranged` below."""
        return arranged(self.attributes, names, labels).astype(np.float32)

    @abstractmethod
    def move(
        self, codes: np.ndarray, labels: np.ndarray, goal: np.ndarray, strength: np.ndarray
    ) -> np.ndarray:
        """Codes (F, D) of faces whose labels (F, A) become goal (F, A), by strength (F,): (F, D) float32."""


@dataclass(frozen=True)
class LinearEditor(Editor):
    """Straight lines: z + s sum_a (y'_a - y_a) / 2 v_a, with directions v_a of native length, which is a
    change of the label by 2.
    """

    directions: Directions

    @classmethod
    def of(cls, directions: Directions) -> "LinearEditor":
        return cls(directions.attributes, directions.exclusions, directions)

    def move(
        self, codes: np.ndarray, labels: np.ndarray, goal: np.ndarray, strength: np.ndarray
    ) -> np.ndarray:
        change = (goal - labels) / 2 @ self.directions.vectors
        return codes + (strength[:, None] * change).astype(np.float32)

    def sigmas(self, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """(F,) how many standard deviations of the train codes' projection on its step a face goes at
        strength 1.
        """
        change = (goals(np.asarray(labels, np.float32), wanted, self.exclusions, None) - labels) / 2
        return self.directions.deviations(change)
