"""Captioned grids of faces, animations, PNG and GIF files. The same arrays give the same bytes.

Faces and finished pictures are uint8 (H, W, 3). Text is set in the font that Pillow carries (its letters are
those of Western European Latin).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER = (255, 255, 255)
INK = (40, 40, 40)
GAP = 4  # pixels between two faces
MARGIN = 8  # pixels around a sheet
PALETTE_STEP = 3  # of the pixels of each row and column, one in so many decides about the palette


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 (..., H, W, 3) -> (..., side, side, 3), Lanczos."""
    flat = images.reshape(-1, *images.shape[-3:])
    if flat.shape[1:3] != (side, side):
        flat = np.stack(
            [Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS) for image in flat]
        )
    return flat.reshape(*images.shape[:-3], side, side, 3)


def sheet(
    images: np.ndarray, side: int, columns: Sequence[str] = (), rows: Sequence[str] = (), title: str = ""
) -> np.ndarray:
    """Faces (R, C, H, W, 3) in R rows and C columns, each `side` pixels wide, GAP apart; captions over the
    columns, left of the rows, on top.
    """
    count_rows, count_columns = images.shape[:2]
    size = max(11, min(16, side // 7))  # of the letters, in pixels
    heads = [_wrapped(text, side, size) for text in columns]
    left = MARGIN + (max(round(_font(size).getlength(text)) for text in rows) + MARGIN if any(rows) else 0)
    above = (round(1.2 * size) + MARGIN if title else 0) + MARGIN
    head = max((_height(text, size) for text in heads), default=0)
    top = above + (head + GAP if head else 0)
    pitch = side + GAP
    right = left + count_columns * pitch - GAP + MARGIN
    width = max(right, 2 * MARGIN + round(_font(size + 2).getlength(title)))
    page = np.full((top + count_rows * pitch - GAP + MARGIN, width, 3), PAPER, np.uint8)
    for row, faces in enumerate(resize(images, side)):
        for column, face in enumerate(faces):
            y = top + row * pitch
            x = left + column * pitch
            page[y : y + side, x : x + side] = face

    picture = Image.fromarray(page)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN), title, INK, _font(size + 2), anchor="la")
    for column, text in enumerate(heads):
        draw.multiline_text(
            (left + column * pitch + side / 2, above + head),
            text,
            INK,
            _font(size),
            anchor="md",
            align="center",
        )
    for row, text in enumerate(rows):
        draw.text((left - MARGIN, top + row * pitch + side / 2), text, INK, _font(size), anchor="rm")
    return np.asarray(picture)


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures next to each other, their tops in line, on paper."""
    height = max(len(picture) for picture in pictures)
    return np.concatenate([_padded(picture, height, picture.shape[1]) for picture in pictures], axis=1)


def below(*pictures: np.ndarray) -> np.ndarray:
    """Pictures under each other, their left edges in line, on paper."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([_padded(picture, len(picture), width) for picture in pictures])


def film(panels: dict[str, np.ndarray], side: int, captions: Sequence[str]) -> np.ndarray:
    """Animations (F, H, W, 3) side by side under their names, with one caption for each frame:
    (F, h, w, 3).
    """
    frames = np.stack(list(panels.values()), axis=1)  # (F, P, H, W, 3)
    pages = [
        sheet(faces[None], side, list(panels), title=caption)
        for faces, caption in zip(frames, captions, strict=True)
    ]
    height, width = (
        max(page.shape[axis] for page in pages) for axis in (0, 1)
    )  # a caption may be wider than small faces
    return np.stack([_padded(page, height, width) for page in pages])


def difference(first: np.ndarray, second: np.ndarray, gain: float) -> np.ndarray:
    """Difference of `second` and `first`, both (..., H, W, 3) in 0 to 255, amplified by `gain`, on grey;
    uint8.
    """
    return np.clip(np.rint(128 + gain * (second.astype(np.float64) - first)), 0, 255).astype(np.uint8)


def words(attribute: str) -> str:
    """An attribute's name as a person reads it."""
    return attribute.replace("_", " ")


def write_png(path: Path, picture: np.ndarray) -> None:
    """A picture, without any metadata."""
    Image.fromarray(picture).save(path, "PNG", compress_level=4)


def write_gif(path: Path, frames: np.ndarray, order: Sequence[int], durations: Sequence[int]) -> None:
    """Endless GIF of `frames` (F, H, W, 3) in `order`, with `durations` in ms, multiples of 10.

    All frames share one palette (255 colours found by median cut, and the paper's) and are not dithered:
    dither would flicker. A frame equal to the one before is merged with it, their durations added.
    """
    palette = Image.fromarray(np.concatenate(frames[:, ::PALETTE_STEP, ::PALETTE_STEP])).quantize(
        255, Image.Quantize.MEDIANCUT
    )
    palette.putpalette([*palette.getpalette()[: 3 * 255], *PAPER])
    drawn = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first, *others = (drawn[index] for index in order)
    first.save(
        path, "GIF", save_all=True, append_images=others, loop=0, duration=list(durations), optimize=False
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _wrapped(text: str, width: int, size: int) -> str:
    """`text` broken at spaces into lines of at most `width` pixels; a longer word stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _height(text: str, size: int) -> int:
    """Of `text` in its lines, in pixels."""
    return round(ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, _font(size))[3])


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    page = np.full((height, width, 3), PAPER, np.uint8)
    page[: picture.shape[0], : picture.shape[1]] = picture
    return page
