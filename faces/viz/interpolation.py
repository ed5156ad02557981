"""Ways through the code space, and the one that keeps what a decoder loses. Plain arrays in, plain arrays
out.

eased, there_and_back     how an edit advances in time
lerp, slerp               from one code to another
closed_walk               a loop through several codes
blend_detail              the way from one face to another, with what the decoder lost of both
"""

import numpy as np


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


def slerp(first: np.ndarray, second: np.ndarray, positions: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The arc from `first` (D,) to `second` (D,) around `centre` (D,), at `positions` (T,) in [0, 1]: (T, D).

    White, "Sampling Generative Networks", 2016, section 2.1: the length of the codes changes steadily instead
    of dipping in the middle. Where there is no one arc (a code at the centre, two codes in one line with it)
    the way is the straight line.
    """
    a = (first - centre).astype(np.float64)
    b = (second - centre).astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    cosine = np.clip(a @ b / lengths, -1, 1) if lengths > 0 else 1.0
    if 1 - abs(cosine) < 1e-9:
        return lerp(first, second, positions)
    angle = np.arccos(cosine)
    t = positions[:, None]
    arc = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)  # (T, D)
    return (arc + centre).astype(first.dtype)


WAYS = {"line": lambda first, second, positions, centre: lerp(first, second, positions), "arc": slerp}


def closed_walk(anchors: np.ndarray, count: int, centre: np.ndarray) -> np.ndarray:
    """A smooth loop through `anchors` (K, D), K >= 3, in `count` steps, the same number from each to the next
    if K divides `count`: (count, D).

    A closed uniform Catmull-Rom spline (Catmull & Rom 1974) about `centre` (D,), pushed back to the anchors'
    own distance from the centre, which is splined likewise: between two codes in unrelated directions the
    bare spline would fall towards the mean face.
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
    """Detail kept on the way from one face to another: what the decoder lost of each, faded over, on the
    faces `between`.

    originals, reconstructions uint8 (2, H, W, 3); between uint8 (T, H, W, 3) at positions (T,) in [0, 1] ->
    uint8 (T, H, W, 3).
    """
    first, second = originals.astype(np.float32) - reconstructions
    t = positions[:, None, None, None].astype(np.float32)
    return np.clip(np.rint(between + (1 - t) * first + t * second), 0, 255).astype(np.uint8)
