"""Promotion of a challenger, in steps that can be interrupted and repeated; the pointer moves last.

The release is copied, complete and proven to work, before promotion.json says that it is to be served; from
then on the next run finishes whatever is left. Steps: smoke test, DVC cache to its remote, branch, tags, Git
remote, pointer.
"""

import configparser
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faces.core.files import new_folder, write_json
from ops.retrain.challenger import BRANCH
from ops.retrain.ledger import Ledger, now, read_json
from ops.retrain.process import CommandFailed, Runner
from ops.retrain.repository import GitError, Repository, assign, reason, register
from ops.retrain.settings import Settings

CODE = Path(__file__).parents[2]
HOURS = 7200.0  # seconds that a push of the cache may take
MINUTES = 300.0
MOVED = (
    "(non-fast-forward)",
    "(fetch first)",
    "(stale info)",
    "(already exists)",
)  # Git's words for a ref that is elsewhere
FOLDERS = {"model": "data/model", "vectors": "data/vectors", "flow": "data/flow", "export": "data/export"}
OPTIONAL = ("flow",)  # whose folder a challenger's code may not write
QUALITY = "reports/quality.json"  # what the website shows of a release


class Abandoned(RuntimeError):
    """A promotion failed and was undone; the champion serves on. The message says why."""


def identity(export: Path) -> str:
    """The id by which website and pointer know an export (web/API.md)."""
    return hashlib.sha256((export / "bundle.json").read_bytes()).hexdigest()[:16]


def copy_release(ledger: Ledger, clone: Path, version: str, about: Mapping[str, Any]) -> None:
    """Copy what was trained into releases/VERSION, whole or not at all."""
    with new_folder(ledger.release(version)) as folder:
        for name, place in FOLDERS.items():
            if name in OPTIONAL and not (clone / place).is_dir():
                continue
            shutil.copytree(clone / place, folder / name, copy_function=shutil.copyfile)
        if (clone / QUALITY).is_file():
            shutil.copyfile(clone / QUALITY, folder / "export/quality.json")
        write_json(folder / "release.json", {**about, "version": version, "id": identity(folder / "export")})
    os.sync()


def smoke(ledger: Ledger, version: str, runner: Runner) -> None:
    """Load the release's export as the website does, and render an edit. Raises CommandFailed."""
    runner.run(
        [sys.executable, "-m", "ops.retrain.smoke", str((ledger.release(version) / "export").resolve())],
        CODE,
        MINUTES,
    )


def decide(
    ledger: Ledger, clone: Path, runner: Runner, entry: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Copy the release, test it, and record the decision. Raises CommandFailed where it does not work."""
    copy_release(ledger, clone, entry["version"], about)
    try:
        smoke(ledger, entry["version"], runner)
    except CommandFailed:
        shutil.rmtree(ledger.release(entry["version"]))
        raise
    write_json(ledger.journal, dict(entry))


def carry_out(
    ledger: Ledger, project: Repository, clone: Path, settings: Settings, runner: Runner, proven: bool = False
) -> dict[str, Any] | None:
    """Finish what promotion.json says, from wherever it was cut off; None where there is nothing to finish.
    Returns the pointer.

    `proven`: the release has just been tested, by `decide`.

    Raises Abandoned where it cannot be done any more, CommandFailed or GitError where it may be possible
    later: then the next run tries again.
    """
    entry = read_json(ledger.journal)
    if entry is None:
        return None
    try:
        if not proven:
            smoke(ledger, entry["version"], runner)
        if has_remote(clone):
            runner.run(["dvc", "push", "--quiet"], clone, HOURS)
        publish(project, clone, settings, entry)
    except Abandoned:
        ledger.journal.unlink()
        shutil.rmtree(ledger.release(entry["version"]), ignore_errors=True)
        raise
    pointer = ledger.point(entry["version"], now())
    ledger.judged(entry["key"], "PROMOTE")
    ledger.journal.unlink()
    return pointer


def publish(project: Repository, clone: Path, settings: Settings, entry: Mapping[str, Any]) -> None:
    """Branch and tags, here and on the remote. Raises Abandoned where the branch has moved meanwhile."""
    git = settings.git
    version = entry["version"]
    commit = entry["revision"]
    tip = entry["tip"]
    if project.find(commit) is None:
        try:
            project.git("fetch", "--quiet", str(clone), BRANCH)
        except GitError as error:
            raise Abandoned(f"the commit of {version} is lost: {error}") from None
    branch = f"refs/heads/{git.branch}"
    if not git.remote:
        if project.find(branch) not in (tip, commit):
            raise Abandoned(
                f"branch {git.branch} has moved since {version} was trained; the next run starts from there"
            )
        project.git("update-ref", branch, commit)
    tags = [
        register(project, settings.model, version, commit),
        assign(project, settings.model, settings.stage, version),
    ]
    if git.remote:
        try:
            project.git(
                "push",
                "--quiet",
                "--atomic",
                git.remote,
                f"{commit}:{branch}",
                *(f"refs/tags/{tag}" for tag in tags),
            )
        except GitError as error:
            if any(mark in error.said for mark in MOVED):
                project.git("tag", "--delete", *tags)
                raise Abandoned(
                    f"{git.remote} refused {version}: its branch {git.branch} has moved; "
                    "the next run starts from there"
                ) from None
            if "[remote rejected]" in error.said:
                project.git("tag", "--delete", *tags)
                raise GitError(
                    f"{git.remote} does not let this job push {version} to branch {git.branch}: "
                    f"{reason(error.said)}; "
                    "allow it, or set git.branch to another; the next run tries again",
                    error.said,
                ) from None
            raise  # no way to the remote just now


def has_remote(clone: Path) -> bool:
    """Whether DVC has a default remote to push to."""
    config = configparser.ConfigParser(strict=False)
    config.read([clone / ".dvc/config", clone / ".dvc/config.local"])
    return config.has_option("core", "remote")
