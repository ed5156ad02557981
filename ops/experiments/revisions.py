"""Params, figures and pictures of a revision, read from Git and DVC's cache without a checkout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from dvc_data.index import DataIndexDirError

from ops.experiments.metric_table import flatten

WORKSPACE = "workspace"
PICTURES = {
    "reports/grids": ".png",
    "reports/gifs": ".gif",
    "reports/plots": ".png",
}  # folder -> ending of the pictures in it


class BadRevision(ValueError):
    """There is no such revision, or it holds no finished run. The message says which and what to do."""


@dataclass(frozen=True)
class Revision:
    """One run of the pipeline. Keys of params and metrics are dotted paths; `files` reads any other file of
    it, by its path from the root.
    """

    name: str
    commit: str | None  # None: the files as they stand in the workspace
    params: dict[str, Any]
    metrics: dict[str, Any]
    files: DVCFileSystem


def resolve(root: Path, name: str) -> str | None:
    """The commit of a Git revision or of an experiment's name; None for the workspace. Raises BadRevision."""
    if name == WORKSPACE:
        return None
    try:
        with Repo(str(root)) as repo:
            return resolve_rev(repo.scm, name)
    except RevError:
        raise BadRevision(
            f"{name}: neither a revision of Git nor an experiment; `dvc exp list` names the experiments"
        ) from None


def text(files: DVCFileSystem, name: str, path: str) -> str:
    """The file at `path` of the revision `name`. Raises BadRevision."""
    try:
        return files.read_text(path)
    except (DataIndexDirError, DvcException, OSError):
        raise BadRevision(
            f"{name}: {path} cannot be had; commit a finished run (dvc repro), or dvc fetch it"
        ) from None


def read(root: Path, name: str) -> Revision:
    """The revision `name` of the project at `root`. Raises BadRevision."""
    commit = resolve(root, name)
    files = DVCFileSystem(str(root), rev=commit)
    params, metrics = (
        yaml.safe_load(text(files, name, path)) for path in ("params.yaml", "reports/metrics.json")
    )
    return Revision(name, commit, dict(flatten(params)), dict(flatten(metrics)), files)


def pictures(revision: Revision) -> dict[str, bytes]:
    """The pictures of a revision by their path; those of a folder that is neither in the cache here nor in a
    remote are left out.
    """
    found = {}
    for folder, ending in PICTURES.items():
        try:
            paths = sorted(path for path in revision.files.ls(folder, detail=False) if path.endswith(ending))
            found |= {path: revision.files.read_bytes(path) for path in paths}
        except (DataIndexDirError, DvcException, OSError):
            continue
    return found
