"""The flow of codes as ONNX, integrator included: what the website's sliders run.

abduct.onnx    codes (B, D), labels (B, A) -> noise (B, K): once for a face
predict.onnx   codes (B, D), noise (B, K), labels (B, A), goal (B, A), strength (B,) -> edited (B, D):
               once for each step of a slider

All are float32. faces/flow/editing.py says what they compute.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from faces.export.onnx import check_parity, to_onnx
from faces.flow.editing import abduct, predict
from faces.flow.editor import FlowEditor
from faces.flow.network import Flow


class Abduct(nn.Module):
    def __init__(self, flow: Flow, steps: int) -> None:
        super().__init__()
        self.flow = flow
        self.steps = steps

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        return abduct(self.flow, codes, labels, self.steps)


class Predict(nn.Module):
    def __init__(self, flow: Flow, steps: int) -> None:
        super().__init__()
        self.flow = flow
        self.steps = steps

    def forward(self, codes: Tensor, noise: Tensor, labels: Tensor, goal: Tensor, strength: Tensor) -> Tensor:
        return predict(self.flow, codes, noise, labels, goal, strength, self.steps)


@torch.no_grad()
def export_flow(editor: FlowEditor, codes: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Write both networks and hold them against torch on codes (n, D) and labels (n, A), n >= 2: every label
    the other way round.

    Raises ExportError where onnxruntime differs by more than its tolerance.
    """
    z = torch.from_numpy(np.asarray(codes, np.float32))
    y = torch.from_numpy(np.asarray(labels, np.float32))
    flow = editor.flow.cpu()
    noise = abduct(flow, z, y, editor.steps)
    goal = torch.where(y == 0, 1.0, -y)
    strength = torch.ones(len(z))
    for name, module, inputs in (
        ("abduct", Abduct(flow, editor.steps), {"codes": z, "labels": y}),
        (
            "predict",
            Predict(flow, editor.steps),
            {"codes": z, "noise": noise, "labels": y, "goal": goal, "strength": strength},
        ),
    ):
        path = folder / f"{name}.onnx"
        output = {"abduct": "noise", "predict": "edited"}[name]
        to_onnx(module, tuple(inputs.values()), tuple(inputs), output, path)
        expected = module(*inputs.values()).numpy()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {key: value.numpy() for key, value in inputs.items()})
        check_parity(path.name, found, expected, np.sqrt(np.square(expected).mean()))
