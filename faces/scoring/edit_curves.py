"""An edit tried on test faces: what every judge sees as it grows, what it cost where a share of the faces has flipped, and what the pictures say there."""

from itertools import chain
from typing import Any

import numpy as np

from faces.metrics import edit_effects
from faces.metrics.frechet import kernel, polynomial
from faces.scoring.context import EPSILON, Bench, Sample, Scales

Rows = list[dict[str, Any]]


def trace(
    bench: Bench, sample: Sample, step: np.ndarray, which: np.ndarray
) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """What each judge sees of each kind along the strengths: evidence (S, F', A) and features (S, F', K); step (F', D) is one sigma."""
    seen: dict[tuple[int, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    moved = (sample.edited(bench, strength * step, which) for strength in bench.params.strengths)
    for pictures in chain([sample.unedited(bench, which)], moved):
        for kind, images in pictures.items():
            for judge in range(len(bench.panel.classifiers)):
                seen.setdefault((judge, kind), []).append(bench.judge(judge, images))
    return {
        key: (np.stack([e for e, _ in views]), np.stack([f for _, f in views])) for key, views in seen.items()
    }


def score_edit(
    bench: Bench, sample: Sample, scales: Scales, step: np.ndarray, target: int, real: np.ndarray
) -> dict[str, Rows]:
    """Rows of curves.csv, levels.csv and leakage.csv for the edit of one attribute, number `target` of the panel's, by one estimator.

    step (F, D) is one sigma towards each face's other label, real (n, 1280) the features of real faces with the attribute.
    """
    params, strengths, names = bench.params, np.array((0.0, *bench.params.strengths)), bench.panel.attributes
    which = np.flatnonzero(sample.labels[:, target])
    side, step = (
        -sample.labels[which, target].astype(np.float32),
        step[which],
    )  # (F',): towards the other label
    tables: dict[str, Rows] = {"curves": [], "levels": [], "leakage": []}
    for (judge, kind), (evidence, features) in trace(bench, sample, step, which).items():
        agree = evidence[0, :, target] * side <= 0
        where = {"judge": judge, "kind": kind, "attribute": names[target], "faces": int(agree.sum())}
        if where["faces"] < params.min_faces:
            continue
        seen, towards, axis = evidence[:, agree], side[agree], bench.panel.axes(judge)[target]
        flips = edit_effects.flip_strengths(strengths, seen[:, :, target], towards)
        change = edit_effects.changes(seen, towards, bench.panel.deviation[judge])
        moved = np.array(
            [edit_effects.distances(now, features[0, agree], axis).mean() for now in features[:, agree]]
        )
        curves = {
            "effect": change[:, target],
            "leakage": edit_effects.leakage(change, target),
            "kept": edit_effects.kept(seen, target),
            "identity": moved / scales.judges[judge, target],
        }
        for k, strength in enumerate(strengths):
            row = {"strength": strength, "flips": float((flips <= strength).mean())}
            tables["curves"].append(where | row | {name: curve[k] for name, curve in curves.items()})
        for level in params.levels:
            strength = edit_effects.strength_for(flips, level)
            row = where | {"level": level, "strength": strength}
            if np.isfinite(strength):
                row |= {
                    name: float(edit_effects.at(strengths, curve, strength)) for name, curve in curves.items()
                }
                if level == params.levels[-1]:
                    found = edit_effects.at(strengths, change, strength)
                    tables["leakage"] += [
                        where | {"other": other, "change": value}
                        for other, value in zip(names, found, strict=True)
                    ]
                    if judge == 0:
                        row |= look(
                            bench,
                            sample,
                            scales,
                            strength * step[agree],
                            which[agree],
                            kind,
                            towards > 0,
                            real,
                        )
            tables["levels"].append(row)
    return tables


def look(
    bench: Bench,
    sample: Sample,
    scales: Scales,
    step: np.ndarray,
    which: np.ndarray,
    kind: str,
    added: np.ndarray,
    real: np.ndarray,
) -> dict[str, float]:
    """What pictures edited by step (F', D) say: how far they look changed, how real the faces with an added attribute look, and how even the path is."""
    params = bench.params
    before, after = (
        sample.features[kind][which],
        bench.features(sample.edited(bench, step, which, (kind,))[kind]),
    )
    row = {"perceptual": float(edit_effects.distances(after, before).mean() / scales.features)}
    if min(added.sum(), len(real)) >= params.min_faces:
        row["realism"] = kernel(*polynomial(after[added], real))
        row["realism_unedited"] = kernel(*polynomial(before[added], real))
    few = which[: params.paths]
    places = np.linspace(0, 1, len(few) + 2)[1:-1, None]  # spread over the path, one for each face
    ends = [
        bench.features(sample.edited(bench, (places + move) * step[: len(few)], few, (kind,))[kind])
        for move in (-EPSILON / 2, EPSILON / 2)
    ]
    return row | {"path_length": scales.path_length(*ends)}
