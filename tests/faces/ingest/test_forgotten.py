"""The list of what is forgotten: download leaves it out, and without a list nothing changes."""

import copy
import json
import zipfile

import pytest
import yaml

from faces.data.annotations import read_labels
from faces.ingest import forgotten
from faces.ingest.forgotten import Forgotten
from stages import download, inputs

SALT = "00" * 16


@pytest.fixture
def place(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "labels.csv").write_text("name,Hat\na.jpg,1\nb.jpg,0\nc.jpg,1\nd.jpg,0\n")
    for name in "abcd":
        (folder / f"{name}.jpg").write_bytes(f"picture {name}".encode())
    params = copy.deepcopy(params)
    params["data"]["source"] = "folder"
    params["sources"]["folder"]["path"] = str(folder)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def test_they_do_not_come_back(place):
    inputs.main(place / "inputs.json")
    assert "forgotten" not in json.loads((place / "inputs.json").read_text())
    download.main(place / "checked.json", place / "inputs.json", place / "before")
    empty = Forgotten(SALT, frozenset(), frozenset())
    assert empty.hash(b"") == "374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb"
    listed = Forgotten(SALT, frozenset({empty.hash(b"a.jpg")}), frozenset({empty.hash(b"picture c")}))
    (place / forgotten.FILE).write_text(json.dumps(listed.values()))
    inputs.main(place / "inputs.json")
    download.main(place / "checked.json", place / "inputs.json", place / "after")
    with zipfile.ZipFile(place / "after/images.zip") as archive:
        assert archive.namelist() == ["b.jpg", "d.jpg"]
    assert read_labels(place / "after/labels.parquet")["name"].tolist() == ["b.jpg", "d.jpg"]
    assert json.loads((place / "after/source.json").read_text())["counts"]["images"] == 2
    assert b"picture a" not in b"".join(path.read_bytes() for path in (place / "after").iterdir())


def test_a_list_without_them_changes_no_byte(place):
    inputs.main(place / "inputs.json")
    download.main(place / "checked.json", place / "inputs.json", place / "before")
    other = Forgotten(SALT, frozenset({"0" * 64}), frozenset())
    download.run(download.load(download.Params), place / "after", other)
    for path in (place / "before").iterdir():
        assert path.read_bytes() == (place / "after" / path.name).read_bytes()
