"""The export: networks that do what the model does, the same bytes every time, and a description that tells
the truth.
"""

import base64
import dataclasses
import io
import json
import shutil

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.numpy import load_file

from facemorph import gaussian
from facemorph.export import BadExport, Export
from faces import checkpoints, models
from faces.data.crops import Crops, Geometry
from faces.edits.directions import Directions
from faces.edits.exclusions import Exclusions
from faces.export import bundle
from faces.export import onnx as networks
from faces.export.attributes import GROUPS, TABLE, describe
from faces.flow.editor import FlowEditor
from faces.latents.pca import gaussian_of_codes, gaussian_of_moments
from faces.nn.device import to_device
from faces.priors import Priors
from faces.witnesses.scale import Scale
from faces.witnesses.witness import Witness
from stages.export import describe_editor
from tests.helpers import exports, face_api


@pytest.fixture(scope="module")
def root():
    return exports.shared()


@pytest.fixture(scope="module")
def about(root):
    return json.loads((root / "data/export/bundle.json").read_text())


def array(root, name):
    return load_file(root / "data/export/arrays.safetensors")[name]


@pytest.mark.parametrize("batch", [1, 8])
def test_both_networks_equal_torch(root, batch):
    """Normalisation is inside: bytes go in, levels come out, within 1e-4 of torch, for any batch."""
    model, _ = checkpoints.load(root / "data/model")
    images = np.load(root / "data/crops/images.npy")[:batch]
    codes = np.random.default_rng(3).normal(size=(batch, model.code_length)).astype(np.float32)
    encoder, decoder = (
        onnxruntime.InferenceSession(root / "data/export" / f"{half}.onnx") for half in ("encoder", "decoder")
    )
    with torch.no_grad():
        expected = model.encode(to_device(images, torch.device("cpu"))).numpy()
        decoded = model.decode(torch.from_numpy(codes)).clamp(-1, 1).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(
        encoder.run(None, {"images": images})[0], expected, atol=1e-4 * np.abs(expected).max()
    )
    found = decoder.run(None, {"codes": codes})[0]
    assert found.dtype == np.float32 and 0 <= found.min() and found.max() <= 255
    np.testing.assert_allclose(found / 127.5 - 1, decoded, atol=1e-4)


def test_the_same_inputs_give_the_same_bytes(root):
    again = exports.export(root, "data/again")
    names = [path.name for path in again.iterdir()]
    assert sorted(names) == sorted(path.name for path in (root / "data/export").iterdir()) and len(names) == 6
    for name in names:
        assert (again / name).read_bytes() == (root / "data/export" / name).read_bytes(), name


def test_the_networks_tell_nothing_of_the_machine(root):
    for name in ("encoder.onnx", "decoder.onnx", "modulation.onnx", "velocity.onnx"):
        content = (root / "data/export" / name).read_bytes()
        for trace in (b"/faces/", b"stack_trace", b".py", b"pytorch", b"pkg.torch"):
            assert trace not in content, (name, trace)


def test_the_bundle_lists_its_files_truly(root, about):
    for name, listed in about["files"].items():
        assert bundle.digest(root / "data/export" / name) == listed
    assert [entry["name"] for entry in about["attributes"]] == ["Smiling", "Eyeglasses", "Male"]
    smile, glasses, male = about["attributes"]
    assert smile["telling"] and glasses["telling"] and male["judgemental"] and not male["telling"]
    assert smile["auroc"] > 0.95
    assert about["detail"] == exports.PARAMS["detail"]
    assert about["detail"] == exports.PARAMS["detail"]
    assert about["geometry"]["frame"] == [178, 218]
    np.testing.assert_allclose(
        about["geometry"]["template"], [[69.745, 111], [107.237, 111], [88.5, 152.514]], atol=1e-3
    )


def test_directions_are_stored_at_length_one(root, about):
    units = array(root, "directions")
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, atol=1e-6)
    directions = Directions.open(root / "data/vectors", "mean_difference")
    for unit, entry in zip(units, about["attributes"], strict=True):
        np.testing.assert_allclose(unit * entry["length"], directions.native(entry["name"]), atol=1e-5)


def test_the_editor_is_described_for_whoever_reads_labels(root, about, tmp_path):
    """What the flow reads and excludes is there for both editors, its networks where it edits."""
    editor = FlowEditor.open(root / "data/flow", torch.device("cpu"))
    assert about["editor"] == {
        "kind": "flow",
        "attributes": list(editor.attributes),
        "forms": editor.forms.names(editor.attributes),
        "steps": 3,
        "coupling": 0.9,
        "exclusive": [],
        "exhaustive": [],
    }
    np.testing.assert_array_equal(array(root, "readout_normals"), editor.readouts.normals)
    np.testing.assert_array_equal(array(root, "flow_slopes"), editor.flow.slopes.numpy())
    assert len(editor.forms) >= 2
    np.testing.assert_array_equal(array(root, "flow_form_lots"), editor.forms.lots)
    pair = dataclasses.replace(editor, exclusions=Exclusions(*np.array([[[1, 0, -1]], [[0, 2, 1]]], np.int8)))
    first, second, third = editor.attributes
    ruled_out = describe_editor("flow", pair)
    assert ruled_out["exclusive"] == [[first, f"-{third}"]]
    assert ruled_out["exhaustive"] == [[third, second]]
    shutil.copytree(root, tmp_path / "project")
    params = tmp_path / "project/params.yaml"
    params.write_text(params.read_text().replace("primary: flow", "primary: directions"))
    folder = exports.export(tmp_path / "project")
    lines = json.loads((folder / "bundle.json").read_text())
    assert lines["editor"] == about["editor"] | {"kind": "directions"}
    assert "velocity.onnx" not in lines["files"] and not (folder / "velocity.onnx").exists()
    assert not any(name.startswith("flow_") for name in load_file(folder / "arrays.safetensors"))


def test_a_face_network_comes_along_where_witnesses_are_asked(root, tmp_path):
    """With the scale that stage `witness` takes, of valid faces; the other files stay as they are."""
    project = tmp_path / "project"
    shutil.copytree(root, project)
    face_api.package(tmp_path / "weights")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["witness"] |= {"enabled": True, "weights": str(tmp_path / "weights")}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    folder = exports.export(project)
    about = json.loads((folder / "bundle.json").read_text())
    plain = json.loads((root / "data/export/bundle.json").read_text())
    assert about["files"] == plain["files"] and "identity" not in plain
    found = about["identity"]
    assert found["file"] == "identity.onnx" and 0 < found["threshold"] < found["unit"]
    assert Export(folder).files["identity.onnx"] == (folder / "identity.onnx").read_bytes()

    crops = Crops.open(project / "data/crops")
    rows = np.sort(np.random.default_rng(params["seed"]).permutation(crops.rows("valid"))[:20])
    witness = Witness.open(tmp_path / "weights", torch.device("cpu"), 8)
    people = crops.column("identity").to_numpy()[rows]
    features = witness.identities(to_device(crops.images[rows], torch.device("cpu")))
    scale = Scale.of(features, people)
    assert [found["unit"], found["threshold"]] == pytest.approx([scale.unit, scale.threshold], rel=1e-6)
    (folder / "identity.onnx").write_bytes(b"another")
    with pytest.raises(BadExport, match=r"identity\.onnx is not the file"):
        Export(folder)


def test_quality_is_of_the_editor_that_is_served(root):
    """Of the rows of counterfactuals.csv those of the decoded edits of one editor."""
    found = bundle.quality(exports.RECONSTRUCTION, exports.COUNTERFACTUALS, "partial", {"model": "a"}, {})
    assert found == {
        "made_from": {"model": "a"},
        "editor": "partial",
        "reconstruction": exports.RECONSTRUCTION,
        "error_reduction": {"Smiling": 0.25},
        "guarantee": {},
    }
    promised = {"level": 0.9, "ranges": {"Smiling": {"add": {"low": 0.6, "high": 1.2}}}, "coverage": {}}
    kept = bundle.quality({}, pd.DataFrame(), "flow", {}, promised)["guarantee"]
    assert kept == {name: promised[name] for name in ("level", "ranges")}
    assert bundle.quality({}, pd.DataFrame(), "flow", {}, {})["error_reduction"] == {}


def test_the_stored_spread_is_the_covariance(root, about):
    codes = np.load(root / "data/latents/latents.npy")[:160].astype(np.float64)
    factor = array(root, "factor")
    residual = array(root, "residual")
    np.testing.assert_allclose(
        factor.T @ factor + np.diag(residual**2), np.cov(codes.T, bias=True), atol=1e-5
    )


@pytest.mark.parametrize("rank", [5, 40])
def test_a_spread_of_lower_rank_keeps_the_widest_axes_and_every_variance(rank, rng):
    covariance = np.cov(rng.normal(size=(500, 40)) @ np.diag(np.linspace(3, 0.1, 40)), rowvar=False)
    spread = gaussian_of_moments(np.zeros(40), covariance, rank)
    rebuilt = spread.factor.T @ spread.factor + np.diag(spread.residual**2)
    np.testing.assert_allclose(np.diag(rebuilt), np.diag(covariance), rtol=1e-10)
    assert (spread.residual == 0).all() == (rank == 40)
    values, axes = np.linalg.eigh(covariance)
    np.testing.assert_allclose(np.square(spread.factor @ axes[:, -1]).sum(), values[-1], rtol=1e-10)


def test_a_spread_from_few_codes_agrees_with_their_covariance(rng):
    codes = rng.normal(size=(30, 100)) * np.linspace(2, 0.5, 100)
    few = gaussian_of_codes(codes, 10, 0)
    many = gaussian_of_moments(codes.mean(0), np.cov(codes.T, bias=True), 10)
    np.testing.assert_allclose(few.factor, many.factor, atol=1e-8)
    np.testing.assert_allclose(few.residual, many.residual, atol=1e-8)


def test_normals_are_the_specified_ones():
    """web/API.md's generator, once more in plain integers; and they are normal."""

    def mix(x):
        x ^= x >> 16
        x = x * 0x7FEB352D & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 0x846CA68B & 0xFFFFFFFF
        return x ^ x >> 16

    seed = 123456789
    units = [(mix((mix(i + 1) + mix(seed ^ 0x9E3779B9)) & 0xFFFFFFFF) + 0.5) / 2**32 for i in range(4)]
    expected = [
        trig(2 * np.pi * units[i + 1]) * np.sqrt(-2 * np.log(units[i]))
        for i in (0, 2)
        for trig in (np.cos, np.sin)
    ]
    np.testing.assert_allclose(gaussian.normals(seed, 4), expected, rtol=1e-12)
    np.testing.assert_array_equal(gaussian.normals(seed, 3), gaussian.normals(seed, 9)[:3])
    many = np.concatenate([gaussian.normals(s, 1000) for s in range(100)])
    assert abs(many.mean()) < 0.01 and abs(many.std() - 1) < 0.01 and abs((many**4).mean() - 3) < 0.1


def test_presets_are_test_faces_where_the_licence_allows(root, about):
    images = np.load(root / "data/crops/images.npy")[180:]
    codes = np.load(root / "data/latents/latents.npy")[180:]
    assert about["presets_from"] == "test" and len(about["presets"]) == 4
    for preset, code in zip(about["presets"], array(root, "presets"), strict=True):
        row = int(np.flatnonzero((codes == code).all(1))[0])
        np.testing.assert_array_equal(picture(preset), images[row])


def test_presets_are_samples_where_it_does_not(root, tmp_path):
    shutil.copytree(root, tmp_path / "project")
    source = tmp_path / "project/data/raw/source.json"
    source.write_text(json.dumps({**json.loads(source.read_text()), "redistributable": False}))
    folder = exports.export(tmp_path / "project")
    about = json.loads((folder / "bundle.json").read_text())
    assert about["presets_from"] == "prior" and not about["data"]["redistributable"]
    code = array(tmp_path / "project", "presets")[:1]
    decoded = networks.run(folder / "decoder.onnx", code)[0].round().astype(np.uint8)
    np.testing.assert_array_equal(picture(about["presets"][0]), decoded)


def test_the_best_prior_draws_the_faces_that_come_along(root, tmp_path):
    """Its own draws, to the last bit; presets are the first of them where the data may not be shown."""
    project = tmp_path / "project"
    shutil.copytree(root, project)
    source = project / "data/raw/source.json"
    source.write_text(json.dumps({**json.loads(source.read_text()), "redistributable": False}))
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["export"]["prior"] = "best"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    about = json.loads((exports.export(project) / "bundle.json").read_text())
    priors = Priors.open(project / "data/prior", torch.device("cpu"))
    model, _ = checkpoints.load(project / "data/model")
    seed = params["seed"]
    draw = priors.samplers(model, seed)[priors.best]
    expected = draw(params["export"]["drawn"], np.random.default_rng(seed)).astype(np.float32)
    assert about["prior"]["source"] == "best"
    np.testing.assert_array_equal(array(project, "drawn"), expected)
    np.testing.assert_array_equal(array(project, "presets"), expected[: params["export"]["presets"]])


def picture(preset):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(preset["picture"].split(",")[1]))))


def test_a_network_that_differs_from_torch_is_not_exported(root, tmp_path, monkeypatch):
    model, _ = checkpoints.load(root / "data/model")
    images = np.load(root / "data/crops/images.npy")[:2]
    codes = np.load(root / "data/latents/latents.npy")[:2]
    honest = networks.run
    monkeypatch.setattr(networks, "run", lambda path, batch: honest(path, batch) * np.float32(1.001))
    with pytest.raises(networks.ExportError, match=r"encoder\.onnx: onnxruntime differs"):
        networks.networks(model, images, codes, tmp_path)


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("glow", {"levels": 2, "steps": 1, "width": 16}),
        ("pggan", {"latent": 32, "maps": 16}),
        ("diffae", {"channels": 2, "width": 8, "levels": 2, "blocks": 1, "attention": 4, "steps": 2}),
    ],
)
def test_other_kinds_of_models_are_exported_as_well(root, params, tmp_path, name, small):
    """Both networks do what torch does, or nothing is written; a flow's give back the picture itself."""
    torch.manual_seed(0)
    config = models.config(name, {name: {**params["models"][name], **small}})
    model = models.find(name).Model(config, exports.GEOMETRY.size).eval()
    images = np.load(root / "data/crops/images.npy")
    model.prepare(to_device(images[:64], torch.device("cpu")))
    with torch.no_grad():
        codes = model.encode(to_device(images[:4], torch.device("cpu"))).numpy()
    networks.networks(model, images[:4], codes, tmp_path)
    assert codes.shape == (4, model.code_length)
    drawn = networks.run(tmp_path / "decoder.onnx", networks.run(tmp_path / "encoder.onnx", images[4:6]))
    assert drawn.shape == (2, 32, 32, 3)
    if name == "glow":
        np.testing.assert_allclose(drawn, images[4:6], atol=0.1)


def test_a_square_crop_has_the_square_for_a_frame():
    geometry = bundle.describe_geometry(
        Geometry(box="square", size=64, filter="lanczos"), (200, 300), np.empty((0, 10))
    )
    assert geometry["frame"] == [178, 178] and geometry["box"] == [0, 0, 178, 178]
    np.testing.assert_allclose(geometry["template"], [[69.745, 91], [107.237, 91], [88.432, 132.514]])


def test_a_template_is_guessed_where_neither_landmarks_nor_celebas_frame_give_it():
    box, square = (Geometry(box=where, size=64, filter="lanczos") for where in ((15, 35, 163, 183), "square"))
    known = np.ones((3, 10))
    for cut, frame, landmarks, guessed in (
        (box, (178, 218), known, False),
        (box, (178, 218), known[:0], False),
        (box, (300, 400), known, False),
        (box, (300, 400), known[:0], True),
        (square, (200, 200), known[:0], True),
    ):
        assert bundle.describe_geometry(cut, frame, landmarks)["guessed"] is guessed


def test_a_larger_frame_has_celebas_face_enlarged():
    np.testing.assert_allclose(bundle.template(None, (178, 218)), bundle.TEMPLATE)
    points = bundle.template(None, (356, 436))
    assert points[1, 0] - points[0, 0] == pytest.approx(2 * (107.237 - 69.745))


def test_every_attribute_belongs_to_a_group_and_judgements_are_never_among_the_first():
    for name, shown in TABLE.items():
        assert shown.group in GROUPS, name
        assert not (shown.judgemental and shown.rank), name
    ranks = [shown.rank for shown in TABLE.values() if shown.rank]
    assert len(set(ranks)) == len(ranks)
    assert describe("Green_Hair").label == "Green hair" and describe("Green_Hair").group == "Other"


def test_aligned_faces_are_framed_as_celebas():
    """crop.box: auto, whatever size the pictures have: the website aligns to the frame that the training
    aligned to.
    """
    cut = Geometry(box="auto", size=64, filter="lanczos")
    found = bundle.describe_geometry(cut, (512, 512), np.zeros((0, 10)))
    box = Geometry(box=(15, 35, 163, 183), size=64, filter="lanczos")
    celebas = bundle.describe_geometry(box, (178, 218), np.zeros((0, 10)))
    assert found == celebas and found["guessed"] is False
