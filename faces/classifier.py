"""data/classifier: the judge, an attribute classifier in image space that knows nothing of the face model whose edits it judges.

judge.safetensors   the weights of every judge (a second one, of another width and seed, shows whether a conclusion hangs on one network)
judge.json          attributes, which of them can be judged, widths, and per judge and attribute its figures on the test split
scores.csv          the same figures as a table
history.csv         loss and mean valid AUROC at each report

What a judge says about an attribute is its evidence: the calibrated log-odds minus the log-odds of the attribute among the valid faces, that is the
logarithm of a likelihood ratio. Above zero the picture speaks for the attribute; that is where balanced accuracy is highest, however rare it is.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from faces.core.batches import batches
from faces.core.console import Unfit
from faces.metrics.auroc import auroc
from faces.nn.device import to_device
from faces.nn.layers import Residual, convolution


class JudgeError(ValueError):
    """The judge cannot be read, or can judge nothing. The message says why and what to do."""


class NothingToJudge(JudgeError, Unfit):
    """The data's labels cannot be told from its faces."""


class Judge(nn.Module):
    """Residual network: image (B, 3, H, W) in [-1, 1] -> logits (B, A), features (B, K), the layer before the logits."""

    def __init__(self, size: int, attributes: int, width: int, features: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(int(math.log2(size)) - 2)]  # at size / 2, ..., 4
        layers: list[nn.Module] = []
        for inputs, outputs in zip([3, *widths], widths, strict=False):
            layers += [convolution(inputs, outputs, 4, 2)] + ([Residual(outputs)] if inputs > 3 else [])
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(widths[-1] * 16, features), nn.SiLU()
        )
        self.head = nn.Linear(features, attributes)
        self.register_buffer("scale", torch.ones(attributes))  # evidence = scale * logit + shift
        self.register_buffer("shift", torch.zeros(attributes))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return self.head(features).float(), features.float()

    def evidence(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Evidence (B, A) and features (B, K)."""
        logits, features = self(images)
        return logits * self.scale + self.shift, features


@dataclass(frozen=True)
class Panel:
    """The opened judges. They speak of the attributes (A,) that every one of them can judge, in the order of `attributes`."""

    judges: tuple[Judge, ...]
    attributes: tuple[str, ...]
    columns: tuple[int, ...]  # of these attributes among a judge's outputs
    spread: (
        np.ndarray
    )  # (J, A) standard deviation of the evidence over the test faces: the unit in which changes are counted

    @classmethod
    def open(cls, folder: Path) -> "Panel":
        """The judges, in evaluation mode on the CPU. Raises JudgeError where there is none, or none that can judge anything."""
        try:
            about = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise JudgeError(f"{error.filename} is missing; run `dvc repro classifier`") from None
        judges = nn.ModuleList(
            Judge(about["size"], len(about["attributes"]), width, about["features"])
            for width in about["widths"]
        )
        judges.load_state_dict(load_file(folder / "judge.safetensors"), strict=True)
        names = tuple(
            name
            for name in about["attributes"]
            if all(figures[name]["judges"] for figures in about["judges"])
        )
        if not names:
            raise NothingToJudge(
                f"{folder}: no attribute reaches classifier.min_auroc, so no edit can be judged; train longer or lower it"
            )
        spread = np.array([[figures[name]["spread"] for name in names] for figures in about["judges"]])
        columns = tuple(about["attributes"].index(name) for name in names)
        return cls(tuple(judges.eval().requires_grad_(False)), names, columns, spread)

    def to(self, device: torch.device) -> "Panel":
        """Move the judges; returns itself."""
        for judge in self.judges:
            judge.to(device, memory_format=torch.channels_last)
        return self

    def axes(self, judge: int) -> np.ndarray:
        """(A, K): the axis of its features along which a judge reads each attribute."""
        return self.judges[judge].head.weight[list(self.columns)].cpu().numpy()

    @torch.no_grad()
    def look(self, judge: int, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """images (B, 3, H, W) in [-1, 1] -> evidence (B, A), features (B, K), float32."""
        evidence, features = self.judges[judge].evidence(images)
        return evidence[:, list(self.columns)].cpu().numpy(), features.cpu().numpy()


@torch.no_grad()
def logits_of(
    judge: Judge, images: np.ndarray, rows: np.ndarray, batch: int, device: torch.device
) -> np.ndarray:
    """Raw logits of `rows` of images (N, H, W, 3) uint8: float64 (n, A)."""
    judge.eval()
    return np.concatenate(
        [
            judge(to_device(images[rows[where]], device))[0].cpu().numpy()
            for where in batches(len(rows), batch)
        ]
    ).astype(np.float64)


def class_weights(labels: np.ndarray, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positives and negatives, each (A,), that give both sides of an attribute the same say: n / (2 n_side), at most `highest`.

    labels (N, A) of 1, -1, 0 for unknown. An empty side gets the highest weight, which nothing is multiplied with.
    """
    known = (labels != 0).sum(0)
    return tuple(
        np.minimum(highest, known / np.maximum(2 * (labels == side).sum(0), 1e-9)).astype(np.float32)
        for side in (1, -1)
    )


def masked_loss(logits: Tensor, labels: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Weighted binary cross-entropy (B, A) -> scalar, averaged over the known labels; labels are 1, -1, 0 for unknown."""
    weights = torch.where(labels > 0, positive, negative) * (labels != 0)
    losses = F.binary_cross_entropy_with_logits(logits, (labels > 0).float(), reduction="none")
    return (losses * weights).sum() / (labels != 0).sum().clamp_min(1)


def augment(images: Tensor) -> Tensor:
    """Mirror, move, turn, zoom, relight and soften each image a little, from torch's random state. (B, 3, H, W) -> (B, 3, H, W).

    Softening matters most: decoded faces are softer than photographs, and a judge that reads sharpness would misread every edit.
    """
    count, device = len(images), images.device
    soft = F.interpolate(F.avg_pool2d(images, 2), images.shape[-2:], mode="bilinear")
    images = torch.lerp(images, soft, torch.rand(count, 1, 1, 1, device=device))
    turn, zoom = (
        (torch.rand(count, device=device) - 0.5) * 0.15,
        1 + (torch.rand(count, device=device) - 0.5) * 0.1,
    )  # radians; ratio
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    move = (torch.rand(count, 2, device=device) - 0.5) * 0.12  # of half the picture's side
    rows = torch.stack(
        [
            zoom * mirror * turn.cos(),
            -zoom * turn.sin(),
            move[:, 0],
            zoom * mirror * turn.sin(),
            zoom * turn.cos(),
            move[:, 1],
        ],
        1,
    )
    grid = F.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast, light = (
        1 + (torch.rand(count, 1, 1, 1, device=device) - 0.5) * 0.2,
        (torch.rand(count, 1, 1, 1, device=device) - 0.5) * 0.2,
    )
    return images * contrast + light


def platt(logits: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Scale and shift that make logits (n,) calibrated log-odds of `positive` (n,) bool.

    Platt, "Probabilistic outputs for support vector machines", 1999, with his targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep a perfect
    separation finite; by Newton steps that are halved until they help (Lin, Lin, Weng 2007).
    """
    target = np.where(positive, (positive.sum() + 1) / (positive.sum() + 2), 1 / ((~positive).sum() + 2))
    design = np.stack([logits, np.ones_like(logits)], 1)

    def loss(solution: np.ndarray) -> float:
        odds = design @ solution
        return float((np.logaddexp(0, odds) - target * odds).sum())

    best = np.array([0.0, math.log((positive.sum() + 1) / ((~positive).sum() + 1))])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ best, -500, 500)))
        gradient = design.T @ (chance - target)
        hessian = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-9 * np.eye(2)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while loss(best - size * step) > loss(best) and size > 1e-10:
            size /= 2
        best = best - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return float(best[0]), float(best[1])


def calibration_error(chance: np.ndarray, positive: np.ndarray, bins: int) -> float:
    """Expected calibration error: mean distance between stated and observed frequency over equal bins of [0, 1], weighted by their faces.

    Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    places = np.minimum((chance * bins).astype(int), bins - 1)
    stated, observed = np.bincount(places, chance, bins), np.bincount(places, positive, bins)
    return float(np.abs(stated - observed).sum() / len(chance))


def mean_auroc(logits: np.ndarray, labels: np.ndarray) -> float:
    """Over the attributes whose known labels have both sides; chance where there is none."""
    areas = [
        float(auroc(scores[known != 0], known[known != 0] == 1)[0])
        for scores, known in zip(logits.T, labels.T, strict=True)
    ]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else 0.5


def calibrate(judge: Judge, logits: np.ndarray, labels: np.ndarray) -> None:
    """Set scale and shift from the valid split: logits (n, A), labels (n, A). An attribute with one side only keeps its raw logits."""
    for attribute in range(labels.shape[1]):
        known = labels[:, attribute] != 0
        positive = labels[known, attribute] == 1
        if positive.any() and not positive.all():
            scale, shift = platt(logits[known, attribute], positive)
            judge.scale[attribute], judge.shift[attribute] = scale, shift - prior_odds(positive)


def prior_odds(positive: np.ndarray) -> float:
    """Log-odds of the positives among (n,) bool, smoothed as Platt's targets are."""
    return math.log((positive.sum() + 1) / ((~positive).sum() + 1))


def figures(
    evidence: np.ndarray, labels: np.ndarray, prior: float, min_auroc: float, bins: int
) -> dict[str, float | bool | None]:
    """How well one attribute is judged on the test split: evidence (n,), labels (n,), `prior` the log-odds among the valid faces.

    AUROC, balanced accuracy (at evidence 0), expected calibration error, spread of the evidence, and whether AUROC reaches `min_auroc`; figures
    are None where the known labels have one side only, and such an attribute is not judged.
    """
    known = labels != 0
    positive, seen = labels[known] == 1, evidence[known]
    spread = max(float(evidence.std()), 1e-6)
    if positive.all() or not positive.any():
        return {
            "auroc": None,
            "balanced_accuracy": None,
            "calibration_error": None,
            "spread": spread,
            "judges": False,
        }
    area = float(auroc(seen, positive)[0])
    chance = 1 / (1 + np.exp(-np.clip(seen + prior, -500, 500)))
    return {
        "auroc": area,
        "balanced_accuracy": float(((seen[positive] > 0).mean() + (seen[~positive] <= 0).mean()) / 2),
        "calibration_error": calibration_error(chance, positive, bins),
        "spread": spread,
        "judges": area >= min_auroc,
    }
