"""A person forgotten where codes and directions are: rows, moments, directions and figures are those of data
without the person.
"""

import json
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from faces.core.params import FILE
from faces.data.annotations import LANDMARKS
from faces.latents.moments import Moments
from ops.forget import __main__ as forget
from ops.forget import membership
from ops.forget.journal import Journal
from ops.forget.sums import CLOSED
from stages import vectors
from tests.conftest import ROOT
from tests.helpers import measures, standin
from tests.helpers.projects import ENVIRONMENT

SPLITS = {"train": 120, "valid": 48, "test": 72}
PERSON = 3  # faces 36 to 47, all of the train split
EACH = 12  # faces of a person
CODES = 80  # components of 120 faces: the model knows them by heart
DEADLY = ((os, "replace"), (os, "unlink"), (shutil, "rmtree"), (Journal, "record"))


def settings(params):
    """The project's, for directions from few faces."""
    few = {"min_faces": 4, "bootstrap": 0, "halvings": 0, "components": 0}
    balanced = params["vectors"]["balanced"] | {"min_faces": 2}
    return {**params, "vectors": params["vectors"] | few | {"balanced": balanced}}


@pytest.fixture
def project(tmp_path, params, monkeypatch):
    """A repository with crops of twenty people, their codes and directions, and an export that knows the
    train faces too well.
    """
    place = tmp_path / "project"
    data = place / "data"
    (data / "crops").mkdir(parents=True)
    (data / "latents").mkdir()
    count = sum(SPLITS.values())
    images, truth = standin.faces(count, 1)
    table = pd.DataFrame(
        {"name": [f"{i:03}.png" for i in range(count)], "identity": np.arange(count) // EACH}
    )
    table.insert(1, "split", np.repeat(list(SPLITS), list(SPLITS.values())))
    table[list(LANDMARKS)] = np.nan
    table[list(standin.ATTRIBUTES)] = np.where(truth, 1, -1)
    table.to_csv(data / "crops/table.csv", index=False)
    np.save(data / "crops/images.npy", images)
    geometry = {"box": "square", "size": 64, "filter": "lanczos"}
    (data / "crops/geometry.json").write_text(json.dumps(geometry))
    train = np.flatnonzero(table["split"] == "train")
    standin.write_export(data / "export", images[train], truth[train], standin.ATTRIBUTES, CODES, 1)
    flat = images.reshape(count, -1) - images[train].reshape(len(train), -1).mean(0)
    axes = np.linalg.svd(flat[train], full_matrices=False)[2][:CODES]
    codes = (flat @ axes.T).astype(np.float32)
    np.save(data / "latents/latents.npy", codes)
    np.savez(data / "latents/moments.npz", **Moments.of(codes, train).arrays())
    (place / FILE).write_text(yaml.safe_dump(settings(params)), encoding="utf-8")
    shutil.copy(ROOT / "ops/retrain/retrain.yaml", tmp_path / "retrain.yaml")
    monkeypatch.chdir(place)
    directions(data, data / "vectors")
    for command in (["init", "-q"], ["add", FILE], ["commit", "-qm", "a project"]):
        subprocess.run(["git", *command], cwd=place, env=ENVIRONMENT, check=True)
    return place


def directions(data, out):
    vectors.main(
        data / "crops", data / "latents", data / "crops/table.csv", measures.none(data / "measures"), out
    )
    with np.load(out / "vectors.npz") as file:
        return dict(file)


def call(project, *arguments):
    config = str(project.with_name("retrain.yaml"))
    return forget.main([*arguments, "--project", str(project), "--config", config])


def test_a_person_is_forgotten(project, tmp_path):
    data = project / "data"
    before = pd.read_csv(data / "crops/table.csv")
    codes = np.load(data / "latents/latents.npy")
    with np.load(data / "vectors/vectors.npz") as file:
        old = dict(file)
    assert call(project, "--identity", str(PERSON)) == 0

    kept = before["identity"] != PERSON
    assert kept.sum() == len(before) - EACH
    after = pd.read_csv(data / "crops/table.csv")
    assert list(after["name"]) == list(before["name"][kept]) and PERSON not in set(after["identity"])
    np.testing.assert_array_equal(np.load(data / "latents/latents.npy"), codes[kept])
    truth = Moments.of(codes, np.flatnonzero(kept & (before["split"] == "train"))).arrays()
    with np.load(data / "latents/moments.npz") as file:
        for name, value in truth.items():
            np.testing.assert_allclose(file[name], value, rtol=1e-10, atol=1e-10 * np.abs(value).max())

    with np.load(data / "vectors/vectors.npz") as file:
        new = dict(file)
    anew = directions(data, tmp_path / "anew")
    for number, name in enumerate(new["estimators"]):
        if name in CLOSED:
            scale = np.nanmax(np.abs(anew["vectors"][number]))
            np.testing.assert_allclose(
                new["vectors"][number], anew["vectors"][number], rtol=0, atol=1e-5 * scale
            )
            assert np.nanmax(np.abs(new["vectors"][number] - old["vectors"][number])) > 1e-3 * scale
        else:
            np.testing.assert_array_equal(new["vectors"][number], old["vectors"][number])
    assert new.keys() == old.keys()


def test_the_certificate_has_the_figures(project):
    assert call(project, "--identity", str(PERSON)) == 0
    (found,) = (project / ".retrain/certificates").glob("*.json")
    told = json.loads(found.read_text(encoding="utf-8"))
    assert len(told["faces"]) == EACH
    assert set(told["directions"]) == set(CLOSED)
    assert all(one["differs"] < 1e-10 < one["moved"] for one in told["directions"].values())
    attacks = told["membership"]
    for name in ("loss threshold, before", "shadow, before", "shadow, after"):
        assert attacks[name]["members"] == EACH and attacks[name]["strangers"] == SPLITS["test"]
        assert attacks[name]["low"] <= attacks[name]["auroc"] <= attacks[name]["high"]
    assert attacks["loss threshold, before"]["low"] > 0.5
    assert attacks["shadow, before"]["low"] > 0.5
    assert attacks["shadow, after"]["auroc"] < attacks["shadow, before"]["auroc"]
    page = found.with_suffix(".html").read_text(encoding="utf-8")
    row = attacks["shadow, after"]
    assert f"<td>shadow, after</td><td>{row['auroc']}</td><td>{row['low']} to {row['high']}</td>" in page


def attacked(pictures, capsys):
    """Both attacks on a folder of pictures, by command."""
    capsys.readouterr()
    assert membership.main(["--pictures", str(pictures)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_model_without_them_betrays_them_no_more(project, tmp_path, capsys):
    """The loss threshold on the person's own pictures, before and after another model is trained."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    table = pd.read_csv(project / "data/crops/table.csv")
    images = np.load(project / "data/crops/images.npy")
    for row in np.flatnonzero(table["identity"] == PERSON):
        Image.fromarray(images[row]).save(pictures / table["name"][row])
    before = attacked(pictures, capsys)
    assert before["loss"]["members"] == EACH and before["loss"]["low"] > 0.5
    assert call(project, "--identity", str(PERSON)) == 0
    rows = np.flatnonzero((table["split"] == "train") & (table["identity"] != PERSON))
    truth = table[list(standin.ATTRIBUTES)].to_numpy() == 1
    shutil.rmtree(project / "data/export")
    standin.write_export(project / "data/export", images[rows], truth[rows], standin.ATTRIBUTES, CODES, 1)
    after = attacked(pictures, capsys)
    assert after["loss"]["low"] < 0.5 < after["loss"]["high"]
    assert membership.main(["--pictures", str(tmp_path / "project")]) == 2
    assert "no picture is there" in capsys.readouterr().err


def test_a_person_whom_no_table_knows(project, capsys):
    before = {path: path.read_bytes() for path in sorted(project.rglob("*")) if path.is_file()}
    assert call(project, "--identity", "999") == 2
    assert "--identity 999: no picture of that person" in capsys.readouterr().err
    assert call(project, "--identity", "-1") == 2
    after = {path: path.read_bytes() for path in sorted(project.rglob("*")) if path.is_file()}
    assert {path for path in after if path not in before} <= {project / ".retrain/lock"}
    assert all(after[path] == content for path, content in before.items())


def forget_and_die(project, at, *arguments):
    """In a child process: the command, which ends as if by SIGKILL before its effect number `at`. Returns its
    exit code.
    """
    child = os.fork()
    if child == 0:
        effects = 0

        def mortal(function):
            def called(*arguments, **options):
                nonlocal effects
                effects += 1
                if effects == at:
                    os._exit(9)
                return function(*arguments, **options)

            return called

        for owner, name in DEADLY:
            setattr(owner, name, mortal(getattr(owner, name)))
        os._exit(call(project, *arguments))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def held(project):
    """Content of data/ by path."""
    paths = [path for path in sorted((project / "data").rglob("*")) if path.is_file()]
    return {str(path.relative_to(project)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_killed_anywhere_codes_and_directions_end_the_same(project, tmp_path):
    """Dying before every fourth effect in turn, the next call ends where an undisturbed one does."""
    straight = tmp_path / "straight"
    shutil.copytree(project, straight / "project")
    shutil.copy(tmp_path / "retrain.yaml", straight)
    assert call(straight / "project", "--identity", str(PERSON)) == 0
    at = 1
    code = 9
    while code:
        at += 4
        place = tmp_path / f"killed{at}"
        shutil.copytree(project, place / "project")
        shutil.copy(tmp_path / "retrain.yaml", place)
        code = forget_and_die(place / "project", at, "--identity", str(PERSON))
        if code:
            assert code == 9
            done = list(place.glob("project/.retrain/certificates/*.html"))
            unfinished = list(place.glob("project/.retrain/forget/[!.]*/plan.json"))
            again = [] if done and not unfinished else ["--identity", str(PERSON)]
            assert call(place / "project", *again) == 0
        assert held(place / "project") == held(straight / "project"), f"killed before effect {at}"
        assert not list((place / "project/.retrain/forget").glob("*"))
        assert len(list((place / "project/.retrain/certificates").glob("*.json"))) == 1
        shutil.rmtree(place)
    assert at > 15
