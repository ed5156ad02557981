"""DVC's cache and remotes: objects that hold a forgotten face, of every version that Git knows.

An object goes where the bytes of a picture, crop or code, or a name in text, stand in it. What was drawn from
faces (sheets, animations, scores, statistics, exports) holds them in other bytes: it goes by its path in any
version of dvc.lock.

Objects of a remote elsewhere are looked at here: those that no folder of this machine has are fetched first.
"""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ops.forget import scrub
from ops.forget.journal import Journal
from ops.forget.needles import Needles, files
from ops.forget.remotes import Elsewhere, RemoteError
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


@dataclass(frozen=True)
class Places:
    """Where a project's objects lie."""

    here: dict[str, Path] = field(default_factory=dict)  # folders, by name: the cache, and remotes
    elsewhere: tuple[Elsewhere, ...] = ()
    remotes: frozenset[str] = frozenset()  # their names
    untouched: dict[str, str] = field(default_factory=dict)  # other remotes, and why they stay as they are

    @classmethod
    def of(cls, project: Path, leave: Collection[str] = ()) -> "Places":
        """Those that DVC's settings name; remotes to `leave` are not touched. Raises RemoteError."""
        if not (project / ".dvc").is_dir():
            return cls()
        from dvc.config import Config, ConfigError  # noqa: PLC0415 (a second to import, and only needed here)

        try:
            settings = Config(dvc_dir=str(project / ".dvc"), validate=True)
        except ConfigError as error:
            raise RemoteError(f"{project / '.dvc'}: {error}") from None
        cache = settings.get("cache", {}).get("dir") or "cache"
        here = {"cache": (project / ".dvc" / cache).resolve()}
        elsewhere = []
        untouched = {}
        for name, remote in settings.get("remote", {}).items():
            url = str(remote["url"]).removeprefix("file://")
            if name in leave:
                untouched[f"{name} ({url})"] = "left out, as --leave asked: not looked at"
            elif "://" not in url:
                here[f"remote {name}"] = (project / ".dvc" / url).resolve()
            elif (opened := Elsewhere.open(settings, name)) is not None:
                elsewhere.append(opened)
            else:
                untouched[f"{name} ({url})"] = "its bucket keeps files in versions of its own: not looked at"
        return cls(here, tuple(elsewhere), frozenset(settings.get("remote", {})), untouched)

    @property
    def folders(self) -> list[Path]:
        """Those on this machine."""
        return list(self.here.values())

    def fetch(self, folder: Path) -> list[Path]:
        """Fetch into `folder` what lies elsewhere alone. Returns the folders, one for each such remote.

        Raises RemoteError.
        """
        fetched: list[Path] = []
        for remote in self.elsewhere:
            fetched.append(folder / remote.name)
            missing = [place for place in remote.objects() if near(place, [*self.folders, *fetched]) is None]
            remote.fetch(missing, fetched[-1])
        return fetched


def near(place: str, folders: list[Path]) -> Path | None:
    """The file that lies at `place` in one of the folders: where objects are named by content, the same."""
    return next((folder / place for folder in folders if (folder / place).is_file()), None)


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
    return listed(listing)


def listed(listing: Path) -> list[tuple[str, str]]:
    """(path, MD5) of the files that a list of a folder's names."""
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


@dataclass(frozen=True)
class Object:
    """An object in a cache or a remote."""

    content: Path  # a file of its bytes
    remove: Callable[[Journal, str], None]  # with what it was of a face, for the journal

    @property
    def md5(self) -> str:
        """With ".dir" where it lists the files of a folder."""
        return self.content.parent.name + self.content.name


def objects_here(folder: Path) -> list[Object]:
    """Those of a cache or a remote on this machine."""

    def remover(path: Path) -> Callable[[Journal, str], None]:
        return lambda journal, what: scrub.remove(journal, path, what)

    return [Object(path, remover(path)) for path in files(folder)]


def objects_elsewhere(remote: Elsewhere, folders: list[Path], scratch: Path) -> list[Object]:
    """Those of a remote elsewhere; what none of the folders has is fetched into `scratch`.

    Raises RemoteError.
    """

    def remover(place: str, content: Path) -> Callable[[Journal, str], None]:
        def remove(journal: Journal, what: str) -> None:
            journal.record(content, what, where=remote.where(place))
            remote.remove(place)

        return remove

    places = remote.objects()
    known = [*folders, scratch]
    remote.fetch([place for place in places if near(place, known) is None], scratch)
    found = [(place, near(place, known)) for place in places]
    return [Object(content, remover(place, content)) for place, content in found if content is not None]


def clean(journal: Journal, objects: list[Object], also: set[str]) -> None:
    """Remove every object of a cache or remote that holds a face, and those with an MD5 of `also`; then the
    listings of folders that lost a file, or that have a name in them. Raises RemoteError.
    """
    listings = [one for one in objects if one.md5.endswith(".dir")]
    for one in (one for one in objects if not one.md5.endswith(".dir")):
        what = journal.needles.within(one.content) or ("drawn from faces" if one.md5 in also else None)
        if what is not None:
            one.remove(journal, what)
    gone = {Path(one["where"]) for one in journal.removed()}
    gone = {path.parent.name + path.name for path in gone if path.parent.parent.name == "md5"}
    for one in listings:
        inside = {md5 for _, md5 in listed(one.content)}
        if inside & gone or journal.needles.within(one.content) is not None:
            one.remove(journal, "the list of a folder's files")
