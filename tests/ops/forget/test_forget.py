"""Faces forgotten in a miniature of the project: no byte of them is left, wherever the command is killed."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile

import fsspec
import numpy as np
import pandas as pd
import pytest
import yaml

from facemorph.export import Export
from faces.ingest import forgotten
from ops.forget import __main__ as forget
from ops.forget.journal import Journal
from ops.forget.remotes import Elsewhere, RemoteError
from ops.retrain import status
from ops.retrain.ledger import Ledger, read_json
from tests.helpers.bucket import bucket
from tests.helpers.contents import content_of
from tests.helpers.projects import ENVIRONMENT, Inbox, Project

NAMES = ("a003.png", "a004.png")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project with a champion, its data in the working copy too, DVC's cache, and a remote."""
    place = tmp_path_factory.mktemp("forget")
    inbox = Inbox(place / "inbox")
    inbox.add(60, 1, "a")
    project = Project(place / "project", dvc=True, **{"source.folder": str(inbox.place)})
    add = ["dvc", "remote", "add", "-d", "store", str(place / "remote")]
    subprocess.run(add, cwd=project.place, env=ENVIRONMENT, check=True, capture_output=True)
    project.commit("a remote")
    code, said = project.run()
    assert code == 0, said
    work = project.ledger.work
    archive = next(work.glob("snapshots/*.zip"))
    raw = project.place / "data/raw"
    shutil.copytree(work / "data/crops", project.place / "data/crops")
    shutil.copytree(work / "data/export", project.place / "data/export")
    raw.mkdir()
    shutil.copy(archive, raw / "images.zip")
    for place_of in (project.place / ".dvc/cache", place / "remote"):
        target = place_of / "files/md5/ab"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(archive, target / "cdef0123456789")
        shutil.copy(work / "data/crops/table.parquet", target / "0123456789abcd")
        (target / "innocent").write_bytes(b"\0nothing of theirs")
    return project


@pytest.fixture
def here(whole, tmp_path):
    """A copy of it, which may be spoilt."""
    project = whole
    shutil.copytree(project.place.parent, tmp_path / "copy", symlinks=True)
    config = tmp_path / "copy/project.yaml"
    values = yaml.safe_load(config.read_text())
    values["source"]["folder"] = str(tmp_path / "copy/inbox")
    config.write_text(yaml.safe_dump(values))
    local = tmp_path / "copy/project/.dvc/config"
    local.write_text(local.read_text().replace(str(project.place.parent), str(tmp_path / "copy")))
    return tmp_path / "copy"


def call(here, *arguments):
    return forget.main(
        [*arguments, "--project", str(here / "project"), "--config", str(here / "project.yaml")]
    )


def holders(here, needles):
    """Files of the project, its cache and its remote that hold one of `needles`."""
    return sorted(
        str(path.relative_to(here))
        for part in ("project", "remote")
        for path in (here / part).rglob("*")
        if path.is_file() and any(needle in content_of(path) for needle in needles)
    )


def theirs(here):
    """Their pictures, their crops, and their names."""
    pictures = [(here / "inbox" / name).read_bytes() for name in NAMES]
    images = np.load(here / "project/data/crops/images.npy")
    return [*pictures, *(images[row].tobytes() for row in (3, 4)), *(name.encode() for name in NAMES)]


def certificate(here):
    (found,) = (here / "project/.retrain/certificates").glob("*.json")
    return json.loads(found.read_text())


def state(here):
    """What the project, cache and remote hold, by path; times and random names left out."""
    left_out = ("/.git/", "/certificates/", "/.dvc/tmp/")
    return {
        str(path.relative_to(here)): path.read_bytes()
        for part in ("project", "remote")
        for path in sorted((here / part).rglob("*"))
        if path.is_file()
        and not any(part in str(path) for part in left_out)
        and path.name not in ("lock", "forgotten.json")
    }


def test_no_byte_of_theirs_is_left(here, capsys):
    needles = theirs(here)
    before = holders(here, needles)
    assert any("remote" in path for path in before) and any(".dvc/cache" in path for path in before)
    start = json.loads((here / "project/.retrain/champion.json").read_text())
    assert call(here, *NAMES) == 0
    assert holders(here, needles) == []
    assert not list((here / "project/.retrain/forget").glob("*"))
    told = certificate(here)
    assert len(told["faces"]) == 2 and all(len(face["contents"]) == 1 for face in told["faces"])
    removed = {one["where"] for one in told["removed"]}
    assert any(where.startswith(".dvc/cache") for where in removed)
    assert str(here / "remote/files/md5/ab/cdef0123456789") in removed
    assert (here / "remote/files/md5/ab/innocent").is_file()
    assert [one["where"] for one in told["left"]] == [str(here / "inbox"), "Git history", "elsewhere"]
    assert all((here / "inbox" / name).is_file() for name in NAMES), "the user's own are the user's"
    assert told["models"]["seen"] == ["release v0.0.1"] and told["models"]["champion"] == "v0.0.1"
    assert len(np.load(here / "project/data/crops/images.npy")) == 58
    assert len(pd.read_parquet(here / "project/data/crops/table.parquet")) == 58
    with zipfile.ZipFile(here / "project/data/raw/images.zip") as archive:
        assert len(archive.namelist()) == 59 and archive.testzip() is None
    page = next((here / "project/.retrain/certificates").glob("*.html")).read_text()
    assert "Not done yet" in page and NAMES[0] not in page
    assert "v0.0.1 saw them and still serves" in capsys.readouterr().out
    pointer = json.loads((here / "project/.retrain/champion.json").read_text())
    assert Export(here / "project/.retrain" / pointer["export"]).id == pointer["id"]
    assert pointer["version"] == start["version"]
    assert call(here, "nobody.png") == 2 and "no picture of that name" in capsys.readouterr().err


def test_a_start_face_goes_and_the_export_serves_on(here):
    place = here / "project/.retrain/releases/v0.0.1/export"
    images = np.load(here / "project/data/crops/images.npy")
    table = pd.read_parquet(here / "project/data/crops/table.parquet")
    first = np.flatnonzero(table["split"] == "train")[0]
    before = Export(place)
    np.testing.assert_allclose(before.encode(images[first]), before.arrays["presets"][0], atol=1e-3)
    assert call(here, table["name"][first]) == 0
    after = Export(place)
    assert len(after.arrays["presets"]) == len(after.about["presets"]) == 0
    assert json.loads((here / "project/.retrain/champion.json").read_text())["id"] == after.id != before.id


@pytest.mark.slow
@pytest.mark.parametrize("deadly", ["record", "replace"])
def test_killed_anywhere_it_ends_the_same(here, tmp_path, deadly):
    """Killed, without a chance to tidy up, before the Nth file is written down or renamed; N grows."""
    straight = tmp_path / "straight"
    shutil.copytree(here, straight, symlinks=True)
    for name in ("project.yaml", "project/.dvc/config"):
        path = straight / name
        path.write_text(path.read_text().replace(str(here), str(straight)))
    needles = theirs(here)
    assert call(straight, *NAMES) == 0
    owner = Journal if deadly == "record" else os
    real = getattr(owner, deadly)
    kills = 0
    while True:
        process = os.fork()
        if process == 0:
            seen = 0

            def dies(*arguments, last=(6 if deadly == "record" else 1) * (kills + 1), **options):
                nonlocal seen
                seen += 1
                if seen > last:
                    os._exit(9)
                return real(*arguments, **options)

            setattr(owner, deadly, dies)
            asked = list((here / "project/.retrain/forget").glob("[!.]*/plan.json"))
            os._exit(call(here, *([] if asked else NAMES)))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code == 0:
            break
        assert code == 9
        kills += 1
        assert kills < 40
    assert kills > 5
    assert holders(here, needles) == []
    assert state(here).keys() == state(straight).keys()
    differ = [name for name, content in state(straight).items() if state(here)[name] != content]
    assert [name for name in differ if "config" not in name] == []
    gone, straight = (
        {(one["where"].replace(str(place), ""), one["before"], one["after"]) for one in told["removed"]}
        for place in (here, straight)
        if (told := certificate(place))
    )
    assert gone == straight


@pytest.mark.slow
def test_a_challenger_without_them_ends_it(here, capsys):
    arguments = ["--project", str(here / "project"), "--config", str(here / "project.yaml")]
    assert call(here, *NAMES) == 0
    assert status.main(arguments) == 1
    assert "trained on faces that are forgotten since" in capsys.readouterr().out
    assert call(here, "a007.png", "--retrain") == 0
    ledger = Ledger(here / "project/.retrain")
    assert ledger.champion()["version"] == "v0.0.2" and ledger.haunted() == []
    assert status.main(arguments) == 0
    snapshot = read_json(ledger.snapshots / f"{ledger.champion()['snapshot']}.json")
    assert len(snapshot["pictures"]) == 57 and not {*NAMES, "a007.png"} & set(snapshot["pictures"])
    assert len(forgotten.read(here / "project/forgotten.json").names) == 3


def test_originals_go_where_that_is_asked(here, capsys):
    assert call(here, *NAMES, "--originals") == 0
    assert not any((here / "inbox" / name).exists() for name in NAMES)
    assert "a003.png" not in (here / "inbox/labels.csv").read_text()
    assert (here / "inbox/a005.png").is_file()
    assert len((here / "inbox/labels.csv").read_text().splitlines()) == 59
    assert call(here, NAMES[0]) == 2 and "forgotten already" in capsys.readouterr().err


def add_remote(here, url):
    """A second remote of DVC's, called cloud."""
    with (here / "project/.dvc/config").open("a") as file:
        file.write(f"['remote \"cloud\"']\n    url = {url}\n")


def old_version(folder, here):
    """Objects of a version that this machine has no more: an archive, its folder's list, and another list."""
    archive = folder / "files/md5/0d/1234"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(NAMES[0], b"the picture in other bytes")
        file.writestr("a005.png", (here / "inbox/a005.png").read_bytes())
    listing = [{"md5": "0d1234", "relpath": "images.zip"}]
    (archive.parent / "5678.dir").write_text(json.dumps(listing))
    (archive.parent / "9abc.dir").write_text(json.dumps([{"md5": "abinnocent", "relpath": "kept"}]))


def test_faces_leave_a_bucket_too(here, tmp_path, monkeypatch, capsys):
    """Objects that this machine has as well, and those of a version that only the bucket has."""
    old_version(tmp_path / "old", here)
    needles = [*theirs(here), b"the picture in other bytes"]
    with bucket(monkeypatch) as place:
        add_remote(here, place)
        cloud = fsspec.filesystem("s3", skip_instance_cache=True)
        for source in (tmp_path / "old", here / "remote"):
            for path in (path for path in source.rglob("*") if path.is_file()):
                cloud.put_file(str(path), f"{place}/{path.relative_to(source)}")
        before = set(cloud.find(place))

        def fails(remote, which):
            raise RemoteError(f"DVC remote {remote.name}: the line is dead")

        with monkeypatch.context() as patched:
            patched.setattr(Elsewhere, "remove", fails)
            assert call(here, *NAMES) == 1
        assert "the line is dead; run it again to go on" in capsys.readouterr().err
        assert set(cloud.find(place)) == before, "nothing was lost on the way"
        assert any(".dvc/cache" in path for path in holders(here, needles)), "kept to look at"

        assert call(here) == 0
        cloud.invalidate_cache()
        root = place.removeprefix("s3://")
        gone = {"ab/cdef0123456789", "ab/0123456789abcd", "0d/1234", "0d/5678.dir"}
        assert before - set(cloud.find(place)) == {f"{root}/files/md5/{one}" for one in gone}
    assert holders(here, needles) == []
    removed = {one["where"]: one for one in certificate(here)["removed"]}
    assert {f"{place}/files/md5/{one}" for one in gone} <= set(removed)
    content = (tmp_path / "old/files/md5/0d/1234").read_bytes()
    assert removed[f"{place}/files/md5/0d/1234"]["before"] == hashlib.sha256(content).hexdigest()


def test_a_remote_that_cannot_be_reached_stops_it_before_anything_changes(here, capsys):
    add_remote(here, "gs://bucket/faces")
    before = state(here)
    assert call(here, *NAMES) == 2
    said = capsys.readouterr().err
    assert "DVC remote cloud (gs://bucket/faces)" in said and "--leave NAME" in said
    assert state(here) == before

    assert call(here, *NAMES, "--leave", "cloud") == 0
    left = {one["where"]: one["why"] for one in certificate(here)["left"]}
    assert "--leave asked" in left["DVC remote cloud (gs://bucket/faces)"]


def test_a_remote_to_leave_that_there_is_not(here, capsys):
    assert call(here, *NAMES, "--leave", "clout") == 2
    assert "--leave clout: DVC has no remote of that name" in capsys.readouterr().err
