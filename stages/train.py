"""Train the model that `model:` names, whatever it is: one loop for all.

in    data/crops/   images.npy, table.csv, geometry.json
out   data/model/   model.safetensors, model.json, history.csv, snapshots.npy (faces/checkpoints.py)

An interrupted run continues from .ckpt/<key>/ and ends in the same bytes as an undisturbed one. The key is
made of the params, the data and the code, so a checkpoint is never continued under other conditions.
Everything random in step k is drawn from (seed, k): there is no random state to save.

Several processes (faces/nn/distributed.py) share each batch and step alike; rank 0 alone prepares, measures
and writes. A checkpoint knows nothing of their number, so any number continues it.
"""

import copy
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from faces import checkpoints, models
from faces.core.batches import batches
from faces.core.console import Progress, say, stop
from faces.core.files import fingerprint, new_file, new_folder, write_csv
from faces.core.params import Group, load
from faces.data import sharded_array
from faces.data.crops import Crops
from faces.nn import distributed
from faces.nn.device import compile_where_asked, fast_arithmetic, pick_device, to_device, to_uint8
from faces.nn.optim import learning_rate, update_average
from faces.nn.quality import active_units, psnr

CHECKPOINTS = Path(".ckpt")
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


class Params(Group):
    seed: int
    model: str
    models: dict[str, Any]
    train: Train


class State:
    """All that the next step depends on, and that a checkpoint holds."""

    def __init__(self, params: Params, config: models.Config, size: int, device: torch.device) -> None:
        torch.manual_seed(params.seed)
        self.config = config
        self.model = models.build(params.model, config, size)
        self.model.to(device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).eval()  # the weights that are kept
        if distributed.size() > 1:
            self.model = distributed.synchronised(self.model, device)
        compile_where_asked(self.model)
        self.optimisers: dict[str, torch.optim.Optimizer] = {}  # one for each part of the model
        self.phase = -1
        self.step = 0
        self.sums: dict[str, float] = {}  # of the logs since the last report
        self.since = 0  # steps since the last report
        self.history: list[dict[str, float]] = []
        self.snapshots: list[np.ndarray] = []

    def begin_phase(self, phase: int) -> None:
        """Fresh optimisers for a new phase of the model."""
        if phase == self.phase:
            return
        self.phase = phase
        self.optimisers = {
            part: torch.optim.Adam(
                module.parameters(), lr=self.config.learning_rate, betas=self.config.betas, foreach=True
            )
            for part, module in self.model.parts().items()
        }

    def values(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": {part: optimiser.state_dict() for part, optimiser in self.optimisers.items()},
            **{name: getattr(self, name) for name in ("step", "phase", "sums", "since", "history")},
            "snapshots": [torch.from_numpy(snapshot) for snapshot in self.snapshots],
        }

    def restore(self, values: dict[str, Any]) -> None:
        self.model.load_state_dict(values["model"])
        self.averaged.load_state_dict(values["averaged"])
        self.begin_phase(values["phase"])
        for part, kept in values["optimisers"].items():
            self.optimisers[part].load_state_dict(kept)
        for name in ("step", "sums", "since", "history"):
            setattr(self, name, values[name])
        self.snapshots = [snapshot.numpy() for snapshot in values["snapshots"]]

    def save(self, checkpoint: Path) -> None:
        with new_file(checkpoint) as draft:
            torch.save(self.values(), draft)


def train(
    params: Params, config: models.Config, crops: Crops, device: torch.device, checkpoint: Path
) -> State:
    """Step to the end of the budget, from `checkpoint` where there is one; save it every so often.

    FACES_CHECKPOINT_SECONDS is the pause between checkpoints (default 60). Raises FloatingPointError where a
    loss is not finite.
    """
    check_batch(params, config)
    train_rows = crops.rows("train")
    steps = math.ceil(params.train.images / config.batch)
    reports = {math.ceil(steps * (k + 1) / params.train.reports) for k in range(params.train.reports)}
    horizon = params.train.averaging / config.batch  # in steps
    averaging = math.exp(-1 / horizon) if horizon else 0.0
    state = begin(params, config, crops, device, checkpoint)
    model = state.model
    pause = float(os.environ.get("FACES_CHECKPOINT_SECONDS", "60"))
    saved = time.monotonic()
    bar = Progress(f"train {params.model}", steps * config.batch, "images")
    note = ""
    while state.step < steps:
        progress = state.step / steps
        state.begin_phase(model.phase(progress))
        rate = learning_rate(progress, config.learning_rate, params.train.warmup, config.decay)
        rows = distributed.own(rows_of_step(train_rows, params.seed, state.step, config.batch))
        images = to_device(crops.images[rows], device)
        torch.manual_seed(params.seed * 1_000_003 + state.step)
        model.train()
        with distributed.dealt(distributed.rank(), distributed.size()):
            if params.train.flip:
                images = flipped(images)
            for part, loss, log in autocast_each(model.losses(images, progress), device):
                optimiser = state.optimisers[part]
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
                    state.sums[name] = state.sums.get(name, 0.0) + value.detach().float().item()
        state.step += 1
        state.since += 1
        update_average(state.averaged, model, averaging, state.step)
        check_finite(params, config, state)
        if distributed.rank() > 0:
            continue
        if state.step in reports:
            note = report(params, config, crops, device, state, state.step / steps)
        bar.update(state.step * config.batch, note)
        if time.monotonic() - saved >= pause and state.step < steps:
            state.save(checkpoint)
            saved = time.monotonic()
    bar.close()
    return state


def begin(
    params: Params, config: models.Config, crops: Crops, device: torch.device, checkpoint: Path
) -> State:
    """The state that `checkpoint` holds, or that of a prepared model before its first step; alike on all
    ranks.
    """
    state = State(params, config, crops.geometry.size, device)
    if distributed.rank() == 0:
        if checkpoint.is_file():
            state.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
            say(f"train: continuing at image {state.step * config.batch:,}")
        else:
            order = np.random.default_rng(params.seed).permutation(crops.rows("train"))
            rows = np.sort(order[: params.train.prepare])
            state.model.prepare(to_device(crops.images[rows], device))
            state.averaged.load_state_dict(state.model.state_dict())
    if distributed.size() > 1:
        state.restore(distributed.broadcast(state.values()))
    return state


def rows_of_step(rows: np.ndarray, seed: int, step: int, batch: int) -> np.ndarray:
    """The (batch,) rows that step number `step` sees: epochs of seeded permutations of `rows`, end to end."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // len(rows)
    order = {
        epoch: np.random.default_rng((seed, epoch)).permutation(len(rows)) for epoch in np.unique(epochs)
    }
    return rows[[order[epoch][place % len(rows)] for epoch, place in zip(epochs, places, strict=True)]]


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


def report(
    params: Params,
    config: models.Config,
    crops: Crops,
    device: torch.device,
    state: State,
    progress: float,
) -> str:
    """Add a row of history.csv and a snapshot to `state`; the line to show.

    Mean losses since the last report, and losses, PSNR and active units of the averaged weights on valid
    faces.
    """
    rows = crops.rows("valid")[: params.train.valid_images]
    losses = {name: total / state.since for name, total in sorted(state.sums.items())}
    row: dict[str, float] = {"images": state.step * config.batch}
    row |= {f"train_{name}": value for name, value in losses.items()}
    valid = valid_losses(state.averaged, crops.images, rows, config.batch, params.seed, progress, device)
    row |= {f"valid_{name}": value for name, value in sorted(valid.items())}
    codes, decibels, snapshot = reconstruct(
        state.averaged, crops.images, rows, params.train.snapshots, device
    )
    row["valid_psnr"] = decibels
    row["active_units"] = active_units(codes)
    state.history.append(row)
    state.snapshots.append(snapshot)
    state.sums = {}
    state.since = 0
    return f"valid PSNR {decibels:.2f} dB, {row['active_units']} active units"


@torch.no_grad()
def valid_losses(
    model: models.Model,
    images: np.ndarray,
    rows: np.ndarray,
    batch: int,
    seed: int,
    progress: float,
    device: torch.device,
) -> dict[str, float]:
    """Each log of `losses`, averaged over the faces in `rows`, the same noise at every report."""
    totals: dict[str, float] = {}
    torch.manual_seed(seed)
    for where in batches(len(rows), batch):
        some = to_device(images[rows[where]], device)
        for _, _, log in autocast_each(model.losses(some, progress), device):
            for name, value in log.items():
                totals[name] = totals.get(name, 0.0) + value.detach().float().item() * len(some)
    return {name: total / len(rows) for name, total in totals.items()}


@torch.no_grad()
def reconstruct(
    model: models.Model, images: np.ndarray, rows: np.ndarray, snapshots: int, device: torch.device
) -> tuple[np.ndarray, float, np.ndarray]:
    """Codes (n, D) of the faces in `rows`, mean PSNR in dB, and the first reconstructions, uint8 (K, H, W,
    3).
    """
    codes = []
    decibels = []
    shown = []
    for where in batches(len(rows), BATCH):
        some = to_device(images[rows[where]], device)
        codes.append(model.encode(some))
        decoded = model.decode(codes[-1]).clamp(-1, 1)
        decibels.append(psnr((decoded + 1) / 2, (some + 1) / 2))
        shown.append(to_uint8(decoded[: max(0, snapshots - where.start)]))
    return torch.cat(codes).cpu().numpy(), torch.cat(decibels).mean().item(), np.concatenate(shown)


def check_batch(params: Params, config: models.Config) -> None:
    """Raises ValueError where a batch cannot be shared evenly by the processes."""
    if config.batch % distributed.size():
        raise ValueError(
            f"params.yaml: models.{params.model}.batch = {config.batch} cannot be dealt evenly to "
            f"{distributed.size()} processes; start another number"
        )


def check_finite(params: Params, config: models.Config, state: State) -> None:
    """Raises FloatingPointError where a loss has become infinite or NaN."""
    broken = [name for name, total in state.sums.items() if not math.isfinite(total)]
    if broken:
        raise FloatingPointError(
            f"training diverged at image {state.step * config.batch:,}: {', '.join(broken)} is not finite; "
            f"lower models.{params.model}.learning_rate or lengthen train.warmup"
        )


def checkpoint_of(params: Params, config: models.Config, crops_folder: Path) -> Path:
    """Where a run under these params, on these data, by this code keeps its checkpoint."""
    settings = [params.seed, params.model, config.model_dump(), params.train.model_dump()]
    tables = [crops_folder / "table.csv", crops_folder / "geometry.json"]
    files = [*sharded_array.files(crops_folder / "images.npy"), *tables, Path(__file__)]
    return CHECKPOINTS / fingerprint(settings, files) / "state.pt"


def run(params: Params, crops_folder: Path, out: Path) -> None:
    """Train and write the model. Raises ValueError, or FloatingPointError where training diverges."""
    config = models.config(params.model, params.models)
    crops = Crops.open(crops_folder)
    device = pick_device()
    torch.use_deterministic_algorithms(device.type != "cpu", warn_only=True)  # a CPU repeats itself anyway
    checkpoint = checkpoint_of(params, config, crops_folder)
    with distributed.joined(device):
        state = train(params, config, crops, device, checkpoint)
    if distributed.rank() > 0:
        return
    units = state.history[-1]["active_units"]
    if units < params.train.min_active_units:
        say(
            f"train: WARNING: the code has collapsed: {units} active units, "
            f"train.min_active_units is {params.train.min_active_units}"
        )
    originals = crops.images[crops.rows("valid")[: params.train.valid_images][: params.train.snapshots]]
    with new_folder(out) as folder:
        checkpoints.save(folder, params.model, config, crops.geometry, state.averaged)
        write_csv(folder / "history.csv", pd.DataFrame(state.history))
        np.save(folder / "snapshots.npy", np.stack([originals, *state.snapshots]))
    shutil.rmtree(checkpoint.parent, ignore_errors=True)


def main(crops_folder: Path, out: Path) -> None:
    try:
        run(load(Params), crops_folder, out)
    except (ValueError, FloatingPointError) as error:
        raise stop(error) from None


if __name__ == "__main__":
    distributed.launch("stages.train")
    main(*map(Path, sys.argv[1:]))
