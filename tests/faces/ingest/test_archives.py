"""Archives and folders as people bring them: read, or refused in one line that names archive, member and way
out.
"""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import subprocess
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest

from faces.data.annotations import RawError
from faces.ingest.archives import Lookup, open_files

FILES = {
    "labels.csv": b"name,Hat\n",
    "a.jpg": b"first" * 50,
    "deep/b.jpg": b"second" * 50,
    "c.jpg": b"third" * 50,
}


def zipped(path, files=FILES, method=zipfile.ZIP_DEFLATED, rename=lambda name: name):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.filename = rename(name)
            info.compress_type = method
            archive.writestr(info, content)
    return path


def tarred(path, mode="w", files=FILES):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def patch(path, marks, change):
    """Change the bytes at a place behind each of `marks` (signature, offset)."""
    data = bytearray(path.read_bytes())
    for mark, offset in marks:
        place = 0
        while (place := data.find(mark, place)) >= 0:
            data[place + offset] = change(data[place + offset])
            place += 4
    path.write_bytes(bytes(data))
    return path


def everything(path):
    with open_files(path) as files:
        return {name: files.read(name) for name in files.names}


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_method_of_a_zip_that_python_has(tmp_path, method):
    assert everything(zipped(tmp_path / "set.zip", method=method)) == FILES


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_compression_of_a_tar(tmp_path, mode):
    assert everything(tarred(tmp_path / "set.tar", mode)) == FILES


def test_backslashes_are_folders(tmp_path):
    path = zipped(tmp_path / "set.zip", rename=lambda name: "set\\" + name.replace("/", "\\"))
    assert everything(path) == {f"set/{name}": content for name, content in FILES.items()}


def test_names_in_utf8_without_the_flag_that_says_so(tmp_path):
    """As macOS writes them; Python takes them for CP437."""
    name = "gr\u00fc\u00df.jpg"
    path = zipped(tmp_path / "set.zip", {"x" * len(name.encode()): b"1"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(name.encode()), name.encode()))
    assert everything(path) == {name: b"1"}


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("\u7530\u4e2d.jpg", "cp932"),
        ("\u8868/\u8868.jpg", "cp932"),  # its second byte is a backslash
        ("\u5f20\u4f1f.jpg", "gbk"),
        ("\uae40.jpg", "euc_kr"),
        ("\u0438\u0432\u0430\u043d.jpg", "cp866"),
        ("\u0438\u0432\u0430\u043d.jpg", "cp1251"),
        ("M\u00fcller.jpg", "cp1252"),
        ("M\u00fcller.jpg", "cp437"),
        ("M\u00fcller.jpg", "cp850"),
    ],
)
def test_a_name_in_another_encoding_is_found_by_the_table(tmp_path, name, encoding):
    """A zip without the flag of UTF-8: which encoding it is, the name in the table says."""
    raw = name.encode(encoding)
    path = zipped(tmp_path / "set.zip", {"x" * len(raw): b"1", "other.jpg": b"2"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    with open_files(path) as files:
        lookup = Lookup(files.names, spellings=files.spellings)
        found = lookup.find(name)
        assert found is not None and files.read(found) == b"1"
        assert lookup.find(unicodedata.normalize("NFD", name)) == found
        assert lookup.find("\u7530.jpg") is None and files.read("other.jpg") == b"2"


def test_a_name_in_the_field_of_info_zip(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        one = zipfile.ZipInfo("xy.jpg")
        text = "\u7530\u4e2d.jpg".encode()
        one.extra = struct.pack("<HHBI", 0x7075, 5 + len(text), 1, 0) + text
        archive.writestr(one, b"1")
    path.write_bytes(path.read_bytes().replace(b"xy.jpg", b"\x93\xfa.jpg"))
    assert everything(path) == {"\u7530\u4e2d.jpg": b"1"}


def test_what_macos_adds_is_left_out(tmp_path):
    extra = {"__MACOSX/._a.jpg": b"x", ".DS_Store": b"x", "set/.hidden.jpg": b"x"}
    assert everything(zipped(tmp_path / "set.zip", FILES | extra)) == FILES


def test_a_path_that_leads_out_is_no_file_here(tmp_path):
    assert everything(zipped(tmp_path / "set.zip", FILES | {"../evil.jpg": b"x"})) == FILES


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: patch(zipped(path), ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)), lambda _: 9),
            r"set: member labels.csv is packed by method Deflate64, .*; "
            r"unpack the archive and give the folder",
        ),
        (
            lambda path: patch(zipped(path), ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)), lambda old: old | 1),
            r"set: member labels.csv has a password; unpack the archive and give the folder",
        ),
        (
            lambda path: patch(
                zipped(path, method=zipfile.ZIP_STORED), ((b"second", 3),), lambda old: old ^ 1
            ),
            r"set: member deep/b.jpg is damaged \(Bad CRC-32.*\); fetch the archive again",
        ),
        (
            lambda path: patch(zipped(path), ((b"PK\x03\x04", 50),), lambda old: old ^ 0xFF),
            r"set: member labels.csv is damaged \(.*\); fetch the archive again",
        ),
        (
            lambda path: zipped(path, {"a.jpg": bytes(2**25)}),
            r"a.jpg claims 33,554,432 bytes, more than a picture",
        ),
        (
            lambda path: patch(tarred(path), ((b"deep/b.jpg", 0),), lambda _: 0xA5),
            r"set is a damaged archive \(no header at byte [\d,]+: .*\); fetch it again",
        ),
        (lambda path: cut(tarred(path, "w:gz"), 0.5), r"set is a damaged archive \(.*\); fetch it again"),
        (lambda path: cut(tarred(path, "w:xz"), 0.5), r"set is a damaged archive \(.*\); fetch it again"),
        (lambda path: cut(tarred(path), 0.24), r"set is a damaged archive \(.*\); fetch it again"),
        (
            lambda path: patch(tarred(path, "w:gz"), ((b"\x1f\x8b", 40),), lambda old: old ^ 0xFF),
            r"a gzip file that holds no tar or is damaged; unpack it",
        ),
        (lambda path: cut(zipped(path), 0.6), r"a zip archive without its end .*; fetch it again"),
        (
            lambda path: put(path, b"7z\xbc\xaf\x27\x1c rest"),
            r"found a 7z archive; unpack it and give the folder",
        ),
        (lambda path: put(path, b"Rar!\x1a\x07 rest"), r"found a rar archive; unpack it and give the folder"),
        (
            lambda path: put(path, gzip.compress(b"no tar")),
            r"found a gzip file that holds no tar or is damaged; unpack it",
        ),
        (lambda path: put(path, b"version https://git-lfs.github.com/spec/v1\n"), r"a pointer of Git LFS"),
        (lambda path: put(path, b"\n<!DOCTYPE html>"), r"an HTML page .*; fetch it again"),
        (lambda path: put(path, b""), r"an empty file; fetch it again"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, make, message):
    path = make(tmp_path / "set")
    with pytest.raises(RawError, match=message) as caught:
        everything(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def put(path, content):
    path.write_bytes(content)
    return path


def test_links_in_a_folder(tmp_path):
    """A link to a file or a folder elsewhere is followed; a loop and a dangling link are left out."""
    place = tmp_path / "set"
    (place / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/d.jpg").write_bytes(b"4")
    (place / "a.jpg").write_bytes(b"1")
    os.symlink(place, place / "deep/loop")
    os.symlink(tmp_path / "gone.jpg", place / "dangling.jpg")
    os.symlink(tmp_path / "elsewhere", place / "more")
    os.symlink(place / "a.jpg", place / "b.jpg")
    assert everything(place) == {"a.jpg": b"1", "b.jpg": b"1", "more/d.jpg": b"4"}


def test_a_hard_link_in_a_tar_is_the_file_it_means(tmp_path):
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"1"))
        link = tarfile.TarInfo("b.jpg")
        link.type = tarfile.LNKTYPE
        link.linkname = "a.jpg"
        archive.addfile(link)
    assert everything(path) == {"a.jpg": b"1", "b.jpg": b"1"}


def test_a_lookup_finds_what_differs_in_form_alone():
    lookup = Lookup(["a.jpg", "deep/B.JPG", "gr\u00fc\u00df.png", "two.jpg", "two.png"], "/data/set")
    assert lookup.find("a.jpg") == "a.jpg"
    assert lookup.find("./a.jpg") == "a.jpg"
    assert lookup.find("/data/set/a.jpg") == "a.jpg"
    assert lookup.find("deep\\b.jpg") == "deep/B.JPG"
    assert lookup.find("deep/b") == "deep/B.JPG"
    assert lookup.find("gru\u0308\u00df.jpg") == "gr\u00fc\u00df.png"
    assert lookup.find("two") is None and lookup.find("two.jpg") == "two.jpg"
    assert lookup.find("b.jpg") is None


def linked(path, links, files=FILES):
    """A zip or tar of `files` with symbolic `links`, name -> target."""
    if path.suffix == ".tar":
        with tarfile.open(tarred(path, files=files), "a") as archive:
            for name, target in links.items():
                info = tarfile.TarInfo(name)
                info.type = tarfile.SYMTYPE
                info.linkname = target
                archive.addfile(info)
    else:
        with zipfile.ZipFile(zipped(path, files), "a") as archive:
            for name, target in links.items():
                info = zipfile.ZipInfo(name)
                info.create_system = 3
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, target)
    return path


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_symbolic_link_in_an_archive_is_the_file_it_means(tmp_path, kind):
    links = {
        "deep/link.jpg": "../a.jpg",
        "nowhere.jpg": "z.jpg",
        "out.jpg": "../../etc/passwd",
        "x.jpg": "/a",
    }
    found = everything(linked(tmp_path / f"set.{kind}", links))
    assert found == {**FILES, "deep/link.jpg": FILES["a.jpg"]}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_behind_a_tar_is_not_lost(tmp_path, pack):
    first = tarred(tmp_path / "1.tar").read_bytes()
    second = tarred(tmp_path / "2.tar", files={"d.jpg": b"fourth"}).read_bytes()
    path = put(tmp_path / "set.tar", pack(first) + pack(second))
    with pytest.raises(
        RawError, match=r"set.tar: another tar stands behind its end; unpack it by `tar -xif`"
    ):
        everything(path)


def test_bytes_behind_a_tar_are_ignored(tmp_path):
    path = put(tmp_path / "set.tar", tarred(tmp_path / "1.tar").read_bytes() + b"signature" * 100)
    assert everything(path) == FILES


def test_a_wrong_checksum_at_the_end_of_a_tar_gz(tmp_path):
    content = tarred(tmp_path / "set.tgz", "w:gz").read_bytes()
    with pytest.raises(RawError, match=r"is a damaged archive \(CRC check failed"):
        everything(put(tmp_path / "set.tgz", content[:-8] + bytes(8)))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\x1f\x9d\x90", r"found a compress \(.Z\) archive; unpack it and give the folder"),
        (b"\x04\x22\x4d\x18", "found an lz4 archive; unpack it"),
        (b"LZIP\1", "found an lzip archive; unpack it"),
        (b"MSCF", "found a cabinet archive; unpack it"),
        (b"PK\x07\x08PK\x03\x04", "found a part of a zip archive in several parts; unpack it"),
        (bz2.compress(b"no tar"), "found a bzip2 file that holds no tar; unpack it"),
        (lzma.compress(b"no tar"), "found an xz file that holds no tar; unpack it"),
        (b"PAR1", "found a Parquet table; write its pictures into a folder, with labels.csv"),
        (b"\x89HDF\r\n", "found an HDF5 file; write its pictures"),
        (b"SQLite format 3\0", "found an SQLite database; write its pictures"),
    ],
)
def test_what_is_no_archive_here_is_called_by_its_name(tmp_path, start, message):
    with pytest.raises(RawError, match=message):
        everything(put(tmp_path / "set.zip", start + bytes(90)))


def test_an_address_is_no_path():
    with pytest.raises(RawError, match="is an address; download it, and give the folder or archive"):
        everything(Path("https://example.org/set.zip"))


def test_a_path_written_for_another_program(tmp_path, monkeypatch):
    """Quotation marks, file://, %20, variables: the path that exists is said."""
    place = tmp_path / "my set"
    place.mkdir()
    monkeypatch.setenv("SETS", str(tmp_path))
    for text in (f'"{place}"', f"file://{tmp_path}/my%20set", f"{tmp_path}/my%20set", "$SETS/my set"):
        with (
            pytest.raises(RawError, match=rf"does not exist; {place} does: give that"),
            open_files(Path(text)),
        ):
            pass
    with pytest.raises(RawError, match=r"gone does not exist$"), open_files(tmp_path / "gone"):
        pass


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(RawError, match="is a pipe or a device; write it to a file"), open_files(path):
            pass


@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_a_sparse_member_of_a_tar_has_its_gaps(tmp_path, kind):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.write(b"begin")
        file.seek(200_000)
        file.write(b"end")
    command = ["tar", "-S", f"--format={kind}", "-cf", "set.tar", "a.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "set.tar").stat().st_size < 100_000  # its gap is not in the archive
    assert everything(tmp_path / "set.tar") == {"a.jpg": b"begin" + bytes(199_995) + b"end"}
