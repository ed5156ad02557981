"""Attribute classifiers of pictures, in data/classifier; independent of the face model.

classifier.safetensors   the weights of every classifier (a second one, of another width and seed, shows
                         whether a conclusion hangs on one network)
classifier.json          attributes, widths, and per classifier and attribute its scores on the test split
scores.csv               the same scores as a table
history.csv              loss and mean valid AUROC at each report

A classifier's output is a log-odds ratio: the calibrated log-odds of the attribute minus its log-odds among
the valid faces, that is the logarithm of a likelihood ratio. Above zero the picture is evidence for the
attribute; this threshold gives the highest balanced accuracy, however rare the attribute is.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors.torch import load_file
from scipy.special import expit
from torch import Tensor, nn

from faces.core import ranks
from faces.core.batches import batches
from faces.core.console import Progress, Unfit
from faces.core.files import read_json
from faces.core.params import Group
from faces.data.crops import Crops
from faces.metrics.auroc import auroc
from faces.nn import distributed
from faces.nn.device import fast_arithmetic, to_device
from faces.nn.layers import Residual, convolution, widths
from faces.nn.optim import learning_rate

DROPOUT = 0.3  # share of the numbers before the features that are set to zero in training
WARM_UP = 0.05  # share of the budget over which the learning rate rises
BATCH = 256  # faces at once where nothing is trained


class Settings(Group):
    """The group `classifier` of params.yaml."""

    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    features: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    class_weight: Annotated[float, Field(ge=1)]
    reports: Annotated[int, Field(ge=1)]
    min_auroc: Annotated[float, Field(ge=0, le=1)]
    bins: Annotated[int, Field(ge=1)]


class ClassifierError(ValueError):
    """The classifiers are missing, unreadable or useless. The message says why and what to do."""


class NoUsableAttribute(ClassifierError, Unfit):
    """No attribute can be read from the pictures well enough to label faces by."""


class AttributeClassifier(nn.Module):
    """Residual network: image (B, 3, H, W) in [-1, 1] -> logits (B, A), features (B, K), the layer before."""

    def __init__(self, size: int, attributes: int, width: int, features: int) -> None:
        super().__init__()
        channels = widths(size, width)
        layers: list[nn.Module] = []
        for inputs, outputs in zip([3, *channels], channels, strict=False):
            layers += [convolution(inputs, outputs, 4, 2)] + ([Residual(outputs)] if inputs > 3 else [])
        self.body = nn.Sequential(
            *layers,
            nn.Flatten(),
            distributed.Dropout(DROPOUT),
            nn.Linear(channels[-1] * 16, features),
            nn.SiLU(),
        )
        self.head = nn.Linear(features, attributes)
        self.register_buffer("scale", torch.ones(attributes))  # log-odds ratio = scale * logit + shift
        self.register_buffer("shift", torch.zeros(attributes))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return self.head(features).float(), features.float()

    def log_odds(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds ratios (B, A) and features (B, K)."""
        logits, features = self(images)
        return logits * self.scale + self.shift, features


@dataclass(frozen=True)
class Ensemble:
    """The J trained classifiers, and the A attributes that each of them reads well enough."""

    classifiers: tuple[AttributeClassifier, ...]
    attributes: tuple[str, ...]
    columns: tuple[int, ...]  # of these attributes among a classifier's outputs
    deviation: np.ndarray  # (J, A) of the log-odds ratios over the test faces: the unit of changes

    @classmethod
    def open(cls, folder: Path) -> "Ensemble":
        """In evaluation mode on the CPU; there may be no attribute. Raises ClassifierError without a file."""
        try:
            about = read_json(folder / "classifier.json")
        except FileNotFoundError as error:
            raise ClassifierError(f"{error.filename} is missing; run `dvc repro classifier`") from None
        classifiers = nn.ModuleList(
            AttributeClassifier(about["size"], len(about["attributes"]), width, about["features"])
            for width in about["widths"]
        )
        classifiers.load_state_dict(load_file(folder / "classifier.safetensors"), strict=True)
        scores = about["classifiers"]
        names = tuple(name for name in about["attributes"] if all(each[name]["usable"] for each in scores))
        deviation = np.array([[each[name]["deviation"] for name in names] for each in scores])
        columns = tuple(about["attributes"].index(name) for name in names)
        return cls(tuple(classifiers.eval().requires_grad_(False)), names, columns, deviation)

    def to(self, device: torch.device) -> "Ensemble":
        """Move the classifiers; returns itself."""
        for classifier in self.classifiers:
            classifier.to(device, memory_format=torch.channels_last)
        return self

    def axes(self, number: int) -> np.ndarray:
        """(A, K): the axis of the features along which classifier `number` reads each attribute."""
        return self.classifiers[number].head.weight[list(self.columns)].cpu().numpy()

    @torch.no_grad()
    def predict(self, number: int, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """What classifier `number` reads in images (B, 3, H, W) in [-1, 1]: log-odds ratios (B, A), features
        (B, K).
        """
        log_odds, features = self.classifiers[number].log_odds(images)
        return log_odds[:, list(self.columns)].cpu().numpy(), features.cpu().numpy()


def train(
    settings: Settings, seed: int, width: int, crops: Crops, device: torch.device
) -> tuple[AttributeClassifier, list[dict[str, float]]]:
    """A calibrated classifier with the weights of its best report by mean valid AUROC, and its history.

    Processes (faces/core/ranks.py) share each batch, and rank 0 alone measures: only its classifier is of
    use.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = AttributeClassifier(crops.geometry.size, len(crops.attributes), width, settings.features)
    model.to(device, memory_format=torch.channels_last)
    if ranks.size() > 1:
        model = distributed.synchronised(model, device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
    )
    train_rows = crops.rows("train")
    valid_rows = crops.rows("valid")
    valid_labels = crops.labels[valid_rows]
    weights = class_weights(crops.labels[train_rows], settings.class_weight)
    sides = tuple(torch.from_numpy(side).to(device) for side in weights)
    steps = math.ceil(settings.images / settings.batch) if crops.attributes else 0
    reports = {math.ceil(steps * (k + 1) / settings.reports) for k in range(settings.reports)}
    order = np.empty(0, np.int64)
    losses: list[float] = []  # since the last report
    history: list[dict[str, float]] = []
    best_area = -1.0
    best = model.state_dict()
    note = ""
    bar = Progress(f"classifier of width {width}", steps * settings.batch, "images")
    for step in range(1, steps + 1):
        while len(order) < settings.batch:
            order = np.r_[order, rng.permutation(train_rows)]
        rows = ranks.own(order[: settings.batch])
        order = order[settings.batch :]
        rate = learning_rate((step - 1) / steps, settings.learning_rate, WARM_UP, "cosine")
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses.append(descend(model, optimiser, crops, rows, sides))
        if step in reports and ranks.rank() == 0:
            area = mean_auroc(logits_of(model, crops.images, valid_rows, device), valid_labels)
            row = {"width": width, "images": step * settings.batch, "train_loss": sum(losses) / len(losses)}
            history.append(row | {"valid_auroc": area})
            losses = []
            note = f"valid AUROC {area:.4f}"
            if area > best_area:
                best_area = area
                best = copy.deepcopy(model.state_dict())
        bar.update(step * settings.batch, note)
    bar.close()
    if ranks.rank() > 0:
        return model, history
    model.load_state_dict(best)
    calibrate(model, logits_of(model, crops.images, valid_rows, device), valid_labels)
    return model, history


def descend(
    model: AttributeClassifier,
    optimiser: torch.optim.Optimizer,
    crops: Crops,
    rows: np.ndarray,
    sides: tuple[Tensor, ...],
) -> float:
    """One step on the faces `rows`, this process's share of a batch; the loss of the whole batch.

    sides: class weights of positives and negatives, each (A,).
    """
    device = sides[0].device
    model.train()
    with distributed.dealt(ranks.rank(), ranks.size()):
        with fast_arithmetic(device):
            logits, _ = model(augment(to_device(crops.images[rows], device)))
        loss = masked_loss(logits, torch.from_numpy(crops.labels[rows]).to(device), *sides)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        log = distributed.agree(model.parameters(), {"loss": loss})
    optimiser.step()
    return log["loss"].item()


def measure(
    settings: Settings, model: AttributeClassifier, crops: Crops, device: torch.device
) -> dict[str, dict[str, float | bool | None]]:
    """The scores of every attribute on the test split, by name."""
    test = crops.rows("test")
    valid = crops.labels[crops.rows("valid")]
    logits = logits_of(model, crops.images, test, device)
    log_odds = logits * model.scale.cpu().numpy() + model.shift.cpu().numpy()
    scores = {}
    for column, name in enumerate(crops.attributes):
        known = valid[:, column] != 0
        prior = prior_log_odds(valid[known, column] == 1)
        labels = crops.labels[test, column]
        scores[name] = attribute_scores(log_odds[:, column], labels, prior, settings.min_auroc, settings.bins)
    return scores


@torch.no_grad()
def logits_of(
    model: AttributeClassifier, images: np.ndarray, rows: np.ndarray, device: torch.device
) -> np.ndarray:
    """Raw logits of `rows` of images (N, H, W, 3) uint8: float64 (n, A)."""
    model.eval()
    logits = [
        model(to_device(images[rows[where]], device))[0].cpu().numpy() for where in batches(len(rows), BATCH)
    ]
    return np.concatenate(logits).astype(np.float64)


def class_weights(labels: np.ndarray, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Class weights of positives and negatives, each (A,): n / (2 n_side), at most `highest`.

    Both sides of an attribute then count the same. labels (N, A) of 1, -1, 0 for unknown. A side without
    faces gets the highest weight, which is never used.
    """
    known = (labels != 0).sum(0)
    positives = (labels == 1).sum(0)
    negatives = (labels == -1).sum(0)
    return (
        np.minimum(highest, known / np.maximum(2 * positives, 1e-9)).astype(np.float32),
        np.minimum(highest, known / np.maximum(2 * negatives, 1e-9)).astype(np.float32),
    )


def masked_loss(logits: Tensor, labels: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Weighted binary cross-entropy (B, A) -> scalar, mean over known labels; labels are 1, -1, 0 for
    unknown.
    """
    weights = torch.where(labels > 0, positive, negative) * (labels != 0)
    losses = F.binary_cross_entropy_with_logits(logits, (labels > 0).float(), reduction="none")
    known = distributed.mean((labels != 0).sum().float())  # of a process, where a batch is dealt
    return (losses * weights).sum() / known.clamp_min(1 / distributed.shares())


def augment(images: Tensor) -> Tensor:
    """Random blur, rotation, zoom, mirroring, shift, contrast and brightness, (B, 3, H, W) -> (B, 3, H, W).

    Drawn from torch's global random state. The blur matters most: decoded faces are softer than photographs,
    and a classifier that reads sharpness would misread every edit.
    """

    def uniform(*shape: int) -> Tensor:
        return distributed.uniform(images.new_empty(shape))

    count = len(images)
    soft = F.interpolate(F.avg_pool2d(images, 2), images.shape[-2:], mode="bilinear")
    images = torch.lerp(images, soft, uniform(count, 1, 1, 1))
    angle = (uniform(count) - 0.5) * 0.15  # radians
    zoom = 1 + (uniform(count) - 0.5) * 0.1
    mirror = torch.where(uniform(count) < 0.5, -1.0, 1.0)
    shift = (uniform(count, 2) - 0.5) * 0.12  # of half the picture's side
    cosine = zoom * angle.cos()
    sine = zoom * angle.sin()
    rows = torch.stack([mirror * cosine, -sine, shift[:, 0], mirror * sine, cosine, shift[:, 1]], 1)
    grid = F.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast = 1 + (uniform(count, 1, 1, 1) - 0.5) * 0.2
    brightness = (uniform(count, 1, 1, 1) - 0.5) * 0.2
    return images * contrast + brightness


def platt(logits: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Platt scaling: scale and shift that make logits (n,) calibrated log-odds of `positive` (n,) bool.

    Platt, "Probabilistic outputs for support vector machines", 1999, with his targets (n+ + 1) / (n+ + 2) and
    1 / (n- + 2), which keep a perfect separation finite.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 (half a second, and only needed in training)

    target = np.where(positive, (positive.sum() + 1) / (positive.sum() + 2), 1 / ((~positive).sum() + 2))

    def cross_entropy(solution: np.ndarray) -> tuple[float, np.ndarray]:
        odds = solution[0] * logits + solution[1]
        error = expit(odds) - target
        gradient = np.array([(error * logits).mean(), error.mean()])
        return float((np.logaddexp(0, odds) - target * odds).mean()), gradient

    start = np.array([0.0, prior_log_odds(positive)])
    found = minimize(cross_entropy, start, jac=True, method="BFGS", options={"gtol": 1e-9}).x
    return float(found[0]), float(found[1])


def calibration_error(chance: np.ndarray, positive: np.ndarray, bins: int) -> float:
    """Expected calibration error: mean |stated - observed frequency| over equal bins of [0, 1], by their
    faces.

    Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    places = np.minimum((chance * bins).astype(int), bins - 1)
    stated = np.bincount(places, chance, bins)
    observed = np.bincount(places, positive, bins)
    return float(np.abs(stated - observed).sum() / len(chance))


def mean_auroc(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean AUROC of the attributes whose known labels have both sides, 0.5 without any. Both (n, A)."""
    areas = [
        float(auroc(scores[known != 0], known[known != 0] == 1)[0])
        for scores, known in zip(logits.T, labels.T, strict=True)
    ]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else 0.5


def calibrate(model: AttributeClassifier, logits: np.ndarray, labels: np.ndarray) -> None:
    """Set scale and shift from the valid split: logits (n, A), labels (n, A).

    An attribute whose known labels have one side only keeps its raw logits.
    """
    for column in range(labels.shape[1]):
        known = labels[:, column] != 0
        positive = labels[known, column] == 1
        if positive.any() and not positive.all():
            scale, shift = platt(logits[known, column], positive)
            model.scale[column] = scale
            model.shift[column] = shift - prior_log_odds(positive)


def prior_log_odds(positive: np.ndarray) -> float:
    """Log-odds of the positives among (n,) bool, smoothed as Platt's targets are."""
    return math.log((positive.sum() + 1) / ((~positive).sum() + 1))


def attribute_scores(
    log_odds: np.ndarray, labels: np.ndarray, prior: float, min_auroc: float, bins: int
) -> dict[str, float | bool | None]:
    """Test scores of one attribute from log-odds ratios (n,) and labels (n,); `prior`: its log-odds in valid.

    AUROC, balanced accuracy (threshold 0), expected calibration error, standard deviation of the log-odds
    ratio, and whether it is usable, that is whether AUROC reaches `min_auroc`. Where the known labels have
    one side only the scores are None and the attribute is not usable.
    """
    known = labels != 0
    positive = labels[known] == 1
    seen = log_odds[known]
    deviation = max(float(log_odds.std()), 1e-6)
    if positive.all() or not positive.any():
        missing = dict.fromkeys(("auroc", "balanced_accuracy", "calibration_error"))
        return {**missing, "deviation": deviation, "usable": False}
    area = float(auroc(seen, positive)[0])
    accuracy = ((seen[positive] > 0).mean() + (seen[~positive] <= 0).mean()) / 2
    return {
        "auroc": area,
        "balanced_accuracy": float(accuracy),
        "calibration_error": calibration_error(expit(seen + prior), positive, bins),
        "deviation": deviation,
        "usable": area >= min_auroc,
    }
