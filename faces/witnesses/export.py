"""The network of identity for programs without torch: how far an edited face is from the same person.

identity.onnx   images uint8 (B, S, S, 3) -> features (B, 128), float32

The first image is the face before its edits: where its landmarks lie, all are looked at. Weights have eight
bits in face-api's package, and so they have here.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from faces.export.onnx import check_parity, run, to_onnx
from faces.witnesses.witness import MARGIN, Witness, framed

IDENTITY = "identity.onnx"
SMALL = 1024  # numbers of a tensor that stays as it is
STEPS = 255  # of a weight of eight bits
CLOSE = 1e-5  # share of a tensor's range by which eight bits may miss it


class IdentityOf(nn.Module):
    """Witness.features of images in the frame of the first."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self.landmarks = witness.landmarks
        self.identity = witness.identity

    def forward(self, images: Tensor) -> Tensor:
        pictures = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        whole = torch.full((1, 3), 0.5)
        points = self.landmarks(framed(pictures[:1], whole, self.landmarks.SIDE))  # (1, 68, 2)
        low = points.amin(1)
        high = points.amax(1)
        half = (high - low).amax(1, keepdim=True) / 2 * MARGIN
        frame = torch.cat([(low + high) / 2, half], 1)  # (1, 3)
        return self.identity(framed(pictures, frame.expand(images.shape[0], 3), self.identity.SIDE))


@torch.no_grad()
def export_identity(witness: Witness, images: np.ndarray, folder: Path) -> None:
    """Write identity.onnx, compared with the witness on images uint8 (n, S, S, 3) in the frame of the first,
    n >= 2. Raises ExportError where onnxruntime differs by more than its tolerance.
    """
    path = folder / IDENTITY
    example = torch.from_numpy(images)
    to_onnx(IdentityOf(witness), (example,), ("images",), "features", path)
    path.write_bytes(packed(onnx.load(path)).SerializeToString(deterministic=True))
    pictures = example.permute(0, 3, 1, 2).float() / 127.5 - 1
    frames = np.repeat(witness.frames(pictures[:1]), len(images), 0)
    expected = witness.features(pictures, frames)
    check_parity(IDENTITY, run(path, images), expected, np.sqrt(np.square(expected).mean()))


def packed(network: onnx.ModelProto) -> onnx.ModelProto:
    """`network` with eight bits for each weight, where that is all that a tensor holds."""
    graph = network.graph
    kept = []
    nodes = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        low = values.min() if values.size else 0
        step = np.float32((values.max() - low) / STEPS) if values.size >= SMALL else np.float32(0)
        if values.dtype != np.float32 or step == 0:
            kept.append(tensor)
            continue
        places = np.rint((values - low) / step)
        if np.abs(places * step + low - values).max() > CLOSE * STEPS * step:
            kept.append(tensor)
            continue
        name = tensor.name
        kept.append(numpy_helper.from_array(places.astype(np.uint8), f"{name}_bits"))
        kept.append(numpy_helper.from_array(step, f"{name}_step"))
        kept.append(numpy_helper.from_array(np.float32(low), f"{name}_low"))
        nodes.append(helper.make_node("Cast", [f"{name}_bits"], [f"{name}_float"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_step"], [f"{name}_scaled"]))
        nodes.append(helper.make_node("Add", [f"{name}_scaled", f"{name}_low"], [name]))
    nodes.extend(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(network)
    return network
