"""From an encoded picture to a face of the model's size.

The common case (a plain RGB JPEG) is decoded by libjpeg-turbo straight into an array; whatever is unusual (CMYK, grayscale, an EXIF rotation, a PNG,
a palette, transparency) takes Pillow's slower, careful road. Both end in the same resampling.
"""

import io

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from faces.crops import Geometry

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
    picture = decode(content)
    width, height = picture.size
    box = geometry.box
    if box == "square":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
    if box[2] > width or box[3] > height:
        raise BadPicture(f"undersized: {width}x{height}, the crop box needs {box[2]}x{box[3]}")
    return np.asarray(picture.resize((geometry.size, geometry.size), FILTERS[geometry.filter], box))


def decode(content: bytes) -> Image.Image:
    """An encoded picture, upright, as RGB; transparency is laid on white. Raises BadPicture."""
    if not content:
        raise BadPicture("empty file")
    if content[:2] == b"\xff\xd8" and b"Exif\0\0" not in content[:65536]:
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(content)
            if space == "YCbCr" and width * height <= MAX_PIXELS:
                return Image.fromarray(simplejpeg.decode_jpeg(content, "RGB"))
        except ValueError:
            pass  # Pillow below either reads it or says what is wrong
    return _decode_slowly(content)


def _decode_slowly(content: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(content))
        if picture.width * picture.height > MAX_PIXELS:
            raise BadPicture(f"oversized: {picture.width}x{picture.height}, at most {MAX_PIXELS / 1e6:.0f} megapixels are read")
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
