"""Presets: each changes keys that exist to values that are good, and applying one touches no other line of
params.yaml.
"""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from faces.core.params import ParamsError
from ops import preset
from ops.params_file import set_params, written
from stages.check import check
from tests.conftest import ROOT

SMALL = """# the whole file
seed: 1          # of everything
train:
  images: 100    # budget
  rate: 1.0e-3   # highest
  widths: [16]   # channels
  name: "a b"    # quoted
"""


@pytest.mark.parametrize("name", preset.names())
def test_every_preset_fits_the_params(name, params):
    """As the stage `check` would say; what a source that is not here offers is asked of the drawn faces."""
    found = preset.read(name)
    values = preset.changed(params, found.params, name)
    assert values != params
    preset.check_keys(values)
    assert "Smiling" in check(values | {"data": {"source": "avatars"}})
    assert found.about[0].isupper() and len(found.about) < 110


def test_a_changed_file_keeps_every_other_line_and_all_comments(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(SMALL)
    set_params(file, {"train.images": 20000, "train.rate": 1e-05, "train.widths": (16, 24)})
    expected = (
        SMALL.replace("100    #", "20000  #")
        .replace("1.0e-3   #", "1.0e-05  #")
        .replace("[16]   #", "[16, 24]   #")
    )
    assert file.read_text() == expected.replace("24]   #", "24] #")
    assert yaml.safe_load(file.read_text())["train"]["rate"] == 1e-05  # YAML 1.1 takes 1e-05 for text
    with pytest.raises(KeyError, match=r"train\.image is not there"):
        set_params(file, {"train.image": 1})


def test_texts_that_yaml_would_read_otherwise_are_quoted(tmp_path):
    """In params.yaml, and as DVC's -S takes them."""
    file = tmp_path / "params.yaml"
    file.write_text(SMALL)
    texts = ["Smiling?", "-Male?", "yes", "a, b", "plain"]
    set_params(file, {"train.widths": texts, "train.name": "no"})
    assert yaml.safe_load(file.read_text())["train"]["widths"] == texts
    assert yaml.safe_load(file.read_text())["train"]["name"] == "no"
    file.write_text(SMALL)
    names = ["Smiling?", "-Male?", "a, b", "plain"]
    apply_overrides(tmp_path / "params.yaml", [f"train.widths={written(names)}"])
    assert yaml.safe_load(file.read_text())["train"]["widths"] == names


BLOCKS = """# the whole file
rows:            # what they are
  # of the first
  - [x, y]       # its end
  - name: z

# about next
next: 2          # behind it
group:
  last:
  - p            # nothing

  - q
  # behind the group
"""


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        (
            {"rows": [["k"]]},
            "rows:            # what they are\n  # of the first\n  - [x, y]       # its end\n  - name: z\n",
            "rows: [[k]]      # what they are\n",
        ),
        (
            {"rows": [{"name": "a long name", "side": -1}]},
            "rows:            # what they are\n  # of the first\n  - [x, y]       # its end\n  - name: z\n",
            "rows: [{name: a long name, side: -1}] # what they are\n",
        ),
        (
            {"group.last": []},
            "  last:\n  - p            # nothing\n\n  - q\n",
            "  last: []\n",
        ),
        ({"next": None}, "next: 2          #", "next: null       #"),
    ],
)
def test_a_list_of_several_lines_takes_nothing_else_with_it(changes, old, new, tmp_path):
    """The comment of its key and what stands behind it stay."""
    file = tmp_path / "params.yaml"
    file.write_text(BLOCKS)
    set_params(file, changes)
    assert BLOCKS.count(old) == 1 and file.read_text() == BLOCKS.replace(old, new)


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x\n", "b: &x [1]\na: *x\n"])
def test_a_value_that_two_keys_share_is_not_changed(text, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"params.yaml: b shares its value with another key"):
        set_params(file, {"b": [2]})
    assert file.read_text() == text


def test_the_projects_own_params_are_written_as_they_are(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path / "params.yaml", {"seed": 1})
    assert (tmp_path / "params.yaml").read_text() == (ROOT / "params.yaml").read_text()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A root that holds the project's params.yaml and presets; returns its params.yaml."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(preset, "ROOT", tmp_path)
    return tmp_path / "params.yaml"


@pytest.mark.parametrize("name", preset.names())
def test_an_applied_preset_changes_its_own_keys_alone(name, project, params):
    comments = re.findall(r"#.*", project.read_text())
    assert preset.main([name]) == 0
    after = yaml.safe_load(project.read_text())
    assert after == preset.changed(params, preset.read(name).params, name)
    assert re.findall(r"#.*", project.read_text()) == comments


def test_a_key_on_the_command_line_wins(project):
    assert preset.main(["quick", "train.images=640", "score.inception="]) == 0
    after = yaml.safe_load(project.read_text())
    assert (after["train"]["images"], after["sources"]["avatars"]["count"]) == (640, 1000)


def test_applying_twice_changes_nothing(project, capsys):
    preset.main(["quick"])
    once = project.read_text()
    capsys.readouterr()
    preset.main(["quick"])
    assert project.read_text() == once and capsys.readouterr().err == "Nothing to change.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], r"^error: there is no preset 'quik', did you mean 'quick'\?; presets: "),
        (
            ["quick", "train.image=1"],
            r"train\.image is not a key of params\.yaml, did you mean 'train\.images'\?$",
        ),
        (
            ["quick", "train.images=1.5"],
            r"^error: params\.yaml: train\.images = 1\.5; input should be a valid integer",
        ),
        (["quick", "model=veo"], r"^error: params\.yaml: model = 'veo', did you mean 'vae'\?"),
        (
            ["quick", "data.source=celebs"],
            r"^error: params\.yaml: data\.source = 'celebs', did you mean 'celeba'\?",
        ),
        (["quick", "train.images"], r"^error: 'train\.images': expected KEY=VALUE"),
        (["quick", "crop.box=[1,"], r"^error: 'crop\.box=\[1,': the value is not valid YAML"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, message, project):
    before = project.read_text()
    with pytest.raises(SystemExit, match=message) as stopped:
        preset.main(arguments)
    assert "\n" not in str(stopped.value) and project.read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "about: x\nparams: {train.image: 1}\n",
            r"presets/own\.yaml: train\.image is not a key of params\.yaml, did you mean",
        ),
        ("about: x\nparms: {seed: 2}\n", r"presets/own\.yaml: (params is missing|parms is not a known key)"),
        ("about: x\nparams: {}\n", r"presets/own\.yaml: params = \{\}; "),
        ("- x\n", r"own\.yaml: expected groups of keys"),
    ],
)
def test_a_wrong_preset_is_named(text, message, tmp_path, monkeypatch, params):
    (tmp_path / "own.yaml").write_text(text)
    monkeypatch.setattr(preset, "PRESETS", tmp_path)
    with pytest.raises(ParamsError, match=message):
        preset.changed(params, preset.read("own").params, "presets/own.yaml")


def test_a_preset_builds_on_others(tmp_path, monkeypatch):
    """Nearer values win; the sentence is its own."""
    for name, text in {
        "far": "about: Far\nparams: {seed: 2, train.images: 640, crop.size: 32}\n",
        "near": "about: Near\nlike: far\nparams: {train.images: 64}\n",
        "own": "about: Own\nlike: near\nparams: {seed: 3}\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.setattr(preset, "PRESETS", tmp_path)
    found = preset.read("own")
    assert (found.about, found.params) == ("Own", {"seed": 3, "train.images": 64, "crop.size": 32})
    assert preset.read("far").params == {"seed": 2, "train.images": 640, "crop.size": 32}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("own", "other", r"^presets/own\.yaml: like: own builds on own itself$"),
        ("other", "own", r"^presets/other\.yaml: like: own builds on other itself$"),
        ("othr", "own", r"^presets/own\.yaml: like: there is no preset 'othr', did you mean 'other'\?"),
    ],
)
def test_presets_that_build_on_one_another_are_refused(first, second, message, tmp_path, monkeypatch):
    for name, below in {"own": first, "other": second}.items():
        (tmp_path / f"{name}.yaml").write_text(f"about: x\nlike: {below}\nparams: {{seed: 2}}\n")
    monkeypatch.setattr(preset, "PRESETS", tmp_path)
    with pytest.raises(ParamsError, match=message):
        preset.read("own")


def test_pictures_without_labels_get_what_suits_photographs():
    ours = preset.read("photographs").params
    for name, source in {"unlabelled": "folder", "generated": "generated"}.items():
        found = preset.read(name).params
        assert found["data.source"] == source and found["measure.enabled"] is True
        assert found == ours | {key: found[key] for key in found if key not in ours} | {"data.source": source}


@pytest.mark.parametrize("name", preset.names())
def test_an_experiment_gets_the_same_values(name, project, params):
    """Read by DVC's own parser of -S, on a copy of params.yaml."""
    changes = preset.read(name).params
    arguments = preset.command(changes)
    assert arguments[:2] == ["exp", "run"] and arguments[2::2] == ["-S"] * len(changes)
    apply_overrides(project, arguments[3::2])
    assert yaml.safe_load(project.read_text()) == preset.changed(params, changes, name)


def test_an_experiment_is_run_by_dvc_and_its_exit_code_is_ours(project, monkeypatch):
    started = []

    def run(command, **options):
        started.append((command, options["cwd"]))
        return subprocess.CompletedProcess(command, 255)

    monkeypatch.setattr(preset.subprocess, "run", run)
    before = project.read_text()
    assert preset.main(["--exp", "facemorph", "train.images=64"]) == 255
    ((command, place),) = started
    assert command[:5] == [sys.executable, "-m", "dvc", "exp", "run"] and place == project.parent
    assert (
        "train.images=64" in command
        and "train.images=4000000" not in command
        and "model=msssim_vae" in command
    )
    assert project.read_text() == before


def test_the_list_has_a_sentence_for_each(capsys):
    assert preset.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == preset.names()
    assert all(
        line.endswith(preset.read(name).about) for line, name in zip(lines, preset.names(), strict=True)
    )


def test_every_published_system_has_a_preset():
    page = (ROOT / "docs/published.md").read_text(encoding="utf-8")
    published = {name for name in preset.names() if preset.read(name).about.startswith("Published: ")}
    assert set(re.findall(r"ops\.preset (\w+)", page)) == published
