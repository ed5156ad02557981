"""The contract that every face model keeps, and the base of the deterministic autoencoders."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from faces.core.params import Group
from faces.nn.layers import CodeNorm

Losses = Iterator[tuple[str, Tensor, dict[str, Tensor]]]  # part, loss, log


class Config(Group):
    """Params that every model has: those of its optimiser, which are published with a system."""

    batch: int  # images per step, over all devices
    learning_rate: float  # of Adam, at its highest
    betas: tuple[float, float]  # of Adam
    decay: Literal["cosine", "late", "none"]  # of the learning rate (faces/nn/optim.py)
    clip: float  # gradients are scaled down to this norm; 0: never


class Model(nn.Module, ABC):
    """A face model: images (B, 3, H, W) in [-1, 1] to codes (B, D) and back, and the losses that train it.

    `progress` in [0, 1] is the share of the training budget spent so far: warm-ups and growth are functions
    of it, inside the model.
    """

    code_length: int  # D
    second_order: bool = False  # takes gradients of gradients, which torch.compile cannot
    labels: tuple[str, ...] = ()  # names of the labels that train it; most models learn without any

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D), deterministic."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """(B, D) -> (B, 3, H, W)."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        """Codes (count, D) from the prior."""

    def supervise(self, labels: tuple[str, ...]) -> None:
        """Learn from labels of these names too, where the params ask for it; before the first step."""
        return

    @abstractmethod
    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> Losses:
        """Generator of (part to step, scalar to descend, scalars to log).

        labels (B, A) float32 are 1, -1, or 0 for unknown; only a model with `labels` looks at them.

        A generator, so that one loop serves a model with one optimiser and one with two: a critic, then a
        generator whose loss is computed after the critic has stepped.
        """

    def parts(self) -> dict[str, nn.Module]:
        """Modules that have an optimiser of their own, by name."""
        return {"model": self}

    def prepare(self, images: Tensor) -> None:
        """Data-dependent initialisation from some train faces, before the first step."""
        return

    def phase(self, progress: float) -> int:
        """Number of the training phase; when it changes, the loop begins with fresh optimisers."""
        return 0


class Autoencoder(Model):
    """A deterministic autoencoder: normalised codes (B, D), sampled from a Gaussian fitted to train codes."""

    def __init__(self, code_length: int) -> None:
        super().__init__()
        self.code_length = code_length
        self.norm = CodeNorm(code_length)

    def parts(self) -> dict[str, nn.Module]:
        return {"autoencoder": self}

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        return self.norm.sample(count, generator, temperature)
