"""Cutting faces: exact geometry, and every fault that real JPEG files have."""

import copy
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage
import yaml
from PIL import Image

from faces.core import parquet
from faces.data import annotations
from faces.data.crops import Crops, Geometry, framed
from faces.ingest import alignment, decode, writer
from stages import crop, download, inputs
from tests.helpers.heic import HEIC

CELEBA = Geometry(box=(15, 35, 163, 183), size=64, filter="lanczos")
WHOLE = Geometry(
    box=(0, 0, 178, 218), size=256, filter="lanczos"
)  # larger than the picture: nothing is left out in decoding


def jpeg(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 95, **options})
    return buffer.getvalue()


def ruler(width: int = 178, height: int = 218) -> Image.Image:
    """Red grows by one per pixel to the right, green by one per pixel downwards."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], -1).astype(np.uint8))


def test_the_box_is_cut_where_it_should_be():
    """Pixel (i, j) of the crop is the mean of a 148 / 64 pixel cell: its red is 15 + (j + 1/2) 148 / 64 -
    1/2, its green the same from 35.
    """
    face = decode.face(jpeg(ruler(), subsampling=0, quality=100), CELEBA).astype(float)
    centres = (np.arange(64) + 0.5) * 148 / 64 - 0.5
    inner = slice(3, -3)  # the filter's window is cut at the border of the box
    np.testing.assert_allclose(face[inner, inner, 0], np.broadcast_to(15 + centres[inner], (58, 58)), atol=2)
    np.testing.assert_allclose(
        face[inner, inner, 1], np.broadcast_to((35 + centres[inner])[:, None], (58, 58)), atol=2
    )
    np.testing.assert_allclose(face[inner, inner, 0].mean(0), 15 + centres[inner], atol=0.7)
    np.testing.assert_allclose(face[inner, inner, 1].mean(1), 35 + centres[inner], atol=0.7)


def test_a_square_is_the_largest_centred_one():
    geometry = Geometry(box="square", size=32, filter="bilinear")
    face = decode.face(jpeg(ruler(200, 100), subsampling=0), geometry).astype(float)
    assert face[:, 0, 0].mean() == pytest.approx(50 + 1.0, abs=2)  # the left edge stands at x = 50
    assert face[:, -1, 0].mean() == pytest.approx(150 - 2.0, abs=2)


def test_downscaling_antialiases():
    """A one-pixel checkerboard becomes gray, not a pattern."""
    board = (np.indices((218, 178)).sum(0) % 2 * 255).astype(np.uint8)
    face = decode.face(jpeg(Image.fromarray(np.repeat(board[..., None], 3, 2))), CELEBA)
    assert abs(face[4:-4, 4:-4].astype(int) - 127).max() < 20


def test_fast_and_careful_decoding_agree(rng):
    content = jpeg(ruler(), subsampling=2)
    fast = np.asarray(decode.decode(content, WHOLE)[0]).astype(int)
    careful = np.asarray(decode.read(content)[0]).astype(int)
    assert abs(fast - careful).max() <= 2


@pytest.mark.parametrize(("side", "shrink"), [(128, 1), (64, 2), (32, 4)])
def test_a_large_picture_is_decoded_small_and_cut_alike(rng, side, shrink):
    """178 x 218 cut to 148 pixels a side: at half size 74 remain for 64, at a quarter 37 for 32."""
    smooth = Image.fromarray(rng.integers(0, 256, (16, 14, 3), dtype=np.uint8)).resize(
        (178, 218), Image.Resampling.BICUBIC
    )
    content = jpeg(smooth, subsampling=0)
    geometry = CELEBA.model_copy(update={"size": side})
    picture, box = decode.decode(content, geometry)
    assert picture.size == (-(-178 // shrink), -(-218 // shrink))
    assert box == tuple(edge / shrink for edge in CELEBA.box)
    careful = decode.read(content)[0].resize((side, side), Image.Resampling.LANCZOS, CELEBA.box)
    assert (
        abs(decode.face(content, geometry).astype(int) - np.asarray(careful).astype(int))[1:-1, 1:-1].mean()
        < 1.5
    )


@pytest.mark.parametrize("kind", ["grayscale", "CMYK", "png", "rgba", "palette", "16 bit"])
def test_unusual_pictures_are_read(kind):
    image = ruler()
    expected = np.asarray(ruler()).astype(int)
    buffer = io.BytesIO()
    if kind == "png":
        image.save(buffer, "PNG")
    elif kind == "rgba":
        image.putalpha(Image.fromarray(np.tile(np.uint8([255] * 89 + [0] * 89), (218, 1))))
        image.save(buffer, "PNG")
        expected[:, 89:] = 255  # what is transparent is laid on white
    elif kind == "palette":
        image.quantize(256).save(buffer, "PNG")
    elif kind == "16 bit":
        gray = np.asarray(image)[..., 0]
        Image.fromarray(gray.astype(np.uint16) * 256).save(buffer, "PNG")
        expected = np.repeat(gray[..., None], 3, 2).astype(int)
    else:
        image.convert("L" if kind == "grayscale" else "CMYK").save(buffer, "JPEG", quality=95)
        expected = np.asarray(image.convert("L").convert("RGB") if kind == "grayscale" else image).astype(int)
    found = np.asarray(decode.decode(buffer.getvalue(), WHOLE)[0]).astype(int)
    assert found.shape == (218, 178, 3)
    assert abs(found - expected).mean() < 6


def test_an_exif_rotation_is_undone():
    """Orientation 6: the file holds the picture turned; viewers turn it back, and so do we."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = jpeg(ruler().transpose(Image.Transpose.ROTATE_90), exif=exif, subsampling=0)
    found = np.asarray(decode.decode(content, WHOLE)[0]).astype(int)
    assert found.shape == (218, 178, 3)
    assert abs(found - np.asarray(ruler()).astype(int)).mean() < 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "unreadable"),
        (jpeg(ruler())[:2000], "unreadable"),
        (jpeg(ruler(100, 100)), "undersized: 100x100, the crop box needs 163x183"),
    ],
)
def test_a_bad_picture_is_refused_with_its_reason(content, reason):
    with pytest.raises(decode.BadPicture, match=reason):
        decode.face(content, CELEBA)


def write_raw(folder, members: dict[str, bytes], names: list[str]) -> None:
    folder.mkdir()
    writer.write_images(folder / "images.zip", members.items())
    splits = ["train", "valid", "test"]
    table = pd.DataFrame(
        {
            "name": names,
            "split": [splits[i % 3] for i in range(len(names))],
            "Smiling": [1 - 2 * (i % 2) for i in range(len(names))],
        }
    )
    writer.write_labels(folder / "labels.parquet", table)


def make_crop(max_rejects: int, rows: int = 1000, **changes) -> crop.Params:
    settings = {"box": CELEBA.box, "size": 64, "filter": "lanczos", "max_rejects": max_rejects, "rows": rows}
    return crop.Params(crop=settings | changes)


def test_rejects_are_listed_and_the_rest_stays_aligned(tmp_path):
    """Row i of the table is image i, though faces before it were refused; a label row without image is a
    reject, an image without row is ignored.
    """
    members = {}
    for number in range(9):
        shade = Image.new("RGB", (178, 218), (20 * number,) * 3)
        members[f"{number}.jpg"] = jpeg(shade)
    members["2.jpg"] = members["2.jpg"][:300]
    members["5.jpg"] = b""
    members["nobody.jpg"] = members["1.jpg"]
    write_raw(tmp_path / "raw", members, [*(f"{n}.jpg" for n in range(9)), "absent.jpg"])
    crop.run(make_crop(10), tmp_path / "raw", tmp_path / "crops")
    crops = Crops.open(tmp_path / "crops")
    assert crops.column("name").tolist() == [f"{n}.jpg" for n in (0, 1, 3, 4, 6, 7, 8)]
    np.testing.assert_allclose(crops.images.mean((1, 2, 3)), [20 * n for n in (0, 1, 3, 4, 6, 7, 8)], atol=1)
    rejects = pd.read_csv(tmp_path / "crops" / "rejects.csv").set_index("name")["reason"]
    assert rejects["absent.jpg"] == "no such image in the archive"
    assert rejects["5.jpg"] == "empty file"
    assert rejects["2.jpg"].startswith("unreadable")
    assert len(rejects) == 3


def test_faces_in_several_files_are_the_same_faces(tmp_path, monkeypatch):
    """Counted without the refused ones, which fall at the end of a file and in the middle of one; what opens
    them does not see how they lie.
    """
    members = {f"{number}.jpg": jpeg(ruler().rotate(5 * number)) for number in range(9)} | {
        "2.jpg": b"",
        "4.jpg": b"x",
    }
    write_raw(tmp_path / "raw", members, [f"{n}.jpg" for n in range(9)])
    monkeypatch.setattr(crop, "CHUNK", 4)
    for rows in (1000, 3):
        crop.run(make_crop(10, rows), tmp_path / "raw", tmp_path / str(rows))
    names = ["images.npy", "images.1.npy", "images.2.npy"]
    assert [len(np.load(tmp_path / "3" / name)) for name in names] == [3, 3, 1]
    one, several = (Crops.open(tmp_path / str(rows)) for rows in (1000, 3))
    assert several.columns().equals(one.columns()) and np.array_equal(several.splits, one.splits)
    np.testing.assert_array_equal(several.images[:], one.images)
    (tmp_path / "3/images.1.npy").unlink()
    with pytest.raises(
        annotations.RawError, match=r"table.parquet has 7 rows for 3 images; run `dvc repro -f crop`"
    ):
        Crops.open(tmp_path / "3")


def test_too_many_rejects_stop_the_run_and_leave_nothing(tmp_path):
    write_raw(tmp_path / "raw", {"0.jpg": b"x", "1.jpg": b"y", "2.jpg": b"z"}, ["0.jpg", "1.jpg", "2.jpg"])
    with pytest.raises(
        annotations.RawError, match=r"more than crop.max_rejects = 2 images .* the first: 0.jpg: unreadable"
    ):
        crop.run(make_crop(2), tmp_path / "raw", tmp_path / "crops")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_truncated_archive_is_an_error_not_a_set_of_rejects(tmp_path):
    write_raw(tmp_path / "raw", {"0.jpg": jpeg(ruler())}, ["0.jpg"])
    archive = tmp_path / "raw" / "images.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(annotations.RawError, match=r"images.zip.*dvc repro -f download"):
        crop.run(make_crop(2), tmp_path / "raw", tmp_path / "crops")


def test_duplicate_names_are_refused(tmp_path):
    with pytest.raises(annotations.RawError, match=r"1 names stand twice, first '0.jpg'"):
        write_raw(tmp_path / "raw", {"0.jpg": b""}, ["0.jpg", "0.jpg"])


def test_twice_the_same_bytes_whatever_the_processes(tmp_path, monkeypatch):
    members = {f"{n}.jpg": jpeg(ruler().rotate(n)) for n in range(30)}
    write_raw(tmp_path / "raw", members, list(members))
    for workers in ("1", "3"):
        monkeypatch.setenv("FACES_WORKERS", workers)
        monkeypatch.setattr(crop, "CHUNK", 7)
        crop.run(make_crop(0), tmp_path / "raw", tmp_path / workers)
    for name in ("images.npy", "table.parquet", "rejects.csv", "geometry.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_the_archive_is_the_same_bytes_at_any_time(tmp_path):
    for name in "ab":
        writer.write_images(tmp_path / name, [("x.jpg", b"1"), ("y.jpg", b"2")])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED


def test_splits_by_name_stay_when_images_are_added():
    names = [f"{number:06d}.jpg" for number in range(20_000)]
    splits = pd.Series([writer.split_of(name, 0.1, 0.2) for name in names])
    assert splits.value_counts(normalize=True).to_dict() == pytest.approx(
        {"train": 0.7, "valid": 0.1, "test": 0.2}, abs=0.01
    )
    assert writer.split_of("000007.jpg", 0.1, 0.2) == splits[7]


def test_labels_are_read_as_bytes_and_anything_else_is_named(tmp_path):
    path = tmp_path / "labels.parquet"
    table = pd.DataFrame({"name": ["0.jpg", "1.jpg"], "split": ["train", "test"], "identity": [-1, 7]})
    table.assign(A=np.array([1, -1], np.int8)).to_parquet(path)
    found = annotations.read_labels(path)
    assert found["A"].dtype == np.int8
    assert found["A"].tolist() == [1, -1]
    table.assign(A=["yes", "no"]).to_parquet(path)
    for read in (annotations.read_labels, lambda path: annotations.read_numbers(path, 2)):
        with pytest.raises(
            annotations.RawError,
            match=r"labels.parquet: column 'A' holds .*string, and a label is 1, -1 or 0 .*repro -f download",
        ):
            read(path)
    table.assign(A=pd.array([1, None], "Int8")).to_parquet(path)
    with pytest.raises(annotations.RawError, match="column 'A' has blanks"):
        annotations.read_numbers(path, 2)


def test_a_table_of_an_earlier_version_names_the_stage_to_run(tmp_path):
    for name, stage in (("labels", "download"), ("table", "crop")):
        (tmp_path / f"{name}.csv").write_text("name,split,identity,A\n0.jpg,train,-1,1\n")
        with pytest.raises(
            annotations.RawError,
            match=rf"{name}.parquet is missing: {name}.csv beside it .*run `dvc repro -f {stage}`",
        ):
            annotations.read_attributes(tmp_path / f"{name}.parquet")
    (tmp_path / "table.parquet").write_text("name,split,identity,A\n0.jpg,train,-1,1\n")
    with pytest.raises(annotations.RawError, match=r"is no Parquet table .*run `dvc repro -f crop`"):
        annotations.read_attributes(tmp_path / "table.parquet")


def test_numbers_are_those_of_the_table_chunk_by_chunk(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(parquet, "ROWS", 7)
    path = tmp_path / "labels.parquet"
    labels = rng.integers(-1, 2, (20, 3))
    splits = rng.choice(annotations.SPLITS, 20)
    writer.write_labels(
        path,
        pd.DataFrame(
            {"name": map(str, range(20)), "split": splits, **dict(zip("CAB", labels.T, strict=True))}
        ),
    )
    found, places = annotations.read_numbers(path, 20)
    assert found.dtype == np.int8 and annotations.read_attributes(path) == ("C", "A", "B")
    np.testing.assert_array_equal(found, labels)
    assert [annotations.SPLITS[place] for place in places] == splits.tolist()
    for count in (19, 21):
        with pytest.raises(
            annotations.RawError,
            match=rf"labels.parquet has 20 rows for {count} images; run `dvc repro -f crop`",
        ):
            annotations.read_numbers(path, count)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("GIF", {}),
        ("PPM", {}),
        ("AVIF", {"quality": 95}),
        ("JPEG2000", {}),
    ],
)
def test_every_format_is_read(kind, options):
    found = np.asarray(decode.decode(saved(ruler(), kind, **options), WHOLE)[0]).astype(int)
    assert abs(found - np.asarray(ruler()).astype(int)).mean() < (
        8 if kind == "GIF" else 2
    )  # GIF has 256 colours


def test_the_heic_of_a_telephone_is_read():
    picture, size = decode.read(HEIC)
    assert size == picture.size == (64, 64)
    np.testing.assert_allclose(np.asarray(picture).mean((0, 1)), [200, 40, 30], atol=6)


@pytest.mark.parametrize(
    "values",
    [
        lambda gray: (gray / 255).astype(np.float32),
        lambda gray: gray.astype(np.float32),
        lambda gray: gray.astype(np.int32),
        lambda gray: gray.astype(np.int32) * 257,
        lambda gray: gray.astype(np.uint16) * 257,
    ],
)
def test_gray_values_of_16_and_32_bits_are_scaled(values):
    gray = np.asarray(ruler())[..., 0]
    found = np.asarray(decode.decode(saved(Image.fromarray(values(gray)), "TIFF"), WHOLE)[0]).astype(int)
    np.testing.assert_allclose(found, np.repeat(gray[..., None], 3, 2), atol=1)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.float32([[0, np.nan], [1, 1]]), "pixels that are no numbers"),
        (np.float32([[0, 4000], [1, 1]]), "pixels from 0 to 4000; save it with 8 bits a colour"),
        (np.float32([[-1, 1], [0, 0]]), "pixels from -1 to 1; save it with 8 bits a colour"),
    ],
)
def test_values_whose_scale_is_unknown_are_refused(values, reason):
    with pytest.raises(decode.BadPicture, match=reason):
        decode.read(saved(Image.fromarray(values), "TIFF"))


def matrix_profile(red, green, blue) -> bytes:
    """An ICC profile of a display with these primaries (x, y), D50 white and a gamma of 2.2 (ICC.1:2001)."""
    from struct import pack  # noqa: PLC0415

    white = np.array([0.9642, 1.0, 0.8249])
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    columns = (xyz * np.linalg.solve(xyz, white)).T

    def number(value: float) -> bytes:
        return pack(">i", round(value * 65536))

    tags = {b"desc": b"desc\0\0\0\0" + pack(">I", 5) + b"wide\0" + bytes(79)}
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(number, white))}
    tags |= {
        name: b"XYZ \0\0\0\0" + b"".join(map(number, column))
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    tags |= {name: b"curv\0\0\0\0" + pack(">IH", 1, round(2.2 * 256)) for name in (b"rTRC", b"gTRC", b"bTRC")}
    tags |= {b"cprt": b"text\0\0\0\0none\0"}
    place = 128 + 4 + 12 * len(tags)
    table = b""
    body = b""
    for name, content in tags.items():
        table += name + pack(">II", place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = (
        pack(">I", place + len(body))
        + bytes(4)
        + b"\x02\x10\0\0mntrRGB XYZ "
        + bytes(12)
        + b"acsp"
        + bytes(28)
    )
    return head + b"".join(map(number, white)) + bytes(48) + pack(">I", len(tags)) + table + body


def test_a_colour_profile_is_converted_to_srgb():
    """Pure red, green and blue of a display with Adobe RGB's primaries lie outside sRGB or at its edge; grays
    stay what they are.
    """
    wide = matrix_profile((0.6484, 0.3309), (0.2302, 0.7015), (0.1559, 0.0660))  # adapted to D50
    gray = Image.new("RGB", (64, 64), (128, 128, 128))
    found = np.asarray(decode.read(saved(gray, "PNG", icc_profile=wide))[0])[32, 32].astype(int)
    np.testing.assert_allclose(found, 128, atol=3)
    skin = Image.new("RGB", (64, 64), (200, 150, 130))
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0})):
        content = saved(skin, kind, icc_profile=wide, **options)
        found = np.asarray(decode.decode(content, CELEBA.model_copy(update={"box": "square"}))[0])[32, 32]
        assert found[0] > 210 and abs(int(found[1]) - 150) < 6  # a wider red is more red in sRGB


def test_an_srgb_profile_takes_the_fast_road():
    from PIL import ImageCms  # noqa: PLC0415

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode._plain_jpeg(jpeg(ruler(), icc_profile=profile)) == (178, 218)
    wide = matrix_profile((0.6484, 0.3309), (0.2302, 0.7015), (0.1559, 0.0660))
    assert decode._plain_jpeg(jpeg(ruler(), icc_profile=wide)) is None


def test_exif_is_found_wherever_it_stands():
    """Behind 70,000 bytes of other segments, as editors leave them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = jpeg(ruler().transpose(Image.Transpose.ROTATE_90), exif=exif, subsampling=0)
    filler = b"\xff\xed" + (65000 + 2).to_bytes(2) + bytes(65000)
    moved = content[:2] + filler + filler + content[2:]
    assert decode.read(moved)[0].size == (178, 218)
    assert decode.decode(moved, WHOLE)[0].size == (178, 218)


def test_a_very_large_jpeg_is_shrunk_while_it_is_decoded():
    """96 megapixels: more than is decoded at full size."""
    content = jpeg(Image.new("RGB", (12000, 8000), (200, 100, 50)), quality=30)
    picture, box = decode.decode(content, Geometry(box=(6000, 4000, 12000, 8000), size=64, filter="bilinear"))
    assert picture.size == (6000, 4000) and box == (3000, 2000, 6000, 4000)
    np.testing.assert_allclose(np.asarray(picture)[2000, 3000], (200, 100, 50), atol=8)
    pixels, size = decode.decode_whole(content, 1024)
    assert size == (12000, 8000) and pixels.shape == (1000, 1500, 3)


def test_a_very_large_png_is_refused():
    with pytest.raises(decode.BadPicture, match="oversized: 9000x6000, at most 50 megapixels are read"):
        decode.read(saved(Image.new("L", (9000, 6000)), "PNG", compress_level=1))


def test_a_reason_holds_no_address():
    for content in (b"<html>404", b"\xff\xd8\xff\xe0 no jpeg", b"GIF89a", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(decode.BadPicture) as caught:
            decode.face(content, CELEBA)
        assert "0x" not in str(caught.value).replace("\\x", "") and "object" not in str(caught.value)


def test_pictures_of_celebas_shape_are_cut_by_its_box_whatever_their_size(tmp_path):
    """auto: 356 x 436 and 178 x 218 give the same crop; where all are CelebA's own size, the box itself is
    written down.
    """
    small = ruler()
    large = small.resize((356, 436), Image.Resampling.BICUBIC)
    expected = decode.face(jpeg(small, subsampling=0), CELEBA).astype(int)
    for name, images, box in (("a", [small] * 6, [15, 35, 163, 183]), ("b", [large] * 6, "auto")):
        members = {f"{n}.jpg": jpeg(image, subsampling=0) for n, image in enumerate(images)}
        write_raw(tmp_path / name, members, list(members))
        settings = make_crop(0, box="auto")
        crop.run(settings, tmp_path / name, tmp_path / f"crops {name}")
        crops = Crops.open(tmp_path / f"crops {name}")
        assert json.loads((tmp_path / f"crops {name}/geometry.json").read_text())["box"] == box
        assert abs(crops.images[0].astype(int) - expected)[2:-2, 2:-2].mean() < 1.5


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut())


EYES = np.array([[202.8, 100.8], [246.2, 102.8], [223.4, 139.8]])  # of the astronaut: eyes and mouth, by hand


@pytest.mark.parametrize("turn", [0, 20, 90, 180])
def test_faces_elsewhere_are_aligned_by_eyes_and_mouth(tmp_path, astronaut, turn):
    """In CelebA's crop at 64 pixels her eyes stand where CelebA's do, however the photograph lies."""
    members = {
        f"{n}.jpg": jpeg(astronaut.rotate(turn, Image.Resampling.BICUBIC, expand=True)) for n in range(3)
    }
    write_raw(tmp_path / "raw", members, list(members))
    settings = make_crop(0, box="auto")
    crop.run(settings, tmp_path / "raw", tmp_path / "crops")
    found = Crops.open(tmp_path / "crops").images[0].astype(int)
    geometry = alignment.Geometry(box="auto", size=64, filter="lanczos")
    expected = alignment.by_points(np.asarray(astronaut), EYES, geometry).astype(int)
    assert abs(found - expected).mean() < 12
    assert abs(found - expected[::-1, ::-1]).mean() > 40


def test_landmarks_of_the_table_are_used_where_they_fit_the_pictures(tmp_path, astronaut):
    members = {f"{n}.jpg": jpeg(astronaut, subsampling=0) for n in range(3)}
    write_raw(tmp_path / "raw", members, list(members))
    table = pd.read_parquet(tmp_path / "raw/labels.parquet")
    table[list(annotations.LANDMARKS)] = [
        *EYES[0],
        *EYES[1],
        225,
        120,
        *(EYES[2] - (12, 0)),
        *(EYES[2] + (12, 0)),
    ]
    settings = make_crop(0, box="auto")
    geometry = alignment.Geometry(box="auto", size=64, filter="lanczos")
    for shift, used in ((0, True), (150, False)):  # the second belong to other pictures
        moved = table.copy()
        moved[list(annotations.LANDMARKS)] += shift
        writer.write_labels(tmp_path / "raw/labels.parquet", moved)
        plan = crop.sampled_plan(tmp_path / "raw/images.zip", crop.Listing.of(moved), geometry)
        assert (plan.route, plan.by_table) == ("points", used)
    writer.write_labels(tmp_path / "raw/labels.parquet", table)
    crop.run(settings, tmp_path / "raw", tmp_path / "crops")
    expected = alignment.by_points(np.asarray(astronaut), EYES, geometry).astype(int)
    assert abs(Crops.open(tmp_path / "crops").images[0].astype(int) - expected).mean() < 2


def test_a_fixed_box_that_misses_the_faces_stops_with_the_way_out(tmp_path, astronaut):
    members = {f"{n}.jpg": jpeg(astronaut) for n in range(4)}
    write_raw(tmp_path / "raw", members, list(members))
    with pytest.raises(
        ValueError,
        match=r"crop.box = \[15, 35, 163, 183\] misses the face in 4 of 4 pictures "
        r".*0.jpg, 512x512.*set crop.box: auto",
    ):
        crop.run(make_crop(0), tmp_path / "raw", tmp_path / "crops")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_photographs_without_a_face_among_faces_are_refused(tmp_path, astronaut):
    members = {f"{n}.jpg": jpeg(astronaut) for n in range(4)} | {
        "4.jpg": jpeg(Image.new("RGB", (300, 300), "gray"))
    }
    write_raw(tmp_path / "raw", members, list(members))
    crop.run(make_crop(1, box="auto"), tmp_path / "raw", tmp_path / "crops")
    assert pd.read_csv(tmp_path / "crops/rejects.csv").to_dict("records") == [
        {"name": "4.jpg", "reason": "no face found"}
    ]


def test_drawings_that_no_detector_knows_are_cut_at_their_middle(tmp_path, capsys):
    members = {f"{n}.jpg": jpeg(ruler(200, 200)) for n in range(6)}
    write_raw(tmp_path / "raw", members, list(members))
    crop.run(make_crop(0, box="auto"), tmp_path / "raw", tmp_path / "crops")
    assert "0 of 6 pictures looked at show a face" in capsys.readouterr().err
    left, top, right, bottom = framed((200, 200))
    found = Crops.open(tmp_path / "crops").images[0].astype(float)
    np.testing.assert_allclose(found[32, [0, -1], 0], [left + 1, right - 2], atol=3)
    np.testing.assert_allclose(found[[0, -1], 32, 1], [top + 1, bottom - 2], atol=3)


def test_no_usable_picture_at_all_stops_the_run(tmp_path):
    members = {f"{n}.jpg": jpeg(ruler(100, 100)) for n in range(6)}
    write_raw(tmp_path / "raw", members, list(members))
    with pytest.raises(
        annotations.RawError, match=r"none of the 6 images .* undersized: 100x100.*crop.box: auto"
    ):
        crop.run(make_crop(10), tmp_path / "raw", tmp_path / "crops")


def test_the_sheet_shows_faces_of_the_whole_set(tmp_path):
    members = {f"{n:03d}.jpg": jpeg(Image.new("RGB", (178, 218), (2 * n, 2 * n, 2 * n))) for n in range(100)}
    write_raw(tmp_path / "raw", members, list(members))
    crop.run(make_crop(0), tmp_path / "raw", tmp_path / "crops")
    sheet = np.asarray(Image.open(tmp_path / "crops/sheet.png"))
    assert sheet.shape == (6 * 64, 12 * 64, 3)
    assert sheet[0, 0, 0] <= 2 and sheet[-1, -1, 0] >= 196


def test_labels_that_teach_nothing_are_said_before_training(tmp_path, capsys):
    members = {f"{n}.jpg": jpeg(ruler()) for n in range(9)}
    write_raw(tmp_path / "raw", members, list(members))
    table = pd.read_parquet(tmp_path / "raw/labels.parquet")
    table["human"] = 1
    table["Hat"] = np.where(table["split"] == "test", -1, table["Smiling"])
    writer.write_labels(tmp_path / "raw/labels.parquet", table)
    crop.run(make_crop(0), tmp_path / "raw", tmp_path / "crops")
    said = capsys.readouterr().err
    assert "human: the same for every face" in said
    assert "Hat: the same for all 3 faces of the test split" in said
    assert "3 train faces are few" in said


def test_download_and_crop_give_the_same_bytes_in_any_folder(tmp_path, monkeypatch, params):
    """With rejects of every kind, in two projects, with another number of processes."""
    place = tmp_path / "set"
    place.mkdir()
    content = {f"{n}.jpg": jpeg(ruler().rotate(n)) for n in range(8)}
    content |= {"page.jpg": b"<html>404", "cut.jpg": content["1.jpg"][:900], "empty.png": b""}
    for name, picture in content.items():
        (place / name).write_bytes(picture)
    rows = "".join(
        f"{name};{place_of % 2};{place_of % 3 % 2}\n" for place_of, name in enumerate([*content, "gone.jpg"])
    )
    (place / "labels.csv").write_text(f"file;hat/cap;mean\n{rows}")
    settings = copy.deepcopy(params)
    settings["data"]["source"] = "folder"
    settings["sources"]["folder"]["path"] = str(place)
    for project, workers in (("one", "1"), ("other", "3")):
        (tmp_path / project).mkdir()
        monkeypatch.chdir(tmp_path / project)
        monkeypatch.setenv("FACES_WORKERS", workers)
        (tmp_path / project / "params.yaml").write_text(yaml.safe_dump(settings))
        inputs.main(Path("data/inputs.json"))
        download.main(Path("data/checked.json"), Path("data/inputs.json"), Path("data/raw"))
        crop.main(Path("data/raw"), Path("data/crops"))
    found = [
        {
            file.relative_to(tmp_path / project): file.read_bytes()
            for file in (tmp_path / project / "data").rglob("*.*")
        }
        for project in ("one", "other")
    ]
    assert found[0] == found[1] and len(found[0]) == 9
    rejects = found[0][Path("data/crops/rejects.csv")].decode()
    assert (
        all(name in rejects for name in ("page.jpg", "cut.jpg", "empty.png", "gone.jpg"))
        and rejects.count("\n") == 5
    )
