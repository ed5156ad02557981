"""An exported model, read and run: description, arrays, networks, and the arithmetic of web/API.md.

Codes are float32 (D,), pictures uint8 (S, S, 3) unless a docstring says otherwise.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load

from facemorph.align import Geometry
from facemorph.code_editors import BadValue, CodeEditor, Custom, LinearEditor, arc
from facemorph.flow_editor import FlowEditor
from facemorph.forms import ARRAYS as FORM_ARRAYS
from facemorph.forms import Forms
from facemorph.gaussian import LowRankGaussian, normals, place
from facemorph.labels import Labels, having
from facemorph.likeness import Likeness, statistics

FORMAT = 5
FILES = ("encoder.onnx", "decoder.onnx", "arrays.safetensors")
FLOW_NETWORKS = ("modulation.onnx", "velocity.onnx")  # where the editor is a flow
IDENTITY = "identity.onnx"  # where bundle.json has a group `identity`; the page alone runs it
# Its arrays, with flow_ before them
FLOW = ("mean", "label_mean", "slopes", "inward", "outward", "pair_mean", "pairs", "interplay", "kinds")
PRIOR = ("mean", "factor", "residual")  # of the train codes, and with prior_ before them of another prior

# PNG of one transparent pixel
NOTHING = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class BadExport(ValueError):
    """The folder is no export of this version, or a file does not match its hash. The message names it."""


class Export:
    """One export, loaded whole: what is used is what was checked, whatever becomes of the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises BadExport."""
        self.folder = folder
        try:
            self.about, self.files, self.hashes = read(folder)
            self.id = self.hashes["bundle.json"][:16]
            self.length: int = self.about["model"]["code_length"]
            self.size: int = self.about["model"]["size"]
            self.geometry = Geometry.of(self.about["geometry"])
            self.detail: dict[str, Any] = self.about["detail"]
            self.arrays = load(self.files["arrays.safetensors"])
            for part in PRIOR:
                self.arrays.setdefault(f"prior_{part}", self.arrays[part])
            self.names = tuple(attribute["name"] for attribute in self.about["attributes"])
            self.mean = self.arrays["mean"].astype(np.float64)
            self.prior = LowRankGaussian(*(self.arrays[f"prior_{part}"] for part in PRIOR))
            self.codes = LowRankGaussian(*(self.arrays[part].astype(np.float64) for part in PRIOR))
            self.likeness = self.open_likeness()
            self.editor = self.open_editor()
            self.encoder = session(self.files["encoder.onnx"])
            self.decoder = session(self.files["decoder.onnx"])
            self.decode(self.mean.astype(np.float32)[None])  # warm, and proof that both halves fit
            self.encode(np.zeros((self.size, self.size, 3), np.uint8))
        except BadExport:
            raise
        except FileNotFoundError as error:
            raise BadExport(f"{error.filename} is missing; run `dvc repro export`") from None
        except (
            Exception
        ) as error:  # onnxruntime's types are its own; whatever it is, the folder cannot be used
            words = " ".join(str(error).split())[:200]
            raise BadExport(
                f"{folder}: not an export of this version: {words}; run `dvc repro export`"
            ) from None

    def encode(self, face: np.ndarray) -> np.ndarray:
        """The code of a face uint8 (S, S, 3)."""
        return self.encoder.run(None, {"images": face[None]})[0][0]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (B, D) as pictures float32 (B, S, S, 3) in [0, 255].

        Raises BadValue where a code is so far out that the picture is not finite.
        """
        images = self.decoder.run(None, {"codes": np.ascontiguousarray(codes, np.float32)})[0]
        if not np.isfinite(images).all():
            raise BadValue("code: lies too far from every face to be decoded")
        return images

    def open_editor(self) -> CodeEditor:
        """The editor that bundle.json names."""
        about = self.about["editor"]
        readouts = (self.arrays["readout_normals"], self.arrays["readout_intercepts"])
        labels = Labels.of(about["attributes"], *readouts, about["exclusive"], about["exhaustive"])
        units = self.arrays["directions"].astype(np.float64)
        if about["kind"] == "directions":
            lengths = np.array([attribute["length"] for attribute in self.about["attributes"]])
            return LinearEditor(self.names, units, labels, lengths)
        regression = (self.arrays[f"flow_{name}"].astype(np.float64) for name in FLOW)
        compensation = self.arrays.get("flow_compensation", np.zeros((0, 0))).astype(np.float64)
        networks = (session(self.files[name]) for name in FLOW_NETWORKS)
        found = {name: self.arrays[f"flow_form_{name}"] for name in FORM_ARRAYS}
        forms = Forms.of(about["attributes"], about["forms"], found)
        solver = (about["steps"], about["coupling"])
        return FlowEditor(self.names, units, labels, *networks, *regression, compensation, forms, *solver)

    def open_likeness(self) -> Likeness | None:
        """What tells how like the training faces a picture is; None where too few faces could say."""
        about = self.about.get("likeness")
        if about is None:
            return None
        mean, precision = (np.array(about[name]) for name in ("mean", "precision"))
        scores = self.arrays["likeness_scores"].astype(np.float64)
        return Likeness(mean, precision, scores, about["refuse"], about["gradual"])

    def p_value(self, face: np.ndarray, code: np.ndarray) -> float | None:
        """How like the training faces a face uint8 (S, S, 3) with its code is: the share of such faces that
        are at least as strange. None where that is not known.
        """
        if self.likeness is None:
            return None
        found = statistics(self.codes, face[None], code[None], self.decode(code[None]))
        return float(self.likeness.p_values(found)[0])

    def refuses(self, p: float | None) -> bool:
        """Whether a picture with this p-value is too unlike the faces that the model knows."""
        return p is not None and self.likeness is not None and self.likeness.refused(p)

    @property
    def first_picture(self) -> bytes:
        """PNG of the preset that the page begins with: the one whose code lies nearest to the mean of the
        train codes, in standard deviations. Without presets a picture of nothing.
        """
        presets = self.about["presets"]
        if not presets:
            return NOTHING
        far = (((self.arrays["presets"] - self.arrays["mean"]) / self.arrays["std"]) ** 2).sum(1)
        return base64.b64decode(presets[int(far.argmin())]["picture"].split(",")[1])

    def labels(self, code: np.ndarray) -> dict[str, float]:
        """The label of each attribute as the model reads it off a code: 1 with, -1 without, 0 unknown."""
        found = dict(zip(self.editor.labels.names, self.editor.labels.read(code), strict=True))
        return {name: round(float(found[name]), 4) for name in self.names}

    def edit(
        self,
        code: np.ndarray,
        strengths: Mapping[str, float],
        locked: Collection[str] = (),
        custom: Sequence[Custom] = (),
    ) -> np.ndarray:
        """The edited code, by the export's own editor. Raises BadValue naming an unknown attribute."""
        return self.editor.edit(code, strengths, locked, custom)

    def morph(self, first: np.ndarray, second: np.ndarray, t: float) -> np.ndarray:
        """The code at `t` in [0, 1] on an arc about the mean of the train codes."""
        return arc(first, second, t, self.mean)

    def sample(
        self, seed: int, temperature: float | None = None, labels: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """The code of a seed, 0 to 2^32 - 1, from the prior; by default at the export's own temperature.

        `labels`, 1 or -1 by attribute, are those that the face is to have. Raises BadValue.
        """
        wanted = dict(labels or {})
        self.editor.check(wanted)
        if temperature is None:
            temperature = self.about["prior"]["temperature"]
        code = self.drawn(seed, temperature, wanted)
        seen = self.editor.labels.read(code)
        if isinstance(self.editor, FlowEditor) and self.about["prior"]["source"] == "flow":
            given = self.editor.labels.move(self.editor.labels.settled(seen), wanted, ()).goal
            drawn = len(self.prior.factor) + self.length
            noise = normals(seed, drawn + len(self.editor.inward))[drawn:]
            return self.editor.sample(given, temperature * noise)
        sees = dict(zip(self.editor.labels.names, seen, strict=True))
        return self.edit(code, {name: value for name, value in wanted.items() if sees[name] * value < 0})

    def drawn(self, seed: int, temperature: float, wanted: Mapping[str, float]) -> np.ndarray:
        """The code of a seed: one that came with the export and has most of the labels `wanted`, or one of
        the Gaussian prior.
        """
        if self.about["prior"]["source"] != "best":
            return self.prior.sample(seed, temperature).astype(np.float32)
        fit = self.having(wanted)
        away = self.arrays["drawn"][fit[place(seed, len(fit))]] - self.mean
        return (self.mean + temperature * away).astype(np.float32)

    def having(self, wanted: Mapping[str, float]) -> np.ndarray:
        """Places of the codes that came with the export and have the most of the labels `wanted`, 1 or -1 by
        attribute (facemorph/labels.py).
        """
        labels = self.editor.labels
        rows = np.array([labels.names.index(name) for name in wanted], np.int64)
        sees = self.arrays["drawn"] @ labels.normals[rows].T + labels.intercepts[rows]
        return having(sees, np.array(list(wanted.values())))


def read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes], dict[str, str]]:
    """bundle.json, and every file's bytes and SHA-256, checked against it. Raises BadExport, KeyError."""
    path = folder / "bundle.json"
    text = path.read_bytes()
    about = json.loads(text)
    if about["format"] != FORMAT:
        raise BadExport(
            f"{path}: format {about['format']}, this version reads {FORMAT}; run `dvc repro export`"
        )
    names = (*FILES, *FLOW_NETWORKS) if about["editor"]["kind"] == "flow" else FILES
    hashes = {name: about["files"][name]["sha256"] for name in names}
    if "identity" in about:
        hashes[IDENTITY] = about["identity"]["sha256"]
    files = {name: (folder / name).read_bytes() for name in hashes}
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != hashes[name]:
            raise BadExport(
                f"{folder / name} is not the file that bundle.json lists; "
                "run `dvc repro export`, or `dvc checkout`"
            )
    files["bundle.json"] = text
    hashes["bundle.json"] = hashlib.sha256(text).hexdigest()
    return about, files, hashes


def session(network: bytes) -> onnxruntime.InferenceSession:
    """A network on one thread of the CPU: whoever has several pictures runs them side by side."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def located(place: Path) -> tuple[Path, str | None]:
    """An export's folder and the id that it must have: `place`, or what the JSON file `place` points to.

    A pointer is {"export": "folder, relative to the file", "id": "first 16 hex digits of the SHA-256 of its
    bundle.json", or absent}. Raises BadExport.
    """
    if place.suffix != ".json":
        return place, None
    try:
        pointer = json.loads(place.read_text(encoding="utf-8"))
        return place.parent / pointer["export"], pointer.get("id")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadExport(
            f'{place}: expected {{"export": "folder"}}: {type(error).__name__}: {error}'
        ) from None


def open_export(place: Path) -> Export:
    """The export at `place`, a folder or a pointer. Raises BadExport, also where its id is another."""
    folder, expected = located(place)
    export = Export(folder)
    if expected is not None and export.id != expected:
        raise BadExport(f"{folder}: is {export.id}, but {place} asks for {expected}")
    return export


def quality(export: Export, *paths: Path) -> dict[str, Any]:
    """The measured quality of an export: the first of `paths` that is about the same model and directions.

    {"reconstruction": {"psnr": ...}, "error_reduction": {attribute: ...}, "guarantee": {...}} of
    quality.json; {} where none is.
    """
    for path in paths:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["made_from"] == export.about["made_from"]:
                named = {name: found[name] for name in ("reconstruction", "error_reduction")}
                return named | {"guarantee": found.get("guarantee", {})}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def levels(images: np.ndarray) -> np.ndarray:
    """Decoded float pictures as uint8, rounded to nearest, ties to even."""
    return np.rint(images).astype(np.uint8)
