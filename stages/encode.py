"""Encode every face of the data set.

in    data/crops/     images.npy, table.csv
      data/model/     the trained model
out   data/latents/   latents.npy   float32 (N, D), row i = image i: the deterministic code (a VAE's posterior mean)
                      moments.npz   count, mean (D,), std (D,), and covariance (D, D) where D is at most 2,048, over the train split
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from faces import checkpoints
from faces.crops import Crops
from faces.devices import batches, pick_device, to_device
from faces.files import new_folder
from faces.moments import Moments
from faces.params import Group, load
from faces.terminal import Progress, stop


class Encode(Group):
    batch: Annotated[int, Field(ge=1)]


class Params(Group):
    encode: Encode


@torch.no_grad()
def encode(model: torch.nn.Module, images: np.ndarray, batch: int, device: torch.device) -> Iterator[tuple[slice, np.ndarray]]:
    """The codes of `images` (N, H, W, 3) uint8, in order: which rows, and float32 (B, D)."""
    for rows in batches(len(images), batch):
        yield rows, model.encode(to_device(images[rows], device)).float().cpu().numpy()


def main(crops_folder: Path, weights: Path, out: Path) -> None:
    try:
        params, crops, device = load(Params), Crops.open(crops_folder), pick_device()
        model, _ = checkpoints.load(weights)
    except ValueError as error:
        raise stop(error) from None
    model = model.to(device, memory_format=torch.channels_last)
    bar = Progress("encode", len(crops.images), "faces")
    with new_folder(out) as folder:
        shape = (len(crops.images), model.code_length)
        codes = np.lib.format.open_memmap(folder / "latents.npy", "w+", np.float32, shape)
        for rows, chunk in encode(model, crops.images, params.encode.batch, device):
            if not np.isfinite(chunk).all():
                raise stop(
                    ValueError(
                        f"{weights}: the model encodes some of the images {rows.start} to {rows.stop - 1} to NaN or infinity; train it again"
                    )
                )
            codes[rows] = chunk
            bar.update(rows.stop)
        codes.flush()
        moments = Moments.of(codes, crops.rows("train"))
        np.savez(folder / "moments.npz", **moments.arrays())
    bar.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
