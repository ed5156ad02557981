"""Encode every face of the data set.

in    data/crops/     images.npy, table.parquet
      data/model/     the trained model
out   data/latents/   latents.npy   float32 (N, D), row i = image i: the deterministic code (a VAE's posterior
      mean)
                      mirrored.npy  float32 (N, D), row i = the mirror image of image i; where encode.mirror
                                    asks
                      moments.npz   count, mean (D,), std (D,) of the train split, and its covariance (D, D)
                                    where
                                    D is at most 2,048

Rows are cut into shards, which several processes (faces/core/ranks.py) share. Each goes to .ckpt/<key>/ when
it is whole; rank 0 puts them together. An interrupted run continues after the finished shards, under any
number of processes.
"""

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from faces import checkpoints
from faces.core import ranks
from faces.core.batches import batches
from faces.core.console import Progress, Unfit, stop
from faces.core.files import new_folder
from faces.core.params import Group, load
from faces.data import sharded_array
from faces.data.crops import Crops
from faces.data.sharded_array import Parts
from faces.latents.moments import Moments
from faces.models import Model
from faces.nn.device import pick_device, to_device

LATENTS = "latents"
MIRRORED = "mirrored"


class Encode(Group):
    batch: Annotated[int, Field(ge=1)]
    mirror: bool

    def files(self) -> list[str]:
        """The arrays to write."""
        return [LATENTS, MIRRORED] if self.mirror else [LATENTS]


class Params(Group):
    encode: Encode


@torch.no_grad()
def encode(
    model: Model,
    images: np.ndarray | Parts,
    batch: int,
    device: torch.device,
    within: slice | None = None,
    mirror: bool = False,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Codes of `images` (N, H, W, 3) uint8, or of the rows `within`, in order: which rows, and float32 (B,
    D).

    With `mirror`, those of the mirror images.
    """
    start, stop = (within.start, within.stop) if within else (0, len(images))
    for some in batches(stop - start, batch):
        rows = slice(start + some.start, start + some.stop)
        pictures = to_device(images[rows], device)
        yield rows, model.encode(pictures.flip(3) if mirror else pictures).float().cpu().numpy()


def encode_pieces(
    model: Model,
    images: np.ndarray | Parts,
    params: Encode,
    device: torch.device,
    cut: Iterable[slice],
) -> Iterator[dict[str, np.ndarray]]:
    """By name, the codes (n, D) of each piece of `cut`. Raises Unfit where a code is not finite."""
    cut = list(cut)
    names = params.files()
    done = 0
    bar = Progress("encode", len(names) * sum(rows.stop - rows.start for rows in cut), "faces")
    for rows in cut:
        codes: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for name in names:
            for where, chunk in encode(model, images, params.batch, device, rows, name == MIRRORED):
                if not np.isfinite(chunk).all():
                    raise Unfit(
                        f"the model encodes some of the images {where.start} to {where.stop - 1} to NaN or "
                        "infinity; train it again"
                    )
                codes[name].append(chunk)
                done += len(chunk)
                bar.update(done)
        yield {name: np.concatenate(chunks) for name, chunks in codes.items()}
    bar.close()


def run(params: Params, crops_folder: Path, weights: Path, out: Path) -> None:
    """Write the codes and their moments. Raises ValueError."""
    crops = Crops.open(crops_folder)
    device = pick_device()
    model, _ = checkpoints.load(weights)
    described = [weights / "model.safetensors", weights / "model.json", Path(__file__)]
    files = [*sharded_array.files(crops_folder / "images.npy"), *described]
    work = ranks.unfinished(params.encode.model_dump(), files)
    cut = ranks.pieces(len(crops.images), params.encode.batch)
    model.to(device, memory_format=torch.channels_last)
    with ranks.joined(device):
        ranks.deal("encode", work, cut, partial(encode_pieces, model, crops.images, params.encode, device))
    if ranks.rank() > 0:
        return
    with new_folder(out) as folder:
        shape = (len(crops.images), model.code_length)
        arrays = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
            for name in params.encode.files()
        }
        for rows, found in ranks.merged(work, cut):
            for name, codes in arrays.items():
                codes[rows] = found[name]
        for codes in arrays.values():
            codes.flush()
        np.savez(folder / "moments.npz", **Moments.of(arrays[LATENTS], crops.rows("train")).arrays())
    ranks.discard(work)


def main(crops_folder: Path, weights: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, weights, out)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.encode")
    main(*map(Path, sys.argv[1:]))
