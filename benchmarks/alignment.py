"""How exactly faces are aligned in pictures of any framing, and what that costs against a fixed box.

    python -m benchmarks.alignment FACES --count 200 --misses misses.png

FACES is a folder or an archive of faces in CelebA's frame (178 x 218). Each is pasted into a scene of 512 x
512 at a random place, scale (0.7 to 1.5) and turn (up to 30 degrees), and the scene goes the way that stage
`crop` goes with photographs. Where a composition put the eyes is known in two ways: by the reading of the
unpasted face that the same route makes (which shows what scene, scale and turn change), and by the mean of 40
single looks at it at random sizes and turns (which shows the detector's own scatter as well, and that of this
mean). Distances are in pixels of CelebA's frame, where eyes are 37.5 apart. Seconds are of one core.
`--misses` draws the worst scenes, upright, with the known eyes in green and the found ones in red.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from facemorph import align
from faces.data.crops import FRAME, Geometry
from faces.ingest import alignment, archives, decode
from faces.ingest.alignment import Plan

SIDE = 512  # pixels of a scene
SCALES = (0.7, 1.5)  # of a pasted face
TURN = 30  # degrees, at most, to either side
NEAR = 2  # pixels of CelebA's frame
READINGS = 40  # of the unpasted face, half of them mirrored
FEATHER = 14  # pixels of the face's frame over which its border fades into the scene
GEOMETRY = Geometry(box="auto", size=64, filter="lanczos")


@dataclass(frozen=True)
class Scene:
    """A picture with one face at a known place."""

    content: bytes  # JPEG
    pixels: np.ndarray  # uint8 (SIDE, SIDE, 3)
    eyes: np.ndarray  # (2, 2) left and right eye, as the route reads them in the unpasted face
    mean: np.ndarray  # (2, 2) the same as the mean of single looks
    scale: float  # scene pixels per pixel of CelebA's frame


def route_eyes(pixels: np.ndarray) -> np.ndarray | None:
    """Eyes (2, 2) of the largest face as stage `crop` reads them; None where it finds none."""
    seen = alignment.detector().find(pixels)
    return alignment.detector().look_again(pixels, seen[0]).anchors[:2] if seen else None


def mean_eyes(face: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Eyes (2, 2) of an upright face in CelebA's frame, the mean of single looks; None: seen too seldom."""
    found = []
    for number in range(READINGS):
        scale = rng.uniform(1.3, 2.6)
        angle = np.radians(rng.uniform(-8, 8))
        mirrored = number % 2
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        flip = np.diag([-1.0 if mirrored else 1.0, 1.0])
        linear = turn @ flip
        side = int(160 * scale)
        middle = np.array([FRAME[0] - 1, FRAME[1] - 1]) / 2
        matrix = np.column_stack([linear, (side - 1) / 2 - linear @ middle])
        view = cv2.warpAffine(face, matrix, (side, side), flags=cv2.INTER_CUBIC, borderValue=(128, 128, 128))
        seen = alignment.detector().look(view, 1.0)
        if seen:
            eyes = align.apply(align.invert(matrix), seen[0].points[:2])
            found.append(eyes[::-1] if mirrored else eyes)
    return np.mean(found, axis=0) if len(found) > READINGS / 2 else None


def compose(face: np.ndarray, eyes: np.ndarray, mean: np.ndarray, rng: np.random.Generator) -> Scene:
    """A scene of blurred colours with `face` in it."""
    scale = rng.uniform(*SCALES)
    angle = np.radians(rng.uniform(-TURN, TURN))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([FRAME[0] - 1, FRAME[1] - 1]) / 2
    reach = np.abs(linear) @ (middle + 1)
    place = rng.uniform(reach, SIDE - reach)
    matrix = np.column_stack([linear, place - linear @ middle])
    coarse = rng.integers(40, 216, (6, 6, 3), np.uint8)
    fine = rng.normal(0, 6, (SIDE // 4, SIDE // 4, 3)).astype(np.float32)
    ground = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    ground += cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    edge = np.minimum.outer(_from_edge(FRAME[1]), _from_edge(FRAME[0])).clip(0, FEATHER) / FEATHER
    mask = cv2.warpAffine(edge.astype(np.float32), matrix, (SIDE, SIDE))[..., None]
    times = 2 if scale < 1 else 1  # averaged where it shrinks
    double = matrix * times + np.array([[0, 0, (times - 1) / 2]] * 2)
    side = SIDE * times
    warped = cv2.warpAffine(face, double, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    warped = cv2.resize(warped, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    pixels = np.rint(ground * (1 - mask) + warped * mask).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return Scene(buffer.getvalue(), pixels, align.apply(matrix, eyes), align.apply(matrix, mean), scale)


def _from_edge(length: int) -> np.ndarray:
    """Distance of each pixel of a line from its nearer end."""
    place = np.arange(length)
    return np.minimum(place, length - 1 - place)


def scenes(files: archives.Files, count: int, rng: np.random.Generator) -> Iterator[Scene]:
    """`count` scenes of faces spread evenly over `files`."""
    names = [name for name in files.names if archives.is_picture(name)]
    picked = np.unique(np.linspace(0, len(names) - 1, min(2 * count, len(names))).astype(int))
    made = 0
    for name in (names[place] for place in picked):
        face = np.asarray(decode.read(files.read(name))[0])
        if face.shape[1::-1] != FRAME or made == count:
            continue
        eyes = route_eyes(face)
        mean = mean_eyes(face, rng)
        if eyes is not None and mean is not None:
            made += 1
            yield compose(face, eyes, mean, rng)


def apart(found: np.ndarray, known: np.ndarray, scale: float) -> float:
    """Distance of the worse eye in pixels of CelebA's frame."""
    return float(np.linalg.norm(found - known, axis=1).max()) / scale


def seconds(work: Callable[[bytes], object], contents: list[bytes]) -> float:
    """Seconds of this core that `work` takes for each picture."""
    begun = time.process_time()
    for content in contents:
        work(content)
    return (time.process_time() - begun) / len(contents)


def drawn(scene: Scene, found: np.ndarray) -> np.ndarray:
    """The face of a scene, upright and enlarged, with its known and found eyes."""
    middle = scene.eyes.mean(0)
    line = (scene.eyes[1] - scene.eyes[0]) @ (1, 1j)
    turn = 82 / line
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    matrix = np.column_stack([linear, (140, 110) - linear @ middle])
    picture = align.extract(scene.pixels, matrix, (280, 280))
    for eyes, colour in ((scene.eyes, (0, 255, 0)), (scene.mean, (0, 200, 255)), (found, (255, 0, 0))):
        for x, y in np.rint(align.apply(matrix, eyes)).astype(int).tolist():
            cv2.drawMarker(picture, (x, y), colour, cv2.MARKER_CROSS, 9)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description="How exactly faces are aligned, and what it costs.")
    parser.add_argument("faces", type=Path, help="a folder or an archive of faces in CelebA's frame")
    parser.add_argument("--count", type=int, default=200, help="scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--misses", type=Path, help="a PNG file for the twelve worst scenes")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    made: list[Scene] = []
    with archives.open_files(chosen.faces) as files:
        for scene in scenes(files, chosen.count, rng):
            made.append(scene)
    found = [route_eyes(scene.pixels) for scene in made]
    pairs = [(scene, eyes) for scene, eyes in zip(made, found, strict=True) if eyes is not None]
    print(f"{len(made)} scenes, {len(made) - len(pairs)} without a found face")
    for name, known in (("the route's reading", "eyes"), ("the mean of single looks", "mean")):
        far = np.array([apart(eyes, getattr(scene, known), scene.scale) for scene, eyes in pairs])
        print(
            f"against {name} of the unpasted face: both eyes within {NEAR} px in "
            f"{(far <= NEAR).mean():.1%} of the found; median {np.median(far):.2f}, "
            f"p95 {np.percentile(far, 95):.2f}, worst {far.max():.1f} px"
        )
    plan = Plan("points", False, "")
    contents = [scene.content for scene, _ in pairs]
    aligned = seconds(lambda content: alignment.face(content, GEOMETRY, plan, None), contents[:40])
    box = seconds(lambda content: decode.face(content, GEOMETRY), contents)
    print(
        f"aligned {1 / aligned:.1f} faces/s of one core, by the box {1 / box:.0f}: "
        f"{aligned / box:.0f} times as long"
    )
    if chosen.misses:
        worst = sorted(pairs, key=lambda pair: -apart(pair[1], pair[0].eyes, pair[0].scale))[:12]
        tiles = [drawn(scene, eyes) for scene, eyes in worst]
        rows = [np.hstack(tiles[start : start + 4]) for start in range(0, len(tiles) - len(tiles) % 4, 4)]
        Image.fromarray(np.vstack(rows)).save(chosen.misses)


if __name__ == "__main__":
    main()
