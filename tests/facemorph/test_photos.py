"""Pictures in: whatever a camera, a scanner or an attacker writes."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from facemorph import gif, photos
from facemorph.photos import BadPhoto
from faces.ingest import decode
from tests.helpers.heic import HEIC
from tests.helpers.profiles import gray_profile


def scene(width=60, height=40):
    """Smooth, and different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / width, y * 255 / height, 128 + 0 * x], -1).astype(np.uint8)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 98}), ("WEBP", {"quality": 98}), ("WEBP", {"lossless": True})],
)
def test_the_three_formats_are_read(kind, options):
    photo = photos.read(encode(scene(), kind, **options))
    assert (photo.width, photo.height) == (60, 40) and photo.scale == (1, 1)
    assert np.abs(photo.pixels.astype(int) - scene()).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation):
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
    }
    turns |= {
        6: np.rot90,
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }  # how the camera stored it
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = photos.read(encode(np.ascontiguousarray(turns[orientation](scene())), "PNG", exif=exif))
    assert (photo.width, photo.height) == (60, 40)
    np.testing.assert_array_equal(photo.pixels, scene())


def test_what_is_clear_lies_on_white():
    clear = np.dstack([scene(), np.full((40, 60), 255, np.uint8)])
    clear[:, :30, 3] = 0
    pixels = photos.read(encode(clear, "PNG")).pixels
    assert (pixels[:, :30] == 255).all()
    np.testing.assert_array_equal(pixels[:, 30:], scene()[:, 30:])


def test_a_palette_with_a_clear_colour_lies_on_white():
    image = Image.new("P", (40, 40), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 20, 40))
    pixels = photos.read(encode(image, "PNG", transparency=0)).pixels
    assert (pixels[:, :20] == 255).all() and (pixels[:, 20:] == (200, 100, 50)).all()


def test_gray_sixteen_bits_and_cmyk():
    gray = scene()[:, :, 0]
    np.testing.assert_array_equal(photos.read(encode(gray, "PNG")).pixels, np.dstack([gray] * 3))
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    np.testing.assert_array_equal(photos.read(encode(deep, "PNG")).pixels, np.dstack([gray] * 3))
    ink = Image.fromarray(scene()).convert("CMYK")
    assert np.abs(photos.read(encode(ink, "JPEG", quality=98)).pixels.astype(int) - scene()).mean() < 3


def test_another_colour_space_becomes_srgb():
    """A profile with red and green exchanged would show; sRGB's own changes nothing."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = photos.read(encode(scene(), "PNG", icc_profile=profile)).pixels
    assert np.abs(same.astype(int) - scene()).max() <= 1
    np.testing.assert_array_equal(
        photos.read(encode(scene(), "PNG", icc_profile=profile[:200])).pixels, scene()
    )  # broken: ignored


def test_a_large_photograph_is_shrunk_but_keeps_its_coordinates():
    photo = photos.read(encode(scene(2400, 1600), "JPEG", quality=60))
    assert (photo.width, photo.height) == (2400, 1600)
    assert max(photo.pixels.shape[:2]) <= photos.WORK_SIDE
    assert photo.scale[0] == pytest.approx(photo.pixels.shape[1] / 2400)
    assert np.abs(photo.pixels[-1, -1].astype(int) - (255, 255, 128)).max() < 8


def test_the_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((32, 32, 3), level, np.uint8)) for level in (40, 200)]
    content = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert (photos.read(content).pixels == 40).all()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("BMP", {}), ("TIFF", {}), ("TIFF", {"big_endian": True}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_bmp_and_tiff_are_read_exactly(kind, options):
    photo = photos.read(encode(scene(), kind, **options))
    assert (photo.width, photo.height) == (60, 40)
    np.testing.assert_array_equal(photo.pixels, scene())


@pytest.mark.parametrize("head", [40, 12])
def test_a_bmp_of_either_head_and_row_order(head):
    """Rows bottom up with a short head (OS/2), top down with a height below zero."""
    rows = scene()[:, :, ::-1]
    if head == 12:
        about = struct.pack("<IHHHH", 12, 60, 40, 1, 24)
        body = np.ascontiguousarray(rows[::-1]).tobytes()
    else:
        about = struct.pack("<IiiHHIIiiII", 40, 60, -40, 1, 24, 0, 0, 0, 0, 0, 0)
        body = np.ascontiguousarray(rows).tobytes()
    start = 14 + head
    content = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + about + body
    np.testing.assert_array_equal(photos.read(content).pixels, scene())


def test_a_tiff_that_says_how_it_lies_is_turned_once():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(scene()))
    photo = photos.read(encode(stored, "TIFF", exif=exif))
    assert (photo.width, photo.height) == (60, 40)
    np.testing.assert_array_equal(photo.pixels, scene())


def test_a_tiff_of_floats_is_refused():
    content = encode(Image.fromarray(np.full((40, 40), 0.5, np.float32)), "TIFF")
    with pytest.raises(BadPhoto, match="8 bits a colour") as refusal:
        photos.read(content)
    assert refusal.value.status == 422


def test_heic_is_read():
    photo = photos.read(HEIC)
    assert (photo.width, photo.height) == (64, 64)
    np.testing.assert_allclose(photo.pixels.mean((0, 1)), [200, 40, 30], atol=6)


def claim(width, height):
    """A PNG of a few hundred bytes that declares any size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )


def jpeg_claim(width, height):
    content = bytearray(encode(scene(), "JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def webp_claim(width, height):
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def bmp_claim(width, height):
    return b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, width, -height, 1, 24, 0) + bytes(100)


def tiff_claim(width, height):
    tags = struct.pack(">HHHIIHHII", 2, 256, 4, 1, width, 257, 4, 1, height)
    return b"MM\0*" + struct.pack(">I", 8) + tags


@pytest.mark.parametrize("make", [claim, jpeg_claim, webp_claim, bmp_claim, tiff_claim])
def test_a_bomb_is_refused_before_it_is_decoded(make, monkeypatch):
    monkeypatch.setattr(photos.Image, "open", lambda *_, **__: pytest.fail("a decoder saw it"))
    with pytest.raises(BadPhoto, match="megapixels") as refusal:
        photos.read(make(16000, 16000))
    assert refusal.value.status == 413


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"BM" + bytes(100), 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"SIMPLE  =                    T" + bytes(3000), 415),  # FITS
        (b"\x89PNG\r\n\x1a\n", 415),
        (encode(scene(8, 8), "PNG"), 422),
        (encode(scene(500, 20), "PNG"), 422),
        (encode(scene(), "PNG")[:90], 422),
        (encode(scene(), "WEBP")[:60], 422),
        (b"\xff\xd8\xff\xe0" + bytes(40), 422),
        (b"\xff\xd8\xff\xd9", 422),
        (encode(scene(), "JPEG").replace(b"\xff\xda", b"\xff\xda" * 200), 422),
        (claim(0, 40), 422),
    ],
)
def test_what_is_not_a_usable_picture_is_refused(content, status):
    with pytest.raises(BadPhoto) as refusal:
        photos.read(content)
    assert refusal.value.status == status
    assert "\n" not in str(refusal.value)


def test_pictures_out_say_that_they_were_made_here():
    still = Image.open(io.BytesIO(photos.png(scene(), "Edited by a test")))
    assert still.text["Comment"] == "Edited by a test" and still.text["Software"] == "Facemorph"
    np.testing.assert_array_equal(np.asarray(still), scene())
    film = Image.open(io.BytesIO(gif.gif([scene(), scene()[::-1], scene()], 20, "Edited by a test")))
    assert film.info["comment"] == b"Edited by a test"
    assert film.n_frames == 3 and film.info["duration"] == 50 and film.info["loop"] == 0


def test_enlarging_keeps_a_flat_colour_and_the_shape():
    flat = np.full((8, 8, 3), (10, 200, 30), np.uint8)
    assert (gif.enlarge(flat, 4) == (10, 200, 30)).all() and gif.enlarge(flat, 4).shape == (32, 32, 3)


@pytest.mark.parametrize("kind", ["AVIF", "GIF"])
def test_avif_and_the_first_frame_of_a_gif(kind):
    """A red frame, then a blue one; sizes are read from the head alone."""
    red = Image.new("RGB", (70, 40), (220, 20, 20))
    buffer = io.BytesIO()
    red.save(buffer, kind, save_all=True, append_images=[Image.new("RGB", (70, 40), (20, 20, 220))])
    assert photos.declared_size(buffer.getvalue()) == (70, 40)
    photo = photos.read(buffer.getvalue())
    assert (photo.width, photo.height) == (70, 40)
    np.testing.assert_allclose(photo.pixels.mean((0, 1)), (220, 20, 20), atol=6)


@pytest.mark.parametrize("kind", ["AVIF", "GIF"])
def test_a_huge_size_is_refused_before_it_is_decoded(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (70, 40)).save(buffer, kind)
    content = buffer.getvalue()
    huge = (
        content[:6] + b"\xff\xff\xff\xff" + content[10:]
        if kind == "GIF"
        else content.replace((70).to_bytes(4) + (40).to_bytes(4), (65535).to_bytes(4) * 2)
    )
    with pytest.raises(photos.BadPhoto, match="65535 x 65535 pixels") as caught:
        photos.read(huge)
    assert caught.value.status == 413


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_gray_with_a_profile_becomes_srgb(kind):
    """As in training: linear gray of 128 is 188 in sRGB."""
    content = encode(Image.new("L", (48, 64), 128), kind, icc_profile=gray_profile(1.0))
    np.testing.assert_allclose(photos.read(content).pixels, 188, atol=1)


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (np.full((64, 48), 100, np.int32), 100),
        (np.full((64, 48), 32896, np.int32), 128),
        (np.full((64, 48), 2**31 - 1, np.int32), 127),
        (np.full((64, 48), 100, np.uint16), 0),
        (np.full((64, 48), 32896, np.uint16), 128),
    ],
)
def test_whole_numbers_of_16_and_32_bits_are_scaled_as_in_training(values, level):
    content = encode(Image.fromarray(values), "TIFF")
    assert np.unique(photos.read(content).pixels).tolist() == [level]
    assert np.unique(np.asarray(decode.read(content)[0])).tolist() == [level]


def test_values_below_zero_are_refused():
    content = encode(Image.fromarray(np.full((64, 48), -5, np.int32)), "TIFF")
    with pytest.raises(photos.BadPhoto, match="negative values has no known black") as caught:
        photos.read(content)
    assert caught.value.status == 422
