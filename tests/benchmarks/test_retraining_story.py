"""The life of a served model on a handful of faces: real stages, the real exam, the flow served by the real
website. `pytest -s` shows the table of phases and times.
"""

import os
import signal
import sys
import time

import pytest

from benchmarks.retraining import OTHER, Site, World, phase_table, shuffled
from tests.conftest import ROOT
from tests.helpers.checkouts import checkout
from tests.helpers.projects import wait

pytestmark = pytest.mark.story
FACES = 240
CHALLENGER = [sys.executable, str(ROOT / "tests/helpers/one_process.py")]
SMALLER = {
    f"models.{OTHER}.{key}": value for key, value in (("code_length", 12), ("width", 4), ("batch", 16))
}
SETTINGS = {
    "challenger.command": CHALLENGER,
    "challenger.rest": [],
    "challenger.free": 0.0,
    "lock.wait": 3.0,  # the guard of a killed job may still be ending what it had started
    "gates.floors": {},
    "gates.reject": 1.0,
    "gates.tolerances": {"auroc.Bl*_Hair": 0.15, "*": 1000.0},  # of so few faces other figures are chance
    "gates.spread": 0.5,
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Before its first champion."""
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    monkeypatch.setenv("FACES_LOG_SECONDS", "0")
    checkout(tmp_path / "project")
    world = World(tmp_path, FACES, SETTINGS)
    world.params(SMALLER | {"model": OTHER, "models.vae.critic": 0.0}, "a poorer system")
    world.grow(FACES * 3 // 4)
    return world


def kill_in_training(world):
    """SIGKILL to the job alone, while its challenger is trained."""
    runs = world.place / ".retrain/runs"
    before = set(runs.iterdir())
    job = world.start()

    def training():
        logs = [run / "log.txt" for run in set(runs.iterdir()) - before]
        return any(log.is_file() and "\ntrain " in log.read_text() for log in logs)

    assert wait(training, 300)
    os.kill(job.pid, signal.SIGKILL)
    job.communicate()


def two_at_once(world):
    """Their exit codes, in order."""
    jobs = [world.start(), world.start()]
    said = [job.communicate()[0] for job in jobs]
    print(*said, sep="")
    return sorted(job.returncode for job in jobs)


def test_the_life_of_a_served_model(world):
    assert world.run("first champion") == 0
    first = world.champion()
    assert first["editor"] == "flow"
    site = Site(world.place)
    try:
        before = site.edits()
        later(world, site, first, before)
    finally:
        site.close()
        print(phase_table(world.phases))
    assert set(site.answers) == {"good"} and site.answers["good"] > 100


def later(world, site, first, before):
    """All that comes after the first champion, whose edits were `before`."""
    world.grow(FACES)
    world.params({"model": "vae"}, "another system, with another code")
    start = time.monotonic()
    kill_in_training(world)
    world.note("killed in its training", "-9", time.monotonic() - start)
    assert world.champion() == first
    assert world.run("new faces, another system") == 0
    second = world.champion()
    told = world.report()
    assert second["exam"] == first["exam"] == told["exam"] and told["champion"] == "v0.0.1"
    assert site.follows(second["id"])
    assert not {pixels for _, pixels in site.edits()} & {pixels for _, pixels in before}

    world.write_labels(shuffled(world.table))
    start = time.monotonic()
    assert two_at_once(world) == [11, 75]
    world.note("labels of other faces, two jobs at once", "11 and 75", time.monotonic() - start)
    assert "_Hair: much worse" in " ".join(world.report()["reasons"])
    world.write_labels(world.table)

    world.set({"challenger.command": [*CHALLENGER, "nan"]})
    assert world.run("NaN weights", "--force") == 11
    assert "weights are not finite" in world.report()["reasons"]
    world.set({"challenger.command": CHALLENGER})
    assert world.champion() == second

    assert world.run("rollback", "v0.0.1", program="ops.retrain.rollback") == 0
    assert site.follows(first["id"])
    assert site.edits() == before
    assert world.run("nothing new") == 0 and world.champion()["version"] == "v0.0.1"
