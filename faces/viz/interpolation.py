"""Interpolation of codes, and of the detail that a decoder loses. Arrays in, arrays out.

eased, there_and_back     timing of an animation
lerp, arc                 paths from one code to another
closed_walk               a loop through several codes
blend_detail              cross-fade of what the decoder lost of two faces
"""

import numpy as np

SHORTEST = 1e-6  # distance from the centre below which a code has no direction
SMALLEST_SINE = 1e-4  # of the angle between two directions below which there is no one arc


def eased(count: int) -> np.ndarray:
    """(count,) positions from 0 to 1 that start and stop at rest: (1 - cos(pi t)) / 2. `count` is
    at least 2.
    """
    return (1 - np.cos(np.linspace(0, np.pi, count))) / 2


def there_and_back(count: int) -> np.ndarray:
    """(2 count - 2,) frame numbers 0 ... count - 1 ... 1: played in a loop, no frame stands twice
    in a row.
    """
    return np.concatenate((np.arange(count), np.arange(count - 2, 0, -1)))


def lerp(first: np.ndarray, second: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The straight line from `first` (D,) to `second` (D,) at `positions` (T,) in [0, 1]: (T, D)."""
    t = positions[:, None].astype(first.dtype)
    return (1 - t) * first + t * second


def arc(first: np.ndarray, second: np.ndarray, positions: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The arc from `first` (D,) to `second` (D,) around `centre` (D,), at `positions` (T,) in [0, 1]: (T, D).

    Spherical interpolation of the directions from the centre (White, "Sampling Generative Networks", 2016,
    section 2.1), linear of the distances from it: the website's formula (web/API.md). Where there is no one
    arc (a code at the centre, two codes in line with it) it is the straight line.
    """
    a = (first - centre).astype(np.float64)
    b = (second - centre).astype(np.float64)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) < SHORTEST:
        return lerp(first, second, positions)
    a /= lengths[0]
    b /= lengths[1]
    angle = np.arccos(np.clip(a @ b, -1, 1))
    if np.sin(angle) < SMALLEST_SINE:
        return lerp(first, second, positions)
    t = positions[:, None]
    directions = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)  # (T, D)
    return (centre + ((1 - t) * lengths[0] + t * lengths[1]) * directions).astype(first.dtype)


PATHS = {"line": lambda first, second, positions, centre: lerp(first, second, positions), "arc": arc}


def closed_walk(anchors: np.ndarray, count: int, centre: np.ndarray) -> np.ndarray:
    """Closed uniform Catmull-Rom spline through `anchors` (K, D), K >= 3, in `count` steps: (count, D).

    Catmull & Rom 1974. Its points are put at the splined distance of the anchors from `centre` (D,): between
    two codes in unrelated directions the plain spline would fall towards the mean face. Steps are the same
    number from each anchor to the next if K divides `count`.
    """
    offsets = (anchors - centre).astype(np.float64)  # (K, D)
    radii = np.linalg.norm(offsets, axis=1, keepdims=True)  # (K, 1)
    places = np.arange(count) * len(anchors) / count
    bare = _catmull_rom(offsets, places)  # (count, D)
    length = np.maximum(np.linalg.norm(bare, axis=1, keepdims=True), 1e-12)
    return (centre + bare / length * _catmull_rom(radii, places)).astype(anchors.dtype)


def _catmull_rom(knots: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The closed spline through `knots` (K, D) at `places` (T,) counted in knots: (T, D)."""
    index = np.floor(places).astype(int)
    t = (places - index)[:, None]
    before, here, after, beyond = (knots[(index + step) % len(knots)] for step in (-1, 0, 1, 2))
    return 0.5 * (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - beyond) * t**2
        + (3 * here - before - 3 * after + beyond) * t**3
    )


def blend_detail(
    originals: np.ndarray, reconstructions: np.ndarray, between: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Faces `between` two others with detail kept: what the decoder lost of each of the two, cross-faded.

    originals, reconstructions uint8 (2, H, W, 3); between uint8 (T, H, W, 3) at positions (T,) in [0, 1] ->
    uint8 (T, H, W, 3).
    """
    lost = originals.astype(np.float32) - reconstructions
    t = positions[:, None, None, None].astype(np.float32)
    return np.clip(np.rint(between + (1 - t) * lost[0] + t * lost[1]), 0, 255).astype(np.uint8)
