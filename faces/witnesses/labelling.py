"""Measured labels of faces, by a network of landmarks: expression and pose without a person's labels.

Each face is looked at as it is and mirrored. Where the two readings put the points apart, the network does
not know them, and the face stays unmeasured; elsewhere the mean of the two counts. How far the two agree over
many faces says how well each measure is read.

The networks that judge edits are others (`Witness.open` with `labelled`), so that no network judges itself.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from faces.witnesses.measures import LANDMARKS, OUTER
from faces.witnesses.measures import measures as read_points
from faces.witnesses.witness import Pointer

PERCENT = 100.0


class Kind(NamedTuple):
    """A measured label: its unit, its sign in a mirror image, and the attributes that say the same."""

    unit: str
    mirrored: int
    alike: tuple[str, ...]


# Lengths are in hundredths of the distance between the outer corners of the eyes; eye_open is an eye's height
# in hundredths of its width.
KINDS = {
    "smile": Kind("%", 1, ("Smiling",)),
    "mouth_open": Kind("%", 1, ("Mouth_Slightly_Open",)),
    "eye_open": Kind("%", 1, ("Eyes_Closed", "Narrow_Eyes")),
    "brow_height": Kind("%", 1, ("Arched_Eyebrows",)),
    "yaw": Kind("°", -1, ()),
    "pitch": Kind("°", 1, ()),
    "roll": Kind("°", -1, ()),
}
# The point of a mirror image that is each of the 68 points.
MIRROR = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),  # jaw, brows, nose
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)),  # mouth
    ]
)


class Reading(NamedTuple):
    """What two looks at faces gave."""

    first: np.ndarray  # (n, M) of KINDS, from the faces as they are
    second: np.ndarray  # (n, M) from their mirror images, turned back
    apart: (
        np.ndarray
    )  # (n,) mean distance of the points between the two, over that of the eyes' outer corners

    def values(self, largest: float) -> np.ndarray:
        """(n, M) the means of the two, NaN where the points lie `largest` apart or more."""
        return np.where((self.apart < largest)[:, None], (self.first + self.second) / 2, np.nan)


def offered(attributes: tuple[str, ...]) -> tuple[str, ...]:
    """The measures that data with these attributes lack: beside `Smiling` a measured smile would be held
    still where the other is asked for.
    """
    return tuple(name for name, kind in KINDS.items() if not {name, *kind.alike} & set(attributes))


def shown(points: np.ndarray) -> np.ndarray:
    """(n, M) KINDS of points (n, 68, 2), in their units: `smile` is the mouth's width and twice the lift of
    its corners together, which a smile both raises.
    """
    found = dict(zip(LANDMARKS, read_points(points).T, strict=True))
    found["smile"] = found["mouth_width"] + 2 * found["corner_lift"]
    return np.stack([found[name] * (PERCENT if kind.unit == "%" else 1) for name, kind in KINDS.items()], 1)


def read(pointer: Pointer, images: Tensor) -> Reading:
    """Two looks at images (n, 3, H, W)."""
    own = pointer.points(images, pointer.frames(images))
    flipped = torch.flip(images, [3])
    back = pointer.points(flipped, pointer.frames(flipped))[:, MIRROR]
    back[:, :, 0] = 1 - back[:, :, 0]
    size = np.linalg.norm(own[:, OUTER[1]] - own[:, OUTER[0]], axis=1)
    return Reading(shown(own), shown(back), np.linalg.norm(own - back, axis=2).mean(1) / size)
