"""The witness: what networks by others see in faces."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faces.core.batches import batches
from faces.witnesses import weights
from faces.witnesses.measures import measures
from faces.witnesses.networks import (
    EXPRESSIONS,
    Expression,
    Identity,
    Landmarks,
    Network,
    TinyLandmarks,
)

N = TypeVar("N", bound=Network)

HAPPY = EXPRESSIONS.index("happy")
MARGIN = 1.2  # side of the frame over that of the landmarks' box, as face-api cuts faces


@dataclass(frozen=True)
class Pointer:
    """A network of landmarks. Images are float (n, 3, H, W) in [-1, 1].

    It looks at a frame (n, 3): x and y of the middle and half the side, as shares of the picture's side.
    """

    landmarks: Landmarks
    batch: int  # images at once

    def frames(self, images: Tensor) -> np.ndarray:
        """(n, 3) the square round the landmarks that are found in the whole picture, MARGIN times as large.

        Edited faces are looked at in the frame of the face that they come from.
        """
        whole = np.tile(np.array([0.5, 0.5, 0.5]), (len(images), 1))
        points = self.points(images, whole)
        low = points.min(1)
        high = points.max(1)
        return np.c_[(low + high) / 2, (high - low).max(1) / 2 * MARGIN]

    def points(self, images: Tensor, frames: np.ndarray) -> np.ndarray:
        """(n, 68, 2) landmarks, as shares of the whole picture."""
        inside = looked(self.landmarks, images, frames, self.batch)
        return frames[:, None, :2] + (2 * inside - 1) * frames[:, None, 2:]


@dataclass(frozen=True)
class Witness(Pointer):
    """The three networks, which look at the same frames."""

    expression: Expression
    identity: Identity

    @classmethod
    def open(cls, folder: Path, device: torch.device, batch: int, labelled: bool = False) -> Self:
        """The networks with the weights of `folder`. Where the network of landmarks has `labelled` faces, the
        tiny one stands in for it. Raises WitnessError where weights are missing.
        """

        def read(kind: type[N], name: str) -> N:
            return kind(weights.read(folder, name)).eval().to(device)

        expression, landmarks, identity = cls.networks(labelled)
        return cls(
            expression=read(Expression, expression),
            landmarks=read(TinyLandmarks if labelled else Landmarks, landmarks),
            batch=batch,
            identity=read(Identity, identity),
        )

    @staticmethod
    def networks(labelled: bool) -> tuple[str, ...]:
        """The names of the weights of `open`."""
        expression, landmarks, identity = weights.NETWORKS
        return expression, weights.TINY if labelled else landmarks, identity

    def read(self, images: Tensor, frames: np.ndarray) -> np.ndarray:
        """(n, 9) MEASURES of faces/witnesses/measures.py: `smile` is the chance of a happy face."""
        smile = looked(self.expression, images, frames, self.batch)[:, HAPPY]
        return np.c_[smile, measures(self.points(images, frames))]

    def features(self, images: Tensor, frames: np.ndarray) -> np.ndarray:
        """(n, 128) identity: pictures of one person are near each other."""
        return looked(self.identity, images, frames, self.batch)

    def identities(self, images: Tensor) -> np.ndarray:
        """(n, 128) identity of images, each in a frame of its own."""
        return self.features(images, self.frames(images))


@torch.no_grad()
def looked(network: Network, images: Tensor, frames: np.ndarray, batch: int) -> np.ndarray:
    """What a network says of images in their frames (n, 3), some at a time."""
    found = [
        network(framed(images[rows], frames[rows], network.SIDE)).double().cpu()
        for rows in batches(len(images), batch)
    ]
    return torch.cat(found).numpy()


def framed(images: Tensor, frames: np.ndarray | Tensor, side: int) -> Tensor:
    """What lies in the frames (B, 3) of images: (B, 3, side, side); the border goes on outside of a
    picture.
    """
    centre_and_half = torch.as_tensor(frames, dtype=images.dtype, device=images.device)
    steps = (torch.arange(side, device=images.device) * 2 + 1) / side - 1
    x, y = (2 * (centre_and_half[:, [k]] + centre_and_half[:, [2]] * steps) - 1 for k in (0, 1))
    shape = (images.shape[0], side, side)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], 3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
