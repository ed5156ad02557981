"""Check of this machine's requirements for the pipeline: `python -m ops.doctor`. Exit code 1 where something
needed is missing.

Each line is one finding: ok, note (works, but slower or without an extra), or MISSING with the way out.
"""

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from faces.core.threads import usable_cores

ROOT = Path(__file__).parents[1]
EXTRAS = {
    "kagglehub": "sources.celeba.mirrors: kaggle",
    "mlflow-skinny": "python -m ops.experiments.mlflow",
    "huggingface_hub": "python -m ops.publish --push",
}
Finding = tuple[str, str]  # ok, note or MISSING; and the line


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield (
        ("ok", f"Python {version}")
        if sys.version_info >= (3, 11)
        else ("MISSING", f"Python 3.11 or newer, this is {version}")
    )


def packages() -> Iterator[Finding]:
    """Every line of requirements.txt against what is installed."""
    wrong = []
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9_.-]+)==(\S+)", line):
            name, wanted = match.groups()
            try:
                found = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                wrong.append(
                    ("MISSING", f"{name} {wanted}: make run installs it, or pip install -r requirements.txt")
                )
                continue
            if found != wanted:
                wrong.append(("note", f"{name} {found}, the lock says {wanted}: results may differ"))
    yield from wrong or [("ok", "packages as in requirements.txt")]
    for name, use in EXTRAS.items():
        try:
            yield "ok", f"{name} {importlib.metadata.version(name)}, for {use}"
        except importlib.metadata.PackageNotFoundError:
            yield "note", f"{name} is not installed; only needed for {use}: pip install {name}"


def programs() -> Iterator[Finding]:
    for name, use in (("git", "MISSING"), ("make", "note"), ("dvc", "MISSING")):
        yield (
            ("ok", name)
            if shutil.which(name)
            else (use, f"{name} is not on PATH; after `make run` it is in the virtual environment")
        )


def machine() -> Iterator[Finding]:
    free = shutil.disk_usage(ROOT).free / 2**30
    yield (
        "ok" if free > 5 else "note",
        f"{free:.0f} GiB of disk are free here; the default run takes 1, CelebA at 64 pixels 8",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield (
        "ok" if memory >= 4 else "note",
        f"{usable_cores()} cores, {memory:.0f} GiB of memory; the default run needs 3",
    )
    try:
        import torch  # noqa: PLC0415 (the point is to find out)

        from faces.nn.device import fast_arithmetic, pick_device  # noqa: PLC0415

        device = pick_device()
        with fast_arithmetic(device):
            fast = torch.is_autocast_enabled(device.type)
        yield "ok", f"computes on {device}, trains in {'bfloat16' if fast else 'float32'}"
    except ImportError as error:
        yield "MISSING", f"torch cannot be imported: {error}"
    except ValueError as error:
        yield "MISSING", str(error)


def project() -> Iterator[Finding]:
    """Findings about params.yaml and the checkout."""
    if not (ROOT / ".dvc").is_dir():
        yield "MISSING", ".dvc/: this is no complete checkout; git checkout -- .dvc, or dvc init"
    try:
        from faces.core.params import read  # noqa: PLC0415
        from stages.check import check  # noqa: PLC0415

        yield "ok", f"params.yaml: {len(check(read(ROOT / 'params.yaml')))} attributes to edit"
    except (ImportError, RuntimeError, ValueError) as error:
        yield "MISSING", str(error)


def main() -> int:
    findings = [finding for look in (python, packages, programs, machine, project) for finding in look()]
    for kind, line in findings:
        print(f"{kind:8}{line}")
    return any(kind == "MISSING" for kind, _ in findings)


if __name__ == "__main__":
    sys.exit(main())
