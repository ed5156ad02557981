"""Detail-preserving edits: the model's change of a face, added to the photograph itself.

    x + w d    with d = D(z') - D(z)

The model's pixels are few, so d is enlarged smoothly and brought back through the inverse of the alignment.
The model's drawing itself, which stands in pictures of its own size, would blur the photograph. The weight w
drops what is too weak to be part of the edit: the same as in faces/edits/detail.py. In the photograph the
change keeps to its outlines (edges.py). The page does the same (web/page/js/detail.js).
"""

import cv2
import numpy as np

from facemorph import align, edges

ENLARGE = 4  # samples of the change per model pixel: above this, bilinear reading is smooth to the eye
SOLID = 0.7  # share of the way from the crop's middle to its edge up to which the change counts in full


def weighed(change: np.ndarray, noise: float, reach: int) -> np.ndarray:
    """w d for a change d float (S, S, 3) in levels of 255: a soft threshold at `noise`, a share of the range.

    The local strength is the change of the channel that changes most, averaged over `reach` pixels either
    way. Weight 0 up to half of `noise`, 1 from three halves of it, smooth between. With noise 0 every change
    counts.
    """
    if noise == 0:
        return change
    side = 2 * reach + 1
    strength = np.abs(change).max(2).astype(np.float32) / 255
    strength = cv2.blur(strength, (side, side), borderType=cv2.BORDER_REPLICATE)
    t = np.clip(strength / noise - 0.5, 0, 1)
    return change * (t * t * (3 - 2 * t))[:, :, None]


def spline(size: int) -> np.ndarray:
    """(ENLARGE * size, size): cubic B-spline interpolation, the smoothest; the border is repeated."""
    at = (np.arange(ENLARGE * size) + 0.5) / ENLARGE - 0.5
    left = np.floor(at).astype(int)
    t = at - left
    s = 1 - t
    taps = (s**3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * s**3 - 6 * s**2 + 4) / 6, t**3 / 6)
    matrix = np.zeros((len(at), size))
    for offset, weight in zip((-1, 0, 1, 2), taps, strict=True):
        np.add.at(matrix, (np.arange(len(at)), np.clip(left + offset, 0, size - 1)), weight)
    return matrix


def fade(side: int) -> np.ndarray:
    """Mask (side, side): a rounded square, 1 in the middle, 0 at the edge, so the crop leaves no seam."""
    across = np.abs((2 * np.arange(side) + 1) / side - 1) ** 3
    t = np.clip((1 - np.cbrt(across[:, None] + across)) / (1 - SOLID), 0, 1)
    return t * t * (3 - 2 * t)


def add_change(photo: np.ndarray, change: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`photo` uint8 (h, w, 3) plus a change (S, S, 3) in levels; `matrix` (2, 3) goes from photo to face."""
    size = len(change)
    rows = spline(size)
    field = np.einsum("ui,vj,ijc->uvc", rows, rows, change, optimize=True)
    shares = fade(ENLARGE * size)
    to_field = align.compose(align.rescaled(ENLARGE, ENLARGE), matrix)
    crop = align.extract(photo, to_field, (ENLARGE * size, ENLARGE * size))
    field = field * (edges.mask(field, crop, shares) * shares)[:, :, None]
    edge = np.array([-0.5, size - 0.5])
    corners = align.apply(align.invert(matrix), np.stack(np.meshgrid(edge, edge), axis=-1).reshape(-1, 2))
    limit = (photo.shape[1], photo.shape[0])
    left, top = np.clip(np.floor(corners.min(0)).astype(int), 0, limit)
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, limit)
    out = photo.copy()
    if right <= left or bottom <= top:
        return out
    shifted = np.array([[1.0, 0, -left], [0, 1.0, -top]])
    to_part = align.compose(
        shifted, align.compose(align.invert(matrix), align.rescaled(1 / ENLARGE, 1 / ENLARGE))
    )
    goal = (int(right - left), int(bottom - top))
    moved = cv2.warpAffine(field.astype(np.float32), to_part, goal, flags=cv2.INTER_LINEAR)
    part = out[top:bottom, left:right]
    part[:] = np.rint(np.clip(part + moved, 0, 255)).astype(np.uint8)
    return out
