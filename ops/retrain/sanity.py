"""python -m ops.retrain.sanity EXAM CROPS MODEL EXPORT OUT: sanity checks of a trained model and its export.

Writes OUT/samples.png, and OUT/sanity.json:

weights_finite   no NaN or infinity among the weights
parity           largest difference of the exported decoder from torch, in levels of 255; null if not finite
latency          ms in which the export edits one face and draws it, on one thread, median
spread           standard deviation over SAMPLES samples, mean over pixels, in levels of 255
leaked           faces of the exam's test split that are among the faces it was trained on
"""

import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

from facemorph.code_editors import BadValue
from facemorph.export import BadExport, Export, levels
from faces import checkpoints
from faces.core.files import write_json
from faces.data.annotations import SPLITS
from faces.data.crops import Crops

SAMPLES = 16
ROUNDS = 20


def finite(weights: Path) -> bool:
    """Whether every number of a safetensors file is finite."""
    return all(np.isfinite(array).all() for array in load_file(weights).values() if array.dtype.kind == "f")


@torch.no_grad()
def parity(model: torch.nn.Module, export: Export, codes: np.ndarray) -> float | None:
    """Largest difference of the decoded `codes` (n, D) between torch and onnxruntime, in levels of 255."""
    expected = ((model.decode(torch.from_numpy(codes)).clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    difference = float(np.abs(export.decode(codes) - expected).max())
    return difference if np.isfinite(difference) else None


def latency(export: Export, code: np.ndarray) -> float:
    """Median ms of an edit of one code (D,) by the editor of the export, and of decoding it."""
    name = export.names[0]
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        export.decode(export.edit(code, {name: 1.0})[None])
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def leaked(exam: Crops, crops: Crops) -> int:
    """How many test faces of the exam are, to the pixel, train faces of `crops`."""

    def marks(of: Crops, split: str) -> set[bytes]:
        rows = np.flatnonzero(of.splits == SPLITS.index(split))
        return {hashlib.sha256(of.images[row].tobytes()).digest() for row in rows}

    return len(marks(exam, "test") & marks(crops, "train"))


def sheet(pictures: np.ndarray) -> Image.Image:
    """uint8 (n, S, S, 3) in rows of eight."""
    rows = [np.concatenate(list(pictures[start : start + 8]), axis=1) for start in range(0, len(pictures), 8)]
    return Image.fromarray(np.concatenate(rows))


def inspect(
    exam: Path, crops: Path, weights: Path, folder: Path, out: Path
) -> dict[str, float | bool | int | None]:
    """The figures above; null where the export cannot be loaded or drawn from."""
    found = {
        "weights_finite": finite(weights / "model.safetensors"),
        "leaked": leaked(Crops.open(exam / "crops"), Crops.open(crops)),
    }
    model, _ = checkpoints.load(weights)
    try:
        export = Export(folder)
        codes = np.stack([export.sample(seed) for seed in range(1, SAMPLES + 1)])
        pictures = export.decode(codes)
    except (BadExport, BadValue) as error:
        return found | {"parity": None, "latency": None, "spread": None, "trouble": str(error)}
    sheet(levels(pictures)).save(out / "samples.png")
    spread = float(pictures.std(0).mean())
    return found | {
        "parity": parity(model, export, codes),
        "latency": latency(export, codes[0]),
        "spread": spread,
        "trouble": None,
    }


def main(exam: Path, crops: Path, weights: Path, export: Path, out: Path) -> None:
    write_json(out / "sanity.json", inspect(exam, crops, weights, export, out))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
