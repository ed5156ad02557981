"""New codes by the flow: the labels of a train face and noise, walked to the code that they make together.

Labels and their forms are drawn as they occur together. The noise is narrower than the flow's own,
`temperature` times it: what a network never saw far out comes out malformed. Guidance extrapolates from the
Gaussian that the network starts from, its own bad version (Karras et al., "Guiding a Diffusion Model with a
Bad Version of Itself", NeurIPS 2024), where the code outweighs the noise, and across the code it leads to, as
in faces/latents/diffusion.py.

Beyond the flow's axes, where codes are longer, a normal number of its own is drawn for each component.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faces.core.batches import batches
from faces.flow.editing import midpoint, velocity
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow, gaussian_velocity
from faces.latents.diffusion import across
from faces.nn.device import double

STEPS = 8  # of the midpoint rule
GUIDED_FROM = 0.5  # time at which the code weighs as much as the noise, and guidance begins
BATCH = 512  # codes at once; speed and memory only


@dataclass(frozen=True)
class FlowPrior:
    """A flow, and what it is asked for."""

    flow: Flow
    conditions: np.ndarray  # float32 (M, C) labels of train faces as the flow is given them, and their forms
    beyond: np.ndarray  # float32 (D,) deviation of train codes beyond the flow's axes

    @classmethod
    def of_faces(cls, editor: FlowEditor, codes: np.ndarray, labels: np.ndarray) -> "FlowPrior":
        """From codes (M, D) of train faces, and their labels (M, A) in the order of the editor's."""
        codes = np.ascontiguousarray(codes, np.float32)
        conditions = editor.conditions(codes, editor.given(codes, labels.astype(np.float32)))
        flow = editor.flow
        device = flow.mean.device
        squares = np.zeros(codes.shape[1])
        for rows in batches(len(codes), BATCH):
            z, y = (torch.from_numpy(part[rows]).to(device) for part in (codes, conditions))
            rest = z - flow.mean - flow.told(y)
            left = rest - flow.along_axes(z, y) @ flow.outward
            squares += left.double().square().sum(0).cpu().numpy()
        beyond = np.sqrt(squares / max(len(codes), 1)) * (len(flow.inward) < codes.shape[1])
        return cls(flow, conditions, beyond.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name, for `of`."""
        weights = {f"network.{name}": value.cpu().numpy() for name, value in self.flow.state_dict().items()}
        return weights | {"conditions": self.conditions, "beyond": self.beyond}

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray], device: torch.device) -> "FlowPrior":
        """From what `arrays` gives. Raises KeyError, or RuntimeError where weights do not fit."""
        weights = {
            name.removeprefix("network."): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("network.")
        }
        flow = Flow.of(weights).eval().requires_grad_(False).to(device)
        return cls(flow, arrays["conditions"], arrays["beyond"])

    def sample(self, count: int, rng: np.random.Generator, guidance: float, temperature: float) -> np.ndarray:
        """Codes float32 (count, D)."""
        conditions = self.conditions[rng.integers(len(self.conditions), size=count)]
        noise = temperature * rng.standard_normal((count, len(self.flow.inward)), np.float32)
        beyond = temperature * rng.standard_normal((count, len(self.beyond)), np.float32) * self.beyond
        device = self.flow.mean.device
        found = [
            self.walk(*(torch.from_numpy(part[rows]).to(device) for part in (noise, conditions)), guidance)
            for rows in batches(count, BATCH)
        ]
        return torch.cat(found).cpu().numpy() + beyond

    @torch.no_grad()
    def walk(self, noise: Tensor, conditions: Tensor, guidance: float) -> Tensor:
        """Noise (B, K) under conditions (B, C) -> codes (B, D)."""
        flow = self.flow
        deviation = double(flow.variance.sqrt())

        def slope(x: Tensor, time: float) -> Tensor:
            found = velocity(flow, x, time, conditions)
            if guidance == 1 or time < GUIDED_FROM:
                return found
            gaussian = double(gaussian_velocity(torch.full_like(x[..., 0], time), flow.variance)) * x
            code = (x + (1 - time) * found) / deviation
            return found + (guidance - 1) * deviation * across((found - gaussian) / deviation, code)

        x = double(noise)
        for number in range(STEPS):
            x = x + midpoint(slope, x, number / STEPS, (number + 1) / STEPS)
        x = x.to(noise)
        along = x + flow.interactions(conditions, x)
        return flow.mean + flow.told(conditions) + along @ flow.outward
