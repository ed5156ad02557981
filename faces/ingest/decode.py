"""From an encoded picture to a face of the model's size.

The common case (a plain RGB JPEG) is decoded by libjpeg-turbo straight into an array; whatever is unusual (CMYK, grayscale, an EXIF rotation, a PNG,
a palette, transparency) takes Pillow's slower, careful road. Both end in the same resampling.
"""

import io
import math

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from faces.data.crops import Geometry

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}  # Pillow's filters widen with the scale: they antialias
MAX_PIXELS = 50_000_000  # a picture that claims more is refused before it is decoded


class BadPicture(ValueError):
    """The bytes are not a usable picture. The message says why."""


def face(content: bytes, geometry: Geometry) -> np.ndarray:
    """Decode, cut and resize: uint8 (size, size, 3). Raises BadPicture."""
    picture, box = decode(content, geometry)
    return np.asarray(picture.resize((geometry.size, geometry.size), FILTERS[geometry.filter], box))


def decode(content: bytes, geometry: Geometry) -> tuple[Image.Image, tuple[float, ...]]:
    """An encoded picture, upright, as RGB, transparency laid on white; and the box to cut, in its pixels. Raises BadPicture.

    A JPEG that is two, four or eight times larger than `geometry` needs is decoded at a half, a quarter or an eighth of its size: libjpeg leaves out
    the high frequencies of each block, which the resampling that follows would remove at greater cost.
    """
    if not content:
        raise BadPicture("empty file")
    if size := _plain_jpeg(content):
        box = cut(size, geometry)
        room = min(box[2] - box[0], box[3] - box[1]) / geometry.size
        shrink = max((factor for factor in (2, 4, 8) if factor <= room), default=1)
        width, height = (math.ceil(side / shrink) for side in size)
        try:
            pixels = simplejpeg.decode_jpeg(content, "RGB", min_width=width, min_height=height)
            return Image.fromarray(pixels), tuple(edge / shrink for edge in box)
        except ValueError:
            pass  # Pillow below either reads it or says what is wrong
    picture = _decode_slowly(content)
    return picture, cut(picture.size, geometry)


def cut(size: tuple[int, int], geometry: Geometry) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) to cut from a picture of `size` (width, height). Raises BadPicture where it does not fit."""
    width, height = size
    if geometry.box == "square":
        side = min(size)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    if geometry.box[2] > width or geometry.box[3] > height:
        raise BadPicture(
            f"undersized: {width}x{height}, the crop box needs {geometry.box[2]}x{geometry.box[3]}"
        )
    return geometry.box


def _plain_jpeg(content: bytes) -> tuple[int, int] | None:
    """Width and height of an upright colour JPEG of bearable size; None for all else."""
    if content[:2] != b"\xff\xd8" or b"Exif\0\0" in content[:65536]:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return (width, height) if space == "YCbCr" and width * height <= MAX_PIXELS else None


def _decode_slowly(content: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(content))
        if picture.width * picture.height > MAX_PIXELS:
            raise BadPicture(
                f"oversized: {picture.width}x{picture.height}, at most {MAX_PIXELS / 1e6:.0f} megapixels are read"
            )
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I;16"):
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return picture.convert("RGB")
    except BadPicture:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise BadPicture(f"unreadable: {' '.join(str(error).split())}") from None
