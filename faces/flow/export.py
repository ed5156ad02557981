"""The flow of codes for programs without torch: its velocity as ONNX, and the arrays of its regression.

velocity.onnx   x (B, K), times (B,), labels (B, A) -> velocity (B, K), float32

The solver that walks along it is a few lines wherever it runs (faces/flow/editing.py says which), so that one
network of a few megabytes serves the way to the noise, the way back, and any number of steps.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from faces.export.onnx import check_parity, to_onnx
from faces.flow.network import Flow

VELOCITY = "velocity.onnx"
INPUTS = ("x", "times", "labels")


class VelocityOf(nn.Module):
    """Flow.velocity as a module."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        return self.flow.velocity(x, times, labels)


@torch.no_grad()
def export_velocity(flow: Flow, codes: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Write velocity.onnx, compared with torch half way along the paths of codes (n, D) under labels (n, A),
    n >= 2.

    Raises ExportError where onnxruntime differs by more than its tolerance.
    """
    flow = flow.cpu()
    y = torch.from_numpy(np.asarray(labels, np.float32))
    x = flow.rest(torch.from_numpy(np.asarray(codes, np.float32)), y)
    examples = (x, torch.linspace(0, 1, len(x)), y)
    module = VelocityOf(flow)
    to_onnx(module, examples, INPUTS, "velocity", folder / VELOCITY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / VELOCITY, options, providers=["CPUExecutionProvider"])
    values = {name: value.numpy() for name, value in zip(INPUTS, examples, strict=True)}
    expected = module(*examples).numpy()
    check_parity(VELOCITY, session.run(None, values)[0], expected, np.sqrt(np.square(expected).mean()))


def regression_arrays(flow: Flow) -> dict[str, np.ndarray]:
    """The regression around the velocity (faces/flow/network.py), float32: mean (D,), label_mean (A,), slopes
    (A, D), inward and outward (K, D), pair_mean (A (A - 1) / 2,), pairs (A (A - 1) / 2, K), interplay (A L,
    K); and kinds (2, A, R, K).
    """
    names = ("mean", "label_mean", "slopes", "inward", "outward", "pair_mean", "pairs", "interplay", "kinds")
    return {name: getattr(flow, name).cpu().numpy() for name in names}
