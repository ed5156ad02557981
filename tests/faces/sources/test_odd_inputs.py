"""Neighbours of what users have brought: odd pictures, names and places. docs/inputs.md lists them."""

import io
import json
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from facemorph import photos
from faces.core.params import parse
from faces.data import annotations
from faces.data.crops import Geometry
from faces.ingest import decode
from faces.sources import SourceError, folder
from tests.helpers.profiles import gray_profile

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
    assert annotations.read_labels(tmp_path / "raw/labels.parquet")["name"].tolist() == [name]
    with zipfile.ZipFile(tmp_path / "raw/images.zip") as archive:
        assert archive.namelist() == [name]


def config(path):
    return parse(
        folder.Config, {"path": str(path), "unlabelled": False, "licence": "mine", "valid": 0.1, "test": 0.1}
    )


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
        ("name,identity,Hat\na.jpg,99999999999999999999,1\n", r"row 2, column 'identity': '9{20}'"),
        ("name,identity,Hat\na.jpg,inf,1\n", r"row 2, column 'identity': 'inf'; allowed: a whole number"),
        ("name,lefteye_x,Hat\na.jpg,-inf,1\n", r"row 2, column 'lefteye_x': '-inf'; allowed: a number"),
        ("name,lefteye_x,Hat\na.jpg,1e300,1\n", r"row 2, column 'lefteye_x': '1e300'"),
        ("name,Hat\na.jpg,=TRUE()\n", r"row 2, column 'Hat': '=TRUE\(\)'"),
        ("name,attribute,value\na.jpg,Hat,1\n", r"row 2, column 'attribute': 'Hat'"),
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
        assert annotations.read_labels(out / "labels.parquet")["name"].tolist() == ["folder.jpg/a.jpg"]


def read(place, table, files=("a.jpg", "b.jpg", "c.jpg"), name="labels.csv"):
    """Rows (name, labels...) of a folder with a table and pictures, and what was assumed."""
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(encoded("JPEG"))
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(table if isinstance(table, bytes) else table.encode())
    raw = place.parent / f"{place.name} raw"
    raw.mkdir()
    folder.Source(config(place)).fetch(0, raw, lambda *_: None)
    found = annotations.read_labels(raw / "labels.parquet")
    rows = found[["name", *annotations.attributes(found)]].to_numpy().tolist()
    return rows, json.loads((raw / "source.json").read_text(encoding="utf-8"))["assumed"]


@pytest.mark.parametrize(
    "table",
    [
        b"\xef\xbb\xbf\xef\xbb\xbfname,Hat\na.jpg,1\nb.jpg,0\n",
        "name,Hat\ra.jpg,1\rb.jpg,0\r",
        "\n\nname,Hat\na.jpg,1\nb.jpg,0\n",
        "name,Hat\r\na.jpg,1\r\nb.jpg,0\r\n\x1a",
        '"sep=;"\nname;Hat\na.jpg;1\nb.jpg;0\n',
        "Unnamed: 0.1,Unnamed: 0,name,Hat\n0,0,a.jpg,1\n1,1,b.jpg,0\n",
        "name;Hat\na.jpg;1,0\nb.jpg;0,0\n",
        "name,Hat\na.jpg,+1\nb.jpg,0\n",
        "name,Hat\na.jpg,1.000000000000000000e+00\nb.jpg,0.000000000000000000e+00\n",
        "name,Hat\na.jpg,1\nb.jpg,\u22121\n",
        "name,Hat\na.jpg,on\nb.jpg,off\n",
        "name,Hat\na.jpg,Ja\nb.jpg,Nein\n",
        "name,Hat\na.jpg,oui\nb.jpg,non\n",
        "name,Hat\na.jpg,VERDADERO\nb.jpg,FALSO\n",
        "name,Hat\nset/a.jpg,1\nset/b.jpg,0\n",
        "name,Hat\n%61.jpg,1\nb%2Ejpg,0\n",
    ],
)
def test_another_way_to_write_the_same_table(tmp_path, table):
    rows, _ = read(tmp_path / "set", table)
    assert rows == [["a.jpg", 1], ["b.jpg", -1]]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.jpg", "a.jpg "),
        ("a.jpg.", "a.jpg"),
        ("a", "a.jpg.."),
        ("\ufeffa.jpg", "a.jpg"),
        ("\u200ea.jpg", "a.jpg"),
        ("a.jpg", "a\u200b.jpg"),
    ],
)
def test_what_is_not_seen_in_a_name_does_not_matter(tmp_path, name, file):
    """Blanks and dots at the end, which Windows drops; characters of no width that copying brings along."""
    rows, assumed = read(tmp_path / "set", f"name,Hat\n{name},1\nb.jpg,0\n", (file, "b.jpg"))
    assert rows == [[file, 1], ["b.jpg", -1]]
    assert assumed[-1].startswith("1 names are written otherwise than the pictures")


def test_two_names_that_look_alike_are_not_guessed(tmp_path):
    rows, _ = read(tmp_path / "set", "name,Hat\nA.jpg,1\nb.jpg,0\n", ("a.jpg", "a.jpg ", "b.jpg"))
    assert rows == [["A.jpg", 1], ["b.jpg", -1]]  # and A.jpg is reported as a row without its picture


@pytest.mark.parametrize("word", [".", "--", "n.a.", "\\N", "nil"])
def test_another_word_for_unknown(tmp_path, word):
    assert read(tmp_path / "set", f"name,Hat\na.jpg,{word}\nb.jpg,1\n")[0] == [["a.jpg", 0], ["b.jpg", 1]]


def test_an_index_in_any_order_is_left_out_and_an_early_end_is_said(tmp_path):
    rows, assumed = read(tmp_path / "set", ",name,Hat,Beard\n7,a.jpg,1\n3,b.jpg,0,1\n5,c.jpg,1,0\n")
    assert rows == [["a.jpg", 1, 0], ["b.jpg", -1, 1], ["c.jpg", 1, -1]]
    assert assumed == [
        "1 rows, first 2, end early; what they lack is unknown",
        "column 1 ('') only counts the rows and is left out",
    ]


def test_fixed_columns_in_capitals(tmp_path):
    rows, assumed = read(tmp_path / "set", "name,Identity,LeftEye_X,Hat\na.jpg,7,70.5,1\nb.jpg,8,71,0\n")
    assert rows == [["a.jpg", 1], ["b.jpg", -1]]
    assert assumed[0] == "column 'Identity' is taken for 'identity'"
    table = annotations.read_labels(tmp_path / "set raw/labels.parquet")
    assert table["identity"].tolist() == [7, 8] and table["lefteye_x"].tolist() == [70.5, 71.0]


@pytest.mark.parametrize("name", ["portrait", "a.jpg_large", "a.tga"])
def test_a_file_that_the_table_names_is_a_picture_whatever_its_ending(tmp_path, name):
    rows, _ = read(tmp_path / "set", f"name,Hat\n{name},1\nb.jpg,0\n", (name, "b.jpg"))
    assert rows == [[name, 1], ["b.jpg", -1]]
    with zipfile.ZipFile(tmp_path / "set raw/images.zip") as archive:
        assert archive.namelist() == sorted([name, "b.jpg"])


@pytest.mark.parametrize(
    ("table", "name", "files", "message"),
    [
        (
            'name,Hat\na.jpg,1\n"b.jpg,0\nc.jpg,1\n',
            "labels.csv",
            ["a.jpg"],
            "row 3 goes over lines; a quotation",
        ),
        ('name,Hat\n"a.jpg,0\nb.jpg",1\n', "labels.csv", ["a.jpg"], "row 2 goes over lines"),
        ("x", "labels.xlsx", [], "labels.csv is missing; labels.xlsx is not read: save it as labels.csv"),
        ("x", "labels.csv.txt", [], "labels.csv.txt is not read"),
        ("x", "metadata.jsonl", [], "metadata.jsonl is not read"),
        ("x", "faces.zip", [], "labels.csv is missing; faces.zip is an archive inside: unpack it"),
        (
            "PAR1",
            "data/train-00000-of-00001.parquet",
            [],
            "parquet holds pictures as a table: write them into a folder, with labels.csv",
        ),
        (
            "name,Hat\na.jpg,1\n",
            "labels.csv",
            ["faces.tar.gz"],
            "faces.tar.gz is an archive inside: unpack it",
        ),
        ("name,Hat\na.jpg,1\n", "labels/labels.csv", ["images/a.jpg"], "labels.csv, which stands above all"),
    ],
)
def test_what_is_refused_says_the_way_out(tmp_path, table, name, files, message):
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "set", table, files, name)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_gray_with_a_profile_becomes_srgb(kind):
    """Linear gray of 128 is 188 in sRGB: 1.055 (128 / 255)^(1 / 2.4) - 0.055."""
    found = decode.face(encoded(kind, gray("L", 128), icc_profile=gray_profile(1.0)), WHOLE)
    np.testing.assert_allclose(found, 188, atol=1)


def png_of_16_bits(kind, values):
    """A PNG of 48 x 64 pixels of that colour type, written by hand: Pillow writes none with transparency."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    line = b"\0" + struct.pack(f">{len(values)}H", *values) * 48
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 64, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(line * 64)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        png_of_16_bits(6, (0, 0, 0, 32768)),
        png_of_16_bits(4, (0, 32768)),
        encoded("PNG", Image.new("P", (48, 64), 0), transparency=bytes([128])),
        encoded("WEBP", Image.new("RGBA", (48, 64), (0, 0, 0, 128)), lossless=True),
        encoded(
            "WEBP",
            Image.new("RGBA", (48, 64), (0, 0, 0, 128)),
            lossless=True,
            save_all=True,
            append_images=[Image.new("RGBA", (48, 64), (*SKIN, 255))],
        ),
    ],
)
def test_what_is_half_clear_is_half_white_in_training_and_on_the_website(content):
    """Black of 128 / 255 on white: 255 (1 - 128 / 255) = 127."""
    np.testing.assert_allclose(decode.face(content, WHOLE), 127, atol=1)
    np.testing.assert_allclose(photos.read(content).pixels, 127, atol=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_is_turned_upright_once(kind):
    """Orientation 6: the left edge as stored is at the top to be seen. The head alone gives the same size."""
    picture = Image.new("RGB", (48, 96), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 48, 48))
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6
    content = encoded(kind, picture, exif=exif if kind == "TIFF" else exif.tobytes())
    upright, size = decode.read(content)
    assert upright.size == size == decode.size_of(content) == (96, 48)
    np.testing.assert_allclose(upright.getpixel((80, 24)), (255, 0, 0), atol=4)
    np.testing.assert_allclose(upright.getpixel((15, 24)), (0, 0, 255), atol=4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 64\n%%EndComments\n%%EOF\n",
            "PostScript; save it as PNG",
        ),
        (b"\0\0\0\x18ftypmp42" + bytes(500), "but a film"),
        (b"\0\0\0\x18ftypheic" + bytes(500), "but a damaged HEIF or AVIF picture"),
        (b"\xff\x0a" + bytes(90), "but a JPEG XL picture"),
        (b"II*\0" + bytes(200), "but a TIFF or camera file of a kind that is not read"),
        (
            encoded("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
            "a damaged JPEG picture, or one of 12 bits a colour",
        ),
        (b"%PDF-1.7\n" + bytes(90), "but a PDF document"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + encoded("JPEG"), "but an answer of a web server with its head"),
        (b"\0\5\x16\7" + bytes(200), "but what macOS keeps beside a file"),
        (b"\x93NUMPY\1\0" + bytes(90), "but a NumPy array"),
        (bytes(128) + b"DICM" + bytes(90), "but a DICOM file"),
    ],
)
def test_what_is_no_picture_here_is_called_by_its_name(content, reason):
    with pytest.raises(decode.BadPicture, match=reason):
        decode.face(content, WHOLE)
