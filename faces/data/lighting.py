"""Light on cropped faces, measured on their pixels: labels beside those of expression and pose.

Networks of landmarks see shadows as brows and shut eyes, so what they read goes with the light. With the
light among the labels, an edit of the others holds it still.
"""

import numpy as np

KINDS = {"light": 1, "light_side": -1}  # name -> sign in a mirror image; both in %
LUMA = np.array([0.299, 0.587, 0.114])  # of R, G, B: ITU-R BT.601
PERCENT = 100.0


def lighting(images: np.ndarray) -> np.ndarray:
    """(n, 2) KINDS of faces uint8 (n, H, W, 3), over the middle half of each side: `light` the mean luma, of
    white; `light_side` how much lighter the right half is than the left one, over both together.
    """
    height, width = images.shape[1:3]
    middle = images[:, height // 4 : height - height // 4, width // 4 : width - width // 4] @ LUMA
    half = middle.shape[2] // 2
    left = middle[:, :, :half].mean((1, 2))
    right = middle[:, :, -half:].mean((1, 2))
    both = np.maximum(left + right, 1)
    return PERCENT * np.stack([middle.mean((1, 2)) / 255, (right - left) / both], 1)
