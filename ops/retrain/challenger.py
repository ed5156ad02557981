"""The clone in which challengers are trained: the project's objects and DVC's cache are shared, its working
copy is never touched.
"""

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ops.params_file import set_params
from ops.retrain import snapshots
from ops.retrain.process import Runner
from ops.retrain.repository import GitError, Repository
from ops.retrain.snapshots import Snapshot

SNAPSHOTS = "snapshots"  # in the clone
TRAINED = (
    "stages",
    "faces",
    "dvc.yaml",
    "params.yaml",
    "requirements.txt",
    "forgotten.json",
)  # what decides what a challenger is, besides the data
BRANCH = "refs/heads/challenger"  # in the clone
MINUTES = 600.0  # seconds that DVC's own small commands may take


def key(project: Repository, revision: str, snapshot: Snapshot | None, judged_by: str) -> str:
    """Key of a run: a hash of code and params at `revision`, the data, and `judged_by`. A known key is not
    run again.
    """
    trees = [
        project.git("rev-parse", "--verify", "--quiet", f"{revision}:{path}")
        for path in TRAINED
        if _has(project, revision, path)
    ]
    return hashlib.sha256(
        "\n".join([*trees, snapshot.name if snapshot else "", judged_by]).encode()
    ).hexdigest()[:16]


def _has(project: Repository, revision: str, path: str) -> bool:
    return bool(project.git("ls-tree", "--name-only", revision, path))


def sits(about: Mapping[str, Any], exam: Path, data: Path, out: Path) -> list[str]:
    """The arguments of the exam's `score` for what was trained into `data`, where `about` says by which
    editor (edits.primary) and estimator (vectors.primary) it is served.
    """
    flow = str(data / "flow") if about.get("editor") == "flow" else "-"
    return [str(exam), str(data / "model"), str(data / "vectors"), flow, about["primary"], str(out)]


def prepare(project: Repository, folder: Path, revision: str) -> Repository:
    """Reset the clone to `revision`. Checkpoints of an interrupted training stay, so that it continues."""
    clone = Repository(folder, project.lock, project.author)
    try:
        if (folder / ".git").is_dir():
            for left in folder.glob(
                ".git/**/*.lock"
            ):  # of a Git that was killed: nobody else works here while we hold the job's lock
                left.unlink()
            _check_out(clone, revision)
            return clone
    except (GitError, OSError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    project.git("clone", "--quiet", "--shared", "--no-checkout", ".", str(draft))
    draft.rename(folder)
    _check_out(clone, revision)
    return clone


def _check_out(clone: Repository, revision: str) -> None:
    clone.git("checkout", "--quiet", "--force", "--detach", revision)
    clone.git("reset", "--quiet", "--hard", revision)
    clone.git("clean", "--quiet", "-ffd")
    for left in ("rwlock", "rwlock.lock", "lock"):
        (clone.folder / ".dvc/tmp" / left).unlink(missing_ok=True)


def share_cache(project: Path, clone: Path) -> None:
    """Let the clone use the project's DVC cache and remotes: the project's .dvc/config.local, with the
    cache's place made absolute.
    """
    if not (clone / ".dvc").is_dir():
        return
    from dvc.config import Config  # noqa: PLC0415 (a second to import, and only needed here)

    local = project / ".dvc/config.local"
    text = local.read_text(encoding="utf-8") if local.is_file() else ""
    place = Config(dvc_dir=str(project / ".dvc"), validate=True).get("cache", {}).get("dir") or str(
        project / ".dvc/cache"
    )
    text = re.sub(r"(?m)^\s*dir\s*=.*\n", "", text)
    (clone / ".dvc/config.local").write_text(
        f"{text.rstrip()}\n[cache]\n    dir = {Path(project / '.dvc', place).resolve()}\n", encoding="utf-8"
    )


def bring_in(snapshot: Snapshot, source: Path, clone: Path, runner: Runner, push: bool) -> None:
    """Put the snapshot under DVC's control in the clone, and name it in params.yaml."""
    archive = clone / SNAPSHOTS / f"{snapshot.name}.zip"
    if not snapshots.whole(archive, snapshot):
        snapshots.write(snapshot, source, archive)
    runner.run(["dvc", "add", "--quiet", f"{SNAPSHOTS}/{archive.name}"], clone, MINUTES)
    pointer = archive.with_name(f"{archive.name}.dvc")
    if not push:
        described = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        described["outs"][0]["push"] = False
        pointer.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    set_params(
        clone / "params.yaml", {"data.source": "folder", "sources.folder.path": f"{SNAPSHOTS}/{archive.name}"}
    )


def commit(clone: Repository, parents: list[str], message: str) -> str:
    """Commit the trained state on `parents`: code of the base, and current params.yaml, dvc.lock, metrics and
    snapshot.
    """
    changed = [
        name
        for name in ("params.yaml", "dvc.lock", "reports/metrics.json")
        if (clone.folder / name).is_file()
    ]
    changed += [f"{SNAPSHOTS}/{path.name}" for path in sorted((clone.folder / SNAPSHOTS).glob("*.dvc"))]
    clone.git("add", "--force", *changed)
    tree = clone.git("write-tree")
    made = clone.git(
        "commit-tree", tree, *(word for parent in parents for word in ("-p", parent)), "-m", message
    )
    clone.git("update-ref", BRANCH, made)
    return made
