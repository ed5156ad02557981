"""Editors that are scored: codes of faces moved from their label to the other one, by a strength."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from faces.edits.directions import Directions
from faces.edits.editor import Editor
from faces.edits.exclusions import Exclusions, goals


class ScoredEditor(ABC):
    """An edit of one attribute. Labels (F, A) are in the order of `attributes`, 1 or -1, 0 where unknown."""

    attributes: tuple[str, ...]
    strengths: tuple[float, ...]  # at which it is tried, rising from above 0

    @abstractmethod
    def edited(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        """Codes (F, D) after the attribute's label is flipped by `strength`: (F, D)."""

    @abstractmethod
    def returned(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        """Edited codes (F, D) of faces that had `labels` before, after the edit is taken back: (F, D)."""

    def edited_both(
        self, codes: np.ndarray, labels: np.ndarray, two: tuple[str, str], strengths: tuple[float, float]
    ) -> np.ndarray:
        """Codes (F, D) after the labels of both attributes are flipped, each by its own strength: (F, D)."""
        halfway = self.edited(codes, labels, two[0], strengths[0])
        return self.edited(halfway, self.afterwards(labels, two[0]), two[1], strengths[1])

    def afterwards(self, labels: np.ndarray, attribute: str) -> np.ndarray:
        """Labels (F, A) of faces with the attribute's label flipped."""
        return goals(labels, self._flipped(labels, attribute), self.exclusions, None)

    def _flipped(self, labels: np.ndarray, attribute: str) -> np.ndarray:
        """(F, A) the new label of the attribute, 0 for the others."""
        place = self.attributes.index(attribute)
        wanted = np.zeros(labels.shape, np.float32)
        wanted[:, place] = -labels[:, place]
        return wanted

    @property
    def exclusions(self) -> Exclusions:
        """Of the labels that the editor switches."""
        return Exclusions.none(len(self.attributes))

    def displaced(self, codes: np.ndarray, labels: np.ndarray, attribute: str) -> np.ndarray:
        """(F, D) the change of the codes at strength 1, counted towards having the attribute."""
        towards = -labels[:, self.attributes.index(attribute)]
        return (self.edited(codes, labels, attribute, 1.0) - codes) * towards[:, None]


@dataclass(frozen=True)
class SigmaEditor(ScoredEditor):
    """A step along the directions of one estimator; what cannot stay goes too, and what must come comes
    (faces/edits/exclusions.py).

    Strength counts standard deviations of the train codes' projection on the step.
    """

    directions: Directions
    strengths: tuple[float, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those that have a direction."""
        return self.directions.attributes

    @property
    def exclusions(self) -> Exclusions:
        return self.directions.exclusions

    def edited(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        return codes + strength * self._sigma(labels, attribute)

    def returned(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        return codes - strength * self._sigma(labels, attribute)

    def _sigma(self, labels: np.ndarray, attribute: str) -> np.ndarray:
        values = -labels[:, self.attributes.index(attribute)]
        return self.directions.edit_sigma(attribute, values, labels)


@dataclass(frozen=True)
class SwitchEditor(ScoredEditor):
    """An editor of faces/edits/editor.py. Strength counts changes of the label: 1 is the switch."""

    editor: Editor
    strengths: tuple[float, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those that the editor knows."""
        return self.editor.attributes

    @property
    def exclusions(self) -> Exclusions:
        return self.editor.exclusions

    def edited(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        values = -labels[:, self.attributes.index(attribute)]
        return self.editor.switch(attribute, codes, labels, values, strength)

    def returned(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        labels = np.asarray(labels, np.float32)
        there = labels + strength * (self.afterwards(labels, attribute) - labels)
        return self.editor.move(np.asarray(codes, np.float32), there, labels, np.ones(len(codes), np.float32))

    def edited_both(
        self, codes: np.ndarray, labels: np.ndarray, two: tuple[str, str], strengths: tuple[float, float]
    ) -> np.ndarray:
        """As one edit: the flow knows of interplay. What both rule out changes by the first strength."""
        labels = np.asarray(labels, np.float32)
        goal = goals(labels, sum(self._flipped(labels, name) for name in two), self.exclusions, None)
        first = self.afterwards(labels, two[0]) != labels
        there = labels + np.where(first, *strengths).astype(np.float32) * (goal - labels)
        return self.editor.move(np.asarray(codes, np.float32), labels, there, np.ones(len(codes), np.float32))


@dataclass(frozen=True)
class Oracle(ScoredEditor):
    """The best that one direction per attribute can do: the mean change of the codes of true counterfactuals.

    Strength counts standard deviations of the train codes along it, as for the other directions.
    """

    attributes: tuple[str, ...]
    sigmas: np.ndarray  # (A, D) the step of strength 1 towards the attribute
    strengths: tuple[float, ...]

    @classmethod
    def of(cls, changes: dict[str, np.ndarray], codes: np.ndarray, strengths: tuple[float, ...]) -> "Oracle":
        """changes: by attribute, (P, D) towards having it; codes (N, D) of train faces."""
        sigmas = []
        for change in changes.values():
            unit = change.mean(0) / max(float(np.linalg.norm(change.mean(0))), 1e-12)
            sigmas.append(unit * (codes @ unit).std())
        return cls(tuple(changes), np.array(sigmas, np.float32), strengths)

    def edited(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        return codes + strength * self._sigma(labels, attribute)

    def returned(self, codes: np.ndarray, labels: np.ndarray, attribute: str, strength: float) -> np.ndarray:
        return codes - strength * self._sigma(labels, attribute)

    def _sigma(self, labels: np.ndarray, attribute: str) -> np.ndarray:
        place = self.attributes.index(attribute)
        return -labels[:, [place]] * self.sigmas[place]
