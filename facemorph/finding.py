"""From a photograph to the face that a model reads: which one, where eyes and mouth are, how it was cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facemorph import align
from facemorph.align import Detector, Geometry, apply
from facemorph.code_editors import BadValue
from facemorph.photos import Photo


@dataclass(frozen=True)
class Found:
    """A face cut out of a photograph. Coordinates are pixels of the photograph."""

    crop: np.ndarray  # uint8 (S, S, 3)
    matrix: np.ndarray  # (2, 3) photograph -> face pixels
    aligned: Literal[
        "face", "points", "frame"
    ]  # by the detector, by given points, or as a frame that is cut already
    points: np.ndarray  # (3, 2) left eye, right eye, middle of the mouth
    faces: tuple[align.Face, ...]  # all that were seen, the largest first
    face: int | None  # index of the one used
    notices: tuple[str, ...]  # none, several, turned, small


def find(
    geometry: Geometry,
    detector: Detector,
    photo: Photo,
    face: int | None = None,
    points: np.ndarray | None = None,
) -> Found:
    """Cut a face out of `photo` as `geometry` asks: the largest, number `face`, or by `points` (3, 2).

    Where no face is seen, the middle of the photograph is taken. Raises BadValue where `face` or `points`
    cannot be used.
    """
    to_work = np.column_stack(
        [np.diag(photo.scale), (np.array(photo.scale) - 1) / 2]
    )  # photograph -> photo.pixels
    to_photo = align.invert(to_work)
    seen = detector.find(photo.pixels)
    chosen = choose(geometry, photo, seen, face) if points is None else None
    try:
        if points is not None:
            anchors = apply(to_work, align.ordered(inside(points, photo)))
            crop, matrix = geometry.by_points(photo.pixels, anchors)
        elif chosen is not None:
            anchors = detector.look_again(photo.pixels, seen[chosen]).anchors
            crop, matrix = geometry.by_points(photo.pixels, anchors)
        else:
            crop, matrix = geometry.by_frame(photo.pixels)
            anchors = apply(align.invert(matrix), apply(geometry.cut, geometry.template))
    except BadValue:
        raise
    except ValueError as error:
        raise BadValue(f"points: {error}") from None
    return Found(
        crop=crop,
        matrix=align.compose(matrix, to_work),
        aligned="points" if points is not None else "frame" if chosen is None else "face",
        points=apply(to_photo, anchors),
        faces=tuple(align.moved(one, to_photo) for one in seen),
        face=chosen,
        notices=notices(photo, seen, chosen),
    )


def choose(geometry: Geometry, photo: Photo, faces: Sequence[align.Face], face: int | None) -> int | None:
    """The index of the face to use: the one asked for, else the largest.

    None where there is none, or where the picture is a frame as in training already. Raises BadValue.
    """
    if not faces:
        return None
    if face is not None:
        if face >= len(faces):
            raise BadValue(f"face: {face}, but {len(faces)} were found")
        return face
    framed = (photo.width, photo.height) == geometry.frame
    return None if framed and geometry.fits(faces[0].anchors) else 0


def inside(points: np.ndarray, photo: Photo) -> np.ndarray:
    """`points` (3, 2) in pixels of the photograph, unless they lie far outside it: then BadValue."""
    limit = np.array([photo.width, photo.height])
    if not ((points >= -limit) & (points <= 2 * limit)).all():
        raise BadValue("points: must lie no further outside the photograph than its own size")
    return points


def notices(photo: Photo, faces: Sequence[align.Face], chosen: int | None) -> tuple[str, ...]:
    """What a person should know of the faces found and the one chosen."""
    said = ["several"] if len(faces) > 1 else [] if faces else ["none"]
    if chosen is not None:
        if faces[chosen].turned:
            said.append("turned")
        if faces[chosen].eyes / min(photo.scale) < align.SMALL:
            said.append("small")
    return tuple(said)
