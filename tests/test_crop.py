"""Cutting faces: exact geometry, and every fault that real JPEG files have."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from faces.data import annotations
from faces.data.crops import Crops, Geometry
from faces.ingest import decode, writer
from stages import crop

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
    """Pixel (i, j) of the crop is the mean of a 148 / 64 pixel cell: its red is 15 + (j + 1/2) 148 / 64 - 1/2, its green the same from 35."""
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
    fast, careful = (
        np.asarray(decode.decode(content, WHOLE)[0]).astype(int),
        np.asarray(decode.read(content)[0]).astype(int),
    )
    assert abs(fast - careful).max() <= 2


@pytest.mark.parametrize(("side", "shrink"), [(128, 1), (64, 2), (32, 4)])
def test_a_large_picture_is_decoded_small_and_cut_alike(rng, side, shrink):
    """178 x 218 cut to 148 pixels a side: at half size 74 remain for 64, at a quarter 37 for 32."""
    smooth = Image.fromarray(rng.integers(0, 256, (16, 14, 3), dtype=np.uint8)).resize(
        (178, 218), Image.Resampling.BICUBIC
    )
    content, geometry = jpeg(smooth, subsampling=0), CELEBA.model_copy(update={"size": side})
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
    image, expected, buffer = ruler(), np.asarray(ruler()).astype(int), io.BytesIO()
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
    writer.write_labels(folder / "labels.csv", table)


def make_crop(max_rejects: int, rows: int = 1000) -> crop.Crop:
    return crop.Crop(box=CELEBA.box, size=64, filter="lanczos", max_rejects=max_rejects, rows=rows)


def test_rejects_are_listed_and_the_rest_stays_aligned(tmp_path):
    """Row i of the table is image i, though faces before it were refused; a label row without image is a reject, an image without row is ignored."""
    members = {}
    for number in range(9):
        shade = Image.new("RGB", (178, 218), (20 * number,) * 3)
        members[f"{number}.jpg"] = jpeg(shade)
    members["2.jpg"] = members["2.jpg"][:300]
    members["5.jpg"] = b""
    members["nobody.jpg"] = members["1.jpg"]
    write_raw(tmp_path / "raw", members, [*(f"{n}.jpg" for n in range(9)), "absent.jpg"])
    crop.crop_faces(make_crop(10), tmp_path / "raw", tmp_path / "crops")
    crops = Crops.open(tmp_path / "crops")
    assert crops.table["name"].tolist() == [f"{n}.jpg" for n in (0, 1, 3, 4, 6, 7, 8)]
    np.testing.assert_allclose(crops.images.mean((1, 2, 3)), [20 * n for n in (0, 1, 3, 4, 6, 7, 8)], atol=1)
    rejects = pd.read_csv(tmp_path / "crops" / "rejects.csv").set_index("name")["reason"]
    assert rejects["absent.jpg"] == "no such image in the archive"
    assert rejects["5.jpg"] == "empty file"
    assert rejects["2.jpg"].startswith("unreadable")
    assert len(rejects) == 3


def test_faces_in_several_files_are_the_same_faces(tmp_path, monkeypatch):
    """Counted without the refused ones, which fall at the end of a file and in the middle of one; what opens them does not see how they lie."""
    members = {f"{number}.jpg": jpeg(ruler().rotate(5 * number)) for number in range(9)} | {
        "2.jpg": b"",
        "4.jpg": b"x",
    }
    write_raw(tmp_path / "raw", members, [f"{n}.jpg" for n in range(9)])
    monkeypatch.setattr(crop, "CHUNK", 4)
    for rows in (1000, 3):
        crop.crop_faces(make_crop(10, rows), tmp_path / "raw", tmp_path / str(rows))
    names = ["images.npy", "images.1.npy", "images.2.npy"]
    assert [len(np.load(tmp_path / "3" / name)) for name in names] == [3, 3, 1]
    one, several = (Crops.open(tmp_path / str(rows)) for rows in (1000, 3))
    assert several.table.equals(one.table) and np.array_equal(several.splits, one.splits)
    np.testing.assert_array_equal(several.images[:], one.images)
    (tmp_path / "3/images.1.npy").unlink()
    with pytest.raises(
        annotations.RawError, match=r"table.csv has 7 rows for 3 images; run `dvc repro -f crop`"
    ):
        Crops.open(tmp_path / "3")


def test_too_many_rejects_stop_the_run_and_leave_nothing(tmp_path):
    write_raw(tmp_path / "raw", {"0.jpg": b"x", "1.jpg": b"y", "2.jpg": b"z"}, ["0.jpg", "1.jpg", "2.jpg"])
    with pytest.raises(
        annotations.RawError, match=r"more than crop.max_rejects = 2 images .* the first: 0.jpg: unreadable"
    ):
        crop.crop_faces(make_crop(2), tmp_path / "raw", tmp_path / "crops")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_truncated_archive_is_an_error_not_a_set_of_rejects(tmp_path):
    write_raw(tmp_path / "raw", {"0.jpg": jpeg(ruler())}, ["0.jpg"])
    archive = tmp_path / "raw" / "images.zip"
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(annotations.RawError, match=r"images.zip.*dvc repro -f download"):
        crop.crop_faces(make_crop(2), tmp_path / "raw", tmp_path / "crops")


def test_duplicate_names_are_refused(tmp_path):
    with pytest.raises(annotations.RawError, match=r"1 names stand twice, first '0.jpg'"):
        write_raw(tmp_path / "raw", {"0.jpg": b""}, ["0.jpg", "0.jpg"])


def test_twice_the_same_bytes_whatever_the_processes(tmp_path, monkeypatch):
    members = {f"{n}.jpg": jpeg(ruler().rotate(n)) for n in range(30)}
    write_raw(tmp_path / "raw", members, list(members))
    for workers in ("1", "3"):
        monkeypatch.setenv("FACES_WORKERS", workers)
        monkeypatch.setattr(crop, "CHUNK", 7)
        crop.crop_faces(make_crop(0), tmp_path / "raw", tmp_path / workers)
    for name in ("images.npy", "table.csv", "rejects.csv", "geometry.json"):
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
    path = tmp_path / "labels.csv"
    path.write_text("name,split,identity,A\n0.jpg,train,-1,1\n1.jpg,test,7,-1\n")
    table = annotations.read_labels(path)
    assert table["A"].dtype == np.int8
    assert table["A"].tolist() == [1, -1]
    path.write_text("name,split,identity,A\n0.jpg,train,-1,yes\n")
    with pytest.raises(
        annotations.RawError, match=r"labels.csv: a label is not 1, -1 or 0 .*yes.*dvc repro -f download"
    ):
        annotations.read_labels(path)
    with pytest.raises(
        annotations.RawError, match=r"labels.csv: a label is not 1, -1 or 0 .*yes.*dvc repro -f download"
    ):
        annotations.read_numbers(path, 1)


def test_numbers_are_those_of_the_table_chunk_by_chunk(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(annotations, "CHUNK", 7)
    path, labels = tmp_path / "labels.csv", rng.integers(-1, 2, (20, 3))
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
            annotations.RawError, match=rf"labels.csv has 20 rows for {count} images; run `dvc repro -f crop`"
        ):
            annotations.read_numbers(path, count)
