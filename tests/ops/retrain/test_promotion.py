"""What a release holds: all that a model is scored, edited and served with; what a rollback brings back."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import stages.flow
from facemorph.export import Export, levels
from ops.retrain import promotion, repository
from ops.retrain.ledger import Ledger, now
from ops.retrain.lock import exclusive
from ops.retrain.repository import Repository
from ops.retrain.rollback import roll_back
from ops.retrain.settings import load
from tests.helpers import exports
from web.shelf import Shelf

FILES = {
    "data/model/model.safetensors": b"weights",
    "data/vectors/vectors.npz": b"directions",
    "data/export/bundle.json": b"{}",
    "data/export/velocity.onnx": b"the flow, for the website",
    "reports/quality.json": b"{}",
}
FLOW = {"data/flow/flow.safetensors": b"the flow", "data/flow/flow.json": b"{}"}


@pytest.mark.parametrize("flow", [FLOW, {}])
def test_a_release_has_the_flow_where_the_challenger_has_one(tmp_path, flow):
    clone = tmp_path / "clone"
    for name, content in (FILES | flow).items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes(content)
    ledger = Ledger(tmp_path / "home")
    promotion.copy_release(ledger, clone, "v0.0.1", {"exam": "e1"})
    release = ledger.release("v0.0.1")
    found = {
        path.relative_to(release).as_posix(): path.read_bytes()
        for path in release.rglob("*")
        if path.is_file() and path.name != "release.json"
    }
    expected = {name.removeprefix("data/"): content for name, content in (FILES | flow).items()}
    expected["export/quality.json"] = expected.pop("reports/quality.json")
    assert found == expected


def test_a_release_without_its_model_is_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        promotion.copy_release(Ledger(tmp_path / "home"), tmp_path, "v0.0.1", {})
    assert Ledger(tmp_path / "home").versions() == []


def another_flow(root: Path) -> Path:
    """The same model in `root`, with a flow of another seed."""
    shutil.copytree(exports.shared(), root)
    (root / "params.yaml").write_text(yaml.safe_dump(exports.PARAMS | {"seed": 2}), encoding="utf-8")
    shutil.rmtree(root / "data/flow")
    with exports.inside(root):
        stages.flow.main(
            *map(Path, ("data/crops", "data/model", "data/latents", "data/measures", "data/flow"))
        )
    exports.export(root)
    return root


def edits(export: Export, code: np.ndarray) -> list[bytes]:
    """The pixels of every attribute's edit of one face."""
    return [
        levels(export.decode(export.edit(code, {name: value})[None])).tobytes()
        for name in exports.ATTRIBUTES
        for value in (-1.0, 1.0)
    ]


def test_a_rollback_serves_the_old_flow(tmp_path):
    """Two releases of one model that differ in the flow alone: edits are the old ones again, to the byte."""
    ledger = Ledger(tmp_path / "home")
    roots = {"v0.0.1": exports.shared(), "v0.0.2": another_flow(tmp_path / "second")}
    for version, root in roots.items():
        promotion.copy_release(ledger, root, version, {"exam": "e1", "editor": "flow"})
    with exclusive(ledger.lock, 0.0) as lock:
        project = Repository(tmp_path / "project", lock, ("job", "job@example.com"))
        project.folder.mkdir()
        project.git("init", "-q")
        commit = project.git("commit-tree", "-m", "a project", project.git("mktree"))
        for version in roots:
            repository.register(project, load().model, version, commit)
        ledger.point("v0.0.1", now())
        shelf = Shelf(ledger.pointer)
        code = shelf.current.sample(7)
        before = edits(shelf.current, code)
        ledger.point("v0.0.2", now())
        assert shelf.refresh()
        np.testing.assert_array_equal(shelf.current.decode(code[None]), shelf.previous.decode(code[None]))
        assert not set(edits(shelf.current, code)) & set(before), "the flows do the same: nothing is tested"
        assert roll_back("v0.0.1", load(), ledger, project) == "v0.0.1 serves again, was v0.0.2"
    assert shelf.refresh() and ledger.champion()["editor"] == "flow"
    assert edits(shelf.current, code) == before
    assert {
        version: (ledger.release(version) / "flow/flow.safetensors").read_bytes() for version in roots
    } == {version: (root / "data/flow/flow.safetensors").read_bytes() for version, root in roots.items()}
