"""The runtime: the arithmetic of web/API.md, faces cut out of photographs, and what is no export."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from facemorph import align, photos
from facemorph import export as runtime
from facemorph.code_editors import BadValue, Custom, straight
from facemorph.export import BadExport, Export
from facemorph.finding import find
from faces.ingest import decode
from faces.latents import gaussian
from tests.conftest import ROOT
from tests.helpers import exports


@pytest.fixture(scope="module")
def export():
    return Export(exports.shared() / "data/export")


@pytest.fixture
def code(export):
    return export.sample(5, 1.0)


IMPORTED = """
import sys
before = set(sys.modules)
import facemorph, facemorph.cli
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before} & set(sys.argv[1:])))
print(*sorted(name for name in sys.modules if name.split(".")[0] == "faces"))
"""


def test_the_runtime_needs_neither_torch_nor_a_web_framework():
    """In a fresh process: of all that is installed, and of the library, it takes what it names and nothing
    else.
    """
    unwanted = ("torch", "onnx", "pandas", "scipy", "sklearn", "matplotlib", "dvc", "yaml", "pydantic")
    unwanted += ("fastapi", "starlette", "uvicorn", "tqdm", "web", "stages", "ops")
    command = [sys.executable, "-c", IMPORTED, *unwanted]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert lines[0] == ""
    assert lines[1].split() == ["faces", "faces.latents", "faces.latents.gaussian"]


def test_a_step_moves_its_own_standing_by_its_strength(export, code):
    moved = export.edit(code, {"Smiling": 1.5}, [], [])
    assert export.standing(moved)["Smiling"] - export.standing(code)["Smiling"] == pytest.approx(
        1.5, abs=1e-3
    )
    np.testing.assert_array_equal(export.edit(code, {}, [], []), code)
    back = export.edit(moved, {"Smiling": -1.5}, [], [])
    np.testing.assert_allclose(back, code, atol=1e-5)


def test_a_locked_attribute_stays_where_its_own_slider_put_it(export, code):
    free = export.edit(code, {"Smiling": 2.0, "Eyeglasses": -1.0}, [], [])
    locked = export.edit(code, {"Smiling": 2.0, "Eyeglasses": -1.0}, ["Eyeglasses", "Male"], [])
    alone = export.edit(code, {"Eyeglasses": -1.0}, [], [])
    u = {name: unit for name, unit in zip(export.names, export.units, strict=True)}
    assert abs((free - alone) @ u["Eyeglasses"]) > 1e-3  # they do interfere, so the lock has something to do
    assert abs((locked - alone) @ u["Eyeglasses"]) < 1e-5
    assert abs((locked - alone) @ u["Male"]) < 1e-5
    assert (locked - code) @ u["Smiling"] > 0.5


def test_custom_directions_take_part_as_attributes_do(export, code):
    place = export.names.index("Smiling")
    mine = Custom(export.units[place], float(export.sigma[place]), 1.5, False)
    np.testing.assert_allclose(
        export.edit(code, {}, ["Male"], [mine]), export.edit(code, {"Smiling": 1.5}, ["Male"], []), atol=1e-6
    )
    held = Custom(export.units[place], float(export.sigma[place]), 0.0, True)
    moved = export.edit(code, {"Eyeglasses": 2.0}, [], [held])
    assert abs((moved - code) @ export.units[place]) < 1e-5


def test_a_direction_locked_twice_is_locked_once(export, code):
    twin = Custom(export.units[0], 1.0, 0.0, True)
    once = export.edit(code, {export.names[1]: 1.0}, [export.names[0]], [])
    np.testing.assert_allclose(
        export.edit(code, {export.names[1]: 1.0}, [export.names[0]], [twin]), once, atol=1e-6
    )


def test_unknown_names_and_overflow_are_refused(export, code):
    with pytest.raises(BadValue, match="'Nose' is not an attribute"):
        export.edit(code, {"Nose": 1.0}, [], [])
    far = Custom(np.full(len(code), len(code) ** -0.5), 1e38, 20.0, False)
    with pytest.raises(BadValue, match="beyond what numbers can hold"):
        export.edit(code, {}, [], [far])
    with pytest.raises(BadValue, match="too far"):
        export.decode(
            np.full((1, len(code)), 3e38, np.float32) * np.resize([1, -1], len(code)).astype(np.float32)
        )


def test_a_morph_begins_and_ends_at_its_faces_and_keeps_its_distance(export):
    first = export.sample(1, 1.0)
    second = export.sample(2, 1.0)
    np.testing.assert_allclose(export.morph(first, second, 0.0), first, atol=1e-5)
    np.testing.assert_allclose(export.morph(first, second, 1.0), second, atol=1e-5)
    for t in (0.25, 0.5, 0.9):
        expected = (1 - t) * np.linalg.norm(first - export.mean) + t * np.linalg.norm(second - export.mean)
        assert np.linalg.norm(export.morph(first, second, t) - export.mean) == pytest.approx(
            expected, rel=1e-5
        )
    np.testing.assert_allclose(export.morph(first, first, 0.3), first, atol=1e-5)  # no angle: a straight line
    np.testing.assert_allclose(straight(first, second, 0.25), 0.75 * first + 0.25 * second, atol=1e-6)


def test_a_seed_is_one_face_wherever_it_is_drawn(export):
    """The samples of the website are the pipeline's, so presets and share links hold: the mean, and the
    arithmetic of web/API.md for one of them.
    """
    mean, factor, residual = (
        export.arrays[f"prior_{part}"].astype(np.float64) for part in ("mean", "factor", "residual")
    )
    noise = gaussian.normals(2**32 - 1, len(factor) + export.length)
    expected = mean + 0.8 * (noise[: len(factor)] @ factor + noise[len(factor) :] * residual)
    np.testing.assert_allclose(export.sample(2**32 - 1, 0.8), expected, atol=1e-6)
    np.testing.assert_array_equal(export.sample(3, 0.0), export.arrays["prior_mean"])


def test_samples_spread_like_the_train_codes(export):
    drawn = np.stack([export.sample(seed, 1.0) for seed in range(2000)])
    np.testing.assert_allclose(drawn.std(0), export.arrays["std"], rtol=0.1)


class Seer:
    """A detector that sees one face, where it is told to."""

    def __init__(self, points):
        self.face = align.Face(np.array([0.0, 0, 1, 1]), points, 0.9)

    def find(self, pixels):
        return [self.face]

    def look_again(self, pixels, face):
        return face


def test_a_picture_that_is_a_frame_already_is_cut_as_in_training(export, rng):
    """A face seen 8 pixels beside the template in a picture of the frame's size changes nothing, unless it is
    asked for; one seen 30 beside it is aligned.
    """
    buffer = io.BytesIO()
    exports.draw(True, True, False, rng).save(buffer, "PNG")
    exact = decode.face(buffer.getvalue(), exports.GEOMETRY)
    near, far = (Seer(exports.POINTS + np.array([beside, 0])) for beside in (8, 30))
    photo = photos.read(buffer.getvalue())
    found = find(export.geometry, near, photo)
    assert (found.aligned, found.face, found.notices) == ("frame", None, ())
    np.testing.assert_array_equal(found.crop, exact)
    np.testing.assert_allclose(found.points, export.geometry.template, atol=1e-9)
    for detector, face in ((near, 0), (far, None)):
        moved = find(export.geometry, detector, photo, face)
        assert (moved.aligned, moved.face) == ("face", 0)
        assert np.abs(moved.crop.astype(int) - exact).mean() > 3


def test_standing_is_zero_at_the_mean_and_one_a_sigma_away(export):
    assert set(export.standing(export.mean.astype(np.float32)).values()) <= {0.0, -0.0}
    moved = export.mean + export.units[0] * export.sigma[0]
    assert export.standing(moved)[export.names[0]] == pytest.approx(1, abs=1e-3)


@pytest.fixture
def place(tmp_path):
    """A copy of the export to spoil."""
    shutil.copytree(exports.shared() / "data/export", tmp_path / "export")
    return tmp_path / "export"


@pytest.mark.parametrize("name", runtime.FILES)
def test_a_file_that_is_not_the_listed_one_is_refused(place, name):
    content = bytearray((place / name).read_bytes())
    content[len(content) // 2] ^= 1
    (place / name).write_bytes(content)
    with pytest.raises(BadExport, match=f"{name} is not the file"):
        Export(place)


def test_what_is_not_an_export_is_refused(place, tmp_path):
    with pytest.raises(BadExport, match=r"bundle\.json is missing; run `dvc repro export`"):
        Export(tmp_path)
    about = json.loads((place / "bundle.json").read_text())
    (place / "bundle.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(BadExport, match="format 99"):
        Export(place)
    (place / "bundle.json").write_text("[]")
    with pytest.raises(BadExport, match="not an export of this version"):
        Export(place)
