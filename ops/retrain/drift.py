"""python -m ops.retrain.drift CROPS MODEL NEW OUT: drift of new pictures against earlier ones, in labels and
in the champion's codes.

NEW is a JSON list of the names of the new pictures among CROPS, MODEL the champion. Writes OUT:

attributes   name -> rate among the others and among the new, their difference, and z, that difference in
             standard errors
codes        frechet: squared Frechet distance of new codes to others; frechet_usual: of others to others, in
             sets of the same size; ratio of the two;
             shift: distance of the means in standard deviations of a code number, root mean square
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faces import checkpoints
from faces.core.batches import batches
from faces.core.files import write_json
from faces.data.crops import Crops
from faces.metrics.frechet import frechet, grams
from faces.nn.device import pick_device, to_device

MOST = 500  # faces in each set
BATCH = 64  # faces encoded at once


def rates(labels: np.ndarray, new: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Per attribute, from labels (N, A) of 1, -1, 0 and which rows are `new` (N,) bool; attributes unknown on
    one side are left out.

    z is that of the two-proportion test with pooled variance.
    """
    found = {}
    for column, name in enumerate(names):
        sides = [labels[rows, column] for rows in (~new, new)]
        (others, n), (fresh, m) = ((float((side == 1).sum()), int((side != 0).sum())) for side in sides)
        if n and m:
            pooled = (others + fresh) / (n + m)
            error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
            difference = fresh / m - others / n
            found[name] = {
                "others": round(others / n, 4),
                "new": round(fresh / m, 4),
                "difference": round(difference, 4),
                "z": round(difference / error, 2) if error else 0.0,
            }
    return found


def compare(new: np.ndarray, others: np.ndarray) -> dict[str, float | None]:
    """Codes (n, D) against codes (2 n, D) or more: the figures of `codes` above. Distances are None for fewer
    than two new codes.
    """
    count = len(new)
    one = others[:count]
    other = others[count : 2 * count]
    deviation = np.maximum(others.std(0, dtype=np.float64), 1e-12)
    shift = float(
        np.sqrt(
            np.square((new.mean(0, dtype=np.float64) - others.mean(0, dtype=np.float64)) / deviation).mean()
        )
    )
    if count < 2 or len(other) < 2:
        return {
            "faces": count,
            "frechet": None,
            "frechet_usual": None,
            "ratio": None,
            "shift": round(shift, 4),
        }
    distance, usual = (frechet(*grams(codes, one)) for codes in (new, other))
    return {
        "faces": count,
        "frechet": round(distance, 4),
        "frechet_usual": round(usual, 4),
        "ratio": round(distance / usual, 4) if usual > 0 else None,
        "shift": round(shift, 4),
    }


@torch.no_grad()
def encode(model: torch.nn.Module, images: np.ndarray, rows: np.ndarray, device: torch.device) -> np.ndarray:
    """Codes (n, D) of some rows."""
    return np.concatenate(
        [
            model.encode(to_device(images[rows[where]], device)).float().cpu().numpy()
            for where in batches(len(rows), BATCH)
        ]
    )


def measure(crops: Crops, weights: Path, names: list[str]) -> dict[str, Any]:
    """All figures. Raises ValueError where the champion's faces are cut differently."""
    new = crops.column("name").isin(names).to_numpy()
    device = pick_device()
    rng = np.random.default_rng(0)
    model, geometry = checkpoints.load(weights)
    found: dict[str, Any] = {"attributes": rates(crops.labels, new, crops.attributes), "codes": None}
    fresh = rng.permutation(np.flatnonzero(new))[:MOST]
    others = rng.permutation(np.flatnonzero(~new))
    count = min(len(fresh), len(others) // 2)
    if geometry == crops.geometry and count:
        model = model.to(device)
        found["codes"] = compare(
            *(
                encode(model, crops.images, np.sort(rows), device)
                for rows in (fresh[:count], others[: 2 * count])
            )
        )
    return found


def main(crops: Path, weights: Path, new: Path, out: Path) -> None:
    write_json(out, measure(Crops.open(crops), weights, json.loads(new.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
