"""Weights in the format of TensorFlow.js: a manifest of tensors, and one or more files of bytes.

NAME-weights_manifest.json is a list of groups, each with `paths` of files and `weights` in their order. A
tensor has name, shape, and, where it is quantised, dtype (uint8 or uint16), scale and min: w = scale q + min.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faces.core.files import read_json
from faces.ingest.http import cache_folder

VERSION = "1.7.15"  # of @vladmandic/face-api, as in ops/witnesses/package-lock.json
NETWORKS = ("face_expression_model", "face_landmark_68_model", "face_recognition_model")
TINY = "face_landmark_68_tiny_model"  # the witness's landmarks where the larger network's are labels
QUANTISED = {"uint8": np.uint8, "uint16": np.uint16}


class WitnessError(ValueError):
    """The networks' weights are missing or unreadable. The message says which and what to do."""


def home() -> Path:
    """Where `python -m ops.witnesses` leaves the weights."""
    return cache_folder() / f"face-api-{VERSION}"


def manifest(folder: Path, network: str) -> Path:
    """The file that describes a network."""
    return folder / f"{network}-weights_manifest.json"


def files(folder: Path, network: str) -> list[Path]:
    """The manifest of a network and the files that it names. Raises WitnessError where one is missing."""
    path = manifest(folder, network)
    if not path.is_file():
        raise WitnessError(
            f"{path} is missing; `python -m ops.witnesses` fetches it by npm, "
            "or set witness.enabled and measure.enabled to false"
        )
    found = [path, *(folder / name for group in read_json(path) for name in group["paths"])]
    for path in found:
        if not path.is_file():
            raise WitnessError(f"{path} is missing; `python -m ops.witnesses` fetches all files anew")
    return found


def read(folder: Path, network: str) -> dict[str, np.ndarray]:
    """Tensors of a network by name, float32. Raises WitnessError where a file is missing or does not fit."""
    files(folder, network)
    found = {}
    for group in read_json(manifest(folder, network)):
        content = b"".join((folder / name).read_bytes() for name in group["paths"])
        place = 0
        for tensor in group["weights"]:
            quantised = tensor.get("quantization")
            kind = QUANTISED[quantised["dtype"]] if quantised else np.float32
            count = math.prod(tensor["shape"])
            if place + count * np.dtype(kind).itemsize > len(content):
                raise WitnessError(f"{folder}: the files of {network} are shorter than its manifest says")
            values = np.frombuffer(content, kind, count, place).astype(np.float32)
            if quantised:
                values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            found[tensor["name"]] = values.reshape(tensor["shape"])
            place += count * np.dtype(kind).itemsize
        if place != len(content):
            raise WitnessError(f"{folder}: the files of {network} are longer than its manifest says")
    return found


def digest(folder: Path, networks: Sequence[str] = NETWORKS) -> str:
    """SHA-256 of all files of `networks`, in order."""
    total = hashlib.sha256()
    for network in networks:
        for path in files(folder, network):
            total.update(path.read_bytes())
    return total.hexdigest()
