"""The Python interface: `open_editor`, and what it gives."""

import doctest
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import facemorph
from facemorph import BadExport, BadPhoto, BadValue, align, detail, face_editor, fetch, open_editor
from faces.edits.detail import Detail, weight
from tests.helpers import exports


@pytest.fixture(scope="module")
def folder():
    return exports.shared() / "data/export"


@pytest.fixture(scope="module")
def editor(folder):
    return open_editor(folder)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "me.jpg"
    Image.fromarray(skimage.data.astronaut()).save(path, quality=95)
    return path


def test_the_examples_of_the_documentation(photograph, monkeypatch):
    """The docstring of `open_editor`, run in a folder with an export and a photograph."""
    shutil.copyfile(photograph, exports.shared() / "me.jpg")
    monkeypatch.chdir(exports.shared())
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(open_editor, "open_editor", globs={"open_editor": open_editor})
    assert len(example.examples) == 7
    assert doctest.DocTestRunner().run(example).failed == 0


def test_a_path_a_picture_and_an_array_are_the_same_photograph(editor, photograph):
    picture = Image.open(photograph)
    codes = [editor.encode(one).code for one in (photograph, str(photograph), picture, np.asarray(picture))]
    for code in codes[1:]:
        np.testing.assert_array_equal(code, codes[0])


def test_the_code_is_the_encoder_s_of_the_aligned_face(editor, photograph):
    """The eyes of skimage's astronaut, at (203, 101) and (246, 103), go where the template has them."""
    face = editor.encode(photograph)
    eyes = align.apply(face.matrix, np.array([[203, 101], [246, 103]]))
    goal = align.apply(editor.export.geometry.cut, editor.export.geometry.template[:2])
    assert np.abs(eyes - goal).max() < 1.5
    assert face.notices == () and face.photo.shape == (512, 512, 3)


def test_an_edit_moves_its_own_label_and_is_undone_by_nothing(editor, photograph):
    face = editor.encode(photograph)
    wanted = -np.sign(face.labels["Smiling"])
    edited = editor.edit(face, {"Smiling": wanted})
    assert (edited.labels["Smiling"] - face.labels["Smiling"]) * wanted > 0
    np.testing.assert_array_equal(editor.edit(face, {"Smiling": 0.0}, locked=["Male"]).code, face.code)


def test_a_photograph_is_unchanged_without_an_edit_and_outside_the_face(editor, photograph):
    face = editor.encode(photograph)
    np.testing.assert_array_equal(np.asarray(face.photograph), face.photo)
    edited = np.asarray(editor.edit(face, {"Smiling": 3.0, "Eyeglasses": 3.0}).photograph)
    different = np.argwhere((edited != face.photo).any(2))
    inside = align.apply(face.matrix, different[:, ::-1])
    assert len(different) > 500
    assert inside.min() > -0.6 and inside.max() < 31.6


def test_a_sampled_face_is_the_seed_s_and_has_no_photograph(editor):
    face = editor.sample(7)
    np.testing.assert_array_equal(face.code, editor.export.sample(7, 0.8))
    drawn = np.rint(editor.export.decode(face.code[None])[0]).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(face.image), drawn)
    with pytest.raises(BadValue, match="comes from no photograph"):
        _ = face.photograph
    with pytest.raises(BadValue, match="seed: 4294967296"):
        editor.sample(2**32)


def test_between_an_edit_is_straight_and_between_faces_an_arc(editor):
    first = editor.sample(1)
    second = editor.sample(2)
    edited = editor.edit(first, {"Smiling": 2.0})
    half = editor.between(first, edited, 0.5)
    np.testing.assert_allclose(half.code, (first.code + edited.code) / 2, atol=1e-6)
    arc = editor.between(first, second, 0.5)
    np.testing.assert_array_equal(arc.code, editor.export.morph(first.code, second.code, 0.5))


def test_attributes_are_the_export_s(editor):
    smile = next(one for one in editor.attributes if one.name == "Smiling")
    assert (smile.label, smile.judgemental) == ("Smile", False)
    assert smile.auroc > 0.95


def test_what_cannot_be_used_is_named(editor, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    for picture, words in (
        (tmp_path / "none.jpg", "none.jpg: No such file"),
        (tmp_path / "text.jpg", "text.jpg: only JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and HEIC"),
        (np.zeros((20, 20)), r"uint8 \(h, w, 3\) is needed, got float64 \(20, 20\)"),
        (Image.new("RGB", (4, 4)), "at least 16 x 16"),
    ):
        with pytest.raises(BadPhoto, match=words):
            editor.encode(picture)
    with pytest.raises(BadValue, match="'Nose' is not an attribute"):
        editor.edit(editor.sample(1), {"Nose": 1.0})
    with pytest.raises(BadExport, match=r"bundle\.json is missing"):
        open_editor(tmp_path)


def test_a_picture_without_a_face_says_so(editor):
    assert editor.encode(np.full((80, 60, 3), 120, np.uint8)).notices == ("none",)


@pytest.fixture(scope="module")
def history(tmp_path_factory, folder):
    """A DVC project with two exports in its history: the shared one, tagged `first`, then a colder one."""
    root = tmp_path_factory.mktemp("history")
    run = lambda *command: subprocess.run(command, cwd=root, check=True, capture_output=True)  # noqa: E731
    run("git", "init", "-q")
    run("git", "config", "user.name", "test")
    run("git", "config", "user.email", "test@example.org")
    run(sys.executable, "-m", "dvc", "init", "-q")
    (root / "data").mkdir()
    for tag, temperature in (("first", 0.8), ("second", 0.25)):
        shutil.rmtree(root / "data/export", ignore_errors=True)
        shutil.copytree(folder, root / "data/export")
        bundle = root / "data/export/bundle.json"
        bundle.write_text(bundle.read_text().replace('"temperature": 0.8', f'"temperature": {temperature}'))
        run(sys.executable, "-m", "dvc", "add", "-q", "data/export")
        run("git", "add", "-A")
        run("git", "commit", "-q", "-m", tag)
        run("git", "tag", tag)
    shutil.rmtree(root / "data/export")
    return root


def test_an_export_of_another_revision(history):
    temperatures = [
        open_editor(history / "data/export", rev=rev).export.about["prior"]["temperature"]
        for rev in ("first", "HEAD")
    ]
    assert temperatures == [0.8, 0.25]


def test_a_revision_that_is_not_there_is_named(history, tmp_path):
    with pytest.raises(BadExport, match=r"of revision nowhere: .*nowhere"):
        open_editor(history / "data/export", rev="nowhere")
    with pytest.raises(BadExport, match="data/other of revision first"):
        open_editor(history / "data/other", rev="first")
    with pytest.raises(BadExport, match="is in no DVC project"):
        open_editor(tmp_path, rev="first")


def test_a_model_of_the_hub_is_fetched_by_its_client(folder, monkeypatch):
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        asked.append((name, revision))
        return str(folder)

    errors = types.SimpleNamespace(HfHubHTTPError=OSError, HFValidationError=ValueError)
    client = types.SimpleNamespace(snapshot_download=snapshot_download, errors=errors)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    assert len(open_editor("hf://me/faces", rev="v1").attributes) == 3
    assert asked == [("me/faces", "v1")]
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BadExport, match="pip install huggingface_hub"):
        open_editor(f"{fetch.HUB}me/faces")


@pytest.mark.parametrize(("noise", "reach"), [(0.12, 1), (0.3, 2), (0.0, 1)])
def test_weak_changes_are_weighed_as_they_are_measured(rng, noise, reach):
    """The same as faces/edits/detail.py, by which edits are scored, to a hundredth of a level."""
    change = (rng.normal(size=(16, 16, 3)) * 40).astype(np.float32)
    change[:8] *= 0.1
    scaled = torch.from_numpy(change).permute(2, 0, 1)[None] / 127.5
    counted = scaled * weight(scaled, Detail(noise=noise, reach=reach))
    expected = counted[0].permute(1, 2, 0).numpy() * 127.5
    np.testing.assert_allclose(detail.weighed(change, noise, reach), expected, atol=0.01)


def test_a_flat_change_is_added_whole_in_the_middle_and_not_at_all_outside():
    """A change of 50 levels in a crop of 8 pixels that covers 80 of the photograph, from (20, 10)."""
    photo = np.full((120, 140, 3), 100, np.uint8)
    matrix = np.array([[0.1, 0, -2.0 - 0.45], [0, 0.1, -1.0 - 0.45]])
    out = detail.add_change(photo, np.full((8, 8, 3), 50.0), matrix)
    assert (out[40:60, 50:70] == 150).all()
    assert (out[:9] == 100).all() and (out[91:] == 100).all()
    assert (out[:, :19] == 100).all() and (out[:, 101:] == 100).all()
    assert (photo == 100).all()


def test_a_face_beside_the_photograph_changes_nothing():
    photo = np.full((40, 40, 3), 100, np.uint8)
    matrix = np.array([[1.0, 0, 500], [0, 1.0, 0]])
    np.testing.assert_array_equal(detail.add_change(photo, np.full((8, 8, 3), 50.0), matrix), photo)


def test_what_is_documented_is_there():
    assert set(facemorph.__all__) >= {"open_editor", "FaceEditor", "Face", "Attribute"}
    for name in facemorph.__all__:
        assert getattr(facemorph, name).__doc__
    assert face_editor.open_editor is open_editor
