"""Many small files, read where they lie: in a folder, a zip or a tar. Nothing is ever extracted."""

import os
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from faces.data.annotations import RawError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
HTML = (b"<!doctype", b"<html")

Report = Callable[[int, int, str], None]  # done, total, unit


class Files:
    """What a folder or an archive holds: `names`, with forward slashes, in order (a folder's sorted, an archive's own).

    Hidden files and what macOS adds to archives (`__MACOSX/`) are left out; a name that stands twice in an archive is listed once and read
    as its last copy, as every unpacker does.
    """

    def __init__(self, path: Path, names: Collection[str]) -> None:
        self.path = path
        self.names = tuple(dict.fromkeys(name for name in names if not _hidden(name)))
        self.complete = len(self.names) == len(names)  # nothing was left out or stood twice

    def read(self, name: str) -> bytes:
        """The content of one file."""
        raise NotImplementedError

    def each(self, wanted: Collection[str], report: Report) -> Iterator[tuple[str, bytes]]:
        """(name, content) of every wanted file that is here, in the order of `names`, one in memory at a time."""
        wanted = frozenset(wanted)
        found = [name for name in self.names if name in wanted]
        for count, name in enumerate(found, 1):
            yield name, self.read(name)
            report(count, len(found), "images")


class _Folder(Files):
    def __init__(self, path: Path) -> None:
        found = (Path(place) / file for place, _, files in os.walk(path, followlinks=True) for file in files)
        super().__init__(path, sorted(file.relative_to(path).as_posix() for file in found))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


class _Zip(Files):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        super().__init__(path, [member.filename for member in archive.infolist() if not member.is_dir()])
        self.archive = archive

    def read(self, name: str) -> bytes:
        try:
            return self.archive.read(name)
        except (zipfile.BadZipFile, EOFError) as error:
            raise RawError(
                f"{self.path}: member {name} is damaged ({error}); fetch the archive again"
            ) from None


class _Tar(Files):
    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self.members = {
            member.name.removeprefix("./"): member for member in archive.getmembers() if member.isfile()
        }
        super().__init__(path, self.members)
        self.archive = archive

    def read(self, name: str) -> bytes:
        return self.archive.extractfile(self.members[name]).read()


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """The files of a folder, a zip, or a tar (also compressed). Raises RawError where `path` is none of these, or cut short."""
    if path.is_dir():
        yield _Folder(path)
    elif not path.exists():
        raise RawError(f"{path} does not exist")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _Zip(path, archive)
    elif path.stat().st_size and tarfile.is_tarfile(path):
        try:
            archive = tarfile.open(path)
            files = _Tar(path, archive)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise RawError(f"{path} is a damaged archive ({error}); fetch it again") from None
        with archive:
            yield files
    else:
        raise RawError(f"{path}: expected a folder, a zip or a tar, found {kind_of(path)}; fetch it again")


def is_picture(name: str) -> bool:
    """Whether the file name is that of a picture."""
    return name.lower().endswith(PICTURES)


def kind_of(path: Path) -> str:
    """What a file that is not what was hoped for seems to be, for a message."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    if start.lstrip().lower().startswith(HTML):
        return "an HTML page (a quota, virus-scan or login notice saved under the file's name)"
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive without its end (the download was cut short)"
    return f"a file of {path.stat().st_size:,} bytes that begins with {start[:8]!r}"


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
