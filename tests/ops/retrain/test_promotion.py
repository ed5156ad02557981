"""What a release holds: all that a model is scored, edited and served with."""

import pytest

from ops.retrain import promotion
from ops.retrain.ledger import Ledger

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
