"""Processes that share one run: ranks, and work cut into shards that they deal among themselves.

    FACES_LAUNCH="torchrun --standalone --nproc-per-node 2" dvc repro

torchrun starts the processes and torch.distributed joins them; torch is loaded only where there are several.
Only rank 0 writes outputs and prints. Ranks on several hosts share the working folder, or exchange shards
under an address that fsspec knows (FACES_EXCHANGE=s3://bucket/work): then each host has what the stage reads.

Work on rows, or on jobs, is cut into pieces that do not depend on the number of processes. `deal` leaves a
file for each piece, a shard, and `merged` reads them in order, so that the output has the bytes of a single
process. An interrupted run continues after the finished shards, under any number of processes.
"""

import ctypes
import io
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from faces.core import remote
from faces.core.batches import batches
from faces.core.console import Progress, say
from faces.core.files import fingerprint, new_file

if TYPE_CHECKING:
    import torch

PR_SET_PDEATHSIG = 1  # from linux/prctl.h: the signal that a process gets when its parent ends
PATIENCE = timedelta(
    hours=2
)  # that a rank waits for another: rank 0 reads, measures and merges while the others wait
UNFINISHED = Path(".ckpt")
SHARDS = 1024  # at most: few files, and still several for each of many processes

Job = TypeVar("Job")
Work = Callable[[Iterable[slice]], Iterator[dict[str, np.ndarray]]]  # the arrays of each piece, in turn


def rank() -> int:
    """Rank of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """Number of processes of this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def neighbours() -> int:
    """Number of processes of this run on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def own(things: Sequence) -> Sequence:
    """This rank's share of `things`, dealt in turn; each goes to exactly one rank."""
    return things[rank() :: size()]


def die_with_parent(how: int = signal.SIGKILL) -> None:
    """Have the system send this process the signal `how` when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, how)


def launch(module: str) -> None:
    """Run `python -m module` with these arguments under the launcher of FACES_LAUNCH, and exit as it does.

    Nothing happens without FACES_LAUNCH, or in a process that is a rank already.
    """
    command = shlex.split(os.environ.get("FACES_LAUNCH", ""))
    if not command or "RANK" in os.environ:
        return
    try:
        done = subprocess.run(
            [*command, "-m", module, *sys.argv[1:]],
            check=False,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),
        )
    except OSError as error:
        raise SystemExit(
            f"error: FACES_LAUNCH: {command[0]}: {error.strerror}; put it on the PATH, or unset FACES_LAUNCH"
        ) from None
    if done.returncode:
        raise SystemExit(
            f"error: {module}: a process ended before its work was done, the first error above says why; "
            "what is finished is kept, and the same command continues from there"
        )
    raise SystemExit(0)


@contextmanager
def joined(device: "torch.device | None" = None) -> Iterator[None]:
    """Context in which the ranks can communicate; nothing for a single process. torchrun reports a rank that
    fails.

    Without a `device` they work on the CPU. Where they are joined already they stay so. None leaves before
    the others have come to its end, so that shards are read before rank 0 removes them.
    """
    if size() == 1:
        yield
        return
    import torch  # noqa: PLC0415 (seconds and 470 MB, which a single process does without)
    import torch.distributed as dist  # noqa: PLC0415

    apart = not dist.is_initialized()
    if apart:
        die_with_parent()  # torchrun puts ranks in sessions of their own: a killed launcher would leave them
        cuda = device is not None and device.type == "cuda"
        if cuda:
            torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    yield
    wait()
    if apart:
        dist.destroy_process_group()


def wait() -> None:
    """Barrier: wait for all ranks."""
    if size() > 1:
        import torch  # noqa: PLC0415 (as above)
        import torch.distributed as dist  # noqa: PLC0415

        dist.all_reduce(torch.zeros(1))


def unfinished(settings: Any, places: Iterable[Path]) -> Path:
    """Folder of the shards of work that depends on plain `settings`, these files, or the files right in these
    folders, and the loaded code.
    """
    files = []
    for place in places:
        files += sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else [place]
    return UNFINISHED / fingerprint(settings, files)


def pieces(count: int, batch: int = 1, most: int = SHARDS) -> list[slice]:
    """range(count) in at most `most` pieces of whole batches: each row is in the same batch always."""
    return list(batches(count, batch * math.ceil(count / (batch * most)))) if count else []


def shard(folder: Path, piece: slice) -> Path:
    """File of one piece."""
    return folder / f"{piece.start:012d}.npz"


def address(path: Path) -> str | None:
    """Where a shard or its folder lies for hosts that share no disk; None where they share one."""
    home = os.environ.get("FACES_EXCHANGE", "").rstrip("/")
    return f"{home}/{path.relative_to(UNFINISHED).as_posix()}" if home else None


def standing(folder: Path) -> set[str]:
    """Names of the shards that are there."""
    if (place := address(folder)) is None:
        return {path.name for path in folder.glob("*.npz")}
    system, name = remote.system_of(place)
    system.invalidate_cache()
    return {found.rsplit("/", 1)[-1] for found in system.find(name)}


def read(path: Path) -> IO[bytes]:
    """A shard, opened. Raises FileNotFoundError, or RemoteError."""
    if (place := address(path)) is None:
        return path.open("rb")
    with remote.opened(place, "rb") as file:
        return io.BytesIO(file.read())


def write(path: Path, **arrays: np.ndarray) -> None:
    """Leave a shard, whole or not at all. Raises RemoteError."""
    if (place := address(path)) is None:
        with new_file(path) as draft, draft.open("wb") as file:
            np.savez(file, **arrays)
        return
    content = io.BytesIO()
    np.savez(content, **arrays)
    with remote.opened(place, "wb") as file:
        file.write(content.getvalue())


def remove(path: Path) -> None:
    """Remove a shard, or a folder of them."""
    if (place := address(path)) is None:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return
    system, name = remote.system_of(place)
    system.invalidate_cache()
    if system.exists(name):
        system.rm(name, recursive=True)


def deal(task: str, folder: Path, cut: Sequence[slice], work: Work) -> None:
    """Leave a shard for each piece of `cut` in `folder`, each made by one rank; return when all are there.

    What stands already is not made again. Must be called by every rank, within `joined`.
    """
    names = standing(folder)
    wait()  # for ranks that come later, so that all see the same shards
    there = sum(shard(folder, piece).name in names for piece in cut)
    if there:
        say(f"{task}: continuing, {there} of {len(cut)} shards are there")
    mine = [piece for piece in own(cut) if shard(folder, piece).name not in names]
    try:
        for piece, arrays in zip(mine, work(mine), strict=True):
            rows = np.array([piece.start, piece.stop])
            write(shard(folder, piece), rows=rows, **arrays)
    except ValueError as error:
        if os.environ.get("LOCAL_RANK", "0") != "0":  # what the others do not know of
            print(f"error: {error}", file=sys.stderr, flush=True)
        raise
    wait()


def merged(folder: Path, cut: Sequence[slice], *names: str) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Each piece of `cut` in order, with the arrays of its shard, all of them or those called `names`.

    Raises ValueError where a shard is missing, damaged, or of other rows.
    """
    for piece in cut:
        path = shard(folder, piece)
        try:
            with read(path) as opened, np.load(opened, allow_pickle=False) as file:
                rows = slice(*file["rows"].tolist())
                arrays = {name: file[name] for name in names or file.files if name != "rows"}
        except FileNotFoundError:
            raise ValueError(
                f"{path} is missing though every process is done: they must share one file system, "
                "or exchange shards (FACES_EXCHANGE)"
            ) from None
        except remote.RemoteError:
            raise
        except (EOFError, OSError, KeyError, ValueError, zipfile.BadZipFile):
            raise ValueError(
                f"{path} is not a whole shard; remove {folder} and run the stage again"
            ) from None
        if rows != piece:
            raise ValueError(
                f"{path} holds the rows {rows.start} to {rows.stop}, not {piece.start} to {piece.stop}; "
                f"remove {folder} and run the stage again"
            )
        yield piece, arrays


def dealt_jobs(
    task: str,
    unit: str,
    folder: Path | None,
    jobs: Sequence[Job],
    work: Callable[[Job], dict[str, np.ndarray]],
    run: Callable[..., Iterator[dict[str, np.ndarray]]] = map,
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each of `jobs` in order, on every rank; each is done by one, a shard in `folder` each.

    Must be called by every rank, within `joined`. `unit`: what jobs are called where they are counted.
    `run`: how a process does its share, `map` or one as good (faces/nn/device.py). Without a `folder` this
    process does all of them and leaves nothing.
    """
    if folder is None:
        return run(work, jobs)

    def work_on(cut: Iterable[slice]) -> Iterator[dict[str, np.ndarray]]:
        cut = list(cut)
        bar = Progress(task, len(cut), unit)
        for done, arrays in enumerate(run(work, [jobs[piece.start] for piece in cut]), 1):
            yield arrays
            bar.update(done)
        bar.close()

    cut = pieces(len(jobs), most=len(jobs))
    deal(task, folder, cut, work_on)
    return (arrays for _, arrays in merged(folder, cut))


def as_text(rows: list[dict[str, Any]]) -> np.ndarray:
    """Rows of a table as an array of one text, for a shard: numbers keep every bit."""
    return np.array(json.dumps(rows, default=lambda value: value.item()))


def from_text(text: np.ndarray) -> list[dict[str, Any]]:
    """The rows of `as_text`."""
    return json.loads(str(text))


def discard(folder: Path) -> None:
    """Remove the shards of finished work, once the ranks have left `joined`."""
    if rank() == 0:
        remove(folder)
