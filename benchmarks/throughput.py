"""How fast faces are cut, trained on and encoded, against what one would write first, and against the
ceiling.

    python -m benchmarks.throughput crop train encode

crop     ours: archive -> array, in processes.     reference: torch DataLoader over the same archive, PIL
         decode and torchvision transforms per item
train    ours: steps of stages/train.py.           reference: the same model and step, fed by that loader,
         NCHW, eager float32
                                                   ceiling: ours with the batch already on the device, so that
                                                   input costs nothing
encode   ours: stages/encode.py's loop.            reference: the same model on items one by one through that
         loader
                                                   ceiling: the same network on one tensor again and again
Pictures are synthesised: 178 x 218 JPEG, quality 92. Each figure is the best of three rounds; rounds of the
contestants alternate.
"""

import io
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from faces import models
from faces.core.params import load
from faces.core.threads import usable_cores
from faces.data import annotations
from faces.data.crops import Crops
from faces.ingest import writer
from faces.nn.device import fast_arithmetic, pick_device, to_device
from stages import crop, encode, train

LANCZOS = transforms.InterpolationMode.LANCZOS  # as params.yaml says: both give the same faces
COUNT = 6000  # faces
ROUNDS = 3
STEPS = 12  # of training, per round


class Items(Dataset):
    """The obvious data set: one picture at a time, decoded by PIL, through torchvision's transforms."""

    def __init__(self, archive: Path, names: list[str], size: int) -> None:
        self.archive = archive
        self.names = names
        self.opened = None
        self.transform = transforms.Compose(
            [
                transforms.CenterCrop(148),
                transforms.Resize(size, LANCZOS),
                transforms.ToTensor(),
                transforms.Normalize(0.5, 0.5),
            ]
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        self.opened = self.opened or zipfile.ZipFile(self.archive)
        return self.transform(Image.open(io.BytesIO(self.opened.read(self.names[index]))).convert("RGB"))


def synthesise(folder: Path) -> None:
    """data/raw with COUNT pictures of the size and weight of CelebA's."""
    rng = np.random.default_rng(0)
    folder = folder / "raw"
    folder.mkdir()
    members = {}
    for number in range(COUNT):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)).resize(
            (178, 218), Image.Resampling.BICUBIC
        )
        grain = rng.normal(0, 6, (218, 178, 1))
        members[f"{number:06d}.jpg"] = writer.encode_jpeg(
            Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)), 92
        )
    writer.write_images(folder / "images.zip", members.items())
    splits = (["train"] * 8 + ["valid", "test"]) * (COUNT // 10)
    writer.write_labels(
        folder / "labels.parquet",
        pd.DataFrame({"name": list(members), "split": splits, "A": rng.choice([-1, 1], COUNT)}),
    )


def best(contestants: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Images per second of each, the best of ROUNDS; a contestant returns how many images it did. One
    unmeasured warm-up each.
    """
    rates: dict[str, float] = {}
    for round_number in range(ROUNDS + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            done = run()
            if round_number:
                rates[name] = max(rates.get(name, 0.0), done / (time.perf_counter() - start))
    return rates


def show(title: str, rates: dict[str, float]) -> None:
    others = [f"{rates['ours'] / rate:.2f} x {name}" for name, rate in rates.items() if name != "ours"]
    print(
        f"{title:8}"
        + "   ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items())
        + "   ->   ours = "
        + ", ".join(others),
        flush=True,
    )


def bench_crop(folder: Path, params: crop.Params) -> dict[str, float]:
    loader = DataLoader(
        Items(folder / "raw" / "images.zip", names(folder), params.crop.size),
        64,
        num_workers=usable_cores(),
    )
    out = folder / "crops"

    def ours() -> int:
        crop.run(params, folder / "raw", out)
        return COUNT

    return best({"ours": ours, "reference": lambda: sum(len(batch) for batch in loader)})


def names(folder: Path) -> list[str]:
    return annotations.read_labels(folder / "raw" / "labels.parquet")["name"].tolist()


def bench_train(folder: Path) -> dict[str, float]:
    params = load(train.Params)
    config = models.config(params.model, params.models)
    crops = Crops.open(folder / "crops")
    device = pick_device()
    run = train.Run(params, config, crops, device)
    run.prepare()
    ceiling = train.Run(params, config, crops, device)
    ceiling.prepare()
    still = to_device(crops.images[: config.batch], device)
    eager = models.find(params.model).Model(config, crops.geometry.size).to(device).train()
    eager.prepare(still.contiguous())
    optimiser = torch.optim.Adam(eager.parameters(), config.learning_rate, config.betas)
    loader = DataLoader(
        Items(folder / "raw" / "images.zip", names(folder), crops.geometry.size),
        config.batch,
        shuffle=True,
        drop_last=True,
        num_workers=usable_cores(),
    )

    def ours() -> int:
        for _ in range(STEPS):
            train.advance(run)
        return STEPS * config.batch

    def at_the_ceiling() -> int:
        original = train.to_device
        train.to_device = lambda images, device: still
        try:
            for _ in range(STEPS):
                train.advance(ceiling)
        finally:
            train.to_device = original
        return STEPS * config.batch

    def reference() -> int:
        batches = iter(loader)
        for _ in range(STEPS):
            images = next(batches).to(device)
            for _part, loss, _log in eager.losses(images, 0.5):
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return STEPS * config.batch

    return best({"ours": ours, "reference": reference, "ceiling": at_the_ceiling})


def bench_encode(folder: Path) -> dict[str, float]:
    params = load(train.Params)
    config = models.config(params.model, params.models)
    crops = Crops.open(folder / "crops")
    device = pick_device()
    model = (
        models.find(params.model)
        .Model(config, crops.geometry.size)
        .to(device, memory_format=torch.channels_last)
        .eval()
    )
    batch = load(encode.Params).encode.batch
    still = to_device(crops.images[:batch], device)
    items = Items(folder / "raw" / "images.zip", names(folder), crops.geometry.size)

    @torch.no_grad()
    def at_the_ceiling() -> int:
        for _ in range(0, COUNT, batch):
            model.encode(still)
        return -(-COUNT // batch) * batch

    @torch.no_grad()
    def reference() -> int:
        for index in range(COUNT // 4):
            model.encode(items[index][None].to(device))
        return COUNT // 4

    def ours() -> int:
        return sum(len(codes) for _, codes in encode.encode(model, crops.images, batch, device))

    return best({"ours": ours, "reference": reference, "ceiling": at_the_ceiling})


def main(wanted: list[str]) -> None:
    with fast_arithmetic(pick_device()):
        fast = "bfloat16" if torch.is_autocast_enabled(pick_device().type) else "float32"
    print(
        f"{platform.processor() or platform.machine()}, {usable_cores()} cores, "
        f"torch {torch.__version__} with {torch.get_num_threads()} threads, {fast}"
    )
    os.environ["FACES_LOG_SECONDS"] = "1e9"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        synthesise(folder)
        params = load(crop.Params)
        crop.run(params, folder / "raw", folder / "crops")
        for name, bench in {
            "crop": lambda: bench_crop(folder, params),
            "train": lambda: bench_train(folder),
            "encode": lambda: bench_encode(folder),
        }.items():
            if not wanted or name in wanted:
                show(name, bench())


if __name__ == "__main__":
    main(sys.argv[1:])
