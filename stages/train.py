"""Train the model that `model:` names, whatever it is: one loop for all.

in    data/crops/   images.npy, table.csv, geometry.json
out   data/model/   model.safetensors, model.json, history.csv, snapshots.npy (faces/checkpoints.py)

An interrupted run continues from .ckpt/<key>/ and ends in the same bytes as an undisturbed one. The key is made of the params, the data and the code,
so a checkpoint is never continued under other conditions. Everything random in step k is drawn from (seed, k): there is no random state to save.

Several processes (faces/nn/distributed.py) deal each batch among themselves and step alike; rank 0 alone prepares, measures and writes. A checkpoint knows nothing
of their number, so any number continues it.
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
from faces.core.files import fingerprint, new_file, new_folder
from faces.core.params import Group, load
from faces.data import sharded_array
from faces.data.crops import Crops
from faces.nn import distributed
from faces.nn.device import compile_where_asked, fast_arithmetic, pick_device, to_device, to_uint8
from faces.nn.quality import active_units

CHECKPOINTS = Path(".ckpt")
LATE = 0.3  # share of the budget


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


def rows_of_step(rows: np.ndarray, seed: int, step: int, batch: int) -> np.ndarray:
    """The (batch,) rows that step number `step` sees: epochs of seeded permutations of `rows`, laid end to end."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // len(rows)
    order = {
        epoch: np.random.default_rng((seed, epoch)).permutation(len(rows)) for epoch in np.unique(epochs)
    }
    return rows[[order[epoch][place % len(rows)] for epoch, place in zip(epochs, places, strict=True)]]


def learning_rate(progress: float, highest: float, warmup: float, decay: str) -> float:
    """A linear rise over the first `warmup` of the budget, then `decay`: cosine, late or none.

    Late is constant, then a straight line to zero over the last LATE of the budget (Hagele et al., "Scaling Laws and Compute-Optimal Training Beyond
    Fixed Training Durations", NeurIPS 2024): a loss that comes in near the end still finds a rate at which it can be learnt.
    """
    rise = min(1.0, progress / warmup) if warmup else 1.0
    falls = {
        "cosine": 0.5 + 0.5 * math.cos(math.pi * progress),
        "late": min(1.0, (1 - progress) / LATE),
        "none": 1.0,
    }
    return highest * rise * falls[decay]


def average(target: nn.Module, model: nn.Module, weight: float) -> None:
    """Move the averaged weights towards the current ones; buffers (batch-norm statistics, flags) are taken as they are."""
    with torch.no_grad():
        torch._foreach_lerp_(list(target.parameters()), list(model.parameters()), weight)
        for kept, current in zip(target.buffers(), model.buffers(), strict=True):
            kept.copy_(current)


class Run:
    """A training in progress: what the next step depends on, and nothing else. All of it goes into a checkpoint."""

    def __init__(self, params: Params, config: Any, crops: Crops, device: torch.device) -> None:
        self.params, self.config, self.crops, self.device = params, config, crops, device
        torch.manual_seed(params.seed)
        self.model = (
            models.find(params.model)
            .Model(config, crops.geometry.size)
            .to(device, memory_format=torch.channels_last)
        )
        self.averaged = copy.deepcopy(self.model).eval()
        if distributed.size() > 1:
            self.model = distributed.synchronised(self.model, device)
            if config.batch % distributed.size():
                raise ValueError(
                    f"params.yaml: models.{params.model}.batch = {config.batch} cannot be dealt evenly to {distributed.size()} processes; start another number"
                )
        compile_where_asked(self.model)
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.step, self.phase = 0, -1
        self.sums: dict[str, float] = {}  # of the logs since the last report
        self.since = 0  # steps since the last report
        self.history: list[dict[str, float]] = []
        self.snapshots: list[np.ndarray] = []
        self.train_rows, valid = crops.rows("train"), crops.rows("valid")
        self.valid_rows = valid[: params.train.valid_images]
        self.steps = math.ceil(params.train.images / config.batch)

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
        for part, moved in state["optimisers"].items():
            self.optimisers[part].load_state_dict(moved)
        for name in ("step", "sums", "since", "history"):
            setattr(self, name, state[name])
        self.snapshots = [snapshot.numpy() for snapshot in state["snapshots"]]

    def begin(self, checkpoint: Path) -> None:
        """Where the run was when `checkpoint` was written, or at its first step."""
        if not checkpoint.is_file():
            self.prepare()
            return
        self.restore(torch.load(checkpoint, map_location="cpu", weights_only=True))
        say(f"train: continuing at image {self.step * self.config.batch:,}")

    def save(self, checkpoint: Path) -> None:
        with new_file(checkpoint) as draft:
            torch.save(self.state(), draft)

    def prepare(self) -> None:
        """Let the model look at some train faces before the first step."""
        rows = np.sort(
            np.random.default_rng(self.params.seed).permutation(self.train_rows)[: self.params.train.prepare]
        )
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

    def advance(self) -> None:
        """One step: every part of the model once, in the order in which `losses` yields them."""
        train, config = self.params.train, self.config
        progress = self.step / self.steps
        if (phase := self.model.phase(progress)) != self.phase:
            self.begin_phase(phase)
        rate = learning_rate(progress, config.learning_rate, train.warmup, config.decay)
        images = to_device(
            self.crops.images[
                distributed.own(rows_of_step(self.train_rows, self.params.seed, self.step, config.batch))
            ],
            self.device,
        )
        torch.manual_seed(self.params.seed * 1_000_003 + self.step)
        with distributed.dealt(distributed.rank(), distributed.size()):
            self.descend(images, progress, rate)
        self.step += 1
        self.since += 1
        if not all(map(math.isfinite, self.sums.values())):
            raise FloatingPointError(
                f"training diverged at image {self.step * config.batch:,}: {', '.join(name for name, s in self.sums.items() if not math.isfinite(s))} "
                f"is not finite; lower models.{self.params.model}.learning_rate or lengthen train.warmup"
            )
        horizon = (
            train.averaging / config.batch
        )  # in steps; shorter while the run is young, or the random start would linger
        decay = min(math.exp(-1 / horizon) if horizon else 0.0, self.step / (self.step + 10))
        average(self.averaged, self.model, 1 - decay)

    def descend(self, images: Tensor, progress: float, rate: float) -> None:
        """Step every part down its loss on `images` (B, 3, H, W), this process's share of the batch."""
        if self.params.train.flip:
            images = torch.where(
                distributed.uniform(images.new_empty(len(images), 1, 1, 1)) < 0.5, images.flip(3), images
            )
        self.model.train()
        for part, loss, log in self.forward(self.model, images, progress):
            optimiser, parameters = self.optimisers[part], list(self.model.parts()[part].parameters())
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            agreed = distributed.agree(parameters, log)
            if self.config.clip:
                nn.utils.clip_grad_norm_(parameters, self.config.clip)
            optimiser.step()
            for name, value in agreed.items():
                self.sums[name] = self.sums.get(name, 0.0) + value.detach().float().item()

    def forward(self, model: nn.Module, images: Tensor, progress: float) -> Any:
        """The model's losses, each computed in the device's fast arithmetic; the optimiser steps between them in float32."""
        losses = model.losses(images, progress)
        while True:
            with fast_arithmetic(self.device):
                try:
                    item = next(losses)
                except StopIteration:
                    return
            yield item

    def report(self) -> str:
        """Close one line of history.csv: mean losses since the last, the same on valid faces, and how well these are reconstructed."""
        progress = self.step / self.steps
        row: dict[str, float] = {"images": self.step * self.config.batch}
        row |= {f"train_{name}": total / self.since for name, total in sorted(self.sums.items())}
        row |= {f"valid_{name}": value for name, value in sorted(self.valid_losses(progress).items())}
        codes, error = self.valid_codes()
        row["valid_psnr"] = error
        row["active_units"] = active_units(codes.numpy())
        self.history.append(row)
        self.sums, self.since = {}, 0
        return f"valid PSNR {row['valid_psnr']:.2f} dB, {row['active_units']} active units"

    @torch.no_grad()
    def valid_losses(self, progress: float) -> dict[str, float]:
        """Each log of `losses`, averaged over the valid faces, from the averaged weights."""
        totals: dict[str, float] = {}
        torch.manual_seed(self.params.seed)
        for where in batches(len(self.valid_rows), self.config.batch):
            images = to_device(self.crops.images[self.valid_rows[where]], self.device)
            for _, _, log in self.forward(self.averaged, images, progress):
                for name, value in log.items():
                    totals[name] = totals.get(name, 0.0) + value.detach().float().item() * len(images)
        return {name: total / len(self.valid_rows) for name, total in totals.items()}

    @torch.no_grad()
    def valid_codes(self) -> tuple[Tensor, float]:
        """Codes of the valid faces (n, D) and the mean PSNR of their reconstructions in dB; one snapshot is added on the way."""
        codes, decibels = [], []
        snapshot: list[np.ndarray] = []
        for where in batches(len(self.valid_rows), 256):
            images = to_device(self.crops.images[self.valid_rows[where]], self.device)
            codes.append(self.averaged.encode(images))
            decoded = self.averaged.decode(codes[-1]).clamp(-1, 1)
            decibels.append(
                -10 * torch.log10((decoded - images).div(2).square().mean((1, 2, 3)).clamp_min(1e-10))
            )
            snapshot.append(to_uint8(decoded[: max(0, self.params.train.snapshots - where.start)]))
        self.snapshots.append(np.concatenate(snapshot))
        return torch.cat(codes).cpu(), torch.cat(decibels).mean().item()


def checkpoint_of(params: Params, config: Any, crops: Path) -> Path:
    """Where the checkpoint of a run under these params, on these data, by this code is kept."""
    settings = [params.seed, params.model, config.model_dump(), params.train.model_dump()]
    files = [
        *sharded_array.files(crops / "images.npy"),
        *(crops / name for name in ("table.csv", "geometry.json")),
        Path(__file__),
    ]
    return CHECKPOINTS / fingerprint(settings, files) / "state.pt"


def train(params: Params, config: Any, crops: Crops, device: torch.device, checkpoint: Path) -> Run:
    """Run to the end of the budget, from `checkpoint` where there is one; save one every FACES_CHECKPOINT_SECONDS (default 60)."""
    run = Run(params, config, crops, device)
    if distributed.rank() == 0:
        run.begin(checkpoint)
    if distributed.size() > 1:
        run.restore(distributed.broadcast(run.state()))
    reports = {math.ceil(run.steps * (k + 1) / params.train.reports) for k in range(params.train.reports)}
    pause, last = float(os.environ.get("FACES_CHECKPOINT_SECONDS", "60")), time.monotonic()
    bar, note = Progress(f"train {params.model}", run.steps * config.batch, "images"), ""
    while run.step < run.steps:
        run.advance()
        if distributed.rank() > 0:
            continue
        if run.step in reports:
            note = run.report()
        bar.update(run.step * config.batch, note)
        if time.monotonic() - last >= pause and run.step < run.steps:
            run.save(checkpoint)
            last = time.monotonic()
    bar.close()
    return run


def main(crops_folder: Path, out: Path) -> None:
    try:
        params = load(Params)
        config = models.config(params.model, params.models)
        crops = Crops.open(crops_folder)
        device = pick_device()
        torch.use_deterministic_algorithms(
            device.type != "cpu", warn_only=True
        )  # a CPU repeats itself anyway, and faster
        checkpoint = checkpoint_of(params, config, crops_folder)
        with distributed.joined(device):
            run = train(params, config, crops, device, checkpoint)
    except (ValueError, FloatingPointError) as error:
        raise stop(error) from None
    if distributed.rank() > 0:
        return
    if run.history[-1]["active_units"] < params.train.min_active_units:
        say(
            f"train: WARNING: the code has collapsed: {run.history[-1]['active_units']} active units, train.min_active_units is {params.train.min_active_units}"
        )
    originals = crops.images[run.valid_rows[: params.train.snapshots]]
    with new_folder(out) as folder:
        checkpoints.save(folder, params.model, config, crops.geometry, run.averaged)
        pd.DataFrame(run.history).to_csv(
            folder / "history.csv", index=False, lineterminator="\n", float_format="%.6g"
        )
        np.save(folder / "snapshots.npy", np.stack([originals, *run.snapshots]))
    shutil.rmtree(checkpoint.parent, ignore_errors=True)


if __name__ == "__main__":
    distributed.launch("stages.train")
    main(*map(Path, sys.argv[1:]))
