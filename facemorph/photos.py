"""Picture files in and out: photographs decoded within limits, and files that carry the mark of an edit.

A picture is refused by its first bytes and its declared size, before anything is decoded. What goes out has
no metadata but the mark.
"""

import io
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pi_heif
from PIL import Image, ImageCms, PngImagePlugin

pi_heif.register_heif_opener(thumbnails=False)

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "HEIF")
MAX_BYTES = 12 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 16  # pixels
MAX_SHAPE = 20  # the longer side over the shorter
MAX_SCANS = 100  # of a progressive JPEG: each costs as much time as the whole picture
MAX_TAGS = 1000  # of a TIFF directory
MAX_PROFILE = 2**20  # bytes of a colour profile that is still looked at
WORK_SIDE = 2048  # pixels of the longer side, to which the website shrinks a larger picture while it is read
MARK = "Edited or generated with Facemorph, model "
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what brings it upright

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 2**20


class BadPhoto(ValueError):
    """The bytes are no picture that can be used. `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, upright. `pixels` are `scale` times its size, at most 1."""

    pixels: np.ndarray  # uint8 (h, w, 3)
    width: int  # of the photograph
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of `pixels` per pixel of the photograph, along x and y."""
        return self.pixels.shape[1] / self.width, self.pixels.shape[0] / self.height


def read(content: bytes, longest: int = WORK_SIDE) -> Photo:
    """Decode a picture file of FORMATS: upright, sRGB, transparency on white, the first frame.

    `longest`: pixels of the longer side to which a larger picture is shrunk. Raises BadPhoto.
    """
    width, height = declared_size(content)
    check_size(width, height)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            check_size(*picture.size)
            if picture.format in ("TIFF", "HEIF"):  # which their decoders turn
                width, height = picture.size
            picture.draft("RGB", (longest, longest))  # JPEG: a half, a quarter or an eighth, never below this
            turn = None if picture.format in ("TIFF", "HEIF") else TURNS.get(orientation(picture))
            upright = to_rgb(picture, longest)
        if turn is not None:
            upright = upright.transpose(turn)
        if turn in (TURNS[5], TURNS[6], TURNS[7], TURNS[8]):
            width, height = height, width
        return Photo(np.asarray(upright), width, height)
    except BadPhoto:
        raise
    except (
        Exception
    ) as error:  # whatever a decoder of eight formats raises on a broken file is the file's fault
        raise BadPhoto(422, f"the picture is damaged and cannot be read ({type(error).__name__})") from None


def of_picture(picture: Image.Image | np.ndarray) -> Photo:
    """A Pillow image, or an array uint8 (h, w, 3), as a photograph. Raises BadPhoto where it is neither."""
    if isinstance(picture, Image.Image):
        check_size(*picture.size)
        turn = TURNS.get(orientation(picture))
        upright = to_rgb(picture, max(picture.size))
        pixels = np.asarray(upright if turn is None else upright.transpose(turn))
    else:
        pixels = np.asarray(picture)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise BadPhoto(422, f"an array uint8 (h, w, 3) is needed, got {pixels.dtype} {pixels.shape}")
        check_size(pixels.shape[1], pixels.shape[0])
    return Photo(pixels, pixels.shape[1], pixels.shape[0])


def declared_size(content: bytes) -> tuple[int, int]:
    """Width and height by the file's own header, without a decoder. Raises BadPhoto for other formats."""
    for beginning, size in SIZES:
        if re.match(beginning, content, re.DOTALL):
            return size(content)
    raise BadPhoto(415, "only JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and HEIC pictures can be read")


def png_size(content: bytes) -> tuple[int, int]:
    """From the chunk IHDR."""
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def gif_size(content: bytes) -> tuple[int, int]:
    """Of the canvas."""
    return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")


def jpeg_size(content: bytes) -> tuple[int, int]:
    """From the first frame header; a picture of very many scans is refused here too."""
    if content.count(b"\xff\xda") > MAX_SCANS:
        raise BadPhoto(422, f"a JPEG of more than {MAX_SCANS} scans is not read")
    place = 2
    while place + 9 <= len(content):
        if content[place] != 0xFF:
            break
        marker = content[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(content[place + 5 : place + 7])
            return int.from_bytes(content[place + 7 : place + 9]), height
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # no length follows
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
    raise BadPhoto(422, "the picture is damaged and cannot be read (no JPEG frame header)")


def webp_size(content: bytes) -> tuple[int, int]:
    """From the first chunk: lossy, lossless or extended (whose canvas is what a decoder would allocate)."""
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L" and content[20] == 0x2F:
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width = int.from_bytes(content[26:28], "little") & 0x3FFF
        return width, int.from_bytes(content[28:30], "little") & 0x3FFF
    raise BadPhoto(422, "the picture is damaged and cannot be read (no WebP header)")


def avif_size(content: bytes) -> tuple[int, int]:
    """Of AVIF or HEIC: the largest of the boxes that say a size (ISO/IEC 23008-12, 6.5.3): a picture of tiles
    has several.
    """
    places = [found.end() + 4 for found in re.finditer(b"\0\0\0\x14ispe", content)]
    sizes = [
        (int.from_bytes(content[at : at + 4]), int.from_bytes(content[at + 4 : at + 8])) for at in places
    ]
    if not sizes:
        raise BadPhoto(422, "the picture is damaged and cannot be read (no AVIF or HEIC size)")
    return max(sizes, key=lambda size: size[0] * size[1])


def bmp_size(content: bytes) -> tuple[int, int]:
    """From the header; a height below zero says that the first row is the top one."""
    if content[14:18] == b"\x0c\0\0\0":  # OS/2's
        return int.from_bytes(content[18:20], "little"), int.from_bytes(content[20:22], "little")
    width, height = (int.from_bytes(content[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(width), abs(height)


def tiff_size(content: bytes) -> tuple[int, int]:
    """From the first directory (TIFF 6.0, 2): tags of 16 or 32 bits."""
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    first = int.from_bytes(content[4:8], order)
    tags = {}
    for entry in range(min(int.from_bytes(content[first : first + 2], order), MAX_TAGS)):
        at = first + 2 + 12 * entry
        length = {3: 2, 4: 4}.get(int.from_bytes(content[at + 2 : at + 4], order), 0)
        tags[int.from_bytes(content[at : at + 2], order)] = int.from_bytes(
            content[at + 8 : at + 8 + length], order
        )
    if not tags.get(256) or not tags.get(257):
        raise BadPhoto(422, "the picture is damaged and cannot be read (no TIFF size)")
    return tags[256], tags[257]


SIZES = (
    (rb"\xff\xd8\xff", jpeg_size),
    (rb"\x89PNG\r\n\x1a\n.{4}IHDR.{8}", png_size),
    (rb"RIFF.{4}WEBP.{18}", webp_size),
    (rb"GIF8[79]a.{4}", gif_size),
    (rb".{4}ftyp(avi[fs]|hei[cxms]|mif1|msf1)", avif_size),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0.{12}", bmp_size),
    (rb"II\*\0|MM\0\*", tiff_size),
)  # how a file begins, and what reads its size


def check_size(width: int, height: int) -> None:
    """Raises BadPhoto where a picture of this size is not decoded."""
    size = f"the picture has {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise BadPhoto(413, f"{size}; at most {MAX_PIXELS / 1e6:.0f} megapixels are read")
    if min(width, height) < MIN_SIDE:
        raise BadPhoto(422, f"{size}; at least {MIN_SIDE} x {MIN_SIDE} are needed")
    if max(width, height) > MAX_SHAPE * min(width, height):
        raise BadPhoto(422, f"{size}; one side may be at most {MAX_SHAPE} times the other")


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except Exception:  # a broken EXIF block does not make the picture unusable
        return 1


def to_rgb(picture: Image.Image, longest: int) -> Image.Image:
    """RGB of at most `longest` pixels a side, in sRGB, transparency laid on white."""
    if picture.mode == "F":
        raise BadPhoto(422, "a picture of floats has no known white: save it with 8 bits a colour")
    picture.load()
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I"):
        picture = Image.fromarray(to_8_bits(np.asarray(picture), picture.mode))
    clear = picture.has_transparency_data
    if picture.mode not in ("L", "RGB", "RGBA"):
        picture = picture.convert("RGBA" if clear else "RGB")
    if max(picture.size) > longest:
        factor = longest / max(picture.size)
        goal = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        picture = picture.resize(goal, Image.Resampling.BOX, reducing_gap=2.0)
    if clear:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return to_srgb(picture if picture.mode == "L" else picture.convert("RGB"), profile)


def to_8_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Gray of 16 or 32 bits as uint8, as in training: 32 bits may hold 8, 16 or 32. Raises BadPhoto where
    values are negative.
    """
    if values.min() < 0:
        raise BadPhoto(422, "a picture of negative values has no known black: save it with 8 bits a colour")
    whites = (65535,) if mode.startswith("I;16") else (255, 65535, 2**32 - 1)
    white = next(white for white in whites if values.max() <= white)
    return np.rint(values.astype(np.float64) * 255 / white).astype(np.uint8)


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or gray of another space (a telephone's Display P3) as RGB in sRGB; as if it were sRGB where there
    is no usable profile.
    """
    space = profile[16:20] if isinstance(profile, bytes) and 128 < len(profile) <= MAX_PROFILE else b""
    if (space, picture.mode) not in ((b"RGB ", "RGB"), (b"GRAY", "L")):
        return picture.convert("RGB")
    try:
        return ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture.convert("RGB")


def png(image: np.ndarray, note: str = "") -> bytes:
    """uint8 (H, W, 3) as a PNG file, with `note` in a text chunk."""
    text = PngImagePlugin.PngInfo()
    if note:
        text.add_text("Software", "Facemorph")
        text.add_text("Comment", note)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", pnginfo=text, compress_level=3)
    return buffer.getvalue()


def jpeg(image: np.ndarray, note: str) -> bytes:
    """uint8 (H, W, 3) as a JPEG file with `note` as its comment."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, comment=note.encode("ascii", "replace"))
    return buffer.getvalue()
