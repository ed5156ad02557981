"""Faces forgotten in a checkout of the project after `dvc repro` and `dvc push`: no object of theirs is left
in cache or remotes, of either version in Git's history; the certificate says what is so; `dvc repro` brings
none back.
"""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import yaml
from PIL import Image

from faces.core import parquet
from faces.data.annotations import TABLE
from ops.forget import __main__ as forget
from ops.forget.needles import files
from ops.params_file import set_params
from tests.conftest import ROOT
from tests.helpers import standin
from tests.helpers.bucket import bucket
from tests.helpers.checkouts import DVC, checkout, run
from tests.helpers.contents import content_of

pytestmark = pytest.mark.story
NAMES = ("a03.png", "a04.png", "a24.png")  # two of the train split, and one of the valid split, by its place
FACES = {"train": 24, "valid": 8, "test": 8}
KEPT = "a10.png"


def write_faces(folder):
    """A folder of pictures with labels.csv."""
    folder.mkdir()
    images, truth = standin.faces(sum(FACES.values()), 1)
    splits = np.repeat(list(FACES), list(FACES.values()))
    rows = [["name", "split", *standin.ATTRIBUTES]]
    for number, (image, labels) in enumerate(zip(images, truth, strict=True)):
        Image.fromarray(image).save(folder / f"a{number:02}.png")
        rows.append([f"a{number:02}.png", splits[number], *labels.astype(int)])
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def locked(place):
    """Every MD5 of an output that dvc.lock names, by path."""
    lock = yaml.safe_load((place / "dvc.lock").read_text(encoding="utf-8"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def cloud():
    """Address of a bucket."""
    with pytest.MonkeyPatch.context() as patch, bucket(patch) as place:
        yield place


@pytest.fixture(scope="module")
def pushed(tmp_path_factory, cloud):
    """Two versions of the data up to the codes, both committed, and pushed to a folder and to a bucket:
    (project, dvc.lock of either).
    """
    place = tmp_path_factory.mktemp("dvc")
    write_faces(place / "inbox")
    project = checkout(place / "project")
    stages = project / "dvc.yaml"
    stages.write_text(stages.read_text(encoding="utf-8").replace(": {push: false}", ""), encoding="utf-8")
    source = {"data.source": "folder", "sources.folder.path": str(place / "inbox"), "crop.box": "square"}
    source |= {"models.vae.critic": 0.0}
    run(project, *DVC, "remote", "add", "-d", "store", str(place / "remote"))
    run(project, *DVC, "remote", "add", "cloud", cloud)
    for key in ("endpoint_url", "access_key_id", "secret_access_key"):
        known_to_dvc = key.replace("endpoint_url", "endpointurl")
        variable = "AWS_" + key.upper()
        run(project, *DVC, "remote", "modify", "cloud", known_to_dvc, os.environ[variable])
    versions = []
    for images in (64, 96):
        set_params(project / "params.yaml", source | {"train.images": images})
        run(project, *DVC, "repro", "-q", "encode")
        run(project, "git", "add", "-A")
        run(project, "git", "commit", "-qm", f"{images} images")
        run(project, *DVC, "push", "-q")
        run(project, *DVC, "push", "-q", "-r", "cloud")
        versions.append(locked(project))
    shutil.copy(ROOT / "ops/retrain/retrain.yaml", place)
    return project, versions


def needles(project):
    """Bytes that give them away: pictures, crops, codes and names."""
    rows = np.flatnonzero(parquet.naming(project / "data/crops" / TABLE, NAMES))
    assert len(rows) == len(NAMES)
    images = np.load(project / "data/crops/images.npy")
    codes = np.load(project / "data/latents/latents.npy")
    pictures = [(project.parent / "inbox" / name).read_bytes() for name in NAMES]
    return [
        *pictures,
        *(array[row].tobytes() for array in (images, codes) for row in rows),
        *(name.encode() for name in NAMES),
    ]


def holders(place, found):
    """Files of the project, its cache and its remote, but for Git's, with one of the needles."""
    everywhere = [*files(place / "project", (place / "project/.git",)), *files(place / "remote")]
    return {path for path in everywhere if any(needle in content_of(path) for needle in found)}


def fetched(place, folder):
    """All objects of the bucket, as files in `folder`."""
    fsspec.filesystem("s3", skip_instance_cache=True).get(place, str(folder), recursive=True)
    return folder


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def test_nothing_of_theirs_is_left_and_nothing_returns(pushed, cloud, tmp_path):
    project, versions = pushed
    place = project.parent
    remote = place / "remote/files/md5"
    assert versions[0]["data/latents"] != versions[1]["data/latents"], "both are in Git's history"
    theirs = needles(project)
    before = {path: digest(path) for path in [*files(project, (project / ".git",)), *files(remote)]}
    holding = holders(place, theirs)
    assert any(path.is_relative_to(remote) for path in holding)
    innocent = {path for path in files(remote) if path.suffix != ".dir"} - holding
    objects = {path.relative_to(remote) for path in files(remote)}
    pushed_there = fetched(cloud, tmp_path / "before") / "files/md5"
    assert objects == {path.relative_to(pushed_there) for path in files(pushed_there)}

    arguments = ["--project", str(project), "--config", str(place / "retrain.yaml")]
    assert forget.main([*NAMES, *arguments]) == 0
    assert holders(place, theirs) == set()
    for version in versions:
        for path in ("data/raw", "data/crops", "data/latents"):
            md5 = version[path]
            assert not (remote / md5[:2] / md5[2:]).exists(), f"the list of {path}"
            assert not (project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).exists()
        md5 = version["data/checked.json"]
        assert (remote / md5[:2] / md5[2:]).is_file(), "what holds no face stays"
    for listing in (path for path in files(remote) if path.suffix == ".dir"):
        for entry in json.loads(listing.read_text(encoding="utf-8")):
            assert (remote / entry["md5"][:2] / entry["md5"][2:]).is_file(), "a folder that cannot be had"
    assert innocent & set(files(remote)), "not everything went"
    left_there = fetched(cloud, tmp_path / "after") / "files/md5"
    objects = {path.relative_to(remote) for path in files(remote)}
    assert objects == {path.relative_to(left_there) for path in files(left_there)}, "as in the bucket"

    (found,) = (project / ".retrain/certificates").glob("*.json")
    told = json.loads(found.read_text(encoding="utf-8"))
    there = {one["where"] for one in told["removed"] if one["where"].startswith("s3://")}
    assert len(there) == len(list(files(pushed_there))) - len(list(files(left_there)))
    removed = {Path(project, one["where"]): one for one in told["removed"] if one["where"] not in there}
    assert holding - set(removed) == set(), "each is on the certificate"
    for path, one in removed.items():
        assert one["before"] == before[path] and one["after"] == digest(path), path
    assert [one["where"] for one in told["left"]] == [str(place / "inbox"), "Git history", "elsewhere"]
    assert told["models"]["seen"] == ["data/model"]

    run(project, *DVC, "repro", "-q", "encode")
    run(project, *DVC, "push", "-q")
    assert holders(place, theirs) == set(), "they came back"
    names = list(parquet.read(project / "data/crops" / TABLE, ["name"])["name"])
    assert KEPT in names and len(names) == sum(FACES.values()) - len(NAMES)
    assert len(np.load(project / "data/latents/latents.npy")) == sum(FACES.values()) - len(NAMES)
    md5 = locked(project)["data/latents"]
    assert (remote / md5[:2] / md5[2:]).is_file()
