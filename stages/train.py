"""Train the model that `model` names; one loop serves all models.

in    data/crops/   images.npy, table.parquet, geometry.json
out   data/model/   model.safetensors, model.json, history.csv, snapshots.npy (faces/checkpoints.py)

An interrupted run continues from .ckpt/<key>/ and ends in the same bytes as an undisturbed one. The key is
made of the params, the data and the code, so a checkpoint is never continued under other conditions.
Everything random in step k is drawn from (seed, k): there is no random state to save.

Several processes (faces/core/ranks.py) share each batch and take the same steps; only rank 0 prepares,
measures and writes. Checkpoints do not depend on their number, so any number continues a run.
"""

import copy
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from faces import checkpoints, models
from faces.core import ranks
from faces.core.batches import batches
from faces.core.console import Progress, say, stop
from faces.core.files import new_file, new_folder, write_csv
from faces.core.params import Group, load
from faces.data import sharded_array
from faces.data.crops import Crops
from faces.data.order import Order
from faces.nn import distributed
from faces.nn.device import compile_where_asked, fast_arithmetic, pick_device, to_device, to_uint8
from faces.nn.optim import learning_rate, update_average
from faces.nn.quality import active_units, psnr

BATCH = 256  # valid faces at once


class Train(Group):
    images: Annotated[int, Field(gt=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    averaging: Annotated[int, Field(ge=0)]
    flip: bool
    prepare: Annotated[int, Field(ge=2)]
    reports: Annotated[int, Field(ge=1)]
    valid_images: Annotated[int, Field(ge=2)]
    snapshots: Annotated[int, Field(ge=0)]
    min_active_units: Annotated[int, Field(ge=0)]
    window: Annotated[int, Field(ge=0)]
    block: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def check_window(self) -> Self:
        if 0 < self.window < self.block:
            raise ValueError(
                f"train.window = {self.window} must hold a block of train.block = {self.block} rows, or be 0"
            )
        return self


class Params(Group):
    seed: int
    model: str
    models: dict[str, Any]
    train: Train


class Run:
    """A training in progress: what the next step depends on. All that changes goes into a checkpoint."""

    def __init__(self, params: Params, config: models.Config, crops: Crops, device: torch.device) -> None:
        check_batch(params, config)
        torch.manual_seed(params.seed)
        self.params = params
        self.config = config
        self.crops = crops
        self.device = device
        self.train_rows = crops.rows("train")
        self.order = Order(self.train_rows, params.seed, params.train.window, params.train.block)
        self.valid_rows = crops.rows("valid")[: params.train.valid_images]
        self.steps = math.ceil(params.train.images / config.batch)
        self.model = models.build(params.model, config, crops.geometry.size)
        self.model.supervise(crops.attributes)
        self.model.to(device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).eval()  # the weights that are kept
        if ranks.size() > 1:
            self.model = distributed.synchronised(self.model, device)
        compile_where_asked(self.model)
        self.optimisers: dict[str, torch.optim.Optimizer] = {}  # one for each part of the model
        self.phase = -1
        self.step = 0
        self.sums: dict[str, float] = {}  # of the logs since the last report
        self.since = 0  # steps since the last report
        self.history: list[dict[str, float]] = []
        self.snapshots: list[np.ndarray] = []

    def prepare(self) -> None:
        """Data-dependent initialisation of the model, before the first step."""
        order = np.random.default_rng(self.params.seed).permutation(self.train_rows)
        rows = np.sort(order[: self.params.train.prepare])
        self.model.prepare(to_device(self.crops.images[rows], self.device))
        self.averaged.load_state_dict(self.model.state_dict())

    def begin_phase(self, phase: int) -> None:
        """Fresh optimisers, one for each part of the model."""
        self.phase = phase
        self.optimisers = {
            part: torch.optim.Adam(
                module.parameters(), lr=self.config.learning_rate, betas=self.config.betas, foreach=True
            )
            for part, module in self.model.parts().items()
        }

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": {part: optimiser.state_dict() for part, optimiser in self.optimisers.items()},
            **{name: getattr(self, name) for name in ("step", "phase", "sums", "since", "history")},
            "snapshots": [torch.from_numpy(snapshot) for snapshot in self.snapshots],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.begin_phase(state["phase"])
        for part, kept in state["optimisers"].items():
            self.optimisers[part].load_state_dict(kept)
        for name in ("step", "sums", "since", "history"):
            setattr(self, name, state[name])
        self.snapshots = [snapshot.numpy() for snapshot in state["snapshots"]]

    def save(self, checkpoint: Path) -> None:
        with new_file(checkpoint) as draft:
            torch.save(self.state(), draft)


def train(params: Params, config: models.Config, crops: Crops, device: torch.device, checkpoint: Path) -> Run:
    """Step to the end of the budget, from `checkpoint` where there is one; save one every so often.

    FACES_CHECKPOINT_SECONDS is the pause between checkpoints (default 60). Raises FloatingPointError where a
    loss is not finite.
    """
    run = begin(params, config, crops, device, checkpoint)
    reports = {math.ceil(run.steps * (k + 1) / params.train.reports) for k in range(params.train.reports)}
    pause = float(os.environ.get("FACES_CHECKPOINT_SECONDS", "60"))
    saved = time.monotonic()
    bar = Progress(f"train {params.model}", run.steps * config.batch, "images")
    note = ""
    while run.step < run.steps:
        advance(run)
        if ranks.rank() > 0:
            continue
        if run.step in reports:
            note = report(run)
        bar.update(run.step * config.batch, note)
        if time.monotonic() - saved >= pause and run.step < run.steps:
            run.save(checkpoint)
            saved = time.monotonic()
    bar.close()
    return run


def advance(run: Run) -> None:
    """One training step: every part of the model once, in the order in which `losses` yields them."""
    params = run.params
    config = run.config
    model = run.model
    progress = run.step / run.steps
    if model.phase(progress) != run.phase:
        run.begin_phase(model.phase(progress))
    rate = learning_rate(progress, config.learning_rate, params.train.warmup, config.decay)
    rows = ranks.own(run.order.of_step(run.step, config.batch))
    for first, last in run.order.ahead(run.step, config.batch):
        sharded_array.read_ahead(run.crops.images, first, last)
    images = to_device(run.crops.images[rows], run.device)
    torch.manual_seed(params.seed * 1_000_003 + run.step)
    model.train()
    with distributed.dealt(ranks.rank(), ranks.size()):
        if params.train.flip:
            images = flipped(images)
        losses = model.losses(images, progress, labels_of(run, rows))
        for part, loss, log in autocast_each(losses, run.device):
            optimiser = run.optimisers[part]
            weights = list(model.parts()[part].parameters())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            agreed = distributed.agree(weights, log)
            if config.clip:
                nn.utils.clip_grad_norm_(weights, config.clip)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            for name, value in agreed.items():
                run.sums[name] = run.sums.get(name, 0.0) + value.detach().float().item()
    run.step += 1
    run.since += 1
    check_finite(run)
    horizon = params.train.averaging / config.batch  # in steps
    update_average(run.averaged, model, math.exp(-1 / horizon) if horizon else 0.0, run.step)


def begin(params: Params, config: models.Config, crops: Crops, device: torch.device, checkpoint: Path) -> Run:
    """The run that `checkpoint` holds, or a prepared one before its first step; the same on all ranks."""
    run = Run(params, config, crops, device)
    if ranks.rank() == 0:
        if checkpoint.is_file():
            run.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
            say(f"train: continuing at image {run.step * config.batch:,}")
        else:
            run.prepare()
    if ranks.size() > 1:
        run.restore(distributed.broadcast(run.state()))
    for first, last in run.order.at_start(run.step, config.batch):
        sharded_array.read_ahead(crops.images, first, last)
    return run


def labels_of(run: Run, rows: np.ndarray) -> Tensor:
    """(B, A) float32 labels of some faces, as `Model.losses` takes them."""
    return torch.from_numpy(run.crops.labels[rows].astype(np.float32)).to(run.device)


def flipped(images: Tensor) -> Tensor:
    """Each image (B, 3, H, W) mirrored with chance 1/2, from torch's random state."""
    chance = distributed.uniform(images.new_empty(len(images), 1, 1, 1))
    return torch.where(chance < 0.5, images.flip(3), images)


def autocast_each(losses: models.Losses, device: torch.device) -> models.Losses:
    """`losses`, each computed in the device's fast arithmetic; what is done between them is in float32."""
    while True:
        with fast_arithmetic(device):
            item = next(losses, None)
        if item is None:
            return
        yield item


def report(run: Run) -> str:
    """Add a row of history.csv and a snapshot to `run`; returns the line to show.

    Mean train losses since the last report; losses, PSNR and active units of the averaged weights on valid
    faces.
    """
    row: dict[str, float] = {"images": run.step * run.config.batch}
    row |= {f"train_{name}": total / run.since for name, total in sorted(run.sums.items())}
    row |= {f"valid_{name}": value for name, value in sorted(valid_losses(run).items())}
    codes, decibels, snapshot = reconstruct_valid(run)
    row["valid_psnr"] = decibels
    row["active_units"] = active_units(codes)
    run.history.append(row)
    run.snapshots.append(snapshot)
    run.sums = {}
    run.since = 0
    return f"valid PSNR {decibels:.2f} dB, {row['active_units']} active units"


@torch.no_grad()
def valid_losses(run: Run) -> dict[str, float]:
    """Each log of `losses`, averaged over the valid faces, with the same noise at every report."""
    totals: dict[str, float] = {}
    torch.manual_seed(run.params.seed)
    for where in batches(len(run.valid_rows), run.config.batch):
        rows = run.valid_rows[where]
        images = to_device(run.crops.images[rows], run.device)
        losses = run.averaged.losses(images, run.step / run.steps, labels_of(run, rows))
        for _, _, log in autocast_each(losses, run.device):
            for name, value in log.items():
                totals[name] = totals.get(name, 0.0) + value.detach().float().item() * len(images)
    return {name: total / len(run.valid_rows) for name, total in totals.items()}


@torch.no_grad()
def reconstruct_valid(run: Run) -> tuple[np.ndarray, float, np.ndarray]:
    """Codes (n, D) of valid faces, mean PSNR in dB, and the first reconstructions, uint8 (K, H, W, 3)."""
    codes = []
    decibels = []
    shown = []
    for where in batches(len(run.valid_rows), BATCH):
        images = to_device(run.crops.images[run.valid_rows[where]], run.device)
        codes.append(run.averaged.encode(images))
        decoded = run.averaged.decode(codes[-1]).clamp(-1, 1)
        decibels.append(psnr((decoded + 1) / 2, (images + 1) / 2))
        shown.append(to_uint8(decoded[: max(0, run.params.train.snapshots - where.start)]))
    return torch.cat(codes).cpu().numpy(), torch.cat(decibels).mean().item(), np.concatenate(shown)


def check_batch(params: Params, config: models.Config) -> None:
    """Raises ValueError where a batch cannot be shared evenly by the processes."""
    if config.batch % ranks.size():
        raise ValueError(
            f"params.yaml: models.{params.model}.batch = {config.batch} cannot be dealt evenly to "
            f"{ranks.size()} processes; start another number"
        )


def check_finite(run: Run) -> None:
    """Raises FloatingPointError where a loss has become infinite or NaN."""
    broken = [name for name, total in run.sums.items() if not math.isfinite(total)]
    if broken:
        raise FloatingPointError(
            f"training diverged at image {run.step * run.config.batch:,}: {', '.join(broken)} is not finite; "
            f"lower models.{run.params.model}.learning_rate or lengthen train.warmup"
        )


def checkpoint_of(params: Params, config: models.Config, crops_folder: Path) -> Path:
    """Where a run under these params, on these data, by this code keeps its checkpoint."""
    settings = [params.seed, params.model, config.model_dump(), params.train.model_dump()]
    tables = [crops_folder / "table.parquet", crops_folder / "geometry.json"]
    files = [*sharded_array.files(crops_folder / "images.npy"), *tables, Path(__file__)]
    return ranks.unfinished(settings, files) / "state.pt"


def run(params: Params, crops_folder: Path, out: Path) -> None:
    """Train and write the model. Raises ValueError, or FloatingPointError where training diverges."""
    config = models.config(params.model, params.models)
    crops = Crops.open(crops_folder)
    device = pick_device()
    torch.use_deterministic_algorithms(device.type != "cpu", warn_only=True)  # a CPU repeats itself anyway
    checkpoint = checkpoint_of(params, config, crops_folder)
    with ranks.joined(device):
        trained = train(params, config, crops, device, checkpoint)
    if ranks.rank() > 0:
        return
    units = trained.history[-1]["active_units"]
    if units < params.train.min_active_units:
        say(
            f"train: WARNING: the code has collapsed: {units} active units, "
            f"train.min_active_units is {params.train.min_active_units}"
        )
    originals = crops.images[trained.valid_rows[: params.train.snapshots]]
    with new_folder(out) as folder:
        checkpoints.save(folder, params.model, config, crops.geometry, trained.averaged)
        write_csv(folder / "history.csv", pd.DataFrame(trained.history))
        np.save(folder / "snapshots.npy", np.stack([originals, *trained.snapshots]))
    shutil.rmtree(checkpoint.parent, ignore_errors=True)


def main(crops_folder: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, out)
    except (ValueError, FloatingPointError) as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.train")
    main(*map(Path, sys.argv[1:]))
