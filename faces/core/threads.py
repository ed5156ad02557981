"""Thread settings for shared machines: as many threads as usable cores, which hardly spin while they wait.

OpenMP's threads spin between two pieces of work. By default they spin for so long that they starve a busy
machine's other programs. Put to sleep at once (OMP_WAIT_POLICY=passive) they lose time on a quiet machine. A
short spin serves both (benchmarks/busy.py). The settings must be made before torch is loaded. A user's own
are kept.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

SPIN = {
    "GOMP_SPINCOUNT": "20000",  # GNU's OpenMP (torch on Linux): turns of a loop, about 0.1 ms
    "KMP_BLOCKTIME": "1",  # LLVM's (torch elsewhere): ms, of 200
}
WAITING = ("OMP_WAIT_POLICY", *SPIN)  # what a user may have set


def settle(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set how long OpenMP's threads spin, and how many there are, unless `environment` has it set."""
    if not any(name in environment for name in WAITING):
        environment.update(SPIN)
    starts_ranks = "FACES_LAUNCH" in environment and "RANK" not in environment  # torchrun sets theirs
    if not starts_ranks and usable_cores() < available_cores():
        environment.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: those it may run on, at most its cgroups' quota, at least 1."""
    return max(1, min(available_cores(), int(quota(root))))


def workers() -> int:
    """Worker processes for work without torch: FACES_WORKERS, or one for each usable core."""
    return int(os.environ.get("FACES_WORKERS") or usable_cores())


def available_cores() -> int:
    """Cores that this process may run on (its affinity), which OpenMP respects by itself."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = Path("/")) -> float:
    """CPU quota in cores: the least that the control groups of this process and their parents allow.

    Version 2 keeps it in cpu.max ("max 100000" or "150000 100000", in microseconds), version 1 in
    cpu.cfs_quota_us and cpu.cfs_period_us. A large number where there is no limit. `root` holds proc and sys.
    """
    unlimited = 1e9
    limits = [unlimited]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            if controllers:
                words = [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
            else:
                words = _text(folder / "cpu.max").split()
            if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
                limits.append(int(words[0]) / int(words[1]))
            if folder == top:
                break
    return min(limits)


def _text(path: Path) -> str:
    """Text of a small file; empty where it is missing."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
