"""The runtime: the arithmetic of web/API.md, faces cut out of photographs, and what is no export."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import facemorph
from facemorph import align, gaussian, photos
from facemorph import export as runtime
from facemorph.code_editors import BadValue, Custom, straight
from facemorph.export import BadExport, Export
from facemorph.finding import find
from facemorph.labels import Labels
from faces.edits.directions import Directions
from faces.flow.choice import Edits, open_editor
from faces.ingest import decode
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
    assert lines[1] == ""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """The same faces, edited along straight lines."""
    root = tmp_path_factory.mktemp("lines")
    shutil.copytree(exports.shared(), root, dirs_exist_ok=True)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["edits"]["primary"] = "directions"
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return Export(exports.export(root))


def measured(root, primary):
    """The editor that sheets and figures are of."""
    directions = Directions.open(root / "data/vectors", "mean_difference")
    return open_editor(Edits(primary=primary), directions, root / "data/flow", torch.device("cpu"))


@pytest.mark.parametrize("primary", ["flow", "directions"])
def test_a_slider_is_the_switch_that_is_measured(export, lines, primary, rng):
    """For faces whose labels are certain, at strengths of either sign: the edits of faces/edits/editor.py."""
    editor = measured(exports.shared(), primary)
    served = (export if primary == "flow" else lines).editor
    codes = [export.sample(seed, 1.0) for seed in range(6)]
    labels = np.sign(rng.normal(size=(6, 3))).astype(np.float32)
    for code, row in zip(codes, labels, strict=True):
        certain = CertainLabels(*vars(served.labels).values(), row)
        ours = dataclasses.replace(served, labels=certain)
        for name in editor.attributes:
            for value in (1.0, -1.0, 0.4, -1.7):
                flips = np.sign(value) != row[certain.names.index(name)]
                way = np.sign(value) if flips else -np.sign(value)
                amount = abs(value) if flips else -abs(value)
                expected = editor.switch(name, code[None], row[None], np.array([way]), amount)[0]
                assert np.abs(ours.edit(code, {name: value}) - expected).max() < 1e-4
        both = np.array([[1.0, -1.0, 0.0]], np.float32)
        wanted = np.where(both == row, 0, both)
        expected = editor.edit(code[None], row[None], wanted, 0.8)[0]
        found = ours.edit(code, dict(zip(certain.names, 0.8 * wanted[0].astype(float), strict=True)))
        assert np.abs(found - expected).max() < 1e-4


def test_labels_that_are_held_take_back_what_a_slider_brings_along(export, code):
    """By the export's array; one that has none is edited without."""
    editor = export.editor
    assert editor.compensation.shape == (3, 3) and editor.compensation.any()
    arrays = {name: array for name, array in export.arrays.items() if name != "flow_compensation"}
    older = Export(exports.shared() / "data/export")
    older.arrays = arrays
    without = older.open_editor()
    assert not without.compensation.size
    changed = editor.edit(code, {"Smiling": 1.0}) - without.edit(code, {"Smiling": 1.0})
    assert 1e-3 < np.abs(changed).max() < 1
    np.testing.assert_array_equal(without.edit(code, {}), editor.edit(code, {}))


class CertainLabels(Labels):
    """Labels that are given, not read."""

    def __init__(self, names, normals, intercepts, exclusive, exhaustive, given):
        super().__init__(names, normals, intercepts, exclusive, exhaustive)
        object.__setattr__(self, "given", given.astype(np.float64))

    def read(self, code):
        return self.given


PAIRS = Labels.of(
    ["Bald", "Black", "Blond", "Long"],
    np.zeros((4, 1)),
    np.zeros(4),
    [["Bald", "Black"], ["Bald", "Blond"], ["Black", "Blond"], ["Bald", "Long"]],
    [],
)
HAIR = dataclasses.replace(PAIRS, exhaustive=[[(1, 1), (2, 1), (0, 1)]])


def moves(labels, changes, locked=()):
    return PAIRS.move(np.array(labels, float), changes, locked)


def test_what_a_slider_brings_takes_away_what_it_excludes():
    """Black to blond; bald takes hair and its length away, a lock keeps the length; unknown stays unknown."""
    asked = moves([-1, 1, -1, 1], {"Blond": 0.5})
    assert asked.strength == 0.5
    np.testing.assert_array_equal(asked.start, [-1, 1, -1, 1])
    np.testing.assert_array_equal(asked.goal, [-1, -1, 1, 1])
    np.testing.assert_array_equal(moves([-1, 1, -1, 1], {"Bald": 1}).goal, [1, -1, -1, -1])
    np.testing.assert_array_equal(moves([-1, 1, -1, 1], {"Bald": 1}, ["Long"]).goal, [1, -1, -1, 1])
    np.testing.assert_array_equal(moves([-1, 1, -1, 0], {"Bald": 1}).goal, [1, -1, -1, 0])


def test_where_the_last_of_an_exhaustive_set_goes_the_commonest_other_comes():
    """Blond goes and black comes; with black locked, baldness. Where black is unknown, it may be there.
    Half a doubt is half a claim. What is not there does not go.
    """

    def goal(labels, changes, locked=()):
        return HAIR.move(np.array(labels, float), changes, locked).goal

    np.testing.assert_array_equal(goal([-1, -1, 1, 1], {"Blond": -0.5}), [-1, 1, -1, 1])
    np.testing.assert_array_equal(goal([-1, -1, 1, -1], {"Blond": -1}, ["Black"]), [1, -1, -1, -1])
    np.testing.assert_array_equal(goal([-1, 0, 1, -1], {"Blond": -1}), [-1, 0, -1, -1])
    np.testing.assert_array_equal(goal([1, -1, -1, -1], {"Long": 1}), [-1, 1, -1, 1])
    np.testing.assert_array_equal(goal([-1, 1, -1, 1], {"Blond": -1}), [-1, 1, -1, 1])
    np.testing.assert_array_equal(goal([-1, -1, 1, 1], {"Blond": -1, "Bald": 1}), [1, -1, -1, -1])
    np.testing.assert_allclose(goal([-1, -0.5, 0.8, 1], {"Blond": -1}), [-1, -0.5 + 0.675 * 1.5, -1, 1])
    away = HAIR.move(np.array([-1.0, -1.0, 1.0, 1.0]), {"Blond": 1.5}, ())
    np.testing.assert_array_equal(away.start, [-1, 1, -1, 1])
    np.testing.assert_array_equal(away.goal, [-1, -1, 1, 1])


def test_of_a_pairs_claim_and_a_sets_the_larger_counts():
    """A brings B in full, since it is never without; C, which goes in part, asks for that part of B."""
    normals = np.zeros((3, 1))
    ruled = Labels.of(["A", "B", "C"], normals, np.zeros(3), [["A", "-B"]], [["B", "C"]])
    face = np.array([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(ruled.move(face, {"A": 1.0, "C": -0.4}, ()).goal, [1, 1, 0.2])
    np.testing.assert_allclose(ruled.move(face, {"A": 0.4, "C": -1.0}, ()).goal, [-0.2, 1, -1])


def test_settled_labels_show_one_of_an_exhaustive_set():
    """The likeliest that nothing excludes; an unknown one may be it."""
    np.testing.assert_array_equal(HAIR.settled(np.array([-0.9, -0.3, -0.2, 0.5])), [-1, -1, 1, 1])
    np.testing.assert_array_equal(HAIR.settled(np.array([-0.1, -0.3, -0.2, 0.5])), [-1, -1, 1, 1])
    np.testing.assert_array_equal(HAIR.settled(np.array([-0.1, -0.3, -0.2, -0.5])), [1, -1, -1, -1])
    np.testing.assert_array_equal(HAIR.settled(np.array([-0.9, 0.0, -0.2, 0.5])), [-1, 0, -1, 1])


def test_a_slider_to_what_a_face_has_exaggerates_the_switch_to_it():
    """From the face that would be without to the face as it is."""
    asked = moves([-1, 1, -1, 1], {"Bald": -2})
    assert asked.strength == 2
    np.testing.assert_array_equal(asked.goal, [-1, 1, -1, 1])
    np.testing.assert_array_equal(asked.start, [1, -1, -1, -1])


def test_sliders_of_several_strengths_share_the_strength_of_the_farthest():
    asked = moves([-1, -1, -1, -1], {"Long": 1.0, "Black": 0.25})
    assert asked.strength == 1
    np.testing.assert_array_equal(asked.start, [-1, -1, -1, -1])
    np.testing.assert_array_equal(asked.goal, [-1, -0.5, -1, 1])


def test_a_move_is_continuous_in_sliders_and_labels(rng):
    """A thousandth more of any slider or label changes what is asked for by no more than some thousandths."""
    step = 1e-3
    for _ in range(300):
        labels = rng.uniform(-1, 1, 4)
        values = dict(zip(PAIRS.names, rng.uniform(-2, 2, 4) * (rng.random(4) < 0.6), strict=True))
        before = changed(labels, values)
        a = rng.integers(4)
        name = PAIRS.names[a]
        nudged = labels.copy()
        nudged[a] -= step * np.sign(nudged[a])
        assert np.abs(changed(nudged, values) - before).max() < 20 * step
        assert np.abs(changed(labels, values | {name: values[name] + step}) - before).max() < 20 * step


def changed(labels, values):
    asked = moves(labels, values)
    return asked.strength * (asked.goal - asked.start)


def test_without_sliders_the_code_comes_back_to_the_bit(export, lines, code):
    own = Custom(np.eye(12)[0], 1.0, 0.0, True)
    for one in (export, lines):
        np.testing.assert_array_equal(one.edit(code, {}, [], []), code)
        np.testing.assert_array_equal(one.edit(code, {"Smiling": 0.0}, ["Male"], [own]), code)


def test_a_slider_moves_the_label_that_is_read(export, lines):
    """Either way, whichever editor."""
    for one in (export, lines):
        for code in (one.sample(seed, 1.0) for seed in range(10)):
            down, here, up = (one.editor.labels.read(one.edit(code, {"Eyeglasses": v})) for v in (-1, 0, 1))
            a = one.editor.labels.names.index("Eyeglasses")
            assert down[a] < here[a] < up[a]


def test_a_locked_direction_stays_where_its_own_slider_put_it(lines, code):
    free = lines.edit(code, {"Smiling": 1.0, "Eyeglasses": -1.0}, [], [])
    locked = lines.edit(code, {"Smiling": 1.0, "Eyeglasses": -1.0}, ["Eyeglasses", "Male"], [])
    alone = lines.edit(code, {"Eyeglasses": -1.0}, [], [])
    u = dict(zip(lines.names, lines.editor.units, strict=True))
    assert abs((free - alone) @ u["Eyeglasses"]) > 1e-3  # they do interfere, so the lock has something to do
    assert abs((locked - alone) @ u["Eyeglasses"]) < 1e-5
    assert abs((locked - alone) @ u["Male"]) < 1e-5


def test_custom_directions_are_added_and_locked_alike_by_both_editors(export, lines, code):
    """Off the locked directions of attributes; what is locked itself holds all else off."""
    for one in (export, lines):
        units = dict(zip(one.names, one.editor.units, strict=True))
        mine = Custom(units["Smiling"], 1.5, 2.0, False)
        np.testing.assert_allclose(one.edit(code, {}, [], [mine]) - code, 3 * units["Smiling"], atol=1e-5)
        assert abs((one.edit(code, {}, ["Male"], [mine]) - code) @ units["Male"]) < 1e-5
        held = Custom(units["Smiling"], 1.0, 0.0, True)
        twice = [held, held]
        moved = one.edit(code, {"Eyeglasses": 2.0}, [], twice)
        assert abs((moved - code) @ units["Smiling"]) < 1e-5
        np.testing.assert_allclose(one.edit(code, {"Eyeglasses": 2.0}, [], [held]), moved, atol=1e-5)


def test_the_noise_of_a_face_is_found_once(export):
    code = export.sample(77, 1.0)
    calls = []
    velocities = export.editor.velocities

    class Counted(type(export.editor)):
        def velocities(self, *args):
            calls.append(args)
            return velocities(*args)

    parts = [part.name for part in dataclasses.fields(export.editor) if part.init]
    editor = Counted(**{name: getattr(export.editor, name) for name in parts})
    for value in (0.5, 1.0, 1.5):
        editor.edit(code, {"Smiling": value})
    assert len(calls) == 12 + 3 * 12  # three solver steps of four velocities


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


def test_a_seed_picks_one_of_the_faces_that_came_along():
    """All are picked, about equally often; the temperature scales the way from the mean."""
    export = Export(exports.shared() / "data/export")
    export.about["prior"]["source"] = "best"
    export.arrays["drawn"] = np.random.default_rng(0).normal(size=(8, export.length)).astype(np.float32)
    counts = np.bincount([gaussian.place(seed, 8) for seed in range(4000)], minlength=8)
    assert counts.min() > 400 and counts.max() < 600
    code = export.sample(5, 1.0)
    np.testing.assert_allclose(code, export.arrays["drawn"][gaussian.place(5, 8)], atol=1e-6)
    np.testing.assert_allclose(export.sample(5, 0.5), (code + export.mean) / 2, atol=1e-6)


def test_of_the_faces_that_came_along_those_with_the_labels_are_picked():
    """Where 16 have all of them, they alone; where fewer do, all that lack one."""
    export = Export(exports.shared() / "data/export")
    export.about["prior"]["source"] = "best"
    labels = export.editor.labels
    a, b = (labels.names.index(name) for name in ("Smiling", "Eyeglasses"))
    along = np.linalg.pinv(labels.normals[[a, b]])
    at_zero = along @ -labels.intercepts[[a, b]]
    sides = np.repeat([[1, 1], [1, -1], [-1, 1], [-1, -1]], [20, 10, 40, 30], axis=0)
    export.arrays["drawn"] = (at_zero + 2 * sides @ along.T).astype(np.float32)
    np.testing.assert_array_equal(export.having({}), np.arange(100))
    np.testing.assert_array_equal(export.having({"Smiling": 1.0, "Eyeglasses": 1.0}), np.arange(20))
    np.testing.assert_array_equal(export.having({"Eyeglasses": 1.0}), [*range(20), *range(30, 70)])
    both = export.having({"Smiling": 1.0, "Eyeglasses": -1.0})
    np.testing.assert_array_equal(both, [*range(30), *range(70, 100)])
    found = [export.sample(seed, 1.0, {"Smiling": 1.0, "Eyeglasses": 1.0}) for seed in range(60)]
    assert {tuple(code) for code in found} == {tuple(code) for code in export.arrays["drawn"][:20]}


@pytest.fixture(scope="module")
def drawing():
    """The export, its new faces drawn from the flow."""
    export = Export(exports.shared() / "data/export")
    export.about["prior"]["source"] = "flow"
    return export


class Straight:
    """A velocity that leads every place to twice where it is: x moves by x / (1 + t)."""

    def run(self, _, values):
        return [values["x"] / (1 + values["times"][:, None])]


def test_a_new_face_of_the_flow_is_its_noise_at_the_end_of_the_way(drawing):
    """mean + B^T (y - y_mean) + 2 Q^T e, of labels and the forms that e draws, where they say nothing
    together; an unknown one nothing at all.
    """
    apart = {name: 0 * getattr(drawing.editor, name) for name in ("pairs", "interplay")}
    editor = dataclasses.replace(drawing.editor, velocity=Straight(), **apart)
    noise = gaussian.normals(3, len(editor.inward))
    labels = np.array([1.0, -1.0, 0.0])
    assert len(editor.forms) >= 2
    conditions = np.concatenate([labels, editor.forms.of_noise(labels, noise)])
    known = conditions != 0
    told = (conditions - editor.label_mean)[known] @ editor.slopes[known]
    expected = editor.mean + told + 2 * noise @ editor.outward
    np.testing.assert_allclose(editor.sample(labels, noise), expected, atol=0.02)


def test_faces_asked_for_by_their_labels_differ_from_those_of_the_seed_in_these(export, lines, drawing):
    """On whichever prior; asked for nothing, they are those of the seed."""
    for one in (export, lines, drawing):
        a = one.editor.labels.names.index("Eyeglasses")
        without, with_it = (
            np.mean(
                [one.editor.labels.read(one.sample(seed, 1.0, {"Eyeglasses": v}))[a] for seed in range(30)]
            )
            for v in (-1, 1)
        )
        assert without + 0.3 < with_it
        np.testing.assert_array_equal(one.sample(5, 1.0, {}), one.sample(5, 1.0))
        with pytest.raises(BadValue, match="'Nose' is not an attribute"):
            one.sample(5, 1.0, {"Nose": 1})


def test_of_two_labels_that_exclude_one_another_the_surer_stays():
    np.testing.assert_array_equal(PAIRS.settled(np.array([-0.2, 0.9, 0.3, 0.0])), [-1, 1, -1, 0])
    np.testing.assert_array_equal(PAIRS.settled(np.array([0.8, 0.1, 0.3, 0.9])), [-1, -1, 1, 1])


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


def test_labels_are_those_of_the_readouts(export):
    code = export.sample(9, 1.0)
    readouts = measured(exports.shared(), "flow").readouts
    expected = dict(zip(readouts.attributes, readouts.labels(code[None])[0], strict=True))
    assert export.labels(code) == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def place(tmp_path):
    """A copy of the export to spoil."""
    shutil.copytree(exports.shared() / "data/export", tmp_path / "export")
    return tmp_path / "export"


@pytest.mark.parametrize("name", (*runtime.FILES, *runtime.FLOW_NETWORKS))
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
    (place / "bundle.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(BadExport, match="format 2, this version reads 5; run `dvc repro export`"):
        Export(place)
    (place / "bundle.json").write_text("[]")
    with pytest.raises(BadExport, match="not an export of this version"):
        Export(place)


def test_every_public_name_is_there_and_no_other():
    assert all(hasattr(facemorph, name) for name in facemorph.__all__)
    assert not hasattr(facemorph, "no_such_name")


def test_one_module_of_the_runtime_loads_no_network():
    """The pipeline draws with facemorph.gaussian: that must not cost it onnxruntime and OpenCV."""
    code = "import sys, facemorph.gaussian; print({'onnxruntime', 'cv2'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
