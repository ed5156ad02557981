"""data/export: all that other programs need to edit faces, and no torch. web/API.md is its specification.

encoder.onnx   `images` uint8 (B, S, S, 3)  -> `codes` float32 (B, D)
decoder.onnx   `codes` float32 (B, D)       -> `images` float32 (B, S, S, 3) in [0, 255], clamped, not rounded
arrays.bin     float32 little-endian, row-major, one array after another
bundle.json    what all of it is
"""

import base64
import hashlib
import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torch import Tensor, nn

FORMAT = 1
OPSET = 20
TOLERANCE = 1e-4  # largest difference between torch and onnxruntime: pictures in [-1, 1], codes in units of their own RMS
SAMPLE = 8192  # codes from which a covariance is taken that is too large to be kept whole

# align_face_celeba.m, less one, as MATLAB counts pixels from 1: left eye, right eye, middle of the mouth corners in a picture of 178 x 218
CELEBA_FRAME, CELEBA_TEMPLATE = (178, 218), np.array([[69.745, 111.0], [107.237, 111.0], [88.432, 152.514]])


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


def to_onnx(module: nn.Module, example: Tensor, inputs: str, outputs: str, path: Path) -> None:
    """Write `module` as ONNX with a free batch, the same bytes for the same weights: everything that tells of the exporter or of paths is left out.

    `example` must hold at least two rows: the exporter takes a batch of one for a constant.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            input_names=[inputs],
            output_names=[outputs],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    proto = program.model_proto
    proto.producer_name, proto.producer_version, proto.doc_string = "facemorph", "", ""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    proto.graph.name, proto.graph.doc_string = outputs, ""
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
    """Write both networks and hold them against torch on `images` uint8 (n, S, S, 3) and `codes` float32 (n, D), n >= 2.

    Raises ExportError where onnxruntime differs by more than TOLERANCE.
    """
    encoder, decoder = Encoder(model), Decoder(model)
    to_onnx(encoder, torch.from_numpy(images), "images", "codes", folder / "encoder.onnx")
    to_onnx(decoder, torch.from_numpy(codes), "codes", "images", folder / "decoder.onnx")
    expected = encoder(torch.from_numpy(images)).numpy()
    _compare("encoder.onnx", run(folder / "encoder.onnx", images), expected, np.sqrt(np.square(expected).mean()))
    _compare("decoder.onnx", run(folder / "decoder.onnx", codes), decoder(torch.from_numpy(codes)).numpy(), 127.5)


def _compare(name: str, found: np.ndarray, expected: np.ndarray, unit: float) -> None:
    difference = float(np.abs(found.astype(np.float64) - expected).max() / unit)
    if not difference <= TOLERANCE:
        raise ExportError(f"{name}: onnxruntime differs from torch by {difference:.2g}, at most {TOLERANCE:g} is allowed")


@dataclass(frozen=True)
class Spread:
    """A Gaussian in code space: mean (D,) and covariance factor^T factor + diag(residual^2), factor (K, D), residual (D,). float64."""

    mean: np.ndarray
    factor: np.ndarray
    residual: np.ndarray

    @classmethod
    def of_moments(cls, mean: np.ndarray, covariance: np.ndarray, rank: int) -> "Spread":
        """The `rank` widest axes of a covariance (D, D); what they leave of each variance is the residual."""
        values, axes = np.linalg.eigh(covariance)
        order = np.argsort(values)[::-1][:rank]
        return cls._of_axes(mean, np.maximum(values[order], 0), axes[:, order].T, np.diag(covariance))

    @classmethod
    def of_codes(cls, codes: np.ndarray, rank: int) -> "Spread":
        """The same from codes (n, D) with n below D, through the n x n products."""
        mean = codes.mean(0, dtype=np.float64)
        centred = codes - mean
        values, sides = np.linalg.eigh(centred @ centred.T / len(codes))
        order = np.argsort(values)[::-1][: min(rank, len(codes) - 1)]
        values = np.maximum(values[order], 1e-12)
        axes = (centred.T @ sides[:, order]).T / np.sqrt(values * len(codes))[:, None]
        return cls._of_axes(mean, values, axes, np.square(centred).mean(0))

    @classmethod
    def _of_axes(cls, mean: np.ndarray, values: np.ndarray, axes: np.ndarray, variances: np.ndarray) -> "Spread":
        axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # an eigenvector's sign is arbitrary
        factor = np.sqrt(values)[:, None] * axes
        left = variances - np.square(factor).sum(0)
        whole = len(factor) == len(variances)
        return cls(mean, factor, np.zeros_like(mean) if whole else np.sqrt(np.maximum(left, 0)))

    def sample(self, seed: int, temperature: float) -> np.ndarray:
        """(D,) the code of a seed, as web/API.md defines it: the same face here, on the server and in the browser."""
        rank, length = self.factor.shape
        noise = normals(seed, rank + length)
        return self.mean + temperature * (noise[:rank] @ self.factor + noise[rank:] * self.residual)


def normals(seed: int, count: int) -> np.ndarray:
    """(count,) normal numbers out of a 32-bit seed, by a counter, a hash (lowbias32) and Box-Muller: simple enough to be the same in every language."""

    def mix(x: np.ndarray) -> np.ndarray:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
        return x ^ (x >> np.uint32(16))

    pairs = (count + 1) // 2
    counter = np.arange(1, 2 * pairs + 1, dtype=np.uint32)
    words = mix(mix(counter) + mix(np.array([seed ^ 0x9E3779B9], np.uint32)))
    radius, angle = ((words + 0.5) / 2**32).reshape(pairs, 2).T
    radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]


def standing(codes: np.ndarray, mean: np.ndarray, units: np.ndarray, sigma: np.ndarray, low: float, high: float) -> np.ndarray:
    """(A, 2): between which sigmas from the mean codes (n, D) lie along each unit direction (A, D), by the quantiles `low` and `high`."""
    return np.quantile((codes - mean) @ units.T / sigma, (low, high), axis=0).T


def template(landmarks: np.ndarray | None, frame: tuple[int, int]) -> np.ndarray:
    """(3, 2): where left eye, right eye and the middle of the mouth belong in pictures of `frame` (width, height).

    The mean of `landmarks` (n, 10) where the data know them, otherwise CelebA's, scaled to the frame's width about its centre.
    """
    if landmarks is not None:
        points = landmarks.mean(0, dtype=np.float64).reshape(5, 2)
        return np.stack([points[0], points[1], (points[3] + points[4]) / 2])
    middle, goal = (np.array(CELEBA_FRAME) - 1) / 2, (np.array(frame) - 1) / 2
    return (CELEBA_TEMPLATE - middle) * (frame[0] / CELEBA_FRAME[0]) + goal


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write `arrays` one after another; an array given under two names is written once. Returns the table of bundle.json."""
    table: dict[str, Any] = {}
    seen: dict[bytes, int] = {}
    with path.open("wb") as file:
        for name, array in arrays.items():
            content = np.ascontiguousarray(array, "<f4").tobytes()
            if content not in seen:
                seen[content] = file.tell()
                file.write(content)
            table[name] = {"offset": seen[content], "shape": list(array.shape)}
    return table


def digest(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as bundle.json lists it."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def png(image: np.ndarray) -> str:
    """uint8 (H, W, 3) as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
