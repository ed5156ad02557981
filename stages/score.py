"""Score edits, estimator by estimator, and new faces, prior by prior. Costly, so that `evaluate`, which draws and sums up, can be cheap.

in    data/crops/        images.npy, table.csv, and counterfactuals where the source draws them
      data/model/        the trained model
      data/latents/      latents.npy
      data/vectors/      vectors.npz
      data/classifier/   the judges
out   data/scores/       curves.csv    per judge, estimator, kind, attribute and strength: flips, effect, leakage, kept, identity
                         levels.csv    the same where a share of the faces has flipped, and at the last such level what the pictures say
                         leakage.csv   at the last level: the change of every other attribute, in spreads; the true counterfactuals' beside it
                         carried.csv   what each estimator's edits bring along where labels are correlated, and where not
                         identity.csv  the marks of the identity scale, by judge and attribute
                         priors.csv    distance of reconstructions and of samples to real faces, and smoothness

Faces are of the test split. An edit adds an attribute to the faces without it and removes it from those with it; `plain` is the decoded edit, `detail`
the original plus what the edit changed. A face counts where the judge sees, before the edit, what its label says.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faces import checkpoints, edits, perceptual, priors
from faces.counterfactuals import Counterfactuals, changed_region, squared_error
from faces.crops import Crops
from faces.devices import batches, pick_device, to_device
from faces.directions import Directions
from faces.distances import frechet, grams, kernel, polynomial, with_interval
from faces.files import new_folder
from faces.judge import Panel, augment
from faces.params import Group, load, one_of
from faces.terminal import Progress, stop

EPSILON = 1e-2  # of a path: how far apart two pictures are from which its speed is taken
WHERE = ("judge", "estimator", "kind", "attribute")
COLUMNS = {
    "curves": (*WHERE, "faces", "strength", "flips", "effect", "leakage", "kept", "identity"),
    "levels": (
        *(*WHERE, "faces", "level", "strength", "effect", "leakage", "kept", "identity"),
        *("perceptual", "realism", "realism_unedited", "path_length", "error_reduction", "psnr_outside"),
    ),
    "leakage": (*WHERE, "faces", "other", "change"),
    "carried": ("judge", "estimator", "kind", "attributes", "confounded", "unrelated", "carried"),
}

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=2)]


class Score(Group):
    estimators: Annotated[tuple[str, ...], Field(min_length=1)]
    faces: Count
    min_faces: Count
    strengths: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    levels: Annotated[tuple[Share, ...], Field(min_length=1)]
    samples: Count
    fit: Count
    axes: Annotated[int, Field(ge=1)]
    components: Annotated[int, Field(ge=1)]
    ridge: Annotated[float, Field(gt=0)]
    temperature: Annotated[float, Field(gt=0)]
    groups: Count
    paths: Annotated[int, Field(ge=1)]
    side: Annotated[int, Field(ge=32)]
    batch: Annotated[int, Field(ge=1)]


class Params(Group):
    seed: int
    score: Score
    estimators: tuple[str, ...] = Field(alias="vectors.estimators")
    region_threshold: float = Field(alias="evaluate.region_threshold")


@dataclass(frozen=True)
class Bench:
    """What looks at faces: the model, the judges, and a network trained on other pictures."""

    params: Score
    model: Any
    panel: Panel
    network: Any
    device: torch.device

    def pictures(self, images: np.ndarray) -> Tensor:
        """uint8 (n, H, W, 3) -> float (n, 3, H, W) in [-1, 1]."""
        return to_device(images, self.device)

    @torch.no_grad()
    def decode(self, codes: np.ndarray) -> Tensor:
        """Codes (n, D) -> (n, 3, H, W) in [-1, 1]."""
        codes = torch.from_numpy(np.ascontiguousarray(codes, np.float32)).to(self.device)
        return torch.cat([self.model.decode(codes[where]).clamp(-1, 1) for where in batches(len(codes), self.params.batch)])

    def judge(self, judge: int, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Evidence (n, A) and features (n, K)."""
        seen = [self.panel.look(judge, images[where]) for where in batches(len(images), self.params.batch)]
        return np.concatenate([evidence for evidence, _ in seen]), np.concatenate([features for _, features in seen])

    @torch.no_grad()
    def features(self, images: Tensor) -> np.ndarray:
        """EfficientNet-Lite0's pooled features (n, 1280)."""
        found = [self.network.pooled(images[where], self.params.side).cpu() for where in batches(len(images), self.params.batch)]
        return torch.cat(found).numpy()


@dataclass(frozen=True)
class Sample:
    """Test faces, before any edit."""

    codes: np.ndarray  # (F, D)
    labels: np.ndarray  # (F, A) in the order of the panel's attributes
    base: dict[str, Tensor]  # by kind of edit: (F, 3, H, W) at strength 0
    features: dict[str, np.ndarray]  # of the same (F, 1280)

    def edited(self, bench: Bench, step: np.ndarray, which: np.ndarray, kinds: tuple[str, ...] = ("plain", "detail")) -> dict[str, Tensor]:
        """The chosen faces, moved by step (F', D), by kind of edit."""
        decoded = bench.decode(self.codes[which] + step)
        whole = torch.from_numpy(which).to(bench.device)
        change = decoded - self.base["plain"][whole]
        return {kind: decoded if kind == "plain" else (self.base[kind][whole] + change).clamp(-1, 1) for kind in kinds}


@dataclass(frozen=True)
class Scales:
    """The units in which distances are told, each the median distance between two different faces."""

    judges: np.ndarray  # (J, A) of a judge's features, the axis of one attribute left out
    features: float  # of EfficientNet-Lite0's


def trace(bench: Bench, sample: Sample, step: np.ndarray, which: np.ndarray) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """What each judge sees of each kind along the strengths: evidence (S, F', A) and features (S, F', K); step (F', D) is one sigma."""
    seen: dict[tuple[int, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for strength in (0.0, *bench.params.strengths):
        for kind, images in sample.edited(bench, strength * step, which).items():
            for judge in range(len(bench.panel.judges)):
                seen.setdefault((judge, kind), []).append(bench.judge(judge, images))
    return {key: (np.stack([e for e, _ in views]), np.stack([f for _, f in views])) for key, views in seen.items()}


def score_edit(
    bench: Bench, sample: Sample, scales: Scales, step: np.ndarray, target: int, real: np.ndarray
) -> dict[str, list[dict[str, Any]]]:
    """Rows of curves.csv, levels.csv and leakage.csv for the edit of one attribute by one estimator.

    step (D,) is one sigma, real (n, 1280) the features of real faces with the attribute.
    """
    params, strengths, names = bench.params, np.array((0.0, *bench.params.strengths)), bench.panel.attributes
    which = np.flatnonzero(sample.labels[:, target])
    side = -sample.labels[which, target].astype(np.float32)  # (F',): towards the other label
    tables: dict[str, list[dict[str, Any]]] = {"curves": [], "levels": [], "leakage": []}
    for (judge, kind), (evidence, features) in trace(bench, sample, side[:, None] * step, which).items():
        agree = evidence[0, :, target] * side <= 0
        where = {"judge": judge, "kind": kind, "attribute": names[target], "faces": int(agree.sum())}
        if where["faces"] < params.min_faces:
            continue
        seen, towards, axis = evidence[:, agree], side[agree], bench.panel.axes(judge)[target]
        flips = edits.flip_strengths(strengths, seen[:, :, target], towards)
        change = edits.changes(seen, towards, bench.panel.spread[judge])
        identity = (
            np.array([edits.distances(now, features[0, agree], axis).mean() for now in features[:, agree]]) / scales.judges[judge, target]
        )
        curves = {
            "effect": change[:, target],
            "leakage": edits.leakage(change, target),
            "kept": edits.kept(seen, target),
            "identity": identity,
        }
        for k, strength in enumerate(strengths):
            row = {"strength": strength, "flips": float((flips <= strength).mean())}
            tables["curves"].append(where | row | {name: curve[k] for name, curve in curves.items()})
        for level in params.levels:
            strength = edits.strength_for(flips, level)
            row = where | {"level": level, "strength": strength}
            if np.isfinite(strength):
                row |= {name: float(edits.at(strengths, curve, strength)) for name, curve in curves.items()}
                if level == params.levels[-1]:
                    found = edits.at(strengths, change, strength)
                    tables["leakage"] += [where | {"other": other, "change": value} for other, value in zip(names, found, strict=True)]
                    if judge == 0:
                        row |= look(bench, sample, scales, strength * towards[:, None] * step, which[agree], kind, towards > 0, real)
            tables["levels"].append(row)
    return tables


def look(
    bench: Bench, sample: Sample, scales: Scales, step: np.ndarray, which: np.ndarray, kind: str, added: np.ndarray, real: np.ndarray
) -> dict[str, float]:
    """What pictures edited by step (F', D) say: how far they look changed, how real the faces with an added attribute look, and how even the path is."""
    params = bench.params
    before, after = sample.features[kind][which], bench.features(sample.edited(bench, step, which, (kind,))[kind])
    row = {"perceptual": float(edits.distances(after, before).mean() / scales.features)}
    if min(added.sum(), len(real)) >= params.min_faces:
        row["realism"] = kernel(*polynomial(after[added], real))
        row["realism_unedited"] = kernel(*polynomial(before[added], real))
    few = which[: params.paths]
    places = np.linspace(0, 1, len(few) + 2)[1:-1, None]  # spread over the path, one for each face
    ends = [
        bench.features(sample.edited(bench, (places + move) * step[: len(few)], few, (kind,))[kind]) for move in (-EPSILON / 2, EPSILON / 2)
    ]
    return row | {"path_length": path_length(*ends, scales)}


def path_length(before: np.ndarray, after: np.ndarray, scales: Scales) -> float:
    """Perceptual path length (Karras et al. 2019, section 4.1): mean squared speed along paths of length one, features (n, 1280) EPSILON apart."""
    return float(np.square(edits.distances(after, before) / scales.features / EPSILON).mean())


def score_truth(
    bench: Bench, crops: Crops, pairs: Counterfactuals, codes: np.ndarray, steps: pd.DataFrame, threshold: float
) -> pd.DataFrame:
    """Edits against the true counterfactuals, at the strength of each row of `steps` (estimator, kind, attribute, vector: one sigma times the strength).

    error_reduction: by how much the squared error inside the truly changed region falls below doing nothing; psnr_outside: dB in the rest of the picture.
    """
    rows, bar = [], Progress("score counterfactuals", steps["attribute"].nunique(), "attributes")
    for done, (attribute, group) in enumerate(steps.groupby("attribute", sort=False)):
        chosen = np.flatnonzero(pairs.attribute == attribute)[: bench.params.faces]
        if not len(chosen):
            continue
        original, truth = (bench.pictures(images).add(1).div(2) for images in (crops.images[pairs.rows[chosen]], pairs.images[chosen]))
        z = codes[pairs.rows[chosen]]
        rebuilt, region = bench.decode(z).add(1).div(2), changed_region(original, truth, threshold)
        nothing, pixels = squared_error(original, truth, region)[0].sum(), (~region).sum()
        for row in group.itertuples():
            image = bench.decode(z + row.vector * pairs.value[chosen, None]).add(1).div(2)
            image = (original + image - rebuilt).clamp(0, 1) if row.kind == "detail" else image
            inside, outside = squared_error(image, truth, region)
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


def true_changes(bench: Bench, crops: Crops, pairs: Counterfactuals | None) -> tuple[list[dict[str, Any]], dict[int, np.ndarray]]:
    """What each judge sees change in the true counterfactuals: rows of leakage.csv, and per judge a matrix (A, A), zero where there is no truth."""
    names, rows = bench.panel.attributes, []
    matrices = {judge: np.zeros((len(names), len(names))) for judge in range(len(bench.panel.judges))}
    for target, name in enumerate(names if pairs is not None else ()):
        chosen = np.flatnonzero(pairs.attribute == name)[: bench.params.faces]
        if len(chosen) < bench.params.min_faces:
            continue
        images = [bench.pictures(crops.images[pairs.rows[chosen]]), bench.pictures(pairs.images[chosen])]
        for judge, matrix in matrices.items():
            evidence = np.stack([bench.judge(judge, each)[0] for each in images])
            matrix[target] = edits.changes(evidence, pairs.value[chosen], bench.panel.spread[judge])[1]
            where = {"judge": judge, "estimator": "truth", "kind": "truth", "attribute": name, "faces": len(chosen)}
            rows += [where | {"other": other, "change": value} for other, value in zip(names, matrix[target], strict=True)]
    return rows, matrices


def same_person(
    crops: Crops, pairs: Counterfactuals | None, count: int, rng: np.random.Generator
) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Pairs of test faces of one person: how they were found, the faces' pixels, and those of their other pictures (None: to be made from the first).

    The best there is: pictures with one known identity; otherwise a drawn face and its counterfactuals; otherwise copies that are moved and relit.
    """
    test = crops.rows("test")
    first, second = edits.identity_pairs(crops.table["identity"].to_numpy()[test], count, rng)
    if len(first) >= count // 4:
        return "identities", crops.images[test[first]], crops.images[test[second]]
    if pairs is not None:
        chosen = np.sort(rng.permutation(len(pairs.rows))[:count])
        return "counterfactuals", crops.images[pairs.rows[chosen]], pairs.images[chosen]
    return "copies", crops.images[np.sort(rng.permutation(test)[:count])], None


def identity_scales(
    bench: Bench, crops: Crops, pairs: Counterfactuals | None, real: Tensor, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows of identity.csv, and the units of the scales (J, A). real (n, 3, H, W) are test faces, nearly all of different people."""
    source, left, right = same_person(crops, pairs, bench.params.samples, rng)
    first = bench.pictures(left)
    second = augment(first) if right is None else bench.pictures(right)
    rows = []
    for judge in range(len(bench.panel.judges)):
        (_, one), (_, other), (_, faces) = (bench.judge(judge, images) for images in (first, second, real))
        for name, axis in zip(bench.panel.attributes, bench.panel.axes(judge), strict=True):
            marks = edits.identity_scale(edits.distances(one, other, axis), edits.distances(faces, np.roll(faces, 1, 0), axis))
            rows.append({"judge": judge, "attribute": name, "same_person": source, **marks})
    return rows, np.array([row["unit"] for row in rows]).reshape(len(bench.panel.judges), -1)


def score_priors(
    bench: Bench, crops: Crops, codes: np.ndarray, real: np.ndarray, rows: np.ndarray, seed: int, scales: Scales
) -> pd.DataFrame:
    """priors.csv: Frechet and kernel distance to the real test faces `rows`, whose features are `real`, with 95% intervals, for sets of the same size."""
    params, rng = bench.params, np.random.default_rng(seed)
    train = crops.rows("train")
    fitted_to = codes[np.sort(rng.permutation(train)[: params.fit])]
    axes, count = priors.Axes.of(fitted_to, params.axes, seed), len(rows)
    mixture = priors.mixture(axes, fitted_to, params.components, params.ridge, seed)
    sets = {
        "train_faces": bench.pictures(crops.images[np.sort(rng.permutation(train)[:count])]),
        "reconstruction": bench.decode(codes[rows]),
        "standard": bench.decode(bench.model.sample(count, torch.Generator().manual_seed(seed), 1.0).cpu().numpy()),
        "gaussian": bench.decode(priors.gaussian(axes, count, 1.0, rng)),
        "tempered": bench.decode(priors.gaussian(axes, count, params.temperature, rng)),
        "mixture": bench.decode(priors.sample_mixture(axes, mixture, count, rng)),
    }
    table, bar = [], Progress("score priors", len(sets), "sets")
    for name, images in sets.items():
        features, row = bench.features(images), {"set": name, "faces": count}
        for distance, products in (("frechet_lite0", grams(features, real)), ("kernel_lite0", polynomial(features, real))):
            formula = frechet if distance.startswith("frechet") else kernel
            found = with_interval(formula, products, params.groups)
            row |= dict(zip((distance, f"{distance}_low", f"{distance}_high"), found, strict=True))
        table.append(row)
        bar.update(len(table))
    bar.close()
    ends = codes[rows], codes[np.roll(rows, 1)]
    places = np.linspace(0, 1, len(rows) + 2)[1:-1, None]
    moves = [bench.features(bench.decode(ends[0] + (places + move) * (ends[1] - ends[0]))) for move in (-EPSILON / 2, EPSILON / 2)]
    return pd.DataFrame([*table, {"set": "interpolation", "faces": count, "path_length": path_length(*moves, scales)}])


def score_all(
    bench: Bench, crops: Crops, pairs: Counterfactuals | None, codes: np.ndarray, directions: dict[str, Directions], params: Params
) -> dict:
    """Every table, by name."""
    score, names, rng = params.score, bench.panel.attributes, np.random.default_rng(params.seed)
    torch.manual_seed(params.seed)
    order, columns = rng.permutation(crops.rows("test")), [crops.attributes.index(name) for name in names]
    real_rows, rows = np.sort(order[: score.samples]), np.sort(order[: score.faces])
    real = bench.pictures(crops.images[real_rows])
    real_features, real_labels = bench.features(real), crops.labels[real_rows][:, columns]
    marks, judges = identity_scales(bench, crops, pairs, real, rng)
    scales = Scales(judges, float(np.median(edits.distances(real_features, np.roll(real_features, 1, 0)))))
    base = {"plain": bench.decode(codes[rows]), "detail": bench.pictures(crops.images[rows])}
    sample = Sample(codes[rows], crops.labels[rows][:, columns], base, {kind: bench.features(images) for kind, images in base.items()})
    truth_rows, truth = true_changes(bench, crops, pairs)
    tables: dict[str, list[dict[str, Any]]] = {"curves": [], "levels": [], "leakage": truth_rows}
    bar, done = Progress("score edits", len(directions) * len(names), "edits"), 0
    for estimator, found in directions.items():
        for target, name in enumerate(names):
            if name in found.attributes:
                scored = score_edit(bench, sample, scales, found.one_sigma(name), target, real_features[real_labels[:, target] == 1])
                for table, lines in scored.items():
                    tables[table] += [{"estimator": estimator, **line} for line in lines]
            done += 1
            bar.update(done)
    bar.close()
    levels, changes = pd.DataFrame(tables["levels"]), pd.DataFrame(tables["leakage"], columns=COLUMNS["leakage"])
    if pairs is not None and len(levels):
        reached = levels[(levels["judge"] == 0) & (levels["level"] == score.levels[-1]) & np.isfinite(levels["strength"])]
        vectors = [directions[row.estimator].one_sigma(row.attribute) * row.strength for row in reached.itertuples()]
        against = score_truth(bench, crops, pairs, codes, reached.assign(vector=vectors), params.region_threshold)
        against = against.assign(judge=0, level=score.levels[-1])
        levels = levels.merge(against, "left", ["judge", "level", "estimator", "kind", "attribute"])
    expected = edits.correlations(crops.labels[crops.rows("train")][:, columns])
    return {
        "curves": pd.DataFrame(tables["curves"], columns=COLUMNS["curves"]),
        "levels": levels.reindex(columns=COLUMNS["levels"]),
        "leakage": changes,
        "carried": pd.DataFrame(carried(changes, truth, expected, names), columns=COLUMNS["carried"]),
        "identity": pd.DataFrame(marks),
        "priors": score_priors(bench, crops, codes, real_features, real_rows, params.seed, scales),
    }


def carried(changes: pd.DataFrame, truth: dict[int, np.ndarray], expected: np.ndarray, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of carried.csv, from those of leakage.csv; `truth` (A, A) by judge and `expected` (A, A) are in the order of `names`."""
    rows, changes = [], changes[changes["estimator"] != "truth"]
    for (judge, estimator, kind), group in changes.groupby(["judge", "estimator", "kind"], sort=False):
        matrix = group.pivot(index="attribute", columns="other", values="change").reindex(columns=names)
        targets = np.array([names.index(name) for name in matrix.index])
        found = edits.carried(matrix.to_numpy(), truth[judge][targets], expected, targets)
        rows.append({"judge": judge, "estimator": estimator, "kind": kind, "attributes": len(targets), **found})
    return rows


def main(crops_folder: Path, weights: Path, latents: Path, vectors: Path, judges: Path, out: Path) -> None:
    try:
        params, crops, device = load(Params), Crops.open(crops_folder), pick_device()
        model, _ = checkpoints.load(weights)
        names = [one_of("score.estimators", name, params.estimators) for name in params.score.estimators]
        directions = {name: Directions.open(vectors, name) for name in names}
        panel, network = Panel.open(judges).to(device), perceptual.load("efficientnet_lite0", "", device)
        pairs = Counterfactuals.open(crops_folder, crops.table["name"])
    except ValueError as error:
        raise stop(error) from None
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    bench = Bench(params.score, model.to(device, memory_format=torch.channels_last), panel, network, device)
    tables = score_all(bench, crops, pairs, codes, directions, params)
    with new_folder(out) as folder:
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
