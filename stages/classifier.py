"""Train the judge: an attribute classifier in image space, independent of the face model whose edits it will judge.

in    data/crops/        images.npy, table.csv
out   data/classifier/   judge.safetensors, judge.json, scores.csv, history.csv (faces/classifier.py)

Trained on the train split, stopped and calibrated on the valid split, measured on the test split. The weights that are kept are those of the report with the
best mean AUROC over the valid faces.
"""

import copy
import math
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import nn

from faces.classifier import (
    Judge,
    augment,
    calibrate,
    class_weights,
    figures,
    logits_of,
    masked_loss,
    mean_auroc,
    prior_odds,
)
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data.crops import Crops
from faces.nn.device import fast_arithmetic, pick_device, to_device


class Classifier(Group):
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


class Params(Group):
    seed: int
    classifier: Classifier


def train(
    params: Classifier, seed: int, width: int, crops: Crops, device: torch.device
) -> tuple[Judge, list[dict[str, float]]]:
    """One judge at its best report, calibrated, and the lines of its history."""
    torch.manual_seed(seed)
    judge = Judge(crops.geometry.size, len(crops.attributes), width, params.features).to(
        device, memory_format=torch.channels_last
    )
    optimiser = torch.optim.AdamW(
        judge.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, foreach=True
    )
    train_rows, valid = crops.rows("train"), crops.rows("valid")
    positive, negative = (
        torch.from_numpy(side).to(device)
        for side in class_weights(crops.labels[train_rows], params.class_weight)
    )
    steps = math.ceil(params.images / params.batch)
    reports = {math.ceil(steps * (k + 1) / params.reports) for k in range(params.reports)}
    order, rng = np.empty(0, np.int64), np.random.default_rng(seed)
    best, best_area, history, total, since, note = None, -1.0, [], 0.0, 0, ""
    bar = Progress(f"judge of width {width}", steps * params.batch, "images")
    for step in range(steps):
        while len(order) < params.batch:
            order = np.r_[order, rng.permutation(train_rows)]
        rows, order = order[: params.batch], order[params.batch :]
        for group in optimiser.param_groups:
            group["lr"] = (
                params.learning_rate
                * min(1.0, step / (0.05 * steps))
                * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            )
        judge.train()
        with fast_arithmetic(device):
            logits, _ = judge(augment(to_device(crops.images[rows], device)))
        loss = masked_loss(logits, torch.from_numpy(crops.labels[rows]).to(device), positive, negative)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total, since = total + loss.item(), since + 1
        if step + 1 in reports:
            area = mean_auroc(logits_of(judge, crops.images, valid, 256, device), crops.labels[valid])
            history.append(
                {
                    "width": width,
                    "images": (step + 1) * params.batch,
                    "train_loss": total / since,
                    "valid_auroc": area,
                }
            )
            total, since, note = 0.0, 0, f"valid AUROC {area:.4f}"
            if area > best_area:
                best, best_area = copy.deepcopy(judge.state_dict()), area
        bar.update((step + 1) * params.batch, note)
    bar.close()
    judge.load_state_dict(best)
    calibrate(judge, logits_of(judge, crops.images, valid, 256, device), crops.labels[valid])
    return judge, history


def measure(
    params: Classifier, judge: Judge, crops: Crops, device: torch.device
) -> dict[str, dict[str, float | bool | None]]:
    """The figures of every attribute on the test split."""
    test, valid = crops.rows("test"), crops.labels[crops.rows("valid")]
    evidence = (
        logits_of(judge, crops.images, test, 256, device) * judge.scale.cpu().numpy()
        + judge.shift.cpu().numpy()
    )
    return {
        name: figures(
            evidence[:, a],
            crops.labels[test, a],
            prior_odds(valid[valid[:, a] != 0, a] == 1),
            params.min_auroc,
            params.bins,
        )
        for a, name in enumerate(crops.attributes)
    }


def main(crops_folder: Path, out: Path) -> None:
    try:
        params, crops, device = load(Params), Crops.open(crops_folder), pick_device()
        torch.use_deterministic_algorithms(device.type != "cpu", warn_only=True)
        judges, history, measured = nn.ModuleList(), [], []
        for place, width in enumerate(params.classifier.widths):
            judge, lines = train(params.classifier, params.seed + place, width, crops, device)
            judges.append(judge)
            history += lines
            measured.append(measure(params.classifier, judge, crops, device))
    except ValueError as error:
        raise stop(error) from None
    rows = [
        {"width": w, "attribute": name, **scores[name]}
        for w, scores in zip(params.classifier.widths, measured, strict=True)
        for name in scores
    ]
    about = {
        "attributes": list(crops.attributes),
        "size": crops.geometry.size,
        "widths": list(params.classifier.widths),
        "features": params.classifier.features,
        "judges": measured,
    }
    with new_folder(out) as folder:
        save_file(
            {name: value.cpu().contiguous() for name, value in judges.state_dict().items()},
            folder / "judge.safetensors",
        )
        write_json(folder / "judge.json", about)
        pd.DataFrame(rows).to_csv(
            folder / "scores.csv", index=False, lineterminator="\n", float_format="%.6g"
        )
        pd.DataFrame(history).to_csv(
            folder / "history.csv", index=False, lineterminator="\n", float_format="%.6g"
        )
    for row in rows:
        if not row["judges"]:
            area = "one side only in the test split" if row["auroc"] is None else f"AUROC {row['auroc']:.3f}"
            say(f"classifier: {row['attribute']} cannot be judged ({area}); its edits will not be scored")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
