"""Pictures that are no faces like the data's, made without a download: what a refusal is measured on."""

from collections.abc import Callable

import numpy as np
from PIL import Image

PATCHES = 4  # of a side, that are shuffled
COARSE = 8  # pixels a side to which a face is blurred
GREY = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)

Maker = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def noise(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every number by chance."""
    return rng.integers(0, 256, faces.shape, np.uint8)


def textures(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft patterns of 2 to 16 patches a side."""
    return np.stack(
        [
            soft(rng.integers(0, 256, 2 * (rng.choice([2, 4, 8, 16]),) + (3,), np.uint8), len(face))
            for face in faces
        ]
    )


def gradients(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From one colour to another, in any direction."""
    side = faces.shape[1]
    y, x = np.mgrid[:side, :side] / side
    found = []
    for _ in faces:
        angle = rng.uniform(0, 2 * np.pi)
        first, last = rng.uniform(0, 255, (2, 3))
        way = np.cos(angle) * x + np.sin(angle) * y
        way = (way - way.min()) / np.ptp(way)
        found.append(first + way[..., None] * (last - first))
    return np.stack(found).astype(np.uint8)


def upside_down(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The faces, top down."""
    return faces[:, ::-1]


def negative(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The faces in opposite colours."""
    return 255 - faces


def shuffled(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The faces cut into squares, these put together by chance."""
    count, side = faces.shape[:2]
    edge = side // PATCHES
    parts = faces[:, : edge * PATCHES, : edge * PATCHES].reshape(count, PATCHES, edge, PATCHES, edge, 3)
    parts = parts.swapaxes(2, 3).reshape(count, PATCHES**2, edge, edge, 3)
    parts = np.stack([rng.permutation(some) for some in parts])
    parts = parts.reshape(count, PATCHES, PATCHES, edge, edge, 3).swapaxes(2, 3)
    found = faces.copy()
    found[:, : edge * PATCHES, : edge * PATCHES] = parts.reshape(count, edge * PATCHES, edge * PATCHES, 3)
    return found


def blurred(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The faces at COARSE pixels a side."""
    small = [Image.fromarray(face).resize((COARSE, COARSE), Image.Resampling.BOX) for face in faces]
    return np.stack([soft(np.asarray(one), faces.shape[1]) for one in small])


def grey(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The faces without colour."""
    return np.repeat((faces @ np.array(GREY)).round()[..., None], 3, 3).astype(np.uint8)


def soft(picture: np.ndarray, side: int) -> np.ndarray:
    """A few pixels, enlarged to `side`."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


MAKERS: tuple[Maker, ...] = (noise, textures, gradients, upside_down, negative, shuffled, blurred, grey)


def strangers(faces: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """By name, pictures uint8 (n, S, S, 3) from elsewhere, as many as `faces`, some of them made of these."""
    rng = np.random.default_rng(seed)
    return {make.__name__: np.ascontiguousarray(make(faces, rng)) for make in MAKERS}
