"""The export being served: how it is exchanged for the next, what is said of it, and its quality."""

import json
import shutil

import pytest

from facemorph.export import BadExport, Export
from tests.helpers import exports
from web.shelf import Shelf


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
    """What the pointer and the status beside it say; nothing of it is needed, and nonsense does no harm."""
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
