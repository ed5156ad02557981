"""Objects of a DVC cache or remote: those that hold a face go, with the lists that name them."""

import hashlib
import json

import pytest
from dvc.fs import LocalFileSystem

from ops.forget import scrub, store
from ops.forget.journal import Journal
from ops.forget.remotes import Elsewhere, RemoteError

FACE = b"\0bytes of a face"


def put(folder, content, suffix=""):
    """An object as DVC stores it; its MD5."""
    md5 = hashlib.md5(content).hexdigest() + suffix
    path = store.path_of(folder, md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_list_goes_with_its_file(tmp_path, cut_off):
    """Also where an earlier call was killed between the two."""
    journal = Journal(tmp_path / "forget", tmp_path)
    (journal.folder / "needles").mkdir(parents=True)
    (journal.folder / "needles/00000.bin").write_bytes(FACE)
    (journal.folder / "plan.json").write_text(json.dumps({"names": ["a1.png"]}))
    cache = tmp_path / "cache"
    face = put(cache, b"\0" + FACE)
    other = put(cache, b"\0another")
    drawn = put(cache, b"\0a sheet")
    both, sheet, kept, named = (
        put(cache, json.dumps([{"md5": md5, "relpath": name} for md5, name in rows]).encode(), ".dir")
        for rows in (
            [(face, "images.npy"), (other, "geometry.json")],
            [(drawn, "sheet.png")],
            [(other, "geometry.json")],
            [(other, "a1.png")],
        )
    )
    if cut_off:
        scrub.remove(journal, store.path_of(cache, face), "picture")
    store.clean(journal, store.objects_here(cache), {drawn})
    left = {
        md5 for md5 in (face, other, drawn, both, sheet, kept, named) if store.path_of(cache, md5).exists()
    }
    assert left == {other, kept}
    whats = {
        one["where"].replace("cache/files/md5/", "").replace("/", ""): one["what"]
        for one in journal.removed()
    }
    assert whats == {
        face: "picture",
        drawn: "drawn from faces",
        **dict.fromkeys((both, sheet, named), "the list of a folder's files"),
    }


def test_a_remote_may_be_left_out_after_the_plan_was_made(tmp_path):
    """Where it is lost for good, the forgetting ends all the same."""
    (tmp_path / "plan.json").write_text(json.dumps({"names": ["a1.png"]}))
    Journal(tmp_path, tmp_path).leave(["cloud"])
    Journal(tmp_path, tmp_path).leave(["backup", "cloud"])
    journal = Journal(tmp_path, tmp_path)
    assert journal.untouched == {"backup", "cloud"} and journal.names == {"a1.png"}


def test_a_remote_elsewhere_to_which_nothing_was_pushed(tmp_path):
    remote = Elsewhere("far", "far://away", LocalFileSystem(), str(tmp_path / "far"))
    assert remote.objects() == []
    put(tmp_path / "far", FACE)
    (place,) = remote.objects()
    remote.fetch([place], tmp_path / "here")
    assert (tmp_path / "here" / place).read_bytes() == FACE
    remote.remove(place)
    with pytest.raises(RemoteError, match=r"DVC remote far \(far://away\)"):
        remote.fetch([place], tmp_path / "here")
