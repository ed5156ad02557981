"""Warnings about labels, before training: problems that no model can learn around."""

import pandas as pd

from faces.data.annotations import SPLITS, attributes

FEW = 200  # train faces below which a model learns little more than their mean
NAMED = 4  # attributes that a line names


def warnings(table: pd.DataFrame) -> list[str]:
    """Warnings about a table of labels, one line each.

    An attribute that is the same for every face has no direction; one that is the same for a whole split
    cannot be learnt or measured there.
    """
    names = attributes(table)
    lines = []
    constant = [name for name in names if _sides(table[name]) < 2]
    if constant:
        lines.append(
            f"{_list(constant)}: the same for every face, so that there is nothing to learn; "
            "it gets no slider and no score"
        )
    missing = [split for split in SPLITS if not (table["split"] == split).any()]
    if missing:
        lines.append(
            f"no {' and no '.join(missing)} images among {len(table)}; "
            "every split needs some (column `split`)"
        )
    for split in SPLITS:
        faces = table[table["split"] == split]
        one_sided = [
            name for name in names if name not in constant and len(faces) and _sides(faces[name]) < 2
        ]
        if one_sided:
            lines.append(
                f"{_list(one_sided)}: the same for all {len(faces)} faces of the {split} split; "
                "no score can be told"
            )
    if (count := int((table["split"] == "train").sum())) < FEW:
        lines.append(
            f"{count} train faces are few: expect blurred faces and figures that vary from run to run"
        )
    return lines


def _sides(values: pd.Series) -> int:
    """Number of distinct known labels."""
    return int((values == 1).any()) + int((values == -1).any())


def _list(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
