"""Reconstruction of test faces: PSNR, SSIM, MS-SSIM, and PSNR after further rounds through the model."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from faces.core import ranks
from faces.core.batches import batches
from faces.core.console import Progress
from faces.nn import quality
from faces.scoring.context import Codec

QUALITIES = {"psnr": quality.psnr, "ssim": quality.ssim, "ms_ssim": quality.ms_ssim}


def reconstruction(
    codec: Codec,
    images: np.ndarray,
    codes: np.ndarray,
    rows: np.ndarray,
    rounds: int,
    work: Path | None = None,
) -> pd.DataFrame:
    """reconstruction.csv: a line for each of `rows` of images (N, H, W, 3) and codes (N, D).

    psnr_k is that of the k-th round of encoding and decoding, against the picture itself, up to k = `rounds`:
    composition (Monteiro et al., ICLR 2023, section 4), where an edit that changes nothing must change
    nothing. With `work` the processes (faces/core/ranks.py) share the rows as shards in that folder.
    """
    columns = [*QUALITIES, *(f"psnr_{k}" for k in range(2, rounds + 1))]

    def measure_pieces(cut: Iterable[slice]) -> Iterator[dict[str, np.ndarray]]:
        cut = list(cut)
        done = 0
        bar = Progress("score reconstructions", sum(piece.stop - piece.start for piece in cut), "faces")
        for piece in cut:
            found = []
            for where in batches(piece.stop - piece.start, codec.batch):
                chosen = rows[piece][where]
                found.append(measured(codec, images[chosen], codes[chosen], rounds))
                done += len(chosen)
                bar.update(done)
            yield {"scores": np.concatenate(found)}
        bar.close()

    cut = ranks.pieces(len(rows), codec.batch)
    if work is None:
        shards = measure_pieces(cut)
    else:
        ranks.deal("score reconstructions", work, cut, measure_pieces)
        shards = (found for _, found in ranks.merged(work, cut))
    return pd.DataFrame(np.concatenate([found["scores"] for found in shards]), columns=columns)


def measured(codec: Codec, pixels: np.ndarray, codes: np.ndarray, rounds: int) -> np.ndarray:
    """The columns of reconstruction.csv (n, Q) of a batch of faces."""
    original = unit(codec.pictures(pixels))
    decoded = codec.decode(codes)
    scores = [measure(unit(decoded), original) for measure in QUALITIES.values()]
    for _ in range(2, rounds + 1):
        decoded = codec.decode(codec.encode(decoded))
        scores.append(quality.psnr(unit(decoded), original))
    return torch.stack(scores, 1).cpu().numpy()


def unit(images: Tensor) -> Tensor:
    """Images in [-1, 1] -> [0, 1], the range in which errors are told."""
    return images.add(1).div(2)
