"""The exported model at work: web/API.md's arithmetic in numpy, the networks in onnxruntime, and the exchange of one export for the next while serving.

Codes are float32 (D,), pictures uint8 (S, S, 3) unless a docstring says otherwise.
"""

import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from faces.latents.gaussian import LowRankGaussian
from web import align, photos
from web.align import apply

FORMAT = 1
FILES = ("encoder.onnx", "decoder.onnx", "arrays.bin")
log = logging.getLogger("facemorph.web")


class BadExport(ValueError):
    """The folder is not an export of this version, or its files do not match their hashes. The message names the file."""


class BadValue(ValueError):
    """A value in a request cannot be used. The message names it."""


@dataclass(frozen=True)
class Custom:
    """A direction that a person made: unit length, in code units per sigma and sigmas asked for."""

    direction: np.ndarray  # (D,) float64
    sigma: float
    strength: float
    locked: bool


class Export:
    """One export, loaded whole: what is served is what was checked, whatever becomes of the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises BadExport."""
        try:
            text = (folder / "bundle.json").read_bytes()
            self.about: dict[str, Any] = json.loads(text)
            if self.about["format"] != FORMAT:
                raise BadExport(
                    f"{folder / 'bundle.json'}: format {self.about['format']}, this server reads {FORMAT}; run `dvc repro export`"
                )
            self.files = {name: (folder / name).read_bytes() for name in FILES}
            self.hashes = {name: self.about["files"][name]["sha256"] for name in FILES}
            for name, content in self.files.items():
                if hashlib.sha256(content).hexdigest() != self.hashes[name]:
                    raise BadExport(
                        f"{folder / name} is not the file that bundle.json lists; run `dvc repro export`, or `dvc checkout`"
                    )
            self.files["bundle.json"], self.hashes["bundle.json"] = text, hashlib.sha256(text).hexdigest()
            self.id = self.hashes["bundle.json"][:16]
            self.length, self.size = self.about["model"]["code_length"], self.about["model"]["size"]
            self.geometry = align.Geometry.of(self.about["geometry"])
            self.arrays = {name: self._array(place) for name, place in self.about["arrays"].items()}
            self.names = [attribute["name"] for attribute in self.about["attributes"]]
            self.sigma = np.array([attribute["sigma"] for attribute in self.about["attributes"]], np.float64)
            self.units = self.arrays["directions"].astype(np.float64)
            self.mean = self.arrays["mean"].astype(np.float64)
            self.prior = LowRankGaussian(
                self.arrays["prior_mean"], self.arrays["prior_factor"], self.arrays["prior_residual"]
            )
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = (
                1  # requests run side by side instead
            )
            options.log_severity_level = 4
            self.encoder, self.decoder = (
                onnxruntime.InferenceSession(self.files[name], options, providers=["CPUExecutionProvider"])
                for name in FILES[:2]
            )
            self.decode(self.mean.astype(np.float32)[None])  # warm, and proof that both halves fit
            self.encode(np.zeros((self.size, self.size, 3), np.uint8))
        except BadExport:
            raise
        except FileNotFoundError as error:
            raise BadExport(f"{error.filename} is missing; run `dvc repro export`") from None
        except (
            Exception
        ) as error:  # onnxruntime raises types of its own; whatever it is, the folder cannot be served
            raise BadExport(
                f"{folder}: not an export of this version: {' '.join(str(error).split())[:200]}; run `dvc repro export`"
            ) from None

    def _array(self, place: dict[str, Any]) -> np.ndarray:
        shape = tuple(place["shape"])
        count = int(np.prod(shape))
        return np.frombuffer(self.files["arrays.bin"], "<f4", count, place["offset"]).reshape(shape)

    def encode(self, face: np.ndarray) -> np.ndarray:
        """A face uint8 (S, S, 3) -> its code."""
        return self.encoder.run(None, {"images": face[None]})[0][0]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (B, D) -> float32 (B, S, S, 3) in [0, 255]. Raises BadValue where a code is so far out that the picture is not finite."""
        images = self.decoder.run(None, {"codes": np.ascontiguousarray(codes, np.float32)})[0]
        if not np.isfinite(images).all():
            raise BadValue("code: lies too far from every face to be decoded")
        return images

    def standing(self, code: np.ndarray) -> dict[str, float]:
        """Where a code stands on each attribute's axis, in sigmas from the mean of the train codes."""
        values = self.units @ (code.astype(np.float64) - self.mean) / self.sigma
        return {name: round(float(value), 4) for name, value in zip(self.names, values, strict=True)}

    def edit(
        self,
        code: np.ndarray,
        strengths: Mapping[str, float],
        locked: Sequence[str],
        custom: Sequence[Custom],
    ) -> np.ndarray:
        """The edited code. Raises BadValue naming an unknown attribute."""
        index = {name: place for place, name in enumerate(self.names)}
        for name in (*strengths, *locked):
            if name not in index:
                raise BadValue(f"{name[:40]!r} is not an attribute of this model")
        held = [name in locked for name in self.names] + [one.locked for one in custom]
        units = np.vstack([self.units, *(one.direction for one in custom)])
        steps = np.array(
            [strengths.get(name, 0.0) * sigma for name, sigma in zip(self.names, self.sigma, strict=True)]
            + [one.strength * one.sigma for one in custom]
        )
        held_steps = np.where(held, steps, 0)
        free = (steps - held_steps) @ units
        for axis in orthonormal(units[held]):
            free -= (free @ axis) * axis
        with np.errstate(over="ignore"):
            return finite((code + held_steps @ units + free).astype(np.float32))

    def morph(self, first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
        """The code at `t` in [0, 1] on an arc about the mean: direction and distance change evenly (White 2016, "Sampling Generative Networks")."""
        a, b = first - self.mean, second - self.mean
        a_length, b_length = np.linalg.norm(a), np.linalg.norm(b)
        if min(a_length, b_length) < 1e-6:
            return straight(first, second, t)
        angle = np.arccos(np.clip(a @ b / (a_length * b_length), -1, 1))
        if np.sin(angle) < 1e-4:
            return straight(first, second, t)
        way = (np.sin((1 - t) * angle) * a / a_length + np.sin(t * angle) * b / b_length) / np.sin(angle)
        return finite((self.mean + ((1 - t) * a_length + t * b_length) * way).astype(np.float32))

    def sample(self, seed: int, temperature: float) -> np.ndarray:
        """The code of a seed: float32 (D,)."""
        return self.prior.sample(seed, temperature).astype(np.float32)

    def find(
        self, detector: align.Detector, content: bytes, face: int | None, points: np.ndarray | None
    ) -> dict[str, Any]:
        """From an uploaded picture to code, crop and how it was aligned: the fields of *Encoded* in web/API.md, arrays as arrays.

        Raises BadPhoto where the picture cannot be read, BadValue where `face` or `points` cannot be used.
        """
        photo = photos.read(content)
        down = np.diag(photo.scale)
        to_work = np.column_stack([down, (np.array(photo.scale) - 1) / 2])  # photograph -> photo.pixels
        to_photo = align.invert(to_work)
        faces = detector.find(photo.pixels)
        chosen = self.choose(photo, faces, face) if points is None else None
        asked = None if points is None else inside(points, photo)
        try:
            if asked is not None:
                anchors = apply(to_work, align.ordered(asked))
                crop, matrix = self.geometry.by_points(photo.pixels, anchors)
            elif chosen is not None:
                anchors = detector.look_again(photo.pixels, faces[chosen]).anchors
                crop, matrix = self.geometry.by_points(photo.pixels, anchors)
            else:
                crop, matrix = self.geometry.by_frame(photo.pixels)
                anchors = apply(align.invert(matrix), apply(self.geometry.cut, self.geometry.template))
        except ValueError as error:
            raise BadValue(f"points: {error}") from None
        return {
            "code": self.encode(crop),
            "width": photo.width,
            "height": photo.height,
            "faces": [
                {
                    "box": np.concatenate([apply(to_photo, one.box[:2]), one.box[2:] / photo.scale]),
                    "points": apply(to_photo, one.points),
                    "score": one.score,
                }
                for one in faces
            ],
            "face": chosen,
            "aligned": "points" if points is not None else "frame" if chosen is None else "face",
            "points": apply(to_photo, anchors),
            "matrix": align.compose(matrix, to_work),
            "crop": crop,
            "notices": notices(photo, faces, chosen),
        }

    def choose(self, photo: photos.Photo, faces: Sequence[align.Face], face: int | None) -> int | None:
        """The index of the face to use: the one asked for, else the largest; None where there is none or the picture is a frame as in training already.

        Raises BadValue.
        """
        if not faces:
            return None
        if face is not None:
            if face >= len(faces):
                raise BadValue(f"face: {face}, but {len(faces)} were found")
            return face
        framed = (photo.width, photo.height) == self.geometry.frame
        return None if framed and self.geometry.fits(faces[0].anchors) else 0


def inside(points: np.ndarray, photo: photos.Photo) -> np.ndarray:
    """`points` (3, 2) in pixels of the photograph, unless they lie far outside it: then BadValue."""
    limit = np.array([photo.width, photo.height])
    if not ((points >= -limit) & (points <= 2 * limit)).all():
        raise BadValue("points: must lie no further outside the photograph than its own size")
    return points


def notices(photo: photos.Photo, faces: Sequence[align.Face], chosen: int | None) -> list[str]:
    """What a person should know of the faces found and the one chosen: none, several, turned, small."""
    said = ["several"] if len(faces) > 1 else [] if faces else ["none"]
    if chosen is not None:
        said += ["turned"] if faces[chosen].turned else []
        said += ["small"] if faces[chosen].eyes / min(photo.scale) < align.SMALL else []
    return said


def orthonormal(vectors: np.ndarray) -> list[np.ndarray]:
    """An orthonormal basis of the span of unit `vectors` (n, D), by Gram-Schmidt twice over; a vector of which less than 1e-6 is left adds nothing."""
    basis: list[np.ndarray] = []
    for vector in vectors:
        rest = vector.copy()
        for axis in basis + basis:
            rest -= (rest @ axis) * axis
        if (left := np.linalg.norm(rest)) >= 1e-6:
            basis.append(rest / left)
    return basis


def straight(first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
    """The code at `t` on the line between two."""
    return finite(((1 - t) * first.astype(np.float64) + t * second.astype(np.float64)).astype(np.float32))


def finite(code: np.ndarray) -> np.ndarray:
    """`code`, unless it overflowed: then BadValue."""
    if not np.isfinite(code).all():
        raise BadValue("code: the edit leads beyond what numbers can hold")
    return code


def levels(images: np.ndarray) -> np.ndarray:
    """Decoded float pictures as uint8, rounded to nearest, ties to even."""
    return np.rint(images).astype(np.uint8)


class Shelf:
    """The export being served, and the one before it. `refresh` looks whether there is a new one and changes over only when it works.

    `place` is an export folder, or a JSON file that points to one: {"export": "folder, relative to the file", "id": "first 16 hex digits of
    the SHA-256 of its bundle.json" or absent}.
    """

    def __init__(self, place: Path) -> None:
        """Raises BadExport."""
        self.place = place
        self.previous: Export | None = None
        self.lock = threading.Lock()
        self.seen = self.signature()
        self.current = self.load()

    def folder(self) -> tuple[Path, str | None]:
        """Where the export is, and the id it must have. Raises BadExport."""
        if self.place.suffix != ".json":
            return self.place, None
        try:
            pointer = json.loads(self.place.read_text(encoding="utf-8"))
            return self.place.parent / pointer["export"], pointer.get("id")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadExport(
                f'{self.place}: expected {{"export": "folder"}}: {type(error).__name__}: {error}'
            ) from None

    def news(self) -> dict[str, str | None]:
        """What the pointer says of the export beside where it is, and status.json beside the pointer of the job that keeps it fresh (ops/retrain/ledger.py).

        version, since: who serves; checked: the job's last success; due: when the next is expected. ISO times; None where nobody says so.
        """
        told: dict[str, str | None] = dict.fromkeys(("version", "since", "checked", "due"))
        if self.place.suffix == ".json":
            for path, names in (
                (self.place, ("version", "since")),
                (self.place.with_name("status.json"), ("succeeded", "due")),
            ):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    values = json.loads(path.read_text(encoding="utf-8"))
                    told |= {
                        name.replace("succeeded", "checked"): str(values[name])
                        for name in names
                        if values.get(name)
                    }
        return told

    def load(self) -> Export:
        folder, expected = self.folder()
        export = Export(folder)
        if expected is not None and export.id != expected:
            raise BadExport(f"{folder}: is {export.id}, but {self.place} asks for {expected}")
        return export

    def signature(self) -> tuple[Any, ...]:
        """What changes when there is a new export; cheap enough to ask for every second."""
        try:
            folder, expected = self.folder()
            stats = [path.stat() for path in (self.place, folder, folder / "bundle.json")]
        except (BadExport, OSError):
            return ()
        return (folder, expected, *((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats))

    def refresh(self) -> bool:
        """Change over to a new export if there is one that loads; otherwise everything stays as it is. Returns whether it changed."""
        with self.lock:
            signature = self.signature()
            if signature in ((), self.seen):
                return False
            self.seen = signature
            try:
                export = self.load()
            except BadExport as error:
                log.warning("a new export was refused, still serving %s: %s", self.current.id, error)
                return False
            if export.id == self.current.id:
                return False
            self.previous, self.current = self.current, export
            log.warning("now serving %s, was %s", self.current.id, self.previous.id)
            return True

    def get(self, wanted: str | None) -> Export | None:
        """The export called `wanted`, the current one for None; None where it is neither of the two."""
        current, previous = self.current, self.previous
        if wanted is None or wanted == current.id:
            return current
        return previous if previous is not None and wanted == previous.id else None
