"""Neighbours of what users have brought: odd pictures, names and places. docs/inputs.md lists them."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from faces.core.params import parse
from faces.data import annotations
from faces.data.crops import Geometry
from faces.ingest import decode
from faces.sources import SourceError, folder

SKIN = (200, 150, 130)
WHOLE = Geometry(box="square", size=32, filter="bilinear")


def encoded(kind, image=None, **options):
    buffer = io.BytesIO()
    (image or Image.new("RGB", (48, 64), SKIN)).save(buffer, kind, **options)
    return buffer.getvalue()


def gray(mode, value):
    return Image.new(mode, (48, 64), value)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (encoded("JPEG", progressive=True), SKIN),
        (encoded("JPEG", restart_marker_blocks=1), SKIN),
        (encoded("JPEG", gray("CMYK", (0, 0, 0, 0))), (255, 255, 255)),
        (encoded("JPEG", gray("L", 90)), (90, 90, 90)),
        (encoded("JPEG") + b"trailing bytes", SKIN),
        (encoded("JPEG", comment=b"x" * 60000), SKIN),
        (encoded("MPO", save_all=True, append_images=[Image.new("RGB", (48, 64))]), SKIN),
        (encoded("PNG", gray("1", 1)), (255, 255, 255)),
        (encoded("PNG", gray("LA", (90, 255))), (90, 90, 90)),
        (encoded("PNG", gray("LA", (90, 0))), (255, 255, 255)),
        (encoded("PNG", Image.new("RGBA", (48, 64), (*SKIN, 0))), (255, 255, 255)),
        (encoded("PNG", Image.new("P", (48, 64), 0), transparency=0), (255, 255, 255)),
        (encoded("GIF", save_all=True, append_images=[Image.new("RGB", (48, 64))]), SKIN),
        (encoded("WEBP", save_all=True, append_images=[Image.new("RGB", (48, 64))], lossless=True), SKIN),
        (encoded("TIFF", save_all=True, append_images=[Image.new("RGB", (48, 64))]), SKIN),
        (encoded("TIFF", compression="tiff_lzw"), SKIN),
        (encoded("TIFF", gray("CMYK", (0, 0, 0, 255))), (0, 0, 0)),
        (encoded("TIFF", gray("LAB", (255, 128, 128))), None),
        (encoded("PNG", icc_profile=b"not a profile" * 20), SKIN),
        (encoded("JPEG", icc_profile=b"not a profile" * 20), SKIN),
        (encoded("JPEG", exif=b"Exif\0\0broken"), SKIN),
    ],
)
def test_an_odd_picture_is_read(content, colour):
    try:
        found = decode.face(content, WHOLE)
    except decode.BadPicture:
        assert colour is None  # Lab cannot be told from bytes alone
        return
    if colour is not None:
        np.testing.assert_allclose(found.mean((0, 1)), colour, atol=4)


@pytest.mark.parametrize(
    "content",
    [
        encoded("JPEG")[:-200],
        encoded("PNG")[:60],
        encoded("JPEG", Image.effect_noise((400, 400), 90))[:9000],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        bytes(2000),
        b"\xff\xd8\xff\xdb",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"\0\0\0\x18ftypheic" + bytes(40),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    ],
)
def test_an_odd_picture_is_refused_the_same_way_each_time(content):
    reasons = set()
    for _ in range(2):
        with pytest.raises(decode.BadPicture) as caught:
            decode.face(content, WHOLE)
        reasons.add(str(caught.value))
    assert len(reasons) == 1 and "\n" not in reasons.pop()


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (2000, 16)])
def test_odd_shapes_have_a_middle(size):
    for box in ("square", "auto"):
        geometry = Geometry(box=box, size=32, filter="bilinear")
        found = decode.face(encoded("PNG", Image.new("RGB", size, SKIN)), geometry)
        np.testing.assert_allclose(found.reshape(-1, 3), np.broadcast_to(SKIN, (1024, 3)), atol=1)


@pytest.mark.parametrize(
    "name",
    [
        "comma, in it.jpg",
        "\N{GRINNING FACE}.jpg",
        "sp  ace.jpg",
        "100%.jpg",
        "a'b.jpg",
        "#1.jpg",
        "deep/er/and/deeper.jpg",
        "two.dots.jpg",
        "x" * 200 + ".jpg",
        "UPPER.JPG",
        "-dash.jpg",
        "caf\u00e9.jfif",
        "\u7530\u4e2d.jpeg",
    ],
)
def test_an_odd_name_is_a_name(tmp_path, name):
    place = tmp_path / "my set (1)"
    (place / name).parent.mkdir(parents=True)
    (place / name).write_bytes(encoded("JPEG"))
    (place / "labels.csv").write_text(f'name,Hat\n"{name}",1\n', encoding="utf-8")
    (tmp_path / "raw").mkdir()
    folder.Source(config(f"{place}/")).fetch(0, tmp_path / "raw", lambda *_: None)
    assert annotations.read_labels(tmp_path / "raw/labels.csv")["name"].tolist() == [name]
    with zipfile.ZipFile(tmp_path / "raw/images.zip") as archive:
        assert archive.namelist() == [name]


def config(path):
    return parse(folder.Config, {"path": str(path), "licence": "mine", "valid": 0.1, "test": 0.1})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a.jpg,1\nb.jpg,0\n", r"no column 'name' \(found: a.jpg, 1\)"),
        ("name,age\na.jpg,34\n", r"row 2, column 'age': '34'; allowed: 1, 0, -1"),
        ("name,Hat\na.jpg,0.7\n", r"row 2, column 'Hat': '0.7'"),
        ("name,Hat\na.jpg,100%\n", r"row 2, column 'Hat': '100%'"),
        ("name,by\na.jpg,Ann\n", r"row 2, column 'by': 'Ann'"),
        ("<table><tr><td>name</td></tr></table>", r"no column 'name'"),
        ("name,Hat\nC:\\faces\\z.jpg,1\n", r"none of the 1 pictures that it names is here \(C:/faces/z.jpg"),
        ("name,Hat\nhttps://x/y.jpg,1\n", r"none of the 1 pictures that it names is here"),
    ],
)
def test_an_odd_table_is_refused_with_its_place(tmp_path, table, message):
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG"))
    (tmp_path / "labels.csv").write_text(table)
    (tmp_path / "raw").mkdir()
    with pytest.raises(SourceError, match=message):
        folder.Source(config(tmp_path)).fetch(0, tmp_path / "raw", lambda *_: None)


def test_odd_places(tmp_path):
    """A path to the table itself, to a picture; a tar with absolute names; a self-extracting zip; a folder
    named like a picture.
    """
    place = tmp_path / "set"
    (place / "folder.jpg").mkdir(parents=True)
    (place / "folder.jpg/a.jpg").write_bytes(encoded("JPEG"))
    (place / "labels.csv").write_text("name,Hat\nfolder.jpg/a.jpg,1\n")
    for file in ("labels.csv", "folder.jpg/a.jpg"):
        with pytest.raises(SourceError, match=r"found a single \.\w+ file; give the folder that it is in"):
            folder.Source(config(place / file)).attributes()
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for file in ("labels.csv", "folder.jpg/a.jpg"):
            content = (place / file).read_bytes()
            info = tarfile.TarInfo(f"/data/{file}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for file in ("labels.csv", "folder.jpg/a.jpg"):
            archive.write(place / file, file)
    (tmp_path / "set.exe").write_bytes(b"MZ" + bytes(5000) + (tmp_path / "plain.zip").read_bytes())
    for path in (place, tmp_path / "set.tar", tmp_path / "set.exe"):
        out = tmp_path / f"raw {path.name}"
        out.mkdir()
        folder.Source(config(path)).fetch(0, out, lambda *_: None)
        assert annotations.read_labels(out / "labels.csv")["name"].tolist() == ["folder.jpg/a.jpg"]
