"""What lies outside of the project: any change there is seen, and nothing else is."""

import copy
import json
import os
import subprocess
import sys

import pytest
import yaml

from faces import sources
from faces.ingest import fingerprints
from stages import download, inputs
from tests.conftest import ROOT


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (folder / "labels.csv").write_text("name,Hat\na.jpg,1\n")
    (folder / "a.jpg").write_bytes(b"1")
    (folder / "deep/b.jpg").write_bytes(b"2")
    return folder


def touched(path):
    """As if it had been written again a second later."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))


def same_time(path, content):
    """Other content, of the same length and time: what a careless copy leaves."""
    found = path.stat()
    path.write_text(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda place: (place / "c.jpg").write_bytes(b"3"),
        lambda place: (place / "deep/b.jpg").unlink(),
        lambda place: (place / "deep/b.jpg").rename(place / "deep/c.jpg"),
        lambda place: (place / "a.jpg").write_bytes(b"longer"),
        lambda place: touched(place / "a.jpg"),
        lambda place: same_time(place / "labels.csv", "name,Hat\na.jpg,0\n"),
    ],
)
def test_every_change_is_seen(place, change):
    before = fingerprints.of(place)
    assert before == fingerprints.of(place) and before["files"] == 3
    change(place)
    assert fingerprints.of(place) != before


def test_hidden_files_and_loops_do_not_matter(place):
    before = fingerprints.of(place)
    (place / ".DS_Store").write_bytes(b"x")
    os.symlink(place, place / "deep/loop")
    assert fingerprints.of(place) == before


def test_an_archive_and_nothing_at_all(place, tmp_path):
    assert fingerprints.of(tmp_path / "gone")["files"] == 0
    before = fingerprints.of(place / "a.jpg")
    touched(place / "a.jpg")
    assert before["files"] == 1 and fingerprints.of(place / "a.jpg") != before


@pytest.mark.parametrize("source", ["folder", "celeba", "utkface"])
def test_the_stage_looks_where_the_source_reads(place, tmp_path, monkeypatch, params, source):
    monkeypatch.chdir(tmp_path)
    params = copy.deepcopy(params)
    params["sources"][source]["path"] = str(place)
    for wanted in ("avatars", source):
        params["data"]["source"] = wanted
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        inputs.main(tmp_path / f"{wanted}.json")
    assert json.loads((tmp_path / "avatars.json").read_text()) == {"inputs": [], "source": "avatars"}
    found = json.loads((tmp_path / f"{source}.json").read_text())
    assert found["inputs"] == [fingerprints.of(place)]


@pytest.mark.parametrize("group", [None, 3, {"path": 3}, {"path": ""}, {}])
def test_a_wrong_path_is_left_to_the_check(group):
    assert sources.paths("folder", {"folder": group}) == ()


def test_neither_a_source_nor_pandas_is_loaded(place, tmp_path, params):
    """They would be a third of a second of every `dvc repro`."""
    params = copy.deepcopy(params)
    params["data"]["source"] = "folder"
    params["sources"]["folder"]["path"] = str(place)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    code = (
        "import sys; from pathlib import Path; from stages import inputs; inputs.main(Path('inputs.json'));"
        "assert not {'pandas', 'faces.sources.folder'} & {*sys.modules}"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True
    )
    assert json.loads((tmp_path / "inputs.json").read_text())["inputs"] == [fingerprints.of(place)]


def test_what_was_assumed_and_what_is_missing_is_said():
    about = {
        "counts": {"images": 20},
        "assumed": ["columns are separated by tabs"],
        "rows_without_image": 3,
        "images_without_row": 2,
    }
    assert download.remarks(about) == [
        "columns are separated by tabs",
        "3 of 20 rows name a picture that is not there; they are left out",
        "2 pictures have no row and are left out",
    ]
    assert download.remarks({"counts": {"images": 20}}) == []
