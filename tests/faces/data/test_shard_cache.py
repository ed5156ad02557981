"""Shards elsewhere are the array: in folders, in memory:// and on an S3 server, through a bounded cache."""

import hashlib
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from faces.core.files import read_json, write_json
from faces.data import shard_cache
from faces.data.sharded_array import Parts, Writer, files, open_parts
from ops import shards


@pytest.fixture
def whole(rng):
    return rng.integers(256, size=(23, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path, monkeypatch, whole):
    """An array in three shards of up to ten rows, and an empty cache."""
    monkeypatch.setenv("FACES_SHARDS", str(tmp_path / "cache"))
    (tmp_path / "crops").mkdir()
    with Writer(tmp_path / "crops/images.npy", whole.shape[1:], np.uint8, 10) as out:
        out.append(whole)
    return tmp_path / "crops/images.npy"


def digests(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.npy")}


def read_everywhere(path, whole):
    """The array as it reads there, row by row, by slice and by numbers."""
    array = open_parts(path)
    assert isinstance(array, Parts) and array.shape == whole.shape and array.dtype == np.uint8
    for rows in (0, 22, slice(3, 9), slice(5, 17), np.array([22, 0, 10, 9]), slice(None)):
        np.testing.assert_array_equal(array[rows], whole[rows])


def test_shards_in_folders_and_in_memory_are_the_array(tmp_path, path, whole):
    before = digests(path.parent)
    shards.main(["push", str(path), f"memory://{tmp_path.name}", str(tmp_path / "disk")])
    assert [file.name for file in path.parent.iterdir()] == ["images.shards.json"]
    assert files(path) == [path.with_name("images.shards.json")]
    entries = read_json(path.with_name("images.shards.json"))["shards"]
    assert [entry["shape"][0] for entry in entries] == [10, 10, 3]
    assert [entry["place"].split(":")[0] for entry in entries] == [
        "memory",
        str(tmp_path / "disk/images.1.npy"),
        "memory",
    ]
    array = open_parts(path)
    np.testing.assert_array_equal(array[12:15], whole[12:15])
    assert not (tmp_path / "cache").exists(), "what is on a disk here is not fetched"
    read_everywhere(path, whole)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    shards.main(["pull", str(path)])
    assert digests(path.parent) == before and not list(path.parent.glob("*.json"))


def test_the_cache_stays_within_its_room(tmp_path, monkeypatch, path, whole):
    """Room for one shard: each is fetched as it is read, and the one before goes."""
    shards.main(["push", str(path), f"memory://{tmp_path.name}"])
    monkeypatch.setenv("FACES_SHARDS_GB", "0.0000007")
    array = open_parts(path)
    for start in range(0, 23, 5):
        np.testing.assert_array_equal(array[start : start + 5], whole[start : start + 5])
        assert len(list((tmp_path / "cache").iterdir())) == 1


def test_another_file_at_the_address_is_not_taken(tmp_path, path):
    place = f"memory://{tmp_path.name}"
    shards.main(["push", str(path), place])
    with shard_cache.opened(f"{place}/images.1.npy", "wb") as file:
        file.write(b"other")
    with pytest.raises(shard_cache.ShardError, match=re.escape(f"{place}/images.1.npy is not the file")):
        open_parts(path)[12]
    listed = path.with_name("images.shards.json")
    entries = read_json(listed)["shards"]
    entries[0]["place"] = f"{place}/gone.npy"
    write_json(listed, {"shards": entries})
    with pytest.raises(shard_cache.ShardError, match=r"gone.npy cannot be opened .* credentials"):
        open_parts(path)[0]
    entries[0]["place"] = "gone.npy"
    write_json(listed, {"shards": entries})
    with pytest.raises(
        shard_cache.ShardError, match=r"gone.npy is missing or not whole: is its disk mounted"
    ):
        open_parts(path)


@pytest.fixture
def bucket(monkeypatch):
    """The address of a bucket on a server of its own process."""
    pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            for _ in range(600):
                with socket.socket() as there:
                    if there.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem().mkdir("faces")
            yield "s3://faces/run"
        finally:
            server.terminate()


def test_shards_on_a_bucket_are_the_array(tmp_path, path, whole, bucket):
    """A real server over HTTP."""
    before = digests(path.parent)
    shards.main(["push", str(path), bucket])
    read_everywhere(path, whole)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    shards.main(["pull", str(path)])
    assert digests(path.parent) == before
