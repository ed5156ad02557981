"""The folder for the hub: complete, consistent, honest about the licence; and nothing leaves without a word
and a token.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from ops import publish
from ops.publish import Refused
from tests.conftest import ROOT

COMMIT = "0" * 40
CARD = """---
license: other
license_name: see-training-data
tags:
- vae
datasets:
- avatars
---

# vae

## How to use

model, geometry = checkpoints.load(Path("data/model"))
directions = Directions.open(Path("data/vectors"), "partial")

`data/export` holds the same as ONNX files, for use without torch.
"""
BUNDLE = {
    "model": {"name": "vae", "size": 64, "code_length": 16},
    "attributes": [{"name": "Smiling"}, {"name": "Male"}],
}
FREE = {"source": "avatars", "description": "Drawn faces", "licence": "CC0", "redistributable": True}
BOUND = {"source": "celeba", "licence": "non-commercial research only"}


@pytest.fixture
def root(tmp_path) -> Path:
    """A finished run, its large files a few bytes each."""
    place = tmp_path / "project"
    for name, (folder, _) in publish.FILES.items():
        (place / folder).mkdir(parents=True, exist_ok=True)
        (place / folder / name).write_text(f"the bytes of {name}")
    (place / "data/raw").mkdir()
    (place / "data/raw/source.json").write_text(json.dumps(FREE))
    (place / "data/export/bundle.json").write_text(json.dumps(BUNDLE))
    (place / "params.yaml").write_text("vectors: {primary: partial}\n")
    (place / "reports/model_card.md").write_text(CARD)
    (place / "dvc.lock").write_text("stages: {}\n")
    return place


@pytest.fixture
def hub(monkeypatch) -> list[tuple]:
    """What a stand-in for the hub's client was asked to do."""
    asked: list[tuple] = []

    class HfApi:
        def __init__(self, token):
            asked.append(("token", token))

        def create_repo(self, repo_id, *, private, exist_ok):
            asked.append(("create", repo_id, private, exist_ok))

        def upload_folder(self, *, repo_id, folder_path, commit_message, delete_patterns):
            asked.append(("upload", repo_id, folder_path, commit_message, delete_patterns))
            return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    module = ModuleType("huggingface_hub")
    module.HfApi = HfApi
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setattr(publish, "provenance", lambda root: COMMIT)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return asked


def test_the_folder_is_whole_and_its_sums_are_right(root, tmp_path):
    out = tmp_path / "hub"
    publish.prepare(root, out, COMMIT)
    assert {path.name for path in out.iterdir()} == {
        *publish.FILES,
        "README.md",
        "DATA_LICENCE.md",
        "config.json",
        "SHA256SUMS",
    }
    sums = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert json.loads((out / "config.json").read_text()) == {
        "model_type": "facemorph-vae",
        "image_size": 64,
        "code_length": 16,
        "attributes": ["Smiling", "Male"],
        "estimator": "partial",
        "commit": COMMIT,
        "dvc_lock_sha256": hashlib.sha256(b"stages: {}\n").hexdigest(),
    }


def test_the_card_fits_the_folder(root, tmp_path):
    text = publish.card(CARD, publish.FILES)
    head = yaml.safe_load(text.split("---\n")[1])
    assert head == {
        "license": "other",
        "license_name": "see-training-data",
        "tags": ["vae", "onnx"],
        "license_link": "DATA_LICENCE.md",
    }
    assert 'checkpoints.load(Path("."))' in text and 'Directions.open(Path("."), "partial")' in text
    assert "data/" not in text
    assert all(f"| `{name}` |" in text for name in publish.FILES)


def test_the_template_of_the_card_says_what_the_folder_replaces():
    template = (ROOT / "faces/report/model_card.md").read_text(encoding="utf-8")
    assert all(ours in template for ours in publish.PLACES)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [(FREE, "They may be passed on."), (BOUND, "Nothing says that they may be passed on")],
)
def test_the_licence_of_the_faces_goes_along(source, sentence):
    text = publish.licence(source)
    assert source["licence"] in text and sentence in text


def test_an_earlier_folder_is_replaced_and_any_other_is_left_alone(root, tmp_path):
    out = tmp_path / "hub"
    publish.prepare(root, out, COMMIT)
    (out / "stale").touch()
    publish.prepare(root, out, COMMIT)
    assert not (out / "stale").exists()
    with pytest.raises(Refused, match="exists and was not written by this command"):
        publish.prepare(root, root / "data", COMMIT)
    assert (root / "data/model/model.safetensors").is_file()


def test_what_is_missing_is_named_before_anything_is_written(root, tmp_path):
    (root / "data/export/decoder.onnx").unlink()
    with pytest.raises(Refused, match=r"^data/export/decoder.onnx is missing; dvc repro"):
        publish.prepare(root, tmp_path / "hub", COMMIT)
    assert not (tmp_path / "hub").exists()


def test_outputs_that_do_not_fit_the_params_are_refused(root, monkeypatch):
    monkeypatch.setattr(
        publish.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1)
    )
    with pytest.raises(Refused, match="dvc repro"):
        publish.provenance(root)


def test_nothing_is_sent_unless_asked(root, tmp_path, hub, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("HF_TOKEN", "a token")
    assert publish.main([str(tmp_path / "hub")]) == 0
    assert hub == []


def test_it_is_sent_with_a_word_and_a_token(root, tmp_path, hub, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setenv("HF_TOKEN", "a token")
    assert publish.main([str(tmp_path / "hub"), "--push", "me/faces", "--private"]) == 0
    assert hub == [
        ("token", "a token"),
        ("create", "me/faces", True, True),
        ("upload", "me/faces", tmp_path / "hub", "facemorph 0000000000", "*"),
    ]
    assert capsys.readouterr().out.endswith("https://hub/me/faces/commit/1\n")


@pytest.mark.parametrize(
    ("source", "commit", "token", "words"),
    [
        (FREE, COMMIT, None, "HF_TOKEN"),
        (FREE, f"{COMMIT}-dirty", "a token", "git commit first"),
        (BOUND, COMMIT, "a token", "'non-commercial research only'. If it lets"),
        (FREE | {"redistributable": None}, COMMIT, "a token", "--licence-allows-it"),
    ],
)
def test_what_speaks_against_sending(source, commit, token, words):
    with pytest.raises(Refused, match=words):
        publish.may_push(source, commit, token, allowed=False)


def test_a_person_may_answer_for_the_licence():
    assert publish.may_push(BOUND, COMMIT, "a token", allowed=True) == "a token"


def test_without_a_token_main_fails_after_the_folder_is_there(root, tmp_path, hub, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert publish.main([str(tmp_path / "hub"), "--push", "me/faces"]) == 1
    assert (tmp_path / "hub/README.md").is_file()
    assert capsys.readouterr().err.startswith("error: --push needs a token")
    assert hub == []
