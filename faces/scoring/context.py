"""Everything needed to score edits and samples: the model, attribute classifiers, feature networks, and the
test faces.

Images are float (n, 3, H, W) in [-1, 1]; pixels are uint8 (n, H, W, 3).
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faces.classifier import Ensemble
from faces.core.batches import batches
from faces.core.params import Group
from faces.edits.detail import Detail, keep_detail
from faces.metrics.edit_effects import distances
from faces.models import Model
from faces.nn.device import to_device

KINDS = ("plain", "detail")

Share = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=2)]


class Score(Group):
    """The group `score`."""

    estimators: Annotated[tuple[str, ...], Field(min_length=1)]
    decoded_alone: tuple[str, ...]
    faces: Count
    min_faces: Count
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)]
    switches: Annotated[tuple[Strength, ...], Field(min_length=1)]
    levels: Annotated[tuple[Share, ...], Field(min_length=1)]
    region_threshold: Annotated[float, Field(gt=0, lt=1)]
    rounds: Annotated[int, Field(ge=1)]
    samples: Count
    groups: Count
    neighbours: Annotated[int, Field(ge=1)]
    side: Annotated[int, Field(ge=32)]
    batch: Annotated[int, Field(ge=1)]
    inception: str


class Pooled(Protocol):
    """A feature network of faces/nn/perceptual.py that pools its last features."""

    def pooled(self, images: Tensor, side: int) -> Tensor:
        """images -> (B, K), looked at with `side` pixels a side."""


@dataclass(frozen=True)
class Codec:
    """The model under test, in batches."""

    model: Model
    device: torch.device
    batch: int

    def pictures(self, pixels: np.ndarray) -> Tensor:
        """Pixels -> images on the device."""
        return to_device(pixels, self.device)

    @torch.no_grad()
    def encode(self, images: Tensor) -> np.ndarray:
        """Images -> codes (n, D) float32."""
        found = [self.model.encode(images[rows]).float().cpu() for rows in batches(len(images), self.batch)]
        return torch.cat(found).numpy()

    @torch.no_grad()
    def decode(self, codes: np.ndarray) -> Tensor:
        """Codes (n, D) -> images."""
        rows_of = torch.from_numpy(np.ascontiguousarray(codes, np.float32)).to(self.device)
        found = [self.model.decode(rows_of[rows]).clamp(-1, 1) for rows in batches(len(codes), self.batch)]
        return torch.cat(found)


@dataclass(frozen=True)
class FeatureNetwork:
    """Pooled features of a network trained on other pictures."""

    network: Pooled
    side: int  # pixels at which it looks
    batch: int

    @torch.no_grad()
    def __call__(self, images: Tensor) -> np.ndarray:
        """Images -> (n, K) float32."""
        images = images.contiguous(memory_format=torch.channels_last)  # other orders are slower here
        found = [
            self.network.pooled(images[rows], self.side).cpu() for rows in batches(len(images), self.batch)
        ]
        return torch.cat(found).numpy()


@dataclass(frozen=True)
class Context:
    """What looks at edited faces. A classifier is named by its number.

    `features` judges, so it is of a network that is in no model's loss.
    """

    params: Score
    detail: Detail
    codec: Codec
    ensemble: Ensemble
    features: FeatureNetwork

    @property
    def attributes(self) -> tuple[str, ...]:
        """(A,) that every classifier can read."""
        return self.ensemble.attributes

    @property
    def numbers(self) -> range:
        """The classifiers' numbers."""
        return range(len(self.ensemble.classifiers))

    @property
    def deviations(self) -> np.ndarray:
        """(J, A) standard deviation of the evidence over test faces: the unit in which changes
        are counted.
        """
        return self.ensemble.deviation

    def axes(self, number: int) -> np.ndarray:
        """(A, K) the axis of a classifier's features along which it reads each attribute."""
        return self.ensemble.axes(number)

    def read(self, number: int, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Evidence (n, A) and features (n, K) of a classifier. Evidence above 0 speaks for the attribute."""
        found = [
            self.ensemble.predict(number, images[rows]) for rows in batches(len(images), self.params.batch)
        ]
        evidence = np.concatenate([some for some, _ in found])
        features = np.concatenate([some for _, some in found])
        return evidence, features


@dataclass(frozen=True)
class Sample:
    """Test faces before any edit. A plain edit starts at the decoded face, a detail-preserving one at the
    original.
    """

    rows: np.ndarray  # (F,) row numbers in the data
    codes: np.ndarray  # (F, D)
    labels: np.ndarray  # (F, A) in the order of the context's attributes
    base: dict[str, Tensor]  # by kind: images (F, 3, H, W)
    features: dict[str, np.ndarray]  # of these, (F, K)
    read: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]  # by classifier and kind: evidence, features

    @classmethod
    def of(
        cls, context: Context, rows: np.ndarray, pixels: np.ndarray, codes: np.ndarray, labels: np.ndarray
    ) -> "Sample":
        """Faces with pixels (F, H, W, 3), codes (F, D) and labels (F, A)."""
        base = {"plain": context.codec.decode(codes), "detail": context.codec.pictures(pixels)}
        features = {kind: context.features(images) for kind, images in base.items()}
        read = {
            (number, kind): context.read(number, images)
            for number in context.numbers
            for kind, images in base.items()
        }
        return cls(rows, codes, labels, base, features, read)

    def edited(
        self, context: Context, codes: np.ndarray, which: np.ndarray, kinds: tuple[str, ...] = KINDS
    ) -> dict[str, Tensor]:
        """Images of the chosen faces (F',) with edited codes (F', D), by kind."""
        decoded = context.codec.decode(codes)
        chosen = torch.from_numpy(which).to(decoded.device)
        found = {}
        for kind in kinds:
            if kind == "plain":
                found[kind] = decoded
            else:
                original = self.base["detail"][chosen]
                before = self.base["plain"][chosen]
                found[kind] = keep_detail(original, before, decoded, context.detail)
        return found


@dataclass(frozen=True)
class Scales:
    """Units of distances, each the median distance between two different faces."""

    classifiers: np.ndarray  # (J, A) of a classifier's features, the axis of one attribute left out
    features: float  # of the feature network's

    @classmethod
    def of(cls, units: np.ndarray, features: np.ndarray) -> "Scales":
        """units (J, A) from faces/scoring/identity.py, features (n, K) of different faces."""
        return cls(units, float(np.median(distances(features, np.roll(features, 1, 0)))))
