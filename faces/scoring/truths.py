"""Edits against the true counterfactuals of drawn faces, and what the truth itself changes in a judge's eyes."""

import numpy as np
import pandas as pd

from faces.core.console import Progress
from faces.data.crops import Crops
from faces.edits.detail import keep_detail
from faces.edits.directions import Directions
from faces.metrics import edit_effects
from faces.scoring.context import Bench
from faces.scoring.counterfactuals import Counterfactuals, changed_region, squared_error
from faces.scoring.drawn import unit
from faces.scoring.edit_curves import Rows


def against_truth(
    bench: Bench,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    directions: dict[str, Directions],
    reached: pd.DataFrame,
    threshold: float,
) -> pd.DataFrame:
    """Edits at the strength of each row of `reached` (estimator, kind, attribute, strength) against the true counterfactuals.

    error_reduction: by how much the squared error inside the truly changed region falls below doing nothing; psnr_outside: dB in the rest of the picture.
    """
    rows, bar = [], Progress("score counterfactuals", reached["attribute"].nunique(), "attributes")
    labels = {name: found.arranged(crops.attributes, crops.labels) for name, found in directions.items()}
    for done, (attribute, group) in enumerate(reached.groupby("attribute", sort=False)):
        chosen = np.flatnonzero(pairs.attribute == attribute)[: bench.params.faces]
        if not len(chosen):
            continue
        faces = pairs.rows[chosen]
        original, truth, rebuilt = (
            bench.pictures(crops.images[faces]),
            bench.pictures(pairs.images[chosen]),
            bench.decode(codes[faces]),
        )
        region = changed_region(unit(original), unit(truth), threshold)
        nothing, pixels = squared_error(unit(original), unit(truth), region)[0].sum(), (~region).sum()
        for row in group.itertuples():
            step = directions[row.estimator].edit_sigma(
                attribute, pairs.value[chosen], labels[row.estimator][faces]
            )
            image = bench.decode(codes[faces] + row.strength * step)
            image = keep_detail(original, rebuilt, image, bench.detail) if row.kind == "detail" else image
            inside, outside = squared_error(unit(image), unit(truth), region)
            rows.append(
                {
                    "estimator": row.estimator,
                    "kind": row.kind,
                    "attribute": attribute,
                    "error_reduction": 1 - (inside.sum() / nothing.clamp_min(1e-12)).item(),
                    "psnr_outside": -10 * (outside.sum() / pixels).clamp_min(1e-10).log10().item(),
                }
            )
        bar.update(done + 1)
    bar.close()
    return pd.DataFrame(rows, columns=["estimator", "kind", "attribute", "error_reduction", "psnr_outside"])


def true_changes(
    bench: Bench, crops: Crops, pairs: Counterfactuals | None
) -> tuple[Rows, dict[int, np.ndarray]]:
    """What each judge sees change in the true counterfactuals: rows of leakage.csv, and per judge a matrix (A, A), zero where there is no truth."""
    names, rows = bench.panel.attributes, []
    matrices = {judge: np.zeros((len(names), len(names))) for judge in range(len(bench.panel.classifiers))}
    for target, name in enumerate(names if pairs is not None else ()):
        chosen = np.flatnonzero(pairs.attribute == name)[: bench.params.faces]
        if len(chosen) < bench.params.min_faces:
            continue
        images = [bench.pictures(crops.images[pairs.rows[chosen]]), bench.pictures(pairs.images[chosen])]
        for judge, matrix in matrices.items():
            evidence = np.stack([bench.judge(judge, each)[0] for each in images])
            matrix[target] = edit_effects.changes(
                evidence, pairs.value[chosen], bench.panel.deviation[judge]
            )[1]
            where = {
                "judge": judge,
                "estimator": "truth",
                "kind": "truth",
                "attribute": name,
                "faces": len(chosen),
            }
            rows += [
                where | {"other": other, "change": value}
                for other, value in zip(names, matrix[target], strict=True)
            ]
    return rows, matrices
