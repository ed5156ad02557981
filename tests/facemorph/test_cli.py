"""The command line `facemorph`."""

import json
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from PIL import Image

from facemorph import open_editor
from facemorph.cli import main
from tests.conftest import ROOT
from tests.helpers import exports


@pytest.fixture(scope="module")
def export():
    return ["--export", str(exports.shared() / "data/export")]


@pytest.fixture(scope="module")
def editor():
    return open_editor(exports.shared() / "data/export")


@pytest.fixture
def me(tmp_path):
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "me.jpg", quality=95)
    return tmp_path / "me.jpg"


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_edit_writes_the_photograph_with_the_edit_and_says_where(me, export, editor, tmp_path, capsys):
    out = tmp_path / "smiling.png"
    assert main(["edit", str(me), "-s", "Smiling=4", "--set", "Eyeglasses=-2", "-o", str(out), *export]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    expected = editor.edit(editor.encode(me), {"Smiling": 4, "Eyeglasses": -2}).photograph
    np.testing.assert_array_equal(pixels(out), np.asarray(expected))
    with Image.open(out) as picture:
        assert picture.text["Comment"] == f"Edited or generated with Facemorph, model {editor.export.id}"


def test_edit_of_the_drawn_face_with_a_lock(me, export, editor, tmp_path):
    out = tmp_path / "face.png"
    command = ["edit", str(me), "-s", "Smiling=3", "--lock", "Male", "--drawn", "-o", str(out), *export]
    assert main(command) == 0
    expected = editor.edit(editor.encode(me), {"Smiling": 3}, locked=["Male"]).image
    np.testing.assert_array_equal(pixels(out), np.asarray(expected))


def test_edit_of_a_folder_does_what_it_can(me, export, tmp_path, capsys):
    """Two photographs, a broken one and a text: two results, one line about the broken one, exit code 1."""
    (tmp_path / "in").mkdir()
    me.rename(tmp_path / "in/b.jpg")
    Image.new("RGB", (60, 80)).save(tmp_path / "in/a.png")
    (tmp_path / "in/c.jpg").write_bytes(b"half")
    (tmp_path / "in/notes.txt").write_text("not a photograph")
    assert main(["edit", str(tmp_path / "in"), "-s", "Smiling=2", "-o", str(tmp_path / "out"), *export]) == 1
    said = capsys.readouterr()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "b.jpg"]
    assert said.err.splitlines() == [
        f"{tmp_path}/in/a.png: no face was found, so the middle of the picture was taken",
        f"error: {tmp_path}/in/c.jpg: only JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and HEIC pictures "
        "can be read",
    ]


def test_gif_goes_there_and_back(me, export, tmp_path):
    """Five frames and three back, at ten a second: .8 s. Frames that are alike may be one, shown longer."""
    out = tmp_path / "me.gif"
    command = ["gif", str(me), "-s", "Smiling=4", "--frames", "5", "--fps", "10", "-o", str(out), *export]
    assert main(command) == 0
    with Image.open(out) as film:
        assert (film.size, film.info["loop"]) == ((320, 320), 0)
        assert film.n_frames >= 4
        durations = []
        for number in range(film.n_frames):
            film.seek(number)
            durations.append(film.info["duration"])
    assert sum(durations) == 800


def test_gif_from_a_seed_to_a_photograph_is_drawn(me, export, editor, tmp_path):
    """From the face of seed 3 to the photograph's: first and last frame are those faces, ten times larger."""
    out = tmp_path / "morph.gif"
    command = ["gif", "--seed", "3", "--to", str(me), "--frames", "4", "--once", "-o", str(out), *export]
    assert main(command) == 0
    with Image.open(out) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(
                np.asarray(film.convert("RGB").resize((32, 32), Image.Resampling.BOX)).astype(float)
            )
    assert 2 <= len(frames) <= 4
    for frame, face in ((frames[0], editor.sample(3)), (frames[-1], editor.encode(me))):
        assert np.abs(frame - np.asarray(face.image)).mean() < 8


def test_strip_has_the_face_first_and_the_edit_last(export, editor, tmp_path):
    out = tmp_path / "strip.png"
    assert main(["strip", "--seed", "5", "-s", "Smiling=3", "--frames", "4", "-o", str(out), *export]) == 0
    picture = pixels(out)
    assert picture.shape == (320, 4 * 320, 3)
    first, last = (
        Image.fromarray(picture[:, at : at + 320]).resize((32, 32), Image.Resampling.BOX) for at in (0, 960)
    )
    face = editor.sample(5)
    for found, expected in ((first, face), (last, editor.edit(face, {"Smiling": 3}))):
        assert np.abs(np.asarray(found).astype(float) - np.asarray(expected.image)).mean() < 3


def test_sample_draws_consecutive_seeds(export, editor, tmp_path, capsys):
    assert main(["sample", "--seed", "7", "--count", "3", "-o", str(tmp_path / "new"), *export]) == 0
    assert capsys.readouterr().out.split() == [f"{tmp_path}/new/{seed}.png" for seed in (7, 8, 9)]
    np.testing.assert_array_equal(pixels(tmp_path / "new/8.png"), np.asarray(editor.sample(8).image))
    sheet = tmp_path / "sheet.png"
    assert (
        main(["sample", "--seed", "7", "--count", "2", "--temperature", "0", "-o", str(sheet), *export]) == 0
    )
    mean = np.asarray(editor.sample(1, 0.0).image)
    np.testing.assert_array_equal(pixels(sheet), np.concatenate([mean, mean], axis=1))


def test_attributes_as_a_table_and_as_json(export, capsys):
    assert main(["attributes", *export]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "name"
    assert [row.split()[0] for row in rows] == ["Smiling", "Eyeglasses", "Male"]
    assert main(["attributes", "--json", *export]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert (entries[0]["name"], entries[0]["label"]) == ("Smiling", "Smile")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edit", "none.jpg", "-o", "out.jpg"], "none.jpg: No such file or directory"),
        (["edit", "me.jpg", "-s", "Nose=1", "-o", "out.jpg"], "'Nose' is not an attribute of this model"),
        (["edit", "me.jpg", "-o", "me.jpg"], "--out me.jpg: is the photograph itself; name another file"),
        (["edit", "me.jpg", "-o", "out.bmp"], "--out out.bmp: a .jpg or .png file is needed"),
        (["edit", "me.jpg", "me.jpg", "-o", "out"], "me: several photographs of this name"),
        (["edit", "me.jpg", "--face", "3", "-o", "out.jpg"], "face: 3, but 1 were found"),
        (["gif", "-s", "Smiling=1", "-o", "out.gif"], "PHOTO or --seed: one of the two is needed"),
        (["gif", "--seed", "1", "--frames", "2", "-o", "out.png"], "--out out.png: a .gif file is needed"),
        (["sample", "--temperature", "3", "-o", "out"], "--temperature 3.0: 0 to 2 are allowed"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_1(me, export, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(me.parent)
    assert main([*arguments, *export]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {words}") and said.count("\n") == 1
    assert [path.name for path in me.parent.iterdir()] == ["me.jpg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["edit", "me.jpg"], "-o/--out"),
        (
            ["edit", "me.jpg", "-s", "Smiling", "-o", "out.jpg"],
            "'Smiling': write NAME=STRENGTH, from -5 to 5, such as Smiling=1",
        ),
        (["edit", "me.jpg", "-s", "Smiling=nan", "-o", "out.jpg"], "write NAME=STRENGTH"),
        (["gif", "me.jpg", "--frames", "65", "-o", "out.gif"], "a whole number from 2 to 64 is needed"),
    ],
)
def test_a_command_that_cannot_be_read_is_code_2(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and words in capsys.readouterr().err


def test_an_export_that_is_missing_says_how_to_make_one(tmp_path, capsys):
    assert main(["attributes", "--export", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/bundle.json is missing; run `dvc repro export`\n"


def test_help_names_every_command_and_python_m_runs_it():
    command = [sys.executable, "-m", "facemorph", "--help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in ("edit", "gif", "strip", "sample", "attributes", "Example:"):
        assert name in said
