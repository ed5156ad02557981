"""The arithmetic of the website, and the change from one export to the next."""

import ast
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from faces.ingest import decode
from faces.latents import gaussian
from tests import exports
from tests.conftest import ROOT
from web import align, engine
from web.engine import BadExport, BadValue, Custom, Export, Shelf

WEB = Path(engine.__file__).parent


@pytest.fixture(scope="module")
def export():
    return Export(exports.shared() / "data/export")


@pytest.fixture
def code(export):
    return export.sample(5, 1.0)


def test_nothing_of_torch_or_of_the_rest_of_the_library_is_imported():
    """The server needs the standard library, six packages and one file of faces. What builds the static site runs in a checkout and may use more."""
    allowed = {
        "web",
        "numpy",
        "onnxruntime",
        "PIL",
        "cv2",
        "fastapi",
        "uvicorn",
        "starlette",
        "pydantic",
    }  # the last two are FastAPI's
    library = ROOT / "faces"
    for file in {*WEB.glob("*.py"), library / "__init__.py", library / "latents/gaussian.py"} - {
        WEB / "site.py",
        WEB / "ort.py",
    }:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                known = (
                    name == "faces.latents.gaussian"
                    or name.split(".")[0] in allowed | sys.stdlib_module_names
                )
                assert known, f"{file.name} imports {name}"


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
    first, second = export.sample(1, 1.0), export.sample(2, 1.0)
    np.testing.assert_allclose(export.morph(first, second, 0.0), first, atol=1e-5)
    np.testing.assert_allclose(export.morph(first, second, 1.0), second, atol=1e-5)
    for t in (0.25, 0.5, 0.9):
        expected = (1 - t) * np.linalg.norm(first - export.mean) + t * np.linalg.norm(second - export.mean)
        assert np.linalg.norm(export.morph(first, second, t) - export.mean) == pytest.approx(
            expected, rel=1e-5
        )
    np.testing.assert_allclose(export.morph(first, first, 0.3), first, atol=1e-5)  # no angle: a straight line
    np.testing.assert_allclose(engine.straight(first, second, 0.25), 0.75 * first + 0.25 * second, atol=1e-6)


def test_a_seed_is_one_face_wherever_it_is_drawn(export):
    """The samples of the website are the pipeline's, so presets and share links hold: the mean, and the arithmetic of web/API.md for one of them."""
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
    """A face seen 8 pixels beside the template in a picture of the frame's size changes nothing, unless it is asked for; one seen 30 beside it is aligned."""
    buffer = io.BytesIO()
    exports.draw(True, True, False, rng).save(buffer, "PNG")
    exact = decode.face(buffer.getvalue(), exports.GEOMETRY)
    near, far = (Seer(exports.POINTS + np.array([beside, 0])) for beside in (8, 30))
    found = export.find(near, buffer.getvalue(), None, None)
    assert (found["aligned"], found["face"], found["notices"]) == ("frame", None, [])
    np.testing.assert_array_equal(found["crop"], exact)
    np.testing.assert_allclose(found["points"], export.geometry.template, atol=1e-9)
    for detector, face in ((near, 0), (far, None)):
        moved = export.find(detector, buffer.getvalue(), face, None)
        assert (moved["aligned"], moved["face"]) == ("face", 0)
        assert np.abs(moved["crop"].astype(int) - exact).mean() > 3


def test_standing_is_zero_at_the_mean_and_one_a_sigma_away(export):
    assert set(export.standing(export.mean.astype(np.float32)).values()) <= {0.0, -0.0}
    moved = export.mean + export.units[0] * export.sigma[0]
    assert export.standing(moved)[export.names[0]] == pytest.approx(1, abs=1e-3)


@pytest.fixture
def place(tmp_path):
    """A copy of the export to spoil."""
    shutil.copytree(exports.shared() / "data/export", tmp_path / "export")
    return tmp_path / "export"


def another(folder):
    """The export as if the pipeline had run again with another temperature."""
    about = json.loads((folder / "bundle.json").read_text())
    about["prior"]["temperature"] = 0.123
    (folder / "bundle.json").write_text(json.dumps(about))


@pytest.mark.parametrize("name", engine.FILES)
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


def test_a_new_export_takes_over_and_the_old_one_stays_at_hand(place):
    shelf = Shelf(place)
    old = shelf.current.id
    assert not shelf.refresh() and shelf.previous is None
    another(place)
    assert shelf.refresh()
    assert shelf.current.id != old and shelf.previous.id == old
    assert (
        shelf.get(None) is shelf.current and shelf.get(old) is shelf.previous and shelf.get("0" * 16) is None
    )
    assert not shelf.refresh()


def test_news_of_a_served_model(place, tmp_path):
    """What the pointer and the status beside it say; nothing of it is needed, and nonsense in them harms nobody."""
    silent = {"version": None, "since": None, "checked": None, "due": None}
    assert Shelf(place).news() == silent
    pointer = tmp_path / "champion.json"
    pointer.write_text(
        json.dumps(
            {"export": "export", "version": "v0.0.2", "since": "2026-01-01T00:00:00+00:00", "exam": "e"}
        )
    )
    shelf = Shelf(pointer)
    assert shelf.news() == {**silent, "version": "v0.0.2", "since": "2026-01-01T00:00:00+00:00"}
    status = tmp_path / "status.json"
    status.write_text(
        json.dumps(
            {"succeeded": "2026-01-02T00:00:00+00:00", "due": "2026-01-09T00:00:00+00:00", "checked": "later"}
        )
    )
    assert (shelf.news()["checked"], shelf.news()["due"]) == (
        "2026-01-02T00:00:00+00:00",
        "2026-01-09T00:00:00+00:00",
    )
    for nonsense in ("[]", "{", "7"):
        status.write_text(nonsense)
        assert shelf.news()["checked"] is None and shelf.news()["version"] == "v0.0.2"


def test_a_broken_export_does_not_take_over(place):
    shelf = Shelf(place)
    old = shelf.current
    (place / "decoder.onnx").write_bytes(b"half of a file")
    another(place)
    assert not shelf.refresh() and shelf.current is old
    shutil.rmtree(place)
    assert not shelf.refresh() and shelf.current is old
    shutil.copytree(exports.shared() / "data/export", place)
    another(place)
    assert shelf.refresh() and shelf.current is not old


def test_a_pointer_is_followed_and_its_id_believed(place, tmp_path):
    good = Export(place).id
    pointer = tmp_path / "champion.json"
    pointer.write_text(json.dumps({"export": "export", "id": good}))
    shelf = Shelf(pointer)
    shutil.copytree(place, tmp_path / "next")
    another(tmp_path / "next")
    pointer.write_text(json.dumps({"export": "next", "id": good}))
    assert not shelf.refresh() and shelf.current.id == good  # not the export that the pointer promises
    pointer.write_text(json.dumps({"export": "next"}))
    assert shelf.refresh() and shelf.current.id != good
    pointer.write_text("{}")
    assert not shelf.refresh()
    with pytest.raises(BadExport, match=r"champion\.json: expected"):
        Shelf(pointer)
