"""Reconstruction of test faces: PSNR, SSIM, MS-SSIM, and PSNR after further rounds through the model."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from faces.core.batches import batches
from faces.core.console import Progress
from faces.nn import quality
from faces.scoring.context import Codec

QUALITIES = {"psnr": quality.psnr, "ssim": quality.ssim, "ms_ssim": quality.ms_ssim}


def reconstruction(
    codec: Codec, images: np.ndarray, codes: np.ndarray, rows: np.ndarray, rounds: int
) -> pd.DataFrame:
    """reconstruction.csv: a line for each of `rows` of images (N, H, W, 3) and codes (N, D).

    psnr_k is that of the k-th round of encoding and decoding, against the picture itself, up to k = `rounds`:
    composition (Monteiro et al., ICLR 2023, section 4), where an edit that changes nothing must change
    nothing.
    """
    columns = [*QUALITIES, *(f"psnr_{k}" for k in range(2, rounds + 1))]
    found = []
    bar = Progress("score reconstructions", len(rows), "faces")
    for where in batches(len(rows), codec.batch):
        chosen = rows[where]
        original = unit(codec.pictures(images[chosen]))
        decoded = codec.decode(codes[chosen])
        scores = [measure(unit(decoded), original) for measure in QUALITIES.values()]
        for _ in range(2, rounds + 1):
            decoded = codec.decode(codec.encode(decoded))
            scores.append(quality.psnr(unit(decoded), original))
        found.append(torch.stack(scores, 1).cpu())
        bar.update(where.stop)
    bar.close()
    return pd.DataFrame(torch.cat(found).numpy(), columns=columns)


def unit(images: Tensor) -> Tensor:
    """Images in [-1, 1] -> [0, 1], the range in which errors are told."""
    return images.add(1).div(2)
