"""Is it a model at all? On the small export that the tests of the website serve."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from facemorph.export import BadExport, Export
from faces import checkpoints
from faces.data.crops import Crops
from ops.retrain import sanity, smoke
from tests.helpers import exports


@pytest.fixture(scope="module")
def project():
    return exports.shared() / "data"


@pytest.fixture
def codes(project):
    export = Export(project / "export")
    return np.stack([export.sample(seed, 0.8) for seed in range(4)])


def test_a_sound_model(project, tmp_path):
    exam = tmp_path / "exam"
    shutil.copytree(project / "crops", exam / "crops")
    found = sanity.inspect(exam, project / "crops", project / "model", project / "export", tmp_path)
    assert found["weights_finite"] and found["leaked"] == 0 and found["trouble"] is None
    assert found["parity"] < 0.02 and found["spread"] > 10 and 0 < found["latency"] < 1000
    assert (tmp_path / "samples.png").is_file()


def test_a_single_nan_among_the_weights_is_seen(project, tmp_path):
    weights = {name: array.copy() for name, array in load_file(project / "model/model.safetensors").items()}
    next(array for array in weights.values() if array.size > 10).flat[7] = np.nan
    save_file(weights, tmp_path / "model.safetensors")
    assert sanity.finite(project / "model/model.safetensors") and not sanity.finite(
        tmp_path / "model.safetensors"
    )


def test_an_export_of_another_model_differs(project, codes):
    """Pictures of half the contrast are many levels off."""
    model, _ = checkpoints.load(project / "model")
    paler = type("Paler", (), {"decode": lambda _, z: model.decode(z) * 0.5})()
    export = Export(project / "export")
    assert sanity.parity(model, export, codes) < 0.02 and sanity.parity(paler, export, codes) > 10


def test_leaked_faces_are_counted(project, tmp_path):
    """Three test faces that turn up in the train split, under new names."""
    crops = Crops.open(project / "crops")
    test = crops.rows("test")
    train = crops.rows("train")
    shutil.copytree(project / "crops", tmp_path / "crops")
    images = np.array(crops.images)
    images[train[:3]] = images[test[:3]]
    np.save(tmp_path / "crops/images.npy", images)
    assert sanity.leaked(crops, Crops.open(tmp_path / "crops")) == 3
    assert sanity.leaked(crops, crops) == 0


def test_a_dead_edit_fails_the_smoke_test(project, monkeypatch):
    assert smoke.smoke(project / "export") == Export(project / "export").id
    monkeypatch.setattr(Export, "edit", lambda self, code, *_: code)
    with pytest.raises(BadExport, match="changes no pixel"):
        smoke.smoke(project / "export")


def test_a_damaged_export_is_trouble_and_not_a_crash(project, tmp_path):
    shutil.copytree(project / "export", tmp_path / "export")
    (tmp_path / "export/decoder.onnx").write_bytes(b"half")
    exam = tmp_path / "exam"
    shutil.copytree(project / "crops", exam / "crops")
    found = sanity.inspect(exam, project / "crops", project / "model", tmp_path / "export", tmp_path)
    assert (
        "decoder.onnx is not the file that bundle.json lists" in found["trouble"] and found["parity"] is None
    )
