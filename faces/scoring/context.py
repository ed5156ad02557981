"""What looks at edited faces: the model that makes them, the judges, and a network trained on other pictures. And the faces themselves, before any edit."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faces.classifier import Ensemble
from faces.core.batches import batches
from faces.core.params import Group
from faces.edits.detail import Detail, keep_detail
from faces.metrics.edit_effects import distances
from faces.nn.device import to_device

EPSILON = 1e-2  # of a path: how far apart two pictures are from which its speed is taken
KINDS = ("plain", "detail")

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=2)]


class Score(Group):
    """The group `score`."""

    estimators: Annotated[tuple[str, ...], Field(min_length=1)]
    faces: Count
    min_faces: Count
    strengths: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    levels: Annotated[tuple[Share, ...], Field(min_length=1)]
    samples: Count
    fit: Count
    axes: Annotated[int, Field(ge=1)]
    components: Annotated[int, Field(ge=1)]
    ridge: Annotated[float, Field(gt=0)]
    temperature: Annotated[float, Field(gt=0)]
    diffusion: Annotated[int, Field(ge=0)]
    guidance: Annotated[float, Field(ge=1)]
    groups: Count
    paths: Annotated[int, Field(ge=1)]
    side: Annotated[int, Field(ge=32)]
    batch: Annotated[int, Field(ge=1)]
    resamples: Count
    inception: str


@dataclass(frozen=True)
class Bench:
    """Images are float (n, 3, H, W) in [-1, 1]."""

    params: Score
    detail: Detail
    model: Any
    panel: Ensemble
    network: Any  # EfficientNet-Lite0
    device: torch.device

    def pictures(self, images: np.ndarray) -> Tensor:
        """uint8 (n, H, W, 3) -> images."""
        return to_device(images, self.device)

    @torch.no_grad()
    def decode(self, codes: np.ndarray) -> Tensor:
        """Codes (n, D) -> images."""
        codes = torch.from_numpy(np.ascontiguousarray(codes, np.float32)).to(self.device)
        return torch.cat(
            [self.model.decode(codes[where]).clamp(-1, 1) for where in batches(len(codes), self.params.batch)]
        )

    def judge(self, judge: int, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Evidence (n, A) and features (n, K)."""
        seen = [self.panel.predict(judge, images[where]) for where in batches(len(images), self.params.batch)]
        return np.concatenate([evidence for evidence, _ in seen]), np.concatenate(
            [features for _, features in seen]
        )

    @torch.no_grad()
    def features(self, images: Tensor) -> np.ndarray:
        """EfficientNet-Lite0's pooled features (n, 1280)."""
        images = images.contiguous(
            memory_format=torch.channels_last
        )  # decoders leave other orders, which are slower here
        found = [
            self.network.pooled(images[where], self.params.side).cpu()
            for where in batches(len(images), self.params.batch)
        ]
        return torch.cat(found).numpy()


@dataclass(frozen=True)
class Sample:
    """Test faces, before any edit."""

    codes: np.ndarray  # (F, D)
    labels: np.ndarray  # (F, A) in the order of the panel's attributes
    base: dict[str, Tensor]  # by kind of edit: (F, 3, H, W) at strength 0
    features: dict[str, np.ndarray]  # of the same (F, 1280)

    @classmethod
    def of(cls, bench: Bench, images: np.ndarray, codes: np.ndarray, labels: np.ndarray) -> "Sample":
        """Faces with pixels images (F, H, W, 3) uint8, codes (F, D) and labels (F, A)."""
        base = {"plain": bench.decode(codes), "detail": bench.pictures(images)}
        return cls(codes, labels, base, {kind: bench.features(faces) for kind, faces in base.items()})

    def unedited(self, bench: Bench, which: np.ndarray) -> dict[str, Tensor]:
        """The chosen faces (F',) as they are at strength 0, by kind of edit."""
        whole = torch.from_numpy(which).to(bench.device)
        return {kind: faces[whole] for kind, faces in self.base.items()}

    def edited(
        self, bench: Bench, step: np.ndarray, which: np.ndarray, kinds: tuple[str, ...] = KINDS
    ) -> dict[str, Tensor]:
        """The chosen faces, moved by step (F', D), by kind of edit."""
        decoded = bench.decode(self.codes[which] + step)
        now = self.unedited(bench, which)
        return {
            kind: decoded
            if kind == "plain"
            else keep_detail(now["detail"], now["plain"], decoded, bench.detail)
            for kind in kinds
        }


@dataclass(frozen=True)
class Scales:
    """The units in which distances are told, each the median distance between two different faces."""

    judges: np.ndarray  # (J, A) of a judge's features, the axis of one attribute left out
    features: float  # of EfficientNet-Lite0's

    def path_length(self, before: np.ndarray, after: np.ndarray) -> float:
        """Perceptual path length (Karras et al. 2019, section 4.1): mean squared speed along paths of length one, features (n, 1280) EPSILON apart."""
        return float(np.square(distances(after, before) / self.features / EPSILON).mean())
