"""Where pictures put what, and that the same arrays become the same bytes."""

import numpy as np
import pytest
from PIL import Image

from faces.viz.images import (
    GAP,
    MARGIN,
    PAPER,
    below,
    beside,
    difference,
    film,
    resize,
    sheet,
    write_gif,
    write_png,
)

COLOURS = np.array(
    [[[200, 0, 0], [0, 200, 0], [0, 0, 200]], [[200, 200, 0], [0, 200, 200], [200, 0, 200]]], np.uint8
)


@pytest.fixture
def faces():
    """Two rows of three plain faces, 8 x 8."""
    return np.broadcast_to(COLOURS[:, :, None, None], (2, 3, 8, 8, 3)).copy()


@pytest.fixture
def moving(rng):
    """Five frames of a square that wanders over a gradient."""
    frames = np.broadcast_to(np.linspace(0, 255, 96).astype(np.uint8)[:, None, None], (5, 96, 96, 3)).copy()
    for number, frame in enumerate(frames):
        frame[12 * number : 12 * number + 24, 24:48] = (250, 10, 10)
    return frames


def place(page, colour):
    """Top, left, bottom, right of all that has one colour."""
    rows, columns = np.nonzero((page == colour).all(axis=-1))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def test_sheet_without_captions_is_a_lattice(faces):
    page = sheet(faces, 8)
    assert page.shape == (2 * 8 + GAP + 2 * MARGIN, 3 * 8 + 2 * GAP + 2 * MARGIN, 3)
    for row in range(2):
        for column in range(3):
            y = MARGIN + row * (8 + GAP)
            x = MARGIN + column * (8 + GAP)
            assert place(page, COLOURS[row, column]) == (y, x, y + 8, x + 8)
    rest = (page != PAPER).any(axis=-1)
    assert rest.sum() == 6 * 64


def test_captions_stand_outside_the_faces(faces):
    """Captions move the lattice and leave it as it is; every pixel of ink lies above or left of it."""
    side = 64
    bare = sheet(faces, side)
    page = sheet(faces, side, columns=("one", "two words", ""), rows=("first", "second"), title="A title")
    top, left, bottom, right = place(page, COLOURS[0, 0])
    assert (bottom - top, right - left) == (side, side)
    assert (page.shape[0] - top, page.shape[1] - left) == (bare.shape[0] - MARGIN, bare.shape[1] - MARGIN)
    np.testing.assert_array_equal(page[top:, left:], bare[MARGIN:, MARGIN:])
    assert (page[:top] != PAPER).any()
    assert (page[top:, :left] != PAPER).any()


@pytest.mark.parametrize("where", ["columns", "rows", "title"])
def test_every_caption_changes_the_picture(faces, where):
    def page(text):
        return sheet(
            faces, 64, **{where: text if where == "title" else (text,) * (3 if where == "columns" else 2)}
        )

    assert page("nine").shape == page("none").shape or where != "columns"
    assert page("nine").tobytes() != page("noon").tobytes()


def test_a_caption_wider_than_its_face_is_broken_at_spaces(faces):
    one, two = (sheet(faces, 64, columns=(text, "", "")) for text in ("Mouth", "Mouth Slightly"))
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] - one.shape[0] > 8


def test_a_long_title_widens_the_page(faces):
    page = sheet(faces, 8, title="A title much wider than three faces")
    assert page.shape[1] > sheet(faces, 8).shape[1]
    assert (page[:, -MARGIN:] == PAPER).all()


def test_resize_keeps_what_fits_and_plain_colours(faces, rng):
    noise = rng.integers(0, 256, (2, 3, 8, 8, 3)).astype(np.uint8)
    np.testing.assert_array_equal(resize(noise, 8), noise)
    large = resize(faces, 20)
    assert large.shape == (2, 3, 20, 20, 3)
    np.testing.assert_array_equal(large, np.broadcast_to(COLOURS[:, :, None, None], large.shape))


def test_beside_and_below_fill_with_paper(faces):
    small = np.zeros((4, 6, 3), np.uint8)
    large = np.zeros((10, 8, 3), np.uint8)
    page = beside(small, large)
    assert page.shape == (10, 14, 3)
    assert (page[4:, :6] == PAPER).all()
    assert not page[:4].any()
    page = below(small, large)
    assert page.shape == (14, 8, 3)
    assert (page[:4, 6:] == PAPER).all()
    assert not page[4:].any()


def test_difference_is_amplified_about_grey():
    first = np.array([100.0, 100, 0])
    second = np.array([110.0, 90.5, 255])
    assert difference(first, second, 3.0).tolist() == [
        158,
        100,
        255,
    ]  # 128 + 30; 128 - 28.5, to even; clipped


def test_film_shows_panels_side_by_side(moving):
    frames = film({"one": moving, "two": 255 - moving}, 96, ["caption"] * 5)
    assert len(frames) == 5
    bottom = frames[:, -MARGIN - 96 : -MARGIN]
    one = bottom[:, :, MARGIN : MARGIN + 96]
    two = bottom[:, :, MARGIN + 96 + GAP : MARGIN + 2 * 96 + GAP]
    np.testing.assert_array_equal(one, moving)
    np.testing.assert_array_equal(two, 255 - moving)


def test_gif_has_its_frames_and_times_and_runs_for_ever(moving, tmp_path):
    path = tmp_path / "a.gif"
    order = [0, 1, 2, 3, 4, 3, 2, 1]
    durations = [600, 80, 80, 80, 600, 80, 80, 80]
    write_gif(path, moving, order, durations)
    with Image.open(path) as gif:
        assert gif.n_frames == 8
        assert gif.info["loop"] == 0
        for number, (frame, duration) in enumerate(zip(order, durations, strict=True)):
            gif.seek(number)
            assert gif.info["duration"] == duration
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - moving[frame]).max() <= 8  # of the palette


def test_gif_holds_still_what_does_not_move(moving, tmp_path):
    """One palette and no dither: a pixel that is equal in all frames is equal in the animation."""
    write_gif(tmp_path / "a.gif", moving, range(5), [80] * 5)
    with Image.open(tmp_path / "a.gif") as gif:
        shown = []
        for number in range(5):
            gif.seek(number)
            shown.append(np.asarray(gif.convert("RGB")))
    still = (moving == moving[0]).all(axis=(0, 3))
    assert still.sum() > 7000
    assert (np.stack(shown)[:, still] == shown[0][still]).all()


def test_paper_stays_white_in_a_gif(moving, tmp_path):
    frames = film({"": moving // 2 + 120}, 96, [""] * 5)
    write_gif(tmp_path / "a.gif", frames, range(5), [80] * 5)
    with Image.open(tmp_path / "a.gif") as gif:
        shown = np.asarray(gif.convert("RGB"))
    assert (shown[:MARGIN] == PAPER).all()


def test_same_arrays_same_bytes(moving, faces, tmp_path):
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", sheet(faces, 32, ("x", "y", "z"), title="t"))
        write_gif(tmp_path / f"{name}.gif", film({"p": moving}, 48, list("abcde")), range(5), [80] * 5)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_png_holds_the_pixels_and_nothing_else(faces, tmp_path):
    page = sheet(faces, 16, title="t")
    write_png(tmp_path / "a.png", page)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info == {}
        np.testing.assert_array_equal(np.asarray(picture), page)
