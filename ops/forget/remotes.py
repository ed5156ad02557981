"""DVC's remotes that are not folders on this machine (S3, SSH, ...), by DVC's file systems and settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faces.core.console import Progress

if TYPE_CHECKING:
    from dvc.config import Config
    from dvc.fs import FileSystem


class RemoteError(RuntimeError):
    """A remote cannot be reached. The message names it, with the file system's reason."""


@dataclass(frozen=True)
class Elsewhere:
    """An opened remote."""

    name: str
    url: str
    system: "FileSystem"
    path: str  # of the remote, as the file system has it

    @classmethod
    def open(cls, settings: "Config", name: str) -> "Elsewhere | None":
        """The remote of that name; None where it keeps files under their names, in versions of the bucket's.

        Raises RemoteError.
        """
        from dvc.fs import get_cloud_fs  # noqa: PLC0415 (a second to import, and only needed here)

        remote = settings["remote"][name]
        if remote.get("worktree") or remote.get("version_aware"):
            return None
        with reaching(name, str(remote["url"])):
            kind, options, path = get_cloud_fs(settings, name=name)
            return cls(name, str(remote["url"]), kind(**options), path)

    def objects(self) -> list[str]:
        """Where each object lies, from the remote on; none before the first push. Raises RemoteError."""
        with reaching(self.name, self.url):
            if not self.system.exists(self.path):
                return []
            return sorted(self.system.relpath(place, self.path) for place in self.system.find(self.path))

    def fetch(self, places: list[str], folder: Path) -> None:
        """Objects as files of the same place in `folder`. Raises RemoteError."""
        bar = Progress(f"fetch from DVC remote {self.name}", len(places), "objects")
        for done, place in enumerate(places, 1):
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            with reaching(self.name, self.url):
                self.system.get_file(self.system.join(self.path, place), str(target))
            bar.update(done)
        bar.close()

    def where(self, place: str) -> str:
        """An object as the certificate names it."""
        return f"{self.url.rstrip('/')}/{place}"

    def remove(self, place: str) -> None:
        """Remove an object. Raises RemoteError."""
        with reaching(self.name, self.url):
            self.system.remove(self.system.join(self.path, place))


@contextmanager
def reaching(name: str, url: str) -> Iterator[None]:
    """Context in which whatever the file system raises becomes a RemoteError."""
    try:
        yield
    except Exception as error:  # each file system has errors of its own
        reason = str(error).strip() or type(error).__name__
        raise RemoteError(f"DVC remote {name} ({url}): {reason}") from None
