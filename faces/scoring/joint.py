"""Edits of two attributes at once against their true counterfactuals: the same face drawn again with both
flipped.

Each attribute is moved by the strength at which it is compared on its own (levels.csv), so no strength is
chosen by the truth. An editor has a row where it reaches both attributes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from faces.core import ranks
from faces.data.crops import Crops
from faces.nn.device import side_by_side
from faces.scoring.context import Context
from faces.scoring.counterfactuals import (
    NOTHING,
    REBUILT,
    Counterfactuals,
    changed_region,
    labels_for,
    pooled_psnr,
    squared_error,
)
from faces.scoring.editors import ScoredEditor

COLUMNS = (
    "estimator",
    "first",
    "second",
    "pairs",
    "region",
    "flips",
    "error_reduction",
    "psnr_inside",
    "psnr_outside",
)


def against_truth(
    context: Context,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    editors: dict[str, ScoredEditor],
    reached: pd.DataFrame,
    work: Path,
) -> pd.DataFrame:
    """joint.csv: decoded edits, each attribute at its strength in `reached` (estimator, kind, attribute,
    strength); pairs of attributes are shared by the processes (faces/core/ranks.py) as shards in `work`.

    flips: share of the faces on which the first classifier reads both attributes as asked for; NaN where it
    cannot read one. The other columns are those of counterfactuals.csv, and so are the rows of NOTHING and
    REBUILT.
    """
    joint = pairs.joint
    plain = reached[reached["kind"] == "plain"]
    strengths = {(row.estimator, row.attribute): float(row.strength) for row in plain.itertuples()}
    two_of = [] if joint is None else list(dict.fromkeys(map(tuple, joint.attributes.tolist())))

    def compare(two: tuple[str, str]) -> dict[str, np.ndarray]:
        return {"lines": ranks.as_text(compare_two(context, crops, pairs, codes, editors, strengths, two))}

    lines = []
    run = side_by_side(context.codec.device)
    for arrays in ranks.dealt_jobs("score joint", "pairs of attributes", work, two_of, compare, run):
        lines += ranks.from_text(arrays["lines"])
    return pd.DataFrame(lines, columns=COLUMNS)


def compare_two(
    context: Context,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    editors: dict[str, ScoredEditor],
    strengths: dict[tuple[str, str], float],
    two: tuple[str, str],
) -> list[dict[str, Any]]:
    """Rows of joint.csv of two attributes; strengths by editor and attribute."""
    lines = []
    joint = pairs.joint
    chosen = np.flatnonzero((joint.attributes == two).all(1))[: context.params.faces]
    rows = joint.rows[chosen]
    original = context.codec.pictures(crops.images[rows])
    truth = context.codec.pictures(pairs.images[joint.places[chosen]])
    region = changed_region(original, truth, context.params.region_threshold)
    inside = region.sum().item()
    nothing, _ = squared_error(original, truth, region)
    pictures = {NOTHING: original, REBUILT: context.codec.decode(context.codec.encode(truth))}
    for name, editor in editors.items():
        if all((name, attribute) in strengths for attribute in two):
            labels = labels_for(editor, crops, rows)
            steps = tuple(strengths[name, attribute] for attribute in two)
            pictures[name] = context.codec.decode(editor.edited_both(codes[rows], labels, two, steps))
    for name, image in pictures.items():
        error_inside, error_outside = squared_error(image, truth, region)
        lines.append(
            {
                "estimator": name,
                "first": two[0],
                "second": two[1],
                "pairs": len(chosen),
                "region": inside / region.numel(),
                "flips": both_flipped(context, image, two, joint.values[chosen]),
                "error_reduction": 1 - error_inside / max(nothing, 1e-12),
                "psnr_inside": pooled_psnr(error_inside, inside),
                "psnr_outside": pooled_psnr(error_outside, region.numel() - inside),
            }
        )
    return lines


def both_flipped(context: Context, images: Tensor, two: tuple[str, str], values: np.ndarray) -> float:
    """Share of the images (P, 3, H, W) on which the first classifier reads both attributes as values (P, 2),
    1 or -1; NaN where it cannot read one.
    """
    if not set(two) <= set(context.attributes):
        return np.nan
    evidence, _ = context.read(0, images)
    places = [context.attributes.index(attribute) for attribute in two]
    return float((evidence[:, places] * values > 0).all(1).mean())
