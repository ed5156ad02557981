"""Structure tensors of pictures (Förstner & Gülch 1987): where edges are and how they run.

Forms are sought here (faces/flow/forms.py) and not among the codes, since an edge is the same whichever of
its sides is the lighter. A fringe of dark hair darkens a forehead, one of blond hair lightens it: to codes
that is the opposite.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from faces.core.batches import batches

SIDE = 64  # pixels a side at which pictures are looked at, at most
CELLS = 16  # places a side at which edges are summed up
KEPT = 48  # principal axes of what labels do not say
BATCH = 64  # pictures at once; speed and memory only


def outlines(pictures: Iterator[np.ndarray]) -> np.ndarray:
    """(N, P) float32, each of length 1, of uint8 pictures (B, H, W, 3) that come in batches."""
    return np.concatenate([structure_tensors(torch.from_numpy(batch)).numpy() for batch in pictures])


def structure_tensors(images: Tensor) -> Tensor:
    """(B, P) of uint8 images (B, H, W, 3): over overlapping squares, the mean strength of the gradient and
    the cosine and sine of twice its angle, weighted by strength, in the channel where it is strongest.
    """
    x = images.permute(0, 3, 1, 2).float()
    if x.shape[-1] > SIDE:
        x = interpolate(x, (SIDE, SIDE), mode="area")
    across, down = torch.zeros_like(x), torch.zeros_like(x)
    across[..., 1:-1] = x[..., 2:] - x[..., :-2]
    down[..., 1:-1, :] = x[..., 2:, :] - x[..., :-2, :]
    channel = (across.square() + down.square()).argmax(1, keepdim=True)
    across, down = across.gather(1, channel), down.gather(1, channel)
    strength = torch.hypot(across, down)
    scale = strength.clamp_min(1e-6)
    parts = torch.cat((strength, (across.square() - down.square()) / scale, 2 * across * down / scale), 1)
    cell = max(x.shape[-1] // CELLS, 1)
    squares = avg_pool2d(parts, 2 * cell, cell, cell // 2, count_include_pad=False).flatten(1)
    return squares / squares.norm(dim=1, keepdim=True).clamp_min(1e-6)


def batched(images: np.ndarray, rows: np.ndarray, turned: np.ndarray) -> Iterator[np.ndarray]:
    """The images (N, H, W, 3) of rows (R,), mirrored where turned (R,), in batches."""
    for some in batches(len(rows), BATCH):
        found = np.array(images[rows[some]])
        found[turned[some]] = found[turned[some], :, ::-1]
        yield found


def beyond_labels(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N, K) what labels (N, A) do not say of points (N, P) by regression, along its principal axes."""
    design = np.column_stack([np.ones(len(labels)), labels]).astype(points.dtype)
    rest = points - design @ np.linalg.lstsq(design, points)[0]
    _, axes = np.linalg.eigh(np.cov(rest.T))
    return rest @ axes[:, ::-1][:, :KEPT].astype(rest.dtype)
