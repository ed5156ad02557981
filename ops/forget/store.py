"""DVC's cache and remotes: objects that hold a forgotten face, of every version that Git knows.

An object goes where the bytes of a picture, crop or code, or a name in text, stand in it. What was drawn from
faces (sheets, animations, scores, statistics, exports) holds them in other bytes: it goes by its path in any
version of dvc.lock.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from ops.forget import scrub
from ops.forget.journal import Journal
from ops.forget.needles import Needles, files
from ops.retrain.repository import Repository

DRAWN = (  # outputs that are pictures or figures of single faces, or statistics of them
    "data/measures",
    "data/latents",
    "data/vectors",
    "data/scores",
    "data/guarantee",
    "data/witness",
    "data/export",
    "reports/grids",
    "reports/gifs",
    "reports/index.html",
)
MODELS = ("data/model", "data/classifier", "data/flow", "data/prior", "data/imagined")


def places(project: Path) -> tuple[dict[str, Path], list[str]]:
    """The folders of cache and local remotes by name, and the remotes that cannot be reached from here."""
    if not (project / ".dvc").is_dir():
        return {}, []
    from dvc.config import Config  # noqa: PLC0415 (a second to import, and only needed here)

    settings = Config(dvc_dir=str(project / ".dvc"), validate=True)
    cache = settings.get("cache", {}).get("dir") or "cache"
    found = {"cache": (project / ".dvc" / cache).resolve()}
    others = []
    for name, remote in settings.get("remote", {}).items():
        url = str(remote["url"]).removeprefix("file://")
        if "://" in url:
            others.append(f"{name} ({url})")
        else:
            found[f"remote {name}"] = (project / ".dvc" / url).resolve()
    return found, others


def locks(project: Repository) -> Iterator[dict]:
    """dvc.lock as it is, and as every commit that changed it had it."""
    path = project.folder / "dvc.lock"
    if path.is_file():
        yield yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    commits = project.git("log", "--all", "--format=%H", "--diff-filter=AM", "--", "dvc.lock").split()
    seen = set()
    for commit in commits:
        blob = project.git("rev-parse", f"{commit}:dvc.lock")
        if blob not in seen:
            seen.add(blob)
            yield yaml.safe_load(project.git("cat-file", "blob", blob)) or {}


def outputs(project: Repository) -> dict[str, set[str]]:
    """MD5 of every version of every output, by path."""
    found: dict[str, set[str]] = {}
    for lock in locks(project):
        for stage in lock.get("stages", {}).values():
            for out in stage.get("outs", []):
                found.setdefault(out["path"], set()).add(out["md5"])
    return found


def path_of(folder: Path, md5: str) -> Path:
    """Where an object lies in a cache or a local remote."""
    return folder / "files/md5" / md5[:2] / md5[2:]


def members(folder: Path, md5: str) -> list[tuple[str, str]]:
    """(path, MD5) of the files of an output; an output of one file is called ""."""
    if not md5.endswith(".dir"):
        return [("", md5)]
    listing = path_of(folder, md5)
    if not listing.is_file():
        return []
    return [(entry["relpath"], entry["md5"]) for entry in json.loads(listing.read_text(encoding="utf-8"))]


def drawn(found: dict[str, set[str]], folders: list[Path], named: Needles) -> set[str]:
    """MD5 of what was drawn from faces, and of all data of a version whose tables name one of them."""
    wanted = set()
    for path, versions in found.items():
        for version in versions:
            inside = {entry for folder in folders for entry in members(folder, version)}
            tables = [md5 for name, md5 in inside if name.endswith((".csv", ".parquet"))]
            holds = path in ("data/raw", "data/crops") and any(
                named.within(path_of(folder, md5)) for md5 in tables for folder in folders
            )
            if path in DRAWN or holds:
                wanted |= {md5 for _, md5 in inside}
    return wanted


def clean(journal: Journal, folder: Path, also: set[str]) -> None:
    """Remove every object of a cache or local remote that holds a face, and those with an MD5 of `also`; then
    the listings of folders that lost a file, or that have a name in them.
    """
    objects = list(files(folder))
    listings = [path for path in objects if path.suffix == ".dir"]
    for path in objects:
        md5 = path.parent.name + path.name
        what = journal.needles.within(path) or ("drawn from faces" if md5 in also else None)
        if what is not None and path not in listings:
            scrub.remove(journal, path, what)
    gone = {Path(one["where"]) for one in journal.removed()}
    gone = {path.parent.name + path.name for path in gone if path.parent.parent.name == "md5"}
    for path in listings:
        inside = {md5 for _, md5 in members(folder, path.parent.name + path.name)}
        if inside & gone or journal.needles.within(path) is not None:
            scrub.remove(journal, path, "the list of a folder's files")
