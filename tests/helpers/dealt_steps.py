"""What one step of training does to each model, for a test that compares numbers of processes: a program that
torchrun starts.

    python -m tests.helpers.dealt_steps FOLDER          params.yaml and data/crops are in FOLDER; leaves
                                                FOLDER/steps1.pt
    torchrun ... -m tests.helpers.dealt_steps FOLDER    likewise steps2.pt, for two processes

Every step begins from the same weights, so that what is compared is a step and not how training amplifies
rounding. Arithmetic is float64: in float32 a unit close to its kink falls on one side here and on the other
there, which moves a gradient by more than rounding.
"""

import contextlib
import sys
from pathlib import Path

import torch
import yaml

from faces import models
from faces.core import ranks
from faces.core.params import parse
from faces.data.crops import Crops
from faces.nn import perceptual
from stages import train

PROGRESS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)  # shares of the budget: each phase of a model that grows is in one


def steps(name: str, values: dict, crops: Crops) -> dict[str, dict[str, torch.Tensor]]:
    """Of model `name`, for each progress: the gradients and the buffers that a step leaves, and the sums of
    the logs.
    """
    params = parse(
        train.Params, {key: values[key] for key in ("seed", "models", "train")} | {"model": name}, "params"
    )
    run = train.Run(params, models.config(name, values["models"]), crops, torch.device("cpu"))
    run.prepare()
    start = {key: value.clone() for key, value in run.model.state_dict().items()}
    found = {}
    for progress in PROGRESS:
        run.model.load_state_dict(start)
        run.step = round(progress * run.steps)
        run.phase = -1
        run.sums = {}
        train.advance(run)
        gradients = {
            f"gradient {key}": value.grad
            for key, value in run.model.named_parameters()
            if value.grad is not None
        }
        buffers = {f"buffer {key}": value for key, value in run.model.named_buffers()}
        sums = {f"log {key}": torch.tensor(value) for key, value in run.sums.items()}
        found[f"{name} at {progress}"] = {
            key: value.double().clone() for key, value in {**gradients, **buffers, **sums}.items()
        }
        run.model.zero_grad(set_to_none=True)
    return found


def main(folder: Path) -> None:
    train.fast_arithmetic = lambda device: contextlib.nullcontext()
    load = perceptual.load
    perceptual.load = lambda *arguments: load(*arguments).double()
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    values = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    crops = Crops.open(folder / "data" / "crops")
    with ranks.joined(torch.device("cpu")):
        found = {
            key: step
            for name in (sys.argv[2:] or models.names())
            for key, step in steps(name, values, crops).items()
        }
    if ranks.rank() == 0:
        torch.save(found, folder / f"steps{ranks.size()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
