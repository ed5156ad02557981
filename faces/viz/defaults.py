"""Choice of attributes to draw where params.yaml names none of the data's own: the best predicted ones."""

import re
from collections.abc import Sequence

import pandas as pd

from faces.viz.config import Edit, Pair, Render
from faces.viz.selection import unsigned

COUNT = 8  # attributes that are drawn
ASKED = 4  # attributes that new faces are asked for
STRENGTH = 3.0  # sigmas of an edit
ANYBODY = (Pair(name="from_face_to_face", first=(), second=()),)


def by_auroc(table: pd.DataFrame, estimator: str) -> tuple[str, ...]:
    """Attributes of vectors.csv by the held-out AUROC of their directions, the best first; without a figure
    last.
    """
    own = table[table["estimator"] == estimator]
    return tuple(own.sort_values("auroc", ascending=False, kind="stable")["attribute"])


def fitted(show: Render, known: Sequence[str], best: Sequence[str]) -> tuple[Render, tuple[str, ...]]:
    """`show` with each list that names none of the attributes `known` replaced by one of the `best`, and the
    keys of these lists.

    A list that is empty in params.yaml stays empty.
    """
    lists = {
        "attributes": tuple(f"{name}?" for name in best[:COUNT]),
        "edits": tuple(edit for name in best[:COUNT] for edit in edits_of(name)),
        "journeys": ANYBODY,
        "interpolations": ANYBODY,
        "asked": tuple((name,) for name in best[:ASKED]),
    }
    names = {
        "attributes": [(name,) for name in show.attributes],
        "edits": [(edit.attribute, *unsigned(edit.where)) for edit in show.edits],
        "journeys": [unsigned(pair.first + pair.second) for pair in show.journeys],
        "interpolations": [unsigned(pair.first + pair.second) for pair in show.interpolations],
        "asked": [unsigned(wanted) for wanted in show.asked],
    }
    unknown = {
        key: lists[key]
        for key, wanted in names.items()
        if wanted and not any(all(name.rstrip("?") in known for name in each) for each in wanted)
    }
    return show.model_copy(update=unknown), tuple(f"render.{key}" for key in unknown)


def edits_of(attribute: str) -> tuple[Edit, Edit]:
    """The attribute added to a face, and taken from one."""
    stem = re.sub(r"[^A-Za-z0-9_]", "_", attribute)
    return (
        Edit(name=f"{stem}_added", attribute=attribute, where=(f"-{attribute}",), path=(0.0, STRENGTH)),
        Edit(name=f"{stem}_removed", attribute=attribute, where=(attribute,), path=(0.0, -STRENGTH)),
    )
