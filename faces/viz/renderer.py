"""Renderer of sheets and animations: faces, codes, model and editors, with the operations that every picture
needs.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch

from faces.core.batches import batches
from faces.data.crops import Crops
from faces.edits.detail import Detail, keep_detail
from faces.edits.directions import Directions
from faces.edits.editor import Editor
from faces.edits.exclusions import switched
from faces.models import Model
from faces.nn.device import to_device, to_uint8
from faces.priors import Priors
from faces.viz.interpolation import PATHS, blend_detail
from faces.viz.selection import Absent, cast, matching, unlike


@dataclass(frozen=True)
class Studio:
    """Faces are given by their row numbers in the data; pictures are uint8 (..., H, W, 3)."""

    crops: Crops
    codes: np.ndarray  # (N, D)
    model: Model
    device: torch.device
    directions: Directions
    editor: Editor
    priors: Priors
    detail: Detail
    batch: int  # codes decoded at once
    rivals: int  # faces that are drawn for one place
    seed: int

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (..., D) -> faces (..., H, W, 3)."""
        flat = torch.from_numpy(codes.reshape(-1, codes.shape[-1]).astype(np.float32))
        with torch.inference_mode():
            faces = [
                to_uint8(self.model.decode(flat[rows].to(self.device)))
                for rows in batches(len(flat), self.batch)
            ]
        return np.concatenate(faces).reshape(*codes.shape[:-1], *faces[0].shape[1:])

    def new_codes(self, prior: str, count: int) -> np.ndarray:
        """Codes (count, D) from the prior of this name."""
        return self.priors.samplers(self.model, self.seed)[prior](count, np.random.default_rng(self.seed))

    def sample(self, prior: str, count: int) -> np.ndarray:
        """New faces (count, H, W, 3) from the prior of this name."""
        return self.decode(self.new_codes(prior, count))

    def switched(self, attribute: str, rows: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        """Codes (R, S, D) of faces (R,) edited towards having the attribute by each of strengths (S,).

        Strength is the editor's: for a face without it 1 is the switch, for a face with it -1. An unknown
        label counts as the one that the edit leaves.
        """
        labels = self.editor.arranged(self.crops.attributes, self.crops.labels[rows])
        place = self.editor.attributes.index(attribute)
        values = np.where(labels[:, place] == 1, -1, 1)
        labels[:, place] = -values
        codes = np.asarray(self.codes[rows])
        moved = [self.editor.switch(attribute, codes, labels, values, s * values) for s in strengths]
        return np.stack(moved, axis=1)

    def edit(self, rows: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces (R,) moved by each of the steps (S, D), or by steps (R, S, D) of their own; returns as
        `pictures`.
        """
        return self.pictures(rows, self.codes[rows][:, None] + steps)

    def pictures(self, rows: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Faces (R,) at codes `moved` (R, S, D): decoded, and with detail kept, (R, S, H, W, 3) both."""
        codes = self.codes[rows][:, None]  # (R, 1, D)
        decoded = self.decode(np.concatenate((codes, moved), axis=1))
        kept = [
            self._keep(original, faces[:1], faces[1:])
            for original, faces in zip(self.crops.images[rows], decoded, strict=True)
        ]
        return decoded[:, 1:], np.stack(kept)

    def _keep(self, original: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """(S, H, W, 3) the original (H, W, 3) with the change from before (1, H, W, 3) to each of after (S,
        H, W, 3).
        """
        return to_uint8(
            keep_detail(
                *(to_device(faces, self.device) for faces in (original[None], before, after)), self.detail
            )
        )

    def between(self, pair: np.ndarray, positions: np.ndarray, way: str) -> tuple[np.ndarray, np.ndarray]:
        """Interpolation between two faces (2,) at `positions` (T,): decoded, and with detail kept, both (T,
        H, W, 3).
        """
        codes = self.codes[pair]
        decoded = self.decode(np.concatenate((codes, PATHS[way](*codes, positions, self.directions.mean))))
        return decoded[2:], blend_detail(self.crops.images[pair], decoded[:2], decoded[2:], positions)

    def cast(
        self,
        name: str,
        wanted: dict[str, int],
        count: int,
        strangers_to: np.ndarray | None = None,
        among: np.ndarray | None = None,
        edited: str | None = None,
    ) -> np.ndarray:
        """At most `count` test faces that meet the conditions, for the picture `name`: each picture has its
        own random stream, so that adding one leaves the others as they are. None of them shows a person of
        the rows `strangers_to`; all are of the rows `among`, where they are given. Where the picture is of
        the attribute `edited`, they are the faces in which its edit changes the fewest other labels: a brow
        that a fringe hides cannot change and leave the fringe. Raises Absent where there is no such face.
        """
        rows = self.crops.rows("test")
        rows = rows[matching(self.crops.labels[rows], self.crops.attributes, wanted)]
        if among is not None:
            rows = np.intersect1d(rows, among)
        if strangers_to is not None:
            person = self.crops.column("identity").to_numpy()
            known = person[strangers_to][person[strangers_to] != -1]
            rows = rows[~np.isin(rows, strangers_to) & ~np.isin(person[rows], known)]
        if not len(rows):
            asked = (
                ", ".join(f"{'-' if sign < 0 else ''}{attribute}" for attribute, sign in wanted.items())
                or "other"
            )
            raise Absent(f"no test face is {asked}")
        if edited is not None:
            others = self._other_changes(edited, rows)
            rows = rows[others <= np.sort(others)[:count][-1]]
        return cast(
            rows,
            count,
            self.rivals,
            self._unlike_the_mean,
            np.random.default_rng((self.seed, zlib.crc32(name.encode()))),
        )

    def _other_changes(self, attribute: str, rows: np.ndarray) -> np.ndarray:
        """How many labels change in each of the faces (R,) besides the attribute, as its edit switches it."""
        labels = self.editor.arranged(self.crops.attributes, self.crops.labels[rows])
        place = self.editor.attributes.index(attribute)
        values = np.where(labels[:, place] == 1, -1, 1)
        return (switched(place, values, labels, self.editor.exclusions) != 0).sum(1) - 1

    def couple(self, name: str, first: dict[str, int], second: dict[str, int]) -> np.ndarray:
        """Test faces (2,) of two people, the first with the labels `first`, the second with those of
        `second`. Raises Absent.
        """
        one = self.cast(f"{name} first", first, 1)
        return np.concatenate((one, self.cast(f"{name} second", second, 1, strangers_to=one)))

    def _unlike_the_mean(self, rows: np.ndarray) -> np.ndarray:
        """Distances (R,) of `selection.unlike`, from the decoded mean code."""
        return unlike(self.crops.images[rows], self.decode(self.directions.mean))
