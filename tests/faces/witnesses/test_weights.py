"""Weights in the package's format: what comes out is what was put in, and what is missing is named."""

import json

import numpy as np
import pytest

from faces.witnesses import weights
from tests.conftest import ROOT
from tests.helpers import face_api

NAME = "face_expression_model"


def test_floats_and_bytes_come_back(tmp_path, rng):
    tensors = {"a": rng.normal(size=(3, 3, 2, 4)), "b/bias": np.zeros(5)}
    for quantised, near in ((False, 1e-7), (True, np.ptp(tensors["a"]) / 510 + 1e-6)):
        face_api.write(tmp_path, NAME, tensors, quantised)
        found = weights.read(tmp_path, NAME)
        assert list(found) == ["a", "b/bias"] and found["a"].dtype == np.float32
        assert np.abs(found["a"] - tensors["a"]).max() <= near
        assert not found["b/bias"].any()


def test_sixteen_bits_and_several_files(tmp_path):
    """w = scale q + min; the files of a group are one after the other."""
    content = np.array([0, 1000], "<u2").tobytes() + np.array([7.0], "<f4").tobytes()
    (tmp_path / "first").write_bytes(content[:3])
    (tmp_path / "second").write_bytes(content[3:])
    quantised = {"dtype": "uint16", "scale": 0.01, "min": -2.0}
    entries = [{"name": "q", "shape": [2], "quantization": quantised}, {"name": "f", "shape": [1]}]
    manifest = [{"paths": ["first", "second"], "weights": entries}]
    weights.manifest(tmp_path, NAME).write_text(json.dumps(manifest))
    found = weights.read(tmp_path, NAME)
    assert found["q"].tolist() == pytest.approx([-2.0, 8.0])
    assert found["f"].tolist() == [7.0]


def test_what_is_missing_is_named_with_the_way_out(tmp_path):
    with pytest.raises(weights.WitnessError, match=r"manifest\.json is missing; `python -m ops\.witnesses`"):
        weights.read(tmp_path, NAME)
    face_api.write(tmp_path, NAME, {"a": np.ones(4)})
    (tmp_path / f"{NAME}.bin").write_bytes(b"\0" * 12)
    with pytest.raises(weights.WitnessError, match="shorter than its manifest says"):
        weights.read(tmp_path, NAME)
    (tmp_path / f"{NAME}.bin").write_bytes(b"\0" * 17)
    with pytest.raises(weights.WitnessError, match="longer than its manifest says"):
        weights.read(tmp_path, NAME)
    (tmp_path / f"{NAME}.bin").unlink()
    with pytest.raises(weights.WitnessError, match=r"\.bin is missing"):
        weights.read(tmp_path, NAME)


def test_the_digest_follows_every_byte(tmp_path):
    before = weights.digest(face_api.package(tmp_path))
    path = tmp_path / "face_recognition_model.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert weights.digest(tmp_path) != before


def test_the_version_is_the_one_that_npm_fetches():
    lock = json.loads((ROOT / "ops/witnesses/package-lock.json").read_text(encoding="utf-8"))
    assert lock["packages"]["node_modules/@vladmandic/face-api"]["version"] == weights.VERSION
