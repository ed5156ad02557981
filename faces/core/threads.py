"""Thread settings for shared machines: as many threads as usable cores, and no spinning while they wait.

OpenMP's threads spin between two pieces of work by default, which slows everything on a busy core.
OMP_WAIT_POLICY=passive lets them sleep instead (benchmarks/busy.py). It must be set before torch is loaded; a
user's own setting is kept.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path


def settle(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OpenMP's wait policy and number of threads in `environment`, unless already set."""
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "passive"  # GNU's OpenMP (torch on Linux) and LLVM's
        environment.setdefault("KMP_BLOCKTIME", "0")  # LLVM's (torch elsewhere), which else spins for 0.2 s
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
