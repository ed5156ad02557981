"""Animations of one face or several."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from faces.viz import images
from faces.viz.config import Animation, Edit, Pair, Render
from faces.viz.grids import couple
from faces.viz.images import sheet, words
from faces.viz.interpolation import closed_walk, eased, there_and_back
from faces.viz.renderer import Studio
from faces.viz.selection import Absent, conditions


class Film(NamedTuple):
    """An animation: frames (F, h, w, 3), the order in which they are shown, and durations in ms."""

    frames: np.ndarray
    order: np.ndarray
    durations: list[int]


def every(studio: Studio, show: Render, snapshots: np.ndarray) -> Iterator[tuple[str, Callable[[], Film]]]:
    """All animations: file name, and function that draws it."""
    for edit in show.edits:
        yield edit.name, partial(edit_film, studio, show, edit)
    for pair in show.journeys:
        yield pair.name, partial(journey_film, studio, show, pair)
    for number in range(1, show.morphs.count + 1):
        yield f"morph_{number}", partial(morph_film, studio, show, f"morph_{number}")
    yield "training", partial(training_film, show, snapshots)


def edit_film(studio: Studio, show: Render, edit: Edit) -> Film:
    """One face with an attribute added or removed, there and back."""
    key = f"render.edits.{edit.name}"
    known = studio.crops.attributes
    (attribute,) = conditions(key, (edit.attribute,), known)
    if attribute not in studio.editor.attributes:
        raise Absent(f"{attribute} cannot be edited: too few faces on one side")
    row = studio.cast(edit.name, conditions(key, edit.where, known), 1, edited=attribute)
    start, end = edit.path
    strengths = start + (end - start) * eased(show.animation.frames)
    model, detail = studio.pictures(row, studio.switched(attribute, row, strengths))
    captions = [f"{words(attribute)} {strength:+.1f}" for strength in strengths]
    return _returning(
        show.animation,
        images.film({"model": model[0], "detail kept": detail[0]}, show.animation.tile, captions),
    )


def journey_film(studio: Studio, show: Render, pair: Pair) -> Film:
    """One person becoming another, there and back."""
    both = couple(studio, "journeys", pair)
    positions = eased(show.animation.frames)
    model, detail = studio.between(both, positions, show.way)
    captions = [f"{words(pair.name)} {position:.0%}" for position in positions]
    return _returning(
        show.animation, images.film({"model": model, "detail kept": detail}, show.animation.tile, captions)
    )


def morph_film(studio: Studio, show: Render, name: str) -> Film:
    """A walk from test face to test face that ends where it began."""
    rows = studio.cast(name, {}, show.morphs.anchors)
    if len(rows) < 3:
        raise Absent("a walk needs three test faces")
    count = len(rows) * show.morphs.frames
    walk = closed_walk(studio.codes[rows], count, studio.directions.mean)
    frames = images.film({"": studio.decode(walk)}, show.animation.tile, [""] * count)
    return Film(frames, np.arange(count), [_period(show.animation)] * count)


def training_film(show: Render, snapshots: np.ndarray) -> Film:
    """The same faces, reconstructed as training advanced; `snapshots` (T, K, H, W, 3) begin with the
    originals.
    """
    originals, *reports = snapshots[:, : 2 * show.faces]
    frames = [
        sheet(
            np.stack((originals, faces)),
            show.tile,
            rows=("original", "model"),
            title=f"Training: report {number} of {len(reports)}",
        )
        for number, faces in enumerate(reports, 1)
    ]
    durations = [3 * _period(show.animation)] * (len(frames) - 1) + [
        3 * _period(show.animation) + show.animation.hold
    ]
    return Film(np.stack(frames), np.arange(len(frames)), durations)


def _period(animation: Animation) -> int:
    """Milliseconds of a frame, a multiple of 10 as GIF counts."""
    return round(100 / animation.fps) * 10


def _returning(animation: Animation, frames: np.ndarray) -> Film:
    """`frames` played there and back, with a rest at both ends."""
    order = there_and_back(len(frames))
    rest = np.isin(order, (0, len(frames) - 1)) * animation.hold
    return Film(frames, order, [_period(animation) + round(int(extra), -1) for extra in rest])
