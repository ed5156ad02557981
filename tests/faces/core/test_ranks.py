"""Work cut into shards: no row is lost or done twice, what two processes make is what one makes, and a run
that lost a process continues where its shards stand.
"""

import subprocess
import sys
import uuid

import numpy as np
import pytest
import yaml
from PIL import Image

from faces.core import ranks
from faces.ingest import writer
from tests.helpers.processes import TWO, await_that, finish, kill_rank, start
from tests.helpers.training import bytes_of
from tests.stages.test_crop import write_raw


def test_every_row_is_dealt_to_one_rank(monkeypatch):
    for count, batch, size in ((1, 4, 3), (400, 1, 3), (10_001, 4, 5), (100_000, 32, 7)):
        cut = ranks.pieces(count, batch)
        assert len(cut) <= ranks.SHARDS
        assert all(rows.start % batch == 0 for rows in cut), "a batch of one process is a batch of many"
        monkeypatch.setenv("WORLD_SIZE", str(size))
        every = np.arange(count)
        dealt = []
        for rank in range(size):
            monkeypatch.setenv("RANK", str(rank))
            dealt += [every[rows] for rows in ranks.own(cut)]
        np.testing.assert_array_equal(np.sort(np.concatenate(dealt)), every)
    assert ranks.pieces(0, 4) == []


def squares(cut):
    for rows in cut:
        yield {"squares": np.arange(rows.start, rows.stop) ** 2, "other": np.zeros(1)}


def test_shards_are_made_once_and_read_in_order(tmp_path):
    cut = ranks.pieces(10, 4)
    ranks.deal("task", tmp_path, cut, squares)
    kept = ranks.shard(tmp_path, cut[0]).stat().st_mtime_ns
    ranks.shard(tmp_path, cut[1]).unlink()
    ranks.deal("task", tmp_path, cut, squares)
    assert ranks.shard(tmp_path, cut[0]).stat().st_mtime_ns == kept
    found = [arrays for _, arrays in ranks.merged(tmp_path, cut, "squares")]
    assert [list(arrays) for arrays in found] == [["squares"]] * 3
    np.testing.assert_array_equal(np.concatenate([arrays["squares"] for arrays in found]), np.arange(10) ** 2)


def test_shards_that_do_not_fit_are_refused(tmp_path):
    cut = ranks.pieces(8, 4)
    ranks.deal("task", tmp_path, cut, squares)
    path = ranks.shard(tmp_path, cut[1])
    whole = path.read_bytes()
    path.write_bytes(ranks.shard(tmp_path, cut[0]).read_bytes())
    with pytest.raises(ValueError, match=r"holds the rows 0 to 4, not 4 to 8; remove .* again"):
        list(ranks.merged(tmp_path, cut))
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match="is not a whole shard; remove"):
        list(ranks.merged(tmp_path, cut))
    path.unlink()
    with pytest.raises(ValueError, match="they must share one file system"):
        list(ranks.merged(tmp_path, cut))


def test_an_error_of_another_rank_is_one_line(tmp_path, monkeypatch, capsys):
    """Only the first process of a host says what stops it; what happened to another alone, that one says."""

    def damaged(cut):
        raise ValueError("a picture is damaged")
        yield {}

    for local, said in (("0", ""), ("1", "error: a picture is damaged\n")):
        monkeypatch.setenv("LOCAL_RANK", local)
        with pytest.raises(ValueError, match="a picture is damaged"):
            ranks.deal("task", tmp_path, ranks.pieces(1), damaged)
        assert capsys.readouterr().err == said


def test_the_launcher_starts_the_same_stage(monkeypatch):
    started = []

    def run(words, **options):
        started.append(words)
        return subprocess.CompletedProcess(words, len(started) - 1)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["stages/train.py", "data/crops", "data/model"])
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("FACES_LAUNCH", raising=False)
    ranks.launch("stages.train")
    assert not started
    monkeypatch.setenv("FACES_LAUNCH", "torchrun --standalone --nproc-per-node 2")
    with pytest.raises(SystemExit) as done:
        ranks.launch("stages.train")
    assert done.value.code == 0
    with pytest.raises(SystemExit, match=r"stages\.train: a process ended before its work was done"):
        ranks.launch("stages.train")
    monkeypatch.setenv("RANK", "1")
    ranks.launch("stages.train")
    launcher = ["torchrun", "--standalone", "--nproc-per-node", "2"]
    words = [*launcher, "-m", "stages.train", "data/crops", "data/model"]
    assert started == [words, words], "only where it is set, and only by what is no rank yet"


def test_a_launcher_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("FACES_LAUNCH", "no-such-launcher --standalone")
    with pytest.raises(
        SystemExit,
        match="error: FACES_LAUNCH: no-such-launcher: No such file or directory; put it on the PATH",
    ):
        ranks.launch("stages.train")


LATE = """
import time
from pathlib import Path
from faces.core import ranks
from tests.faces.core.test_ranks import squares

with ranks.joined():
    time.sleep(1 - ranks.rank())
    ranks.deal("task", Path("shards"), ranks.pieces(8), squares)
"""


def test_a_rank_that_comes_late_counts_what_stood_before(tmp_path):
    for piece in ranks.pieces(8)[:3]:
        ranks.write(ranks.shard(tmp_path / "shards", piece), rows=np.array([piece.start, piece.stop]))
    (tmp_path / "late.py").write_text(LATE)
    said = finish(start(tmp_path, TWO, [str(tmp_path / "late.py")]))
    assert "task: continuing, 3 of 8 shards are there" in said


@pytest.mark.skipif(sys.platform != "linux", reason="a rank is found by /proc")
def test_crop_loses_a_process_and_continues(tmp_path, params, rng):
    """One of two is killed after a shard: the run ends with one line that says so, and continues to the bytes
    of a single process; two pictures that cannot be read fall to different processes.
    """
    faces = rng.integers(0, 256, (40, 14, 12, 3), dtype=np.uint8)
    pictures = [writer.encode_jpeg(Image.fromarray(face).resize((178, 218)), 90) for face in faces]
    members = {f"{number:05d}.jpg": pictures[number % 40] for number in range(3000)}
    members["00100.jpg"] = members["00400.jpg"] = b"no picture"
    write_raw(tmp_path / "raw", members, list(members))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    command = ["-m", "stages.crop", "raw"]
    mark = f"FACES_TEST={uuid.uuid4().hex}"
    more = dict([mark.split("=")]) | {"FACES_LAUNCH": " ".join(TWO), "FACES_WORKERS": "2"}
    run = start(tmp_path, [sys.executable], [*command, "crops"], **more)
    await_that(run, lambda: any(tmp_path.glob(".ckpt/*/images/*.npz")))
    kill_rank(1, mark)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert said.splitlines()[-1].startswith("error: stages.crop: a process ended before its work was done")
    assert not (tmp_path / "crops").exists()
    kept = len(list(tmp_path.glob(".ckpt/*/images/*.npz")))
    assert 0 < kept < 12
    said = finish(start(tmp_path, [sys.executable], [*command, "crops"], **more))
    assert f"continuing, {kept} of 12 shards are there" in said
    assert "crop: 2 of 3000 images refused" in said
    finish(start(tmp_path, [sys.executable], [*command, "alone"]))
    assert bytes_of(tmp_path / "crops") == bytes_of(tmp_path / "alone")
    assert not list(tmp_path.glob(".ckpt/*"))


def test_hosts_that_share_no_disk_exchange_shards(tmp_path, monkeypatch):
    """Two hosts, a folder each, and memory:// for the bucket; what one made the other reads."""
    monkeypatch.setenv("FACES_EXCHANGE", f"memory://{tmp_path.name}/work")
    monkeypatch.setattr(ranks, "wait", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    cut = ranks.pieces(10, 4)
    work = ranks.UNFINISHED / "key/part"
    for host in ("1", "0"):
        (tmp_path / host).mkdir()
        monkeypatch.chdir(tmp_path / host)
        monkeypatch.setenv("RANK", host)
        ranks.deal("task", work, cut, squares)
        assert list((tmp_path / host).iterdir()) == []
    found = np.concatenate([arrays["squares"] for _, arrays in ranks.merged(work, cut)])
    np.testing.assert_array_equal(found, np.arange(10) ** 2)
    ranks.remove(ranks.shard(work, cut[0]))
    with pytest.raises(ValueError, match=r"key/part/000000000000.npz cannot be opened"):
        list(ranks.merged(work, cut))
    ranks.discard(work.parent)
    assert ranks.standing(work) == set()
