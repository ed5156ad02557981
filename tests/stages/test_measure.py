"""The stage measure: off it reads nothing; on, a network with a known answer gives known labels. Vectors and
flow then find the regression.
"""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from faces.core.params import parse
from faces.data.measured import Measures, Scale
from faces.edits.directions import Directions
from faces.flow.editor import FlowEditor
from faces.ingest import writer
from faces.witnesses.labelling import KINDS, MIRROR, offered
from stages import flow, measure, vectors
from tests.helpers import face_api, measures

SLOPE = np.array([1.0, -2.0, 0.0, 0.5])  # change of the code with a change of the measured label by 1
FACES = {"train": 1200, "valid": 300, "test": 300}


def test_off_it_reads_nothing(tmp_path, params):
    values = {"measure": params["measure"], "witness.weights": ""}
    measure.run(parse(measure.Params, values), tmp_path / "nowhere", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["measures.json"]
    assert json.loads((tmp_path / "out/measures.json").read_text()) == {"enabled": False}


def test_no_measure_stands_beside_a_label_that_says_the_same():
    assert offered(("Male",)) == tuple(KINDS)
    assert offered(("Smiling", "Narrow_Eyes", "yaw")) == ("mouth_open", "brow_height", "pitch", "roll")


def test_a_mirror_image_mirrored_is_the_picture():
    assert sorted(MIRROR.tolist()) == list(range(68))
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(68))


def test_the_stage_measures_what_the_network_sees(tmp_path, monkeypatch, params, rng):
    """A network that opens the mouth with the colour: mouth_open follows it, yaw is level and left out."""
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    face_api.write(tmp_path / "weights", "face_landmark_68_model", measures.opening_mouths())
    crops = tmp_path / "crops"
    crops.mkdir()
    table = pd.DataFrame({"name": [f"{i}.jpg" for i in range(30)], "identity": -1, "Male": 1})
    table["split"] = ["train"] * 20 + ["valid"] * 5 + ["test"] * 5
    writer.write_labels(crops / "table.parquet", table)
    grey = rng.permutation(np.linspace(130, 250, 30)).astype(np.uint8)
    np.save(crops / "images.npy", np.tile(grey[:, None, None, None], (1, 32, 32, 3)))
    (crops / "geometry.json").write_text('{"box": "square", "size": 32, "filter": "lanczos"}')
    values = {"measure": params["measure"] | {"enabled": True}, "witness.weights": str(tmp_path / "weights")}
    measure.run(parse(measure.Params, values), crops, tmp_path / "out")
    found = Measures.open(tmp_path / "out", 30)
    assert "mouth_open" in found.names and "yaw" not in found.names
    column = found.values[:, found.names.index("mouth_open")]
    assert (np.diff(column[np.argsort(grey)]) >= 0).all() and column.max() > column.min()
    about = json.loads((tmp_path / "out/measures.json").read_text())
    assert about["known"] == 1.0 and about["agreement"]["mouth_open"] == pytest.approx(1, abs=0.01)


@pytest.fixture
def world(tmp_path, monkeypatch, params, rng):
    """Codes (1800, 4) = SLOPE y + 1.5 (Male) in number 2 + noise; y is measured of all but a tenth, and goes
    with Male. Mirror images have the other sign of y.
    """
    count = sum(FACES.values())
    male = rng.random(count) < 0.5
    y = np.clip(0.3 * rng.standard_normal(count) + np.where(male, 0.3, -0.3), -0.99, 0.99)
    noise = 0.3 * rng.standard_normal((2, count, 4))
    codes, mirrored = (s * y[:, None] * SLOPE + noise[i] for i, s in enumerate((1, -1)))
    for some in (codes, mirrored):
        some[:, 2] += 1.5 * male
    table = pd.DataFrame({"name": [f"{i:04}.jpg" for i in range(count)], "identity": -1})
    table["split"] = np.repeat(list(FACES), list(FACES.values()))
    table["Male"] = np.where(male, 1, -1)
    for name in ("crops", "latents", "measures"):
        (tmp_path / name).mkdir()
    writer.write_labels(tmp_path / "crops/table.parquet", table)
    np.save(tmp_path / "crops/images.npy", rng.integers(0, 255, (count, 4, 4, 3), np.uint8))
    (tmp_path / "crops/geometry.json").write_text('{"box": "square", "size": 64, "filter": "lanczos"}')
    np.save(tmp_path / "latents/latents.npy", codes.astype(np.float32))
    np.save(tmp_path / "latents/mirrored.npy", mirrored.astype(np.float32))
    values = np.where(rng.random(count) < 0.1, np.nan, 20 * y)[:, None]
    Measures((Scale("yaw", "°", -20.0, 20.0, -1),), values).save(tmp_path / "measures", {"enabled": True})
    chosen = {"estimators": ["mean_difference", "partial"], "components": 2, "bootstrap": 0}
    written = {
        "seed": 1,
        "vectors": params["vectors"] | chosen,
        "flow": params["flow"] | {"steps": 0, "width": 16, "blocks": 1, "leading": 0},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(written))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    return tmp_path


def test_values_and_labels_of_a_scale_go_both_ways():
    scale = Scale("pitch", "°", -36.0, 12.0, 1)
    np.testing.assert_allclose(scale.values([-1, 0, 0.5, 1]), [-36, -12, 0, 12])
    assert [scale.worded(value) for value in (-12.4, -0.2, 7.6)] == ["-12°", "0°", "8°"]


def test_a_measured_label_has_the_direction_of_the_regression(world):
    """partial holds Male still: a change of the label by 2 is twice the slope."""
    vectors.main(
        *(world / name for name in ("crops", "latents", "crops/table.parquet", "measures", "vectors"))
    )
    found = Directions.open(world / "vectors", "partial")
    assert found.attributes == ("Male", "yaw")
    np.testing.assert_allclose(found.native("yaw"), 2 * SLOPE, atol=0.06)
    np.testing.assert_allclose(found.native("Male"), [0, 0, 1.5, 0], atol=0.06)
    table = pd.read_csv(world / "vectors/measured.csv").set_index(["estimator", "attribute"])
    assert table.loc[("partial", "yaw"), "correlation"] > 0.9


def test_the_flows_counterfactual_is_the_regressions(world):
    """Without training a change of the label moves the code along the slope; what is unknown is read."""
    flow.main(*(world / name for name in ("crops", "model", "latents", "measures", "flow")))
    editor = FlowEditor.open(world / "flow", torch.device("cpu"))
    assert editor.measured == ("yaw",)
    assert not editor.flow.kinds[:, 1].any()
    codes = np.load(world / "latents/latents.npy")[-50:]
    labels = editor.arranged(("Male",), np.ones((50, 1), np.int8))
    read = editor.given(codes, labels)
    truth = Measures.open(world / "measures", 1800).labels[-50:, 0]
    assert np.corrcoef(read[truth != 0, 1], truth[truth != 0])[0, 1] > 0.9
    known = read.copy()
    known[:, 1] = 0.2
    moved = editor.switch("yaw", codes, known, np.ones(50), 1.0) - codes
    np.testing.assert_allclose(moved.mean(0), 0.8 * SLOPE, atol=0.06)
