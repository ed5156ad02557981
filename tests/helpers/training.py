"""Small training runs: crops of coarse noise, and what a run has left."""

import numpy as np
import pandas as pd
import torch

from faces.core.files import write_json
from faces.ingest import writer

SMALL = {"code_length": 8, "width": 4, "linear_in": 16, "linear_out": 16, "batch": 8}


def write_crops(folder, count: int, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    np.save(folder / "images.npy", coarse.repeat(8, 1).repeat(8, 2))
    table = pd.DataFrame(
        {
            "name": [f"{n}.jpg" for n in range(count)],
            "split": (["train"] * 6 + ["valid", "test"]) * (count // 8),
            "A": 1,
        }
    )
    writer.write_labels(folder / "table.parquet", table)
    write_json(folder / "geometry.json", {"box": "square", "size": 32, "filter": "lanczos"})


def bytes_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def steps_done(checkpoint) -> int:
    try:
        return torch.load(checkpoint, weights_only=True)["step"]
    except FileNotFoundError:  # between two renames
        return 0
