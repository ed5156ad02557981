"""Edits against true counterfactuals: the same face drawn again with one attribute flipped, where the source
can.

data/crops/counterfactuals.npy   uint8 (M, H, W, 3)
data/crops/counterfactuals.csv   row m: name, of (name of the face it was drawn from), attribute, value
                                 (its new label, 1 or -1), and where the source draws every face that is as
                                 true: variant (0 of a pair; the others follow behind all pairs), form (what
                                  the source calls the drawing: which glasses), and second and
                                  second_value where another attribute is flipped too

These are of test faces. calibration.npy and calibration.csv are the same of valid faces, without variants.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from faces.core import ranks
from faces.core.batches import batches
from faces.data.crops import Crops
from faces.data.sharded_array import Parts, open_parts
from faces.edits.detail import keep_detail
from faces.edits.directions import arranged
from faces.metrics import edit_effects
from faces.metrics.changes import TRUTH, Key
from faces.nn.device import side_by_side
from faces.scoring.context import Codec, Context
from faces.scoring.editors import ScoredEditor

NOTHING = "nothing"  # the original, left as it is
REBUILT = "rebuilt"  # the truth through the model: no edit of this model can be nearer on average
PICTURE = "picture"  # the kind of these two
COLUMNS = (
    "estimator",
    "kind",
    "attribute",
    "pairs",
    "region",
    "error_reduction",
    "psnr_inside",
    "psnr_outside",
    "truths",
    "error_reduction_nearest",
    "error_reduction_mean",
    "mode_coverage",
    "mode_entropy",
)
MODES = ("estimator", "kind", "attribute", "value", "among", "form", "pairs", "own", "nearest")
COSINES = ("estimator", "attribute", "pairs", "cosine", "halves", "ceiling")


@dataclass(frozen=True)
class Joint:
    """Faces drawn again with two attributes flipped at once."""

    places: np.ndarray  # (P,) of the true pictures, in Counterfactuals.images
    rows: np.ndarray  # (P,) rows in Crops of the faces that they were drawn from
    attributes: np.ndarray  # (P, 2) names
    values: np.ndarray  # (P, 2) the new labels, 1 or -1


@dataclass(frozen=True)
class Counterfactuals:
    """Opened pairs. `images[m]` is the truth; `rows[m]` is the row in Crops of the face it was drawn from.

    `others[m]` are places in `images`, beyond M, of pictures that are as true.
    """

    images: np.ndarray | Parts  # uint8 (M and more, H, W, 3)
    rows: np.ndarray  # (M,)
    attribute: np.ndarray  # (M,) names
    value: np.ndarray  # (M,) 1 or -1
    forms: np.ndarray  # of each image, what the source calls the drawing
    others: dict[int, list[int]] = field(default_factory=dict)
    joint: Joint | None = None

    @classmethod
    def open(cls, folder: Path, names: pd.Series, stem: str = "counterfactuals") -> "Counterfactuals | None":
        """The pairs beside the crops whose table has these `names`; None where the data source draws none.

        `stem` of their two files: "counterfactuals", or "calibration".
        """
        if not (folder / f"{stem}.csv").is_file():
            return None
        table = pd.read_csv(folder / f"{stem}.csv", keep_default_na=False)
        if "variant" not in table:  # of a source that draws one truth
            table = table.assign(variant=0, form="")
        if "second" not in table:  # of a source that flips one attribute at a time
            table = table.assign(second="", second_value=0)
        single = table["second"] == ""
        pairs = table[single & (table["variant"] == 0)]
        place_of = {key: place for place, key in enumerate(zip(pairs["of"], pairs["attribute"], strict=True))}
        others: dict[int, list[int]] = {}
        for place, line in enumerate(table.itertuples()):
            if not line.second and line.variant > 0 and (line.of, line.attribute) in place_of:
                others.setdefault(place_of[line.of, line.attribute], []).append(place)
        named = names[names.isin(table["of"])]
        row_of = pd.Series(named.index, index=named.to_numpy())
        rows = pairs["of"].map(row_of)
        joint = table[~single]
        return cls(
            open_parts(folder / f"{stem}.npy"),
            rows.to_numpy(np.int64),
            pairs["attribute"].to_numpy(str),
            pairs["value"].to_numpy(np.int64),
            table["form"].to_numpy(str),
            others,
            Joint(
                joint.index.to_numpy(np.int64),
                joint["of"].map(row_of).to_numpy(np.int64),
                joint[["attribute", "second"]].to_numpy(str),
                joint[["value", "second_value"]].to_numpy(np.int64),
            ),
        )

    def of(self, attribute: str, count: int | None = None) -> np.ndarray:
        """Places of the attribute's pairs, the first `count` of them."""
        return np.flatnonzero(self.attribute == attribute)[:count]


def changed_region(original: Tensor, truth: Tensor, threshold: float) -> Tensor:
    """Where the truth differs from the original by more than `threshold` of the range, grown by a pixel.

    Images (B, 3, H, W) in [-1, 1] -> bool (B, 1, H, W); the channel that changes most decides.
    """
    differs = ((original - truth).abs().amax(1, keepdim=True) / 2 > threshold).float()
    return F.max_pool2d(differs, 3, 1, 1) > 0


def squared_error(image: Tensor, truth: Tensor, region: Tensor) -> tuple[float, float]:
    """Sum of squared errors inside and outside `region` (B, 1, H, W), in squares of the range, over all
    pictures.

    Images (B, 3, H, W) in [-1, 1].
    """
    error = ((image - truth) / 2).square().mean(1, keepdim=True)
    return (error * region).sum().item(), (error * ~region).sum().item()


@dataclass(frozen=True)
class Truths:
    """Every picture that is true for each of P pairs: K pictures in the order of their pairs."""

    images: Tensor  # (K, 3, H, W)
    owner: np.ndarray  # (K,) rising
    forms: np.ndarray  # (K,) names; the first of a pair is its own
    value: np.ndarray  # (P,) 1 or -1
    region: Tensor  # bool (P, 1, H, W), where any of a pair's truths differs from the original

    @classmethod
    def of(cls, context: Context, pairs: Counterfactuals, chosen: np.ndarray, original: Tensor) -> "Truths":
        """Those of the `chosen` pairs (P,), drawn from the faces in `original` (P, 3, H, W)."""
        places = [[int(m), *pairs.others.get(int(m), [])] for m in chosen]
        owner = np.repeat(np.arange(len(chosen)), [len(some) for some in places])
        flat = np.concatenate(places)
        images = context.codec.pictures(pairs.images[flat])
        differs = changed_region(original[owner], images, context.params.region_threshold)
        starts = np.searchsorted(owner, np.arange(len(chosen)))
        region = torch.from_numpy(np.logical_or.reduceat(differs.cpu().numpy(), starts)).to(images.device)
        return cls(images, owner, pairs.forms[flat], pairs.value[chosen], region)

    @cached_property
    def starts(self) -> np.ndarray:
        """(P,) the place of each pair's own truth."""
        return np.searchsorted(self.owner, np.arange(len(self.value)))

    @cached_property
    def mean(self) -> Tensor:
        """(P, 3, H, W) the mean of each pair's truths: what squared error over all of them asks for."""
        total = torch.zeros_like(self.images[: len(self.value)])
        places = torch.from_numpy(self.owner).to(total.device)
        counts = torch.bincount(places)[:, None, None, None]
        return total.index_add_(0, places, self.images) / counts

    def errors(self, image: Tensor) -> np.ndarray:
        """(K,) squared error inside the region between pictures (P, 3, H, W) and each of their truths."""
        error = ((image[self.owner] - self.images) / 2).square().mean(1, keepdim=True)
        return (error * self.region[self.owner]).sum((1, 2, 3)).double().cpu().numpy()

    def nearest(self, errors: np.ndarray) -> np.ndarray:
        """(P,) the place of each pair's nearest truth, by errors (K,)."""
        return np.lexsort((errors, self.owner))[self.starts]

    def scores(self, image: Tensor, original: Tensor) -> tuple[dict[str, float], pd.DataFrame]:
        """Columns of counterfactuals.csv of pictures (P, 3, H, W), and their rows of modes.csv.

        error_reduction_nearest: as error_reduction, each face held against the truth that it is nearest to,
        before and after. error_reduction_mean: against the mean of its truths, which a blur of all of them
        would reach. mode_coverage: share of the forms that are some face's nearest, where several are true;
        mode_entropy: the entropy of these choices over that of even ones. NaN where one form alone is true.
        """
        errors = self.errors(image)
        chosen = self.nearest(errors)
        before = self.errors(original)
        least = before[self.nearest(before)].sum()
        mean, _ = squared_error(image, self.mean, self.region)
        mean_before, _ = squared_error(original, self.mean, self.region)
        modes = self.modes(chosen)
        counts = [group["nearest"].to_numpy() for _, group in modes.groupby(["value", "among"])]
        spread = [entropy(some) for some in counts]
        return {
            "truths": len(self.owner) / len(self.value),
            "error_reduction_nearest": 1 - errors[chosen].sum() / max(least, 1e-12),
            "error_reduction_mean": 1 - mean / max(mean_before, 1e-12),
            "mode_coverage": float((modes["nearest"] > 0).mean()) if counts else np.nan,
            "mode_entropy": np.average(spread, weights=[some.sum() for some in counts]) if counts else np.nan,
        }, modes

    def modes(self, chosen: np.ndarray) -> pd.DataFrame:
        """Rows of modes.csv: for each new label, and set of forms that are true of one face (`among`), how
        many faces' own truth, and how many faces' nearest (places `chosen`, (P,)), has each form.
        """
        groups: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        for pair, start in enumerate(self.starts):
            several = tuple(sorted(set(self.forms[start : start + np.sum(self.owner == pair)])))
            if len(several) > 1:
                groups.setdefault((int(self.value[pair]), several), []).append(pair)
        lines = []
        for (value, several), pairs in groups.items():
            own = self.forms[self.starts[pairs]]
            nearest = self.forms[chosen[pairs]]
            for form in several:
                counts = (len(pairs), int((own == form).sum()), int((nearest == form).sum()))
                lines.append((value, " ".join(several), form, *counts))
        return pd.DataFrame(lines, columns=MODES[3:])


def entropy(counts: np.ndarray) -> float:
    """Shannon entropy of counts (n,), over that of even ones: 0 where one has all, 1 where all are alike."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(counts)))


def pooled_psnr(error: float, pixels: float) -> float:
    """PSNR in dB from the squared error summed over so many pixels; at most 100."""
    return float(-10 * np.log10(max(error / max(pixels, 1), 1e-10)))


def against_truth(
    context: Context,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    editors: dict[str, ScoredEditor],
    reached: pd.DataFrame,
    work: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """counterfactuals.csv and modes.csv: every edit at its strength in `reached` (estimator, kind, attribute,
    strength), at equal effect; attributes are shared by the processes (faces/core/ranks.py) as shards in
    `work`.

    error_reduction: by how much the squared error inside the truly changed region falls below that of doing
    nothing. The truth is the one picture that the face's own chances draw, so that other glasses count as
    wrong and a blur of all glasses does best; the figures of `Truths.scores` hold the edit against all that
    are true. Beside the edits stand NOTHING and REBUILT, the floor and the ceiling.
    """

    def compare(attribute: str) -> dict[str, np.ndarray]:
        lines, modes = compare_attribute(context, crops, pairs, codes, editors, reached, attribute)
        return {"lines": ranks.as_text(lines), "modes": ranks.as_text(modes)}

    names = list(dict.fromkeys(pairs.attribute))
    lines = []
    modes = []
    run = side_by_side(context.codec.device)
    for arrays in ranks.dealt_jobs("score counterfactuals", "attributes", work, names, compare, run):
        lines += ranks.from_text(arrays["lines"])
        modes += ranks.from_text(arrays["modes"])
    return pd.DataFrame(lines, columns=COLUMNS), pd.DataFrame(modes, columns=MODES)


def compare_attribute(
    context: Context,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    editors: dict[str, ScoredEditor],
    reached: pd.DataFrame,
    attribute: str,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of counterfactuals.csv and of modes.csv of one attribute."""
    lines = []
    modes = []
    chosen = pairs.of(attribute, context.params.faces)
    rows = pairs.rows[chosen]
    original = context.codec.pictures(crops.images[rows])
    truth = context.codec.pictures(pairs.images[chosen])
    before = context.codec.decode(codes[rows])
    region = changed_region(original, truth, context.params.region_threshold)
    inside = region.sum().item()
    outside = region.numel() - inside
    nothing, _ = squared_error(original, truth, region)
    truths = Truths.of(context, pairs, chosen, original)
    pictures = {
        (NOTHING, PICTURE): original,
        (REBUILT, PICTURE): context.codec.decode(context.codec.encode(truth)),
    }
    for row in reached[reached["attribute"] == attribute].itertuples():
        editor = editors[row.estimator]
        edited = editor.edited(codes[rows], labels_for(editor, crops, rows), attribute, row.strength)
        after = context.codec.decode(edited)
        if row.kind == "detail":
            after = keep_detail(original, before, after, context.detail)
        pictures[row.estimator, row.kind] = after
    for (estimator, kind), image in pictures.items():
        error_inside, error_outside = squared_error(image, truth, region)
        as_set, rows_of_forms = truths.scores(image, original)
        where = {"estimator": estimator, "kind": kind, "attribute": attribute}
        modes += rows_of_forms.assign(**where).to_dict("records")
        lines.append(
            {
                **where,
                "pairs": len(chosen),
                "region": inside / region.numel(),
                "error_reduction": 1 - error_inside / max(nothing, 1e-12),
                "psnr_inside": pooled_psnr(error_inside, inside),
                "psnr_outside": pooled_psnr(error_outside, outside),
                **as_set,
            }
        )
    return lines, modes


def labels_for(editor: ScoredEditor, crops: Crops, rows: np.ndarray) -> np.ndarray:
    """(n, A) the labels of faces `rows` (n,) in the order of the editor's attributes."""
    return arranged(editor.attributes, crops.attributes, crops.labels[rows])


def true_changes(
    context: Context, crops: Crops, pairs: Counterfactuals
) -> dict[Key, tuple[np.ndarray, np.ndarray]]:
    """What each classifier sees change in the true pictures, as rows of changes.npz
    (faces/metrics/changes.py).
    """
    found = {}
    for attribute in context.attributes:
        chosen = pairs.of(attribute, context.params.faces)
        if len(chosen) < context.params.min_faces:
            continue
        rows = pairs.rows[chosen]
        pictures = [context.codec.pictures(crops.images[rows]), context.codec.pictures(pairs.images[chosen])]
        for number in context.numbers:
            before, after = (context.read(number, images)[0] for images in pictures)
            change = edit_effects.changes(before, after, pairs.value[chosen], context.deviations[number])
            found[number, TRUTH, TRUTH, attribute] = rows, change
    return found


def displacements(codec: Codec, pairs: Counterfactuals, codes: np.ndarray) -> np.ndarray:
    """(M, D) from each face's code to that of its true counterfactual, counted towards having the
    attribute.
    """
    found = np.empty((len(pairs.rows), codes.shape[1]), np.float32)
    for where in batches(len(pairs.rows), 8 * codec.batch):
        truth = codec.encode(codec.pictures(pairs.images[where]))
        found[where] = (truth - codes[pairs.rows[where]]) * pairs.value[where, None]
    return found


def oracle_changes(context: Context, pairs: Counterfactuals, moved: np.ndarray) -> dict[str, np.ndarray]:
    """By attribute the true displacements (P, D) that an oracle may learn from: of pairs on which it is not
    scored.
    """
    found = {}
    for attribute in context.attributes:
        held_out = pairs.of(attribute)[context.params.faces :]
        if len(held_out) >= context.params.min_faces:
            found[attribute] = moved[held_out]
    return found


def truth_cosines(
    pairs: Counterfactuals,
    moved: np.ndarray,
    codes: np.ndarray,
    editors: dict[str, ScoredEditor],
    crops: Crops,
) -> pd.DataFrame:
    """truth_cosine.csv: the cosine of each editor's mean displacement with the true one, by attribute.

    No classifier and no strength has a say. `halves` is the cosine between the means of two halves of the
    pairs; `ceiling`, the square root of their Spearman-Brown reliability, is what the true direction itself
    would score.
    """
    lines = []
    for name, editor in editors.items():
        for attribute in dict.fromkeys(pairs.attribute):
            chosen = pairs.of(attribute)
            if attribute not in editor.attributes or len(chosen) < 2:
                continue
            rows = pairs.rows[chosen]
            ours = editor.displaced(codes[rows], labels_for(editor, crops, rows), attribute).mean(0)
            halves = max(cosine(moved[chosen[::2]].mean(0), moved[chosen[1::2]].mean(0)), 0.0)
            lines.append(
                {
                    "estimator": name,
                    "attribute": attribute,
                    "pairs": len(chosen),
                    "cosine": cosine(ours, moved[chosen].mean(0)),
                    "halves": halves,
                    "ceiling": (2 * halves / (1 + halves)) ** 0.5,
                }
            )
    return pd.DataFrame(lines, columns=COSINES)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two vectors (D,); 0 where one has no length."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else 0.0
