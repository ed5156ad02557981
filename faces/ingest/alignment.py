"""Alignment of faces to CelebA's frame, by landmarks that the data bring or by those that a detector finds.

Detector and similarity transform are the website's, so that faces are framed alike there. A sample of the
pictures decides how all of them are cut: as they are, from their middle, or by eyes and mouth.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from facemorph import align
from faces.data.crops import BOX, FRAME, TEMPLATE, Geometry
from faces.ingest import decode
from faces.ingest.decode import BadPicture

SAMPLE = 64  # pictures that are looked at before all are cut
SIDE = 1024  # pixels; longer side of a picture in which a face is looked for, at least
MOST = 0.5  # share of the sample from which on it speaks for all
ALIKE = 0.01  # relative difference of width over height up to which a picture has the frame's shape

Route = Literal["box", "frame", "middle", "points"]


@dataclass(frozen=True)
class Look:
    """Findings in one picture of the sample. Coordinates are pixels of the picture."""

    name: str
    size: tuple[int, int]  # width, height
    found: np.ndarray | None  # (3, 2) left eye, right eye, middle of the mouth by the detector; None: no face
    marked: np.ndarray | None  # the same by the table; None: unknown there

    @property
    def anchors(self) -> np.ndarray | None:
        """By the detector, or else by the table."""
        return self.marked if self.found is None else self.found


@dataclass(frozen=True)
class Plan:
    """How every picture is cut.

    box      the box of params.yaml
    frame    a picture of CelebA's shape by CelebA's box, scaled; any other by eyes and mouth
    middle   every picture by CelebA's box in its largest middle part of CelebA's shape
    points   by eyes and mouth
    """

    route: Route
    by_table: bool  # whether landmarks of the table are used
    reason: str  # one line for the person who watches


def marks_of(table: Sequence[Sequence[float]] | np.ndarray) -> list[np.ndarray | None]:
    """(3, 2) left eye, right eye and middle of the mouth for each row (10,) of landmarks; None where one is
    unknown.
    """
    points = np.asarray(table, np.float64).reshape(-1, 5, 2)
    anchors = np.stack([points[:, 0], points[:, 1], (points[:, 3] + points[:, 4]) / 2], axis=1)
    return [one if np.isfinite(one).all() else None for one in anchors]


def look(name: str, content: bytes, marked: np.ndarray | None) -> Look | None:
    """Look for a face in one picture; None where the picture cannot be read."""
    try:
        pixels, size = decode.decode_whole(content, SIDE)
    except BadPicture:
        return None
    seen = detector().find(pixels)
    if not seen:
        return Look(name, size, None, marked)
    return Look(name, size, _of_picture(seen[0].anchors, pixels, size), marked)


def plan(looks: Sequence[Look], geometry: Geometry) -> Plan:
    """How all pictures are to be cut, from a sample of them. Raises ValueError where a fixed box misses most
    of the faces.
    """
    by_table = _table_fits(looks)
    seen = [one for one in looks if (one.found is not None or (by_table and one.marked is not None))]
    if geometry.box != "auto":
        _check_box(seen, geometry)
        return Plan("box", False, f"cut by crop.box = {_words(geometry.box)}")
    shaped = [one for one in looks if has_frame_shape(one.size)]
    fitting = [one for one in shaped if one.anchors is not None and _fits(one)]
    apart = [one for one in shaped if one.anchors is not None and not _fits(one)]
    count = f"{len(looks)} pictures looked at"
    if len(shaped) > MOST * len(looks) and len(fitting) >= len(apart):
        return Plan(
            "frame", by_table, f"of {count}, {len(shaped)} have CelebA's shape: they are cut by its box"
        )
    if len(seen) >= MOST * len(looks) and seen:
        how = "landmarks of the table" if by_table else "eyes and mouth that the detector finds"
        return Plan("points", by_table, f"{len(seen)} of {count} show a face: aligned by {how}")
    return Plan(
        "middle",
        by_table,
        f"{len(seen)} of {count} show a face that the detector finds: "
        "every picture is cut at its middle instead",
    )


def face(
    content: bytes, geometry: Geometry, plan: Plan, marked: np.ndarray | None
) -> tuple[np.ndarray, bool]:
    """Decode, align and cut: uint8 (size, size, 3), and whether it stood as it was in CelebA's own frame.
    Raises BadPicture.
    """
    if plan.route == "box":
        return decode.face(content, geometry), False
    size = decode.size_of(content) if plan.route == "frame" else None
    if plan.route == "middle" or (size is not None and has_frame_shape(size)):
        return decode.face(content, geometry), size == FRAME
    pixels, size = decode.decode_whole(content, SIDE)
    if plan.by_table and marked is not None:
        return by_points(pixels, _of_pixels(marked, pixels, size), geometry), False
    seen = detector().find(pixels)
    if not seen:
        raise BadPicture("no face found")
    return by_points(pixels, detector().look_again(pixels, seen[0]).anchors, geometry), False


def by_points(pixels: np.ndarray, anchors: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The face whose eyes and mouth stand at `anchors` (3, 2) of `pixels`, as in CelebA's frame: uint8 (size,
    size, 3). Raises BadPicture.

    A face larger than the frame's is resampled at a multiple of the frame's size, which keeps its detail.
    """
    times = -(-geometry.size // (BOX[2] - BOX[0]))
    target = align.Geometry(
        frame=(FRAME[0] * times, FRAME[1] * times),
        template=(TEMPLATE + 0.5) * times - 0.5,
        box=tuple(edge * times for edge in BOX),
        size=geometry.size,
        filter=geometry.filter,
    )
    try:
        return target.by_points(pixels, anchors)[0]
    except (ValueError, cv2.error, np.linalg.LinAlgError):
        raise BadPicture("the points of the face lie on one spot") from None


def has_frame_shape(size: tuple[int, int]) -> bool:
    """Whether width over height is CelebA's."""
    return abs(size[0] / size[1] / (FRAME[0] / FRAME[1]) - 1) <= ALIKE


@functools.cache
def detector() -> align.Detector:
    """The face detector of this process, on one thread: the processes are the parallelism."""
    cv2.setNumThreads(1)
    return align.Detector()


def _of_pixels(anchors: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Points of the picture of `size` in `pixels`, which may be smaller."""
    scale = np.array(pixels.shape[1::-1]) / size
    return align.ordered((anchors + 0.5) * scale - 0.5)


def _of_picture(anchors: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The inverse of `_of_pixels`."""
    return (anchors + 0.5) * size / np.array(pixels.shape[1::-1]) - 0.5


def _fits(one: Look) -> bool:
    """Whether eyes and mouth lie where CelebA's frame has them, within half the distance between the eyes."""
    places = (one.anchors + 0.5) * FRAME / one.size - 0.5
    near = np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) / 2
    return bool((np.linalg.norm(places - TEMPLATE, axis=1) < near).all())


def _table_fits(looks: Sequence[Look]) -> bool:
    """Whether the table's landmarks belong to these pictures: they lie inside, and near what the detector
    finds.
    """
    marked = [one for one in looks if one.marked is not None]
    if not marked:
        return False
    near = []
    for one in marked:
        if one.found is None:
            near.append(bool(((one.marked > 0) & (one.marked < one.size)).all()))
        else:
            eyes = np.linalg.norm(one.found[1] - one.found[0])
            near.append(bool((np.linalg.norm(one.marked - one.found, axis=1) < eyes / 2).all()))
    return sum(near) > MOST * len(near)


def _check_box(seen: Sequence[Look], geometry: Geometry) -> None:
    """Raises ValueError where eyes or mouth of most of the faces lie outside the box."""
    outside = []
    for one in seen:
        try:
            left, top, right, bottom = decode.cut(one.size, geometry)
        except BadPicture:
            continue
        inside = (one.anchors > (left, top)).all() and (one.anchors < (right, bottom)).all()
        if not inside:
            outside.append(one)
    if len(outside) > MOST * len(seen):
        first = outside[0]
        eye = ", ".join(f"{value:.0f}" for value in first.anchors[0])
        raise ValueError(
            f"params.yaml: crop.box = {_words(geometry.box)} misses the face "
            f"in {len(outside)} of {len(seen)} pictures looked at "
            f"(the first: {first.name}, {first.size[0]}x{first.size[1]}, an eye at {eye}); set crop.box: auto"
        )


def _words(box: tuple[int, ...] | str) -> str:
    return box if isinstance(box, str) else str(list(box))
