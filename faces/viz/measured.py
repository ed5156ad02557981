"""Strips of measured labels: faces set to values of a measure, in its own unit, as the website's slider sets
them.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from faces.data.measured import Measures, Scale
from faces.scoring.served import Served
from faces.viz.config import Render
from faces.viz.grids import strip
from faces.viz.images import words
from faces.viz.renderer import Studio

LEVELS = np.linspace(-1, 1, 5)  # labels that faces are set to: the ends of the scale and between


def every(
    studio: Studio, show: Render, served: Served, measures: Measures
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """A strip for each measure with a slider: file name, and function that draws it."""
    for scale in measures.scales:
        if scale.name in served.names:
            yield f"edit_{scale.name}", partial(levels, studio, show, served, measures, scale)


def levels(studio: Studio, show: Render, served: Served, measures: Measures, scale: Scale) -> np.ndarray:
    """Test faces that could be measured, each with its value, and set to LEVELS of the scale."""
    values = measures.values[:, measures.names.index(scale.name)]
    rows = studio.cast(f"edit_{scale.name}", {}, show.faces, among=np.flatnonzero(np.isfinite(values)))
    edited = studio.pictures(rows, settled(served, np.asarray(studio.codes[rows]), scale.name))
    labels = [f"measured {scale.worded(value)}" for value in values[rows]]
    heads = [f"set to {scale.worded(value)}" for value in scale.values(LEVELS)]
    return strip(studio, show, rows, labels, edited, heads, words(scale.name).capitalize())


def settled(served: Served, codes: np.ndarray, name: str) -> np.ndarray:
    """Codes (F, S, D) of faces (F, D) whose label is moved from what is read off the code to each of LEVELS
    (S,).
    """
    place = served.flow.attributes.index(name)
    read = served.flow.readouts.labels(codes)[:, place]
    found = np.empty((len(codes), len(LEVELS), codes.shape[1]), np.float32)
    for sign in (-1.0, 1.0):
        walk = served.walk(codes, name, np.full(len(codes), sign))
        for face, label in enumerate(read):
            for number, level in enumerate(LEVELS):
                if (level - label) * sign >= 0:
                    found[face, number] = walk(np.array([face]), abs(level - label) / 2)[0]
    return found
