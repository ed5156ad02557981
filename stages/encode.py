"""Encode every face of the data set.

in    data/crops/     images.npy, table.csv
      data/model/     the trained model
out   data/latents/   latents.npy   float32 (N, D), row i = image i: the deterministic code (a VAE's posterior
      mean)
                      mirrored.npy  float32 (N, D), row i = the mirror image of image i; where encode.mirror
                                    asks
                      moments.npz   count, mean (D,), std (D,) of the train split, and its covariance (D, D)
                                    where
                                    D is at most 2,048

Rows are cut into shards, which several processes (faces/nn/distributed.py) share. Each goes to .ckpt/<key>/
when it is whole, with its row numbers; rank 0 puts them together. An interrupted run continues after the
finished shards, under any number of processes.
"""

import math
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from faces import checkpoints
from faces.core.batches import batches
from faces.core.console import Progress, Unfit, say, stop
from faces.core.files import fingerprint, new_file, new_folder
from faces.core.params import Group, load
from faces.data import sharded_array
from faces.data.crops import Crops
from faces.data.sharded_array import Parts
from faces.latents.moments import Moments
from faces.models import Model
from faces.nn import distributed
from faces.nn.device import pick_device, to_device

UNFINISHED = Path(".ckpt")
LATENTS = "latents"
MIRRORED = "mirrored"
SHARDS = 1024  # at most: few files, and still several for each of many processes


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


def shards_of(count: int, batch: int) -> list[slice]:
    """range(count) in at most SHARDS pieces of whole batches, so each face is encoded in the same batch
    always.
    """
    return list(batches(count, batch * math.ceil(count / (batch * SHARDS))))


def path_of(folder: Path, rows: slice) -> Path:
    return folder / f"{rows.start:012d}.npz"


def encode_shards(
    folder: Path,
    shards: list[slice],
    model: Model,
    images: np.ndarray | Parts,
    params: Encode,
    device: torch.device,
) -> None:
    """Leave a file for each of `shards` in `folder`: rows (n,), and by name codes (n, D).

    Raises Unfit where a code is not finite.
    """
    names = params.files()
    done = 0
    bar = Progress("encode", len(names) * sum(rows.stop - rows.start for rows in shards), "faces")
    for rows in shards:
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
        arrays = {name: np.concatenate(chunks) for name, chunks in codes.items()}
        with new_file(path_of(folder, rows)) as draft, draft.open("wb") as file:
            np.savez(file, rows=np.arange(rows.start, rows.stop), **arrays)
    bar.close()


def merge(folder: Path, shards: list[slice], arrays: dict[str, np.ndarray]) -> None:
    """Fill `arrays` (N, D), by name, from the files of `shards`.

    Raises ValueError unless each row is in exactly one of them.
    """
    seen = np.zeros(len(arrays[LATENTS]), np.uint8)
    for rows in shards:
        path = path_of(folder, rows)
        try:
            with np.load(path, allow_pickle=False) as shard:
                np.add.at(seen, shard["rows"], 1)
                for name, codes in arrays.items():
                    codes[shard["rows"]] = shard[name]
        except FileNotFoundError:
            raise ValueError(
                f"{path} is missing though every process is done: they must share one file system; "
                "run them where they do"
            ) from None
        except (EOFError, OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile):
            raise ValueError(
                f"{path} is not a whole shard; remove {folder} and run `dvc repro encode`"
            ) from None
    if (seen != 1).any():
        row = int(np.flatnonzero(seen != 1)[0])
        raise ValueError(
            f"{folder}: row {row} is in {seen[row]} shards, not in one; "
            "remove the folder and run `dvc repro encode`"
        )


def remaining(folder: Path, shards: list[slice]) -> list[slice]:
    """The `shards` that are not encoded yet."""
    left = [rows for rows in shards if not path_of(folder, rows).is_file()]
    if len(left) < len(shards):
        say(f"encode: continuing, {len(shards) - len(left)} of {len(shards)} shards are there")
    return left


def run(params: Params, crops_folder: Path, weights: Path, out: Path) -> None:
    """Write the codes and their moments. Raises ValueError."""
    crops = Crops.open(crops_folder)
    device = pick_device()
    model, _ = checkpoints.load(weights)
    described = [weights / "model.safetensors", weights / "model.json", Path(__file__)]
    files = [*sharded_array.files(crops_folder / "images.npy"), *described]
    work = UNFINISHED / fingerprint(params.encode.model_dump(), files)
    shards = shards_of(len(crops.images), params.encode.batch)
    with distributed.joined(device):
        found = [(rows.start, rows.stop) for rows in remaining(work, shards)]
        left = [slice(*ends) for ends in distributed.broadcast(found)]
        model.to(device, memory_format=torch.channels_last)
        encode_shards(work, distributed.own(left), model, crops.images, params.encode, device)
        distributed.wait()
    if distributed.rank() > 0:
        return
    with new_folder(out) as folder:
        shape = (len(crops.images), model.code_length)
        arrays = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
            for name in params.encode.files()
        }
        merge(work, shards, arrays)
        for codes in arrays.values():
            codes.flush()
        np.savez(folder / "moments.npz", **Moments.of(arrays[LATENTS], crops.rows("train")).arrays())
    shutil.rmtree(work)


def main(crops_folder: Path, weights: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, weights, out)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    distributed.launch("stages.encode")
    main(*map(Path, sys.argv[1:]))
