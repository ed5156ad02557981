"""Reader of many small files in a folder, a zip or a tar, without extracting them.

Names have forward slashes. What cannot be read raises RawError with the archive, the member and the way out.
"""

import lzma
import os
import posixpath
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from faces.core.console import Report
from faces.data.annotations import RawError

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".ppm", ".pgm"),
)
TABLES = (".csv", ".tsv", ".txt", ".xlsx")
HTML = (b"<!doctype", b"<html")
KINDS = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PK\x03\x04": "a zip archive without its end (the download was cut short)",
    b"\x28\xb5\x2f\xfd": "a zst archive",
    b"\x1f\x8b": "a gzip file that holds no tar or is damaged",
    b"\x1f\x9d": "a compress (.Z) archive",
    b"\x04\x22\x4d\x18": "an lz4 archive",
    b"LZIP": "an lzip archive",
    b"MSCF": "a cabinet archive",
    b"BZh": "a bzip2 file that holds no tar",
    b"\xfd7zXZ": "an xz file that holds no tar",
    b"PK\x07\x08": "a part of a zip archive in several parts",
    b"PAR1": "a Parquet table",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"II*\x00": "a TIFF or camera file of a kind that is not read",
    b"MM\x00*": "a TIFF or camera file of a kind that is not read",
    b"\xff\xd8\xff": "a damaged JPEG picture, or one of 12 bits a colour",
    b"\x89PNG": "a damaged PNG picture",
    b"%PDF": "a PDF document",
    b"HTTP/": "an answer of a web server with its head",
    b"\x00\x05\x16\x07": "what macOS keeps beside a file (AppleDouble)",
    b"\x93NUMPY": "a NumPy array",
    b"version https://git-lfs": "a pointer of Git LFS (git lfs pull fetches the file)",
}
UNPACK = (
    *("a 7z archive", "a rar archive", "a zst archive", "a gzip file that holds no tar or is damaged"),
    *("a compress (.Z) archive", "an lz4 archive", "an lzip archive", "a cabinet archive"),
    *("a bzip2 file that holds no tar", "an xz file that holds no tar"),
    "a part of a zip archive in several parts",
)
TO_FILES = ("a Parquet table", "an HDF5 file", "an SQLite database")  # whose pictures are to be written out
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 98: "PPMd", 99: "AES encryption"}
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UTF8 = 0x800  # flag bit of a zip member whose name is UTF-8
UNICODE_PATH = 0x7075  # extra field of a zip member with its name in UTF-8 (Info-ZIP)
# What the packers of Windows and DOS write names in, by its language, without a word about it
ENCODINGS = ("cp932", "gbk", "big5", "euc_kr", "cp1250", "cp1251", "cp1252", "cp866", "cp850", "cp1253")
ENCRYPTED = 0x1  # flag bit of a zip member
MAX_MEMBER = 2**30  # bytes of one member; a larger one is no picture
MAX_RATIO = 1000  # unpacked size over packed size, beyond which a member is not read
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


class Files:
    """What a folder or an archive holds: `names`, with forward slashes, in order (a folder's sorted, an
    archive's own).

    Hidden files and what macOS adds to archives (`__MACOSX/`) are left out. A name that stands twice in an
    archive is listed once and read as its last copy, as every unpacker does.
    """

    def __init__(self, path: Path, names: Collection[str]) -> None:
        self.path = path
        self.spellings: dict[
            str, tuple[str, ...]
        ] = {}  # what else a name may be, where its encoding is unknown
        self.names = tuple(dict.fromkeys(name for name in names if not _hidden(name)))
        self.complete = len(self.names) == len(names)  # nothing was left out or stood twice

    def read(self, name: str) -> bytes:
        """The content of one file."""
        raise NotImplementedError

    def each(self, wanted: Collection[str], report: Report) -> Iterator[tuple[str, bytes]]:
        """(name, content) of every wanted file that is here, in the order of `names`, one in memory at a
        time.
        """
        wanted = frozenset(wanted)
        found = [name for name in self.names if name in wanted]
        for count, name in enumerate(found, 1):
            yield name, self.read(name)
            report(count, len(found), "images")


class _Folder(Files):
    """Links are followed; one that leads back into a folder above it, or nowhere, is left out."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, sorted(_walk(path, (os.path.realpath(path),))))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


class _Zip(Files):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.members: dict[str, zipfile.ZipInfo] = {}
        names = []
        for member in archive.infolist():
            name = _decoded(member)
            if not _spellings(member):  # else a backslash may be half of a letter
                name = _forward(name)
            if not member.is_dir() and not name.endswith("/"):
                names.append(name)
                self.members[name] = member
        self.path = path
        self.archive = archive
        for name in [name for name in self.members if _is_link(self.members[name])]:
            target = self._target(name)
            if target is None:
                names = [other for other in names if other != name]
                del self.members[name]
            else:
                self.members[name] = target
        super().__init__(path, names)
        self.spellings = {name: other for name in self.names if (other := _spellings(self.members[name]))}
        self.complete = self.complete and all(
            name == member.filename and member.compress_type in PLAIN and not member.flag_bits & ENCRYPTED
            for name, member in self.members.items()
        )

    def _target(self, name: str) -> zipfile.ZipInfo | None:
        """The file that a symbolic link means; None where it is no file of this archive."""
        meant = self.read(name).decode("utf-8", "replace")
        member = self.members.get(posixpath.normpath(posixpath.join(posixpath.dirname(name), meant)))
        return None if member is None or _is_link(member) else member

    def read(self, name: str) -> bytes:
        member = self.members[name]
        if member.flag_bits & ENCRYPTED or member.compress_type == 99:
            raise RawError(
                f"{self.path}: member {name} has a password; unpack the archive and give the folder"
            )
        _bearable(self.path, name, member.file_size, member.compress_size)
        try:
            return self.archive.read(member)
        except NotImplementedError:
            method = METHODS.get(member.compress_type, f"number {member.compress_type}")
            raise RawError(
                f"{self.path}: member {name} is packed by method {method}, which is not read here; "
                "unpack the archive and give the folder"
            ) from None
        except DAMAGED as error:
            raise RawError(
                f"{self.path}: member {name} is damaged ({_one_line(error)}); fetch the archive again"
            ) from None


class _Tar(Files):
    """Links to files of the archive are those files; others are left out."""

    def __init__(self, path: Path, archive: tarfile.TarFile) -> None:
        self.members: dict[str, tarfile.TarInfo] = {}
        names = []
        members = archive.getmembers()
        _ends(archive)
        files = {posixpath.normpath(member.name) for member in members if member.isfile() or member.islnk()}
        for member in members:
            meant = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
            if member.isfile() or member.islnk() or (member.issym() and meant in files):
                name = _forward(member.name)
                names.append(name)
                self.members[name] = member
        super().__init__(path, names)
        self.archive = archive

    def read(self, name: str) -> bytes:
        _bearable(self.path, name, self.members[name].size, None)
        try:
            return self.archive.extractfile(self.members[name]).read()
        except (*DAMAGED, KeyError) as error:
            raise RawError(
                f"{self.path}: member {name} is damaged ({_one_line(error)}); fetch the archive again"
            ) from None


class _Header(tarfile.TarInfo):
    """Header of a tar member. A damaged one is an error: `tarfile` takes it for the end and drops what
    follows.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:
            if archive.offset == 0:
                raise
            raise tarfile.ReadError(f"no header at byte {archive.offset:,}: {error}") from None


@contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """The files of a folder, a zip, or a tar (also compressed). Raises RawError where `path` is none of
    these, damaged or cut short.
    """
    if path.is_dir():
        yield _Folder(path)
    elif not path.exists():
        if str(path).startswith(("http:/", "https:/", "s3:/", "gs:/")):
            raise RawError(f"{path} is an address; download it, and give the folder or archive")
        raise RawError(f"{path} does not exist{_meant(path)}")
    elif not path.is_file():
        raise RawError(f"{path} is a pipe or a device; write it to a file, and give that")
    elif _is_zip(path):
        try:
            archive = zipfile.ZipFile(path)
        except DAMAGED as error:
            raise RawError(f"{path} is a damaged archive ({_one_line(error)}); fetch it again") from None
        with archive:
            yield _Zip(path, archive)
    elif path.stat().st_size and _is_tar(path):
        try:
            tar = tarfile.open(path, tarinfo=_Header)
            files = _Tar(path, tar)
        except RawError:
            raise
        except (*DAMAGED, ValueError) as error:
            raise RawError(f"{path} is a damaged archive ({_one_line(error)}); fetch it again") from None
        with tar:
            yield files
    else:
        kind = kind_of(path)
        way_out = "unpack it and give the folder" if kind in UNPACK else "fetch it again"
        if kind in TO_FILES:
            way_out = "write its pictures into a folder, with labels.csv"
        if path.suffix.lower() in (*TABLES, *PICTURES):
            kind = f"a single {path.suffix} file"
            way_out = "give the folder that it is in"
        raise RawError(f"{path}: expected a folder, a zip or a tar, found {kind}; {way_out}")


def is_picture(name: str) -> bool:
    """Whether the file name is that of a picture."""
    return _trimmed(name).lower().endswith(PICTURES)


def _meant(path: Path) -> str:
    """The path that exists where quotation marks, file://, %20 or $HOME keep `path` from it, as a part of
    a message; "" where there is none.
    """
    text = unquote(str(path).strip("'\" ").removeprefix("file:"))
    meant = os.path.expanduser(os.path.expandvars(text))
    return f"; {meant} does: give that" if meant != str(path) and os.path.exists(meant) else ""


def kind_of(path: Path) -> str:
    """Guessed kind of an unexpected file, for a message."""
    with path.open("rb") as file:
        return kind_of_bytes(file.read(512), path.stat().st_size)


def kind_of_bytes(start: bytes, size: int) -> str:
    """Guessed kind of a file of `size` bytes that begins with `start`."""
    if not start:
        return "an empty file"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(HTML):
        return "an HTML page (a quota, virus-scan or login notice saved under the file's name)"
    for mark, kind in KINDS.items():
        if start.startswith(mark):
            return kind
    if start[128:132] == b"DICM":
        return "a DICOM file"
    if start[4:8] == b"ftyp":
        return "a damaged HEIF or AVIF picture" if start[8:12] in HEIF else "a film"
    return f"a file of {size:,} bytes that begins with {start[:8]!r}"


class Lookup:
    """Lookup of the file that a table names: the exact name, or else the one file that differs only in form.

    What may differ: backslashes, a leading `./`, the path or the name of the folder itself, %20 for a space,
    composed or decomposed letters, capitals, characters of no width, blanks and dots at the end, the ending
    of a picture, and the encoding of names in a zip that does not say it. Where two files fit equally well,
    neither is taken.
    """

    def __init__(
        self, names: Collection[str], root: str = "", spellings: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """`names` of the pictures, the absolute path of the folder that they are in, and what else a name may
        be.
        """
        self.names = frozenset(names)
        self.root = root.rstrip("/") + "/" if root else ""
        self.folded: dict[str, str | None] = {}
        self.stems: dict[str, str | None] = {}
        self.spelled: dict[str, str | None] = {}
        for name in names:
            for table, key in ((self.folded, _fold(name)), (self.stems, _fold(_stem(name)))):
                table[key] = None if key in table else name
        for name, others in (spellings or {}).items():
            for key in {_fold(_stem(other)) for other in others}:
                self.spelled[key] = None if key in self.spelled else name

    def find(self, name: str) -> str | None:
        """The file that `name` means; None where there is none, or more than one."""
        found = self._find(name)
        own = posixpath.basename(self.root.rstrip("/")) + "/"
        if found is None and self.root and self.plain(name).startswith(own):
            found = self._find(self.plain(name).removeprefix(own))
        return self._find(unquote(name)) if found is None and "%" in name else found

    def _find(self, name: str) -> str | None:
        if name in self.names:
            return name
        plain = self.plain(name)
        if plain in self.names:
            return plain
        if (folded := _fold(plain)) in self.folded:
            return self.folded[folded]
        stem = _fold(_stem(plain))
        return self.stems[stem] if stem in self.stems else self.spelled.get(stem)

    def plain(self, name: str) -> str:
        """`name` with forward slashes, relative to the folder."""
        forward = _forward(name)
        return forward.removeprefix(self.root) if self.root else forward


def _walk(path: Path, above: tuple[str, ...]) -> Iterator[str]:
    """Names of the files below `path`; `above` are the real paths of the folders on the way to it."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except PermissionError as error:
        raise RawError(f"{error.filename}: permission denied; make the folder readable") from None
    for entry in entries:
        if entry.name.startswith("."):
            yield entry.name  # left out, and counted, by Files
        elif entry.is_dir():
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real not in above:
                yield from (f"{entry.name}/{name}" for name in _walk(Path(entry.path), (*above, real)))
        elif entry.is_file():
            yield entry.name


def _decoded(member: zipfile.ZipInfo) -> str:
    """The member's name. macOS writes UTF-8 without the flag that says so, which `zipfile` reads as CP437."""
    if member.flag_bits & UTF8 or member.filename.isascii():
        return member.filename
    try:
        return _unicode_path(member.extra) or _raw_name(member).decode("utf-8")
    except UnicodeError:
        return member.filename


def _spellings(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """What a name may be that is not UTF-8 and does not say its encoding."""
    if member.filename != _decoded(member) or member.flag_bits & UTF8 or member.filename.isascii():
        return ()
    found = []
    for encoding in ENCODINGS:
        try:
            found.append(_forward(_raw_name(member).decode(encoding)))
        except UnicodeError:
            continue
    return tuple(dict.fromkeys(found))


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    """The bytes of a name without the flag of UTF-8, which `zipfile` has read as CP437."""
    return member.orig_filename.encode("cp437")


def _unicode_path(extra: bytes) -> str:
    """The name in UTF-8 out of a member's extra fields, "" where there is none: tag, length, version,
    checksum, name.
    """
    while len(extra) >= 4:
        length = int.from_bytes(extra[2:4], "little")
        if int.from_bytes(extra[:2], "little") == UNICODE_PATH:
            return extra[9 : 4 + length].decode("utf-8")
        extra = extra[4 + length :]
    return ""


def _is_zip(path: Path) -> bool:
    """Whether the file is a zip. One that only ends in the bytes of a zip, as a tar of stored zips may, is
    not.
    """
    with path.open("rb") as file:
        start = file.read(512)
    return zipfile.is_zipfile(path) and not start[257:262] == b"ustar"


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except DAMAGED:  # a compressed file whose first block is damaged
        return True


def _is_link(member: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)


def _ends(archive: tarfile.TarFile) -> None:
    """Raises RawError where a second archive stands behind the end of the first; reading raises its own error
    where that end is damaged.
    """
    archive.fileobj.seek(archive.offset)
    before = b""
    while block := archive.fileobj.read(2**20):
        if b"ustar" in before + block:
            raise RawError(
                f"{archive.name}: another tar stands behind its end; "
                "unpack it by `tar -xif` and give the folder"
            )
        before = block[-4:]


def _bearable(path: Path, name: str, size: int, packed: int | None) -> None:
    """Raises RawError where a member claims more bytes than a picture has."""
    bomb = packed is not None and size > 2**24 and size > MAX_RATIO * max(packed, 1)
    if size > MAX_MEMBER or bomb:
        raise RawError(f"{path}: member {name} claims {size:,} bytes, more than a picture has; remove it")


def _forward(name: str) -> str:
    """A name with forward slashes, without `./` or doubled slashes in front."""
    return re.sub(r"^(\./+)+", "", re.sub(r"/{2,}", "/", name.replace("\\", "/")))


def _fold(name: str) -> str:
    """`name` without capitals, characters of no width, and the form in which its letters are composed."""
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFC", _trimmed(seen)).casefold()


def _trimmed(name: str) -> str:
    """`name` without blanks and dots at its end, which Windows drops."""
    return name.rstrip(" .")


def _stem(name: str) -> str:
    """A picture's name without its ending; any other name as it is."""
    return _trimmed(name).rpartition(".")[0] if is_picture(name) else name


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
