"""The flow of codes for programs without torch: its velocity as ONNX, and the arrays of its regression.

modulation.onnx   times (B,), labels (B, C), forms among them -> modulation (B, M), float32
velocity.onnx     x (B, K), times (B,), modulation (B, M) -> velocity (B, K), float32

The solver that walks along it is a few lines wherever it runs (faces/flow/editing.py says which), so that
networks of a few megabytes serve the way to the noise, the way back, and any number of steps. A slider that
moves changes no label's side, so that its way's modulations are computed once.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from faces.export.onnx import check_parity, to_onnx
from faces.flow.network import Flow

MODULATION = "modulation.onnx"
VELOCITY = "velocity.onnx"
FLOW_NETWORKS = (MODULATION, VELOCITY)


class ModulationOf(nn.Module):
    """Velocity.modulation as a module."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, times: Tensor, labels: Tensor) -> Tensor:
        return self.flow.network.modulation(times, labels)


class VelocityOf(nn.Module):
    """Flow.modulated as a module."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, times: Tensor, modulation: Tensor) -> Tensor:
        return self.flow.modulated(x, times, modulation)


@torch.no_grad()
def export_velocity(flow: Flow, codes: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Write FLOW_NETWORKS, compared with torch along the paths of codes (n, D) under labels and forms (n, C).

    n is 2 or more. Raises ExportError where onnxruntime differs by more than its tolerance.
    """
    flow = flow.cpu()
    y = torch.from_numpy(np.asarray(labels, np.float32))
    x = flow.rest(torch.from_numpy(np.asarray(codes, np.float32)), y)
    times = torch.linspace(0, 1, len(x))
    modulation = ModulationOf(flow)
    written(modulation, {"times": times, "labels": y}, "modulation", folder / MODULATION)
    values = {"x": x, "times": times, "modulation": modulation(times, y)}
    written(VelocityOf(flow), values, "velocity", folder / VELOCITY)


def written(module: nn.Module, examples: dict[str, Tensor], output: str, path: Path) -> None:
    """Write `module` of inputs `examples` by their names, and compare."""
    to_onnx(module, tuple(examples.values()), tuple(examples), output, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in examples.items()})[0]
    expected = module(*examples.values()).numpy()
    check_parity(path.name, found, expected, np.sqrt(np.square(expected).mean()))


def regression_arrays(flow: Flow) -> dict[str, np.ndarray]:
    """The regression around the velocity (faces/flow/network.py), float32: mean (D,), label_mean (C,), slopes
    (C, D), inward and outward (K, D), pair_mean (C (C - 1) / 2,), pairs (C (C - 1) / 2, K), interplay (C L,
    K); kinds (2, C, R, K); and compensation (A, A), where it was measured. C are the labels and their forms.
    """
    names = ("mean", "label_mean", "slopes", "inward", "outward", "pair_mean", "pairs", "interplay", "kinds")
    if flow.compensation is not None:
        names = (*names, "compensation")
    return {name: getattr(flow, name).cpu().numpy() for name in names}
