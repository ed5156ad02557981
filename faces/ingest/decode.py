"""Decoding of picture files, and cutting of faces to the model's size.

The common case (a plain RGB JPEG) is decoded by libjpeg-turbo straight into an array. What is unusual (CMYK,
grayscale, an EXIF orientation, a colour profile, another format, transparency) is decoded by Pillow, more
slowly. Both end in the same resampling.
"""

import functools
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pi_heif
import simplejpeg
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

from faces.data.crops import Geometry, framed
from faces.ingest.archives import kind_of_bytes

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}  # Pillow's filters widen with the scale: they antialias
MAX_PIXELS = 50_000_000  # a picture of more is shrunk while it is decoded (JPEG), or refused
MAX_JPEG = 64 * MAX_PIXELS  # the same before an eighth of its size is decoded
WORK_SIDE = 2048  # pixels; the longer side of a picture in which a face is looked for
MAX_PROFILE = 2**20  # bytes of a colour profile that is still looked at
ORIENTATION = 0x0112  # EXIF
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height
PLAIN_PROFILES = (b"sRGB", b"c2ci", b"s\0R\0G\0B")  # names that stand in the description of an sRGB profile

pi_heif.register_heif_opener(thumbnails=False)


class BadPicture(ValueError):
    """The bytes are not a usable picture. The message says why."""


def face(content: bytes, geometry: Geometry) -> np.ndarray:
    """Decode, cut and resize: uint8 (size, size, 3). Raises BadPicture."""
    picture, box = decode(content, geometry)
    return resized(picture, geometry, box)


def resized(picture: Image.Image, geometry: Geometry, box: tuple[float, ...]) -> np.ndarray:
    """`box` of an RGB picture at the model's size: uint8 (size, size, 3)."""
    return np.asarray(picture.resize((geometry.size, geometry.size), FILTERS[geometry.filter], box))


def decode(content: bytes, geometry: Geometry) -> tuple[Image.Image, tuple[float, ...]]:
    """An encoded picture, upright, as sRGB, transparency laid on white; and the box to cut, in its pixels.
    Raises BadPicture.

    A JPEG that is two, four or eight times larger than `geometry` needs is decoded at a half, a quarter or an
    eighth of its size: libjpeg leaves out the high frequencies of each block, which the resampling that
    follows would remove at greater cost.
    """
    if not content:
        raise BadPicture("empty file")
    if size := _plain_jpeg(content):
        box = cut(size, geometry)
        room = min(box[2] - box[0], box[3] - box[1]) / geometry.size
        shrink = max((factor for factor in (2, 4, 8) if factor <= room), default=1)
        if picture := _fast(content, size, shrink):
            return picture, tuple(edge / shrink for edge in box)
    picture, size = read(content)
    scale = (picture.width / size[0], picture.height / size[1])
    box = cut(size, geometry)
    return picture, tuple(edge * scale[side % 2] for side, edge in enumerate(box))


def decode_whole(content: bytes, side: int = WORK_SIDE) -> tuple[np.ndarray, tuple[int, int]]:
    """An encoded picture as uint8 (h, w, 3), upright sRGB, and its own (width, height).

    What is more than twice as long as `side` is shrunk while it is decoded. Raises BadPicture.
    """
    if not content:
        raise BadPicture("empty file")
    if size := _plain_jpeg(content):
        shrink = max((factor for factor in (2, 4, 8) if factor * side <= max(size)), default=1)
        if picture := _fast(content, size, shrink):
            return np.asarray(picture), size
    picture, size = read(content, side)
    return np.asarray(picture), size


def size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height of a picture, upright, by its head alone; None where it cannot be read."""
    if size := _plain_jpeg(content):
        return size
    try:
        with _any_size(), Image.open(io.BytesIO(content)) as picture:
            # Pillow turns a TIFF itself
            turned = picture.format != "TIFF" and picture.getexif().get(ORIENTATION, 1) in SIDEWAYS
            return picture.size[::-1] if turned else picture.size
    except Exception:  # decoding says what is wrong
        return None


def cut(size: tuple[int, int], geometry: Geometry) -> tuple[float, float, float, float]:
    """The box (left, top, right, bottom) to cut from a picture of `size` (width, height). Raises BadPicture
    where it does not fit.
    """
    width, height = size
    if geometry.box == "square":
        side = min(size)
        left = (width - side) // 2
        top = (height - side) // 2
        return left, top, left + side, top + side
    if geometry.box == "auto":
        return framed(size)
    if geometry.box[2] > width or geometry.box[3] > height:
        raise BadPicture(
            f"undersized: {width}x{height}, the crop box needs {geometry.box[2]}x{geometry.box[3]}; "
            "crop.box: auto takes any size"
        )
    return geometry.box


def read(content: bytes, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """Any picture that Pillow reads, its first frame: upright, sRGB, transparency laid on white; and its own
    (width, height).

    A JPEG that is much longer than `side`, or larger than MAX_PIXELS, is shrunk while it is decoded. Raises
    BadPicture.
    """
    try:
        with _any_size(), Image.open(io.BytesIO(content)) as opened:
            if opened.format == "EPS":  # Pillow would start Ghostscript on it
                raise BadPicture("unreadable: PostScript; save it as PNG or JPEG")
            size = opened.size
            profile = opened.info.get("icc_profile")
            if isinstance(opened, JpegImagePlugin.JpegImageFile):
                _draft(opened, side)
            most = MAX_JPEG if isinstance(opened, JpegImagePlugin.JpegImageFile) else MAX_PIXELS
            if size[0] * size[1] > most or opened.width * opened.height > MAX_PIXELS:
                raise BadPicture(
                    f"oversized: {size[0]}x{size[1]}, at most {MAX_PIXELS / 1e6:.0f} megapixels are read "
                    f"({MAX_JPEG / 1e6:,.0f} of a JPEG)"
                )
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            turned = upright.size != opened.size
            return _to_rgb(upright, profile), size[::-1] if turned else size
    except BadPicture:
        raise
    except UnidentifiedImageError:
        kind = kind_of_bytes(content[:512], len(content))
        raise BadPicture(f"unreadable: no picture in a format that is read, but {kind}") from None
    except (
        Exception
    ) as error:  # a decoder of a dozen formats: whatever it raises on a broken file is the file's fault
        raise BadPicture(f"unreadable: {_stable(error)}") from None


@contextmanager
def _any_size() -> Iterator[None]:
    """Pillow's own limit lifted: MAX_PIXELS is checked here, with a reason, before anything is decoded."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _plain_jpeg(content: bytes) -> tuple[int, int] | None:
    """Width and height of an upright sRGB colour JPEG of bearable size; None for all else."""
    if content[:2] != b"\xff\xd8":
        return None
    if not _plain_head(content):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return (width, height) if space == "YCbCr" and width * height <= MAX_PIXELS else None


def _plain_head(content: bytes) -> bool:
    """Whether a JPEG has neither EXIF nor a colour profile other than sRGB in the segments before its pixels,
    however many there are.
    """
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == 0xDA:
            return True
        length = int.from_bytes(content[place + 2 : place + 4])
        body = content[place + 4 : place + 2 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            return False
        if (
            marker == 0xE2
            and body.startswith(b"ICC_PROFILE\0")
            and not any(name in body for name in PLAIN_PROFILES)
        ):
            return False
        place += 2 + length
    return True  # what is wrong with it, the decoder says


def _fast(content: bytes, size: tuple[int, int], shrink: int) -> Image.Image | None:
    """A plain JPEG at 1/`shrink` of its size; None where Pillow must say what is wrong."""
    width, height = (math.ceil(side / shrink) for side in size)
    try:
        return Image.fromarray(simplejpeg.decode_jpeg(content, "RGB", min_width=width, min_height=height))
    except ValueError:
        return None


def _draft(picture: Image.Image, side: int | None) -> None:
    """Let libjpeg decode to a half, a quarter or an eighth: never below `side`, nor above MAX_PIXELS."""
    pixels = picture.width * picture.height
    shrink = max((factor for factor in (2, 4, 8) if side and factor * side <= max(picture.size)), default=1)
    while shrink < 8 and pixels / shrink**2 > MAX_PIXELS:
        shrink *= 2
    if shrink > 1:
        picture.draft(None, (picture.width // shrink, picture.height // shrink))


def _to_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB, transparency laid on white; 16 and 32 bits a pixel scaled to 8. Raises BadPicture."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_to_8_bits(np.asarray(picture), picture.mode))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return _to_srgb(picture, profile)


def _to_8_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Gray values of 16 or 32 bits as uint8. Floats are shares of white, or 0 to 255. Raises BadPicture where
    the scale is unknown.
    """
    if not np.isfinite(values).all():
        raise BadPicture("unreadable: pixels that are no numbers (NaN or infinity)")
    low = float(values.min())
    high = float(values.max())
    if low < 0:
        raise BadPicture(f"unreadable: pixels from {low:g} to {high:g}; save it with 8 bits a colour")
    steps = (
        ((1, 1), (255, 255)) if mode == "F" else ((65535, 65535),) if mode.startswith("I;16") else INTEGERS
    )
    for most, white in steps:
        if high <= most:
            return np.rint(values.astype(np.float64) * 255 / white).astype(np.uint8)
    raise BadPicture(f"unreadable: pixels from {low:g} to {high:g}; save it with 8 bits a colour")


INTEGERS = ((255, 255), (65535, 65535), (2**32 - 1, 2**32 - 1))  # highest value, and what then is white


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of another colour space (a telephone's Display P3, a printer's CMYK, a scanner's gray) as sRGB;
    a profile that cannot be used is ignored.
    """
    space = profile[16:20] if isinstance(profile, bytes) and 128 < len(profile) <= MAX_PROFILE else b""
    fits = (space == b"RGB " and picture.mode in ("RGB", "RGBA", "P")) or (
        (space, picture.mode) in ((b"CMYK", "CMYK"), (b"GRAY", "L"))
    )
    if not fits:
        return picture.convert("RGB")
    if space == b"RGB ":
        picture = picture.convert("RGB")
    try:
        return ImageCms.applyTransform(picture, _transform(profile, picture.mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture.convert("RGB")


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """From `profile` to sRGB. A data set has few profiles, and each takes longer to build than to use."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _stable(error: BaseException) -> str:
    """An error in one line without addresses of memory, which differ from run to run."""
    words = (word for word in str(error).split() if not word.startswith(("<_io.", "0x")) and word != "object")
    return " ".join(words) or type(error).__name__
