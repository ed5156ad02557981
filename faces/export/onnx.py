"""data/export: all that other programs need to edit faces, and no torch. web/API.md is its specification.

encoder.onnx   `images` uint8 (B, S, S, 3)  -> `codes` float32 (B, D)
decoder.onnx   `codes` float32 (B, D)       -> `images` float32 (B, S, S, 3) in [0, 255], clamped, not rounded
arrays.safetensors   directions, moments and prior of the codes (faces/export/bundle.py)
bundle.json    what all of it is
"""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

OPSET = 20
TOLERANCE = 1e-4  # largest difference of onnxruntime from torch: pictures in [-1, 1], codes in their own RMS


class ExportError(ValueError):
    """The exported networks would not do what the trained model does. The message says by how much."""


class Encoder(nn.Module):
    """uint8 (B, S, S, 3) -> codes (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images.permute(0, 3, 1, 2).float() / 127.5 - 1)


class Decoder(nn.Module):
    """codes (B, D) -> float32 (B, S, S, 3) in [0, 255]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor) -> Tensor:
        return ((self.model.decode(codes).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1)


def to_onnx(
    module: nn.Module, examples: tuple[Tensor, ...], inputs: tuple[str, ...], output: str, path: Path
) -> None:
    """Write `module` as ONNX with a free batch; the same bytes for the same weights, without paths.

    Each of `examples` must hold at least two rows: the exporter takes a batch of one for a constant.
    """
    for chatty in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            examples,
            dynamo=True,
            dynamic_shapes=(({0: batch},) * len(examples)),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    proto.producer_name = "facemorph"
    proto.producer_version = ""
    proto.doc_string = ""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    proto.graph.name = output
    proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def run(path: Path, batch: np.ndarray) -> np.ndarray:
    """The network at `path` on a batch, by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


@torch.no_grad()
def networks(model: nn.Module, images: np.ndarray, codes: np.ndarray, folder: Path) -> None:
    """Write both networks, compared with torch on images uint8 (n, S, S, 3), codes float32 (n, D), n >= 2.

    Raises ExportError where onnxruntime differs by more than TOLERANCE.
    """
    encoder = Encoder(model)
    decoder = Decoder(model)
    to_onnx(encoder, (torch.from_numpy(images),), ("images",), "codes", folder / "encoder.onnx")
    to_onnx(decoder, (torch.from_numpy(codes),), ("codes",), "images", folder / "decoder.onnx")
    expected = encoder(torch.from_numpy(images)).numpy()
    check_parity(
        "encoder.onnx", run(folder / "encoder.onnx", images), expected, np.sqrt(np.square(expected).mean())
    )
    check_parity(
        "decoder.onnx", run(folder / "decoder.onnx", codes), decoder(torch.from_numpy(codes)).numpy(), 127.5
    )


def check_parity(name: str, found: np.ndarray, expected: np.ndarray, unit: float) -> None:
    """Raises ExportError where what onnxruntime found differs from torch's by more than TOLERANCE units."""
    difference = float(np.abs(found.astype(np.float64) - expected).max() / unit)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{name}: onnxruntime differs from torch by {difference:.2g}, at most {TOLERANCE:g} is allowed"
        )
