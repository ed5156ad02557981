"""Frames as one file: an animation, or a strip of pictures side by side."""

import io
import math

import numpy as np
from PIL import Image


def gif(frames: list[np.ndarray], fps: int, note: str) -> bytes:
    """Frames uint8 (H, W, 3) as an endless animation with one palette, so that nothing flickers."""
    step = max(1, frames[0].shape[0] // 64)
    some = Image.fromarray(np.concatenate([frame[::step, ::step] for frame in frames]))
    colours = some.quantize(256, Image.Quantize.MEDIANCUT)
    pictures = [
        Image.fromarray(frame).quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames
    ]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=10 * math.floor(100 / fps + 0.5),
        loop=0,
        comment=note.encode("ascii", "replace"),
        optimize=False,
        disposal=1,
    )
    return buffer.getvalue()


def strip(frames: list[np.ndarray]) -> np.ndarray:
    """Frames uint8 (H, W, 3) side by side."""
    return np.concatenate(frames, axis=1)


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """uint8 (H, W, 3), `scale` times as large, smoothly."""
    if scale == 1:
        return image
    size = (image.shape[1] * scale, image.shape[0] * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
