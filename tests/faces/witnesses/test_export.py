"""The network of identity as ONNX is the witness."""

import numpy as np
import onnx
import pytest
import torch

from faces.export.onnx import run
from faces.witnesses.export import IDENTITY, export_identity
from faces.witnesses.witness import Witness
from tests.helpers import face_api


def images(count: int) -> np.ndarray:
    """Smooth pictures, uint8 (count, 64, 64, 3)."""
    coarse = np.random.default_rng(0).random((count, 4, 4, 3))
    return (255 * coarse).astype(np.uint8).repeat(16, 1).repeat(16, 2)


@pytest.fixture
def witness(tmp_path) -> Witness:
    """Random weights of eight bits, whose landmarks lie about the middle."""
    rng = np.random.default_rng(1)
    landmarks = face_api.trunk(136)
    landmarks["fc/weights"] = rng.normal(0, 0.02, landmarks["fc/weights"].shape)
    landmarks["fc/bias"] = rng.uniform(0.2, 0.8, 136)
    identity = {
        name: rng.normal(0, 1 / np.sqrt(np.prod(values.shape[:-1])), values.shape)
        if name.endswith(("filters", "fc"))
        else values
        for name, values in face_api.identity(shift=0.3).items()
    }
    face_api.write(tmp_path, "face_expression_model", face_api.trunk(7), quantised=True)
    face_api.write(tmp_path, "face_landmark_68_model", landmarks)
    face_api.write(tmp_path, "face_recognition_model", identity, quantised=True)
    return Witness.open(tmp_path, torch.device("cpu"), 4)


def test_identity_equals_torch_in_the_frame_of_the_first(witness, tmp_path):
    """For one image and for several, within 1e-4 of the features' size; a weight takes a byte."""
    export_identity(witness, images(3), tmp_path)
    path = tmp_path / IDENTITY
    for count in (1, 2, 5):
        some = images(count)
        pictures = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 127.5 - 1
        expected = witness.features(pictures, witness.frames(pictures[:1]).repeat(count, 0))
        found = run(path, some)
        assert found.shape == (count, 128)
        assert np.abs(found - expected).max() < 1e-4 * np.sqrt(np.square(expected).mean())
        own = witness.identities(pictures)
        assert count == 1 or np.abs(own[1:] - expected[1:]).max() > 1e-3  # not each in its own frame
    weights = sum(buffer.numel() for buffer in witness.identity.buffers())
    assert weights < path.stat().st_size < 1.3 * weights
    assert onnx.load(path).producer_name == "facemorph"
