"""The edits that are served, many faces at once: what a slider of the website does to a photograph.

Where scored editors (faces/scoring/editors.py) are told a face's labels, these read them off its code, and
one slider stands for the change from one label to the other (facemorph/labels.py, `Labels.move`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from facemorph.labels import Labels
from faces.core.batches import batches
from faces.edits.directions import Directions
from faces.flow.editing import abduct, predict
from faces.flow.editor import BATCH, FlowEditor

Walk = Callable[[np.ndarray, float], np.ndarray]  # places (n,) among the faces, strength -> codes (n, D)


@dataclass(frozen=True)
class Served:
    """The slider of each attribute in `names`: along a flow, or along directions."""

    flow: FlowEditor  # which also reads the labels
    directions: Directions | None  # None where the flow edits

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes with a slider that this editor can move."""
        return self.flow.attributes if self.directions is None else self.directions.attributes

    def walk(self, codes: np.ndarray, attribute: str, values: np.ndarray) -> Walk:
        """The way of faces (F, D) whose slider of `attribute` goes towards values (F,), 1 or -1.

        All that does not depend on the strength is done here, once.
        """
        flow = self.flow
        readouts = flow.readouts
        labels = Labels(
            flow.attributes,
            readouts.normals.astype(np.float64),
            readouts.intercepts.astype(np.float64),
            flow.exclusions.pairs.astype(np.float64),
            flow.exclusions.members(),
        )
        seen = np.array([labels.read(code) for code in codes])
        moves = [
            labels.move(face, {attribute: float(value)}, ()) for face, value in zip(seen, values, strict=True)
        ]
        start = np.array([move.start for move in moves])
        goal = np.array([move.goal for move in moves])
        if self.directions is not None:
            known = [flow.attributes.index(name) for name in self.directions.attributes]
            step = (goal - start)[:, known] / 2 @ self.directions.vectors
            return lambda places, strength: (codes[places] + strength * step[places]).astype(np.float32)
        return along_flow(flow, codes, seen, start, goal)


@torch.no_grad()
def along_flow(
    flow: FlowEditor, codes: np.ndarray, labels: np.ndarray, start: np.ndarray, goal: np.ndarray
) -> Walk:
    """The way along a flow of codes (F, D) with labels (F, A), by the change from start (F, A) to goal
    (F, A).
    """
    device = flow.flow.mean.device

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)

    own = flow.conditions(codes, labels)
    z, y = (tensor(array) for array in (codes, own))
    noise = [abduct(flow.flow, z[rows], y[rows], flow.steps) for rows in batches(len(codes), BATCH)]
    whence = torch.cat(noise, 1)
    begin, end = (tensor(flow.after(own, side, whence[0].cpu().numpy())) for side in (start, goal))

    @torch.no_grad()
    def at(places: np.ndarray, strength: float) -> np.ndarray:
        found = np.empty((len(places), codes.shape[1]), np.float32)
        for rows in batches(len(places), BATCH):
            few = torch.from_numpy(places[rows]).to(device)
            amount = torch.full((len(few),), strength, device=device)
            found[rows] = predict(
                flow.flow,
                z[few],
                whence[:, few.to(whence.device)],
                y[few],
                end[few],
                amount,
                flow.steps,
                begin[few],
            ).cpu()
        return found

    return at
