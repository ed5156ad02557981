"""Wait policy and number of threads, with made-up control groups."""

import subprocess
import sys

import pytest

from faces.core import threads
from tests.conftest import ROOT


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/c\n",
                "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/m/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/m/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
    ids=[
        "no cgroups",
        "root",
        "no limit",
        "version 2",
        "a parent's limit",
        "version 1",
        "no limit, version 1",
    ],
)
def test_the_quota_of_control_groups(tmp_path, files, cores):
    write(tmp_path, files)
    assert threads.quota(tmp_path) == (cores or 1e9)


@pytest.mark.parametrize(("limit", "cores"), [("50000", 1), ("350000", 3), ("max", 16)])
def test_usable_cores_are_whole_and_at_least_one(tmp_path, monkeypatch, limit, cores):
    monkeypatch.setattr(threads, "available_cores", lambda: 16)
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{limit} 100000\n"})
    assert threads.usable_cores(tmp_path) == cores


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {**threads.SPIN, "OMP_NUM_THREADS": "3"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "3"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "3"}),
        ({"OMP_NUM_THREADS": "8"}, {**threads.SPIN, "OMP_NUM_THREADS": "8"}),
        ({"FACES_LAUNCH": "torchrun"}, {"FACES_LAUNCH": "torchrun", **threads.SPIN}),
    ],
    ids=["nothing set", "own policy", "own spin", "own threads", "torchrun sets threads"],
)
def test_what_the_user_has_set_stays(monkeypatch, given, found):
    monkeypatch.setattr(threads, "available_cores", lambda: 16)
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    environment = dict(given)
    threads.settle(environment)
    assert environment == found


def test_without_a_quota_openmp_counts_for_itself(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", threads.available_cores)
    environment = {}
    threads.settle(environment)
    assert "OMP_NUM_THREADS" not in environment


@pytest.mark.parametrize("package", ["stages", "ops", "benchmarks"])
def test_every_way_in_settles_threads_before_torch(package):
    """Importing the package alone sets the spin, and loads no torch yet."""
    code = f"import os, sys, {package}; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [threads.SPIN["GOMP_SPINCOUNT"], "False"]


def test_workers_are_as_many_as_said_or_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    monkeypatch.delenv("FACES_WORKERS", raising=False)
    assert threads.workers() == 3
    monkeypatch.setenv("FACES_WORKERS", "5")
    assert threads.workers() == 5
