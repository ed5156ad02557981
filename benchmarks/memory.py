"""Memory of each stage as the number of faces grows: bytes a face, beside what it needs in any case.

    python -m benchmarks.memory [COUNT COUNT]     faces, of two sets; 200,000 and 2,000,000 if not given

Each stage is a process of its own, over synthesised labels and pixels (32 pixels a side, 40 attributes, 1,000
faces each in valid and test), with budgets that do not grow with the faces. The figure is the most anonymous
memory that was seen in it, every 5 ms: pages of mapped files are not in it, since the kernel may take them
back. Crop, which must decode every picture, has a fortieth of the faces; its workers are told apart.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from faces.core.batches import batches
from faces.core.files import write_json
from faces.ingest import writer
from ops.params_file import set_params

ROOT = Path(__file__).parents[1]
COUNTS = (200_000, 2_000_000)
FEWER = 40  # times fewer faces for crop
HELD_OUT = 1000  # faces of the valid split, and of the test split
SIDE = 32
LENGTH = 16  # of a code
BLOCK = 10_000  # faces made at once
SMALL = {  # budgets of seconds
    "crop.size": SIDE,
    "crop.box": "square",
    "models.vae.code_length": LENGTH,
    "models.vae.critic": 0.0,
    "models.vae.width": 4,
    "models.vae.linear_in": 16,
    "models.vae.linear_out": 16,
    "train.images": 512,
    "train.reports": 2,
    "train.valid_images": 8,
    "train.snapshots": 2,
    "train.averaging": 64,
    "vectors.estimators": ["mean_difference", "partial", "lda", "logistic"],
    "vectors.primary": "partial",
    "vectors.exclusive.sets": [],
    "vectors.condition_on": [],
    "vectors.boundary.faces": 2000,
    "vectors.bootstrap": 10,
    "flow.faces": 2000,
    "flow.steps": 8,
    "flow.width": 16,
    "classifier.widths": [4],
    "classifier.images": 512,
    "classifier.min_auroc": 0.0,
    "score.estimators": ["partial"],
    "score.decoded_alone": [],
    "score.faces": 8,
    "score.min_faces": 2,
    "score.strengths": [2.0, 8.0],
    "score.switches": [1.0],
    "score.samples": 12,
    "score.groups": 3,
    "prior.axes": 8,
    "prior.components": 2,
    "prior.diffusion": 4,
    "evaluate.resamples": 10,
}
STAGES = (
    *("train", "classifier", "encode", "imagine", "vectors", "flow", "prior", "score", "guarantee"),
    *("witness", "evaluate"),
)
WATCHED = """
import importlib, pathlib, resource, sys, threading, time
most = 0
def look():
    global most
    while True:
        with open("/proc/self/status") as file:
            most = max(most, next(int(line.split()[1]) for line in file if line.startswith("RssAnon")))
        time.sleep(0.005)
threading.Thread(target=look, daemon=True).start()
importlib.import_module(sys.argv[1]).main(*map(pathlib.Path, sys.argv[2:]))
time.sleep(0.02)
print(most / 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def run(stage: str, folder: Path, *paths: str) -> tuple[float, float]:
    """Run one stage in `folder`: anonymous memory of its process and memory of its largest worker, MB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FACES_LOG_SECONDS": "1e9", "FACES_DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, f"stages.{stage}", *paths],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"error: {stage}: {done.stderr[-2000:]}")
    own, worker = done.stdout.splitlines()[-1].split()
    return float(own), float(worker)


def labels(count: int, names: list[str]) -> pd.DataFrame:
    """A table of 40 attributes; nearly all faces are of the train split."""
    rng = np.random.default_rng(0)
    few = min(HELD_OUT, count // 10)
    splits = np.repeat(["test", "valid", "train"], [few, few, count - 2 * few])
    attributes = {f"A{number}": rng.choice(np.array([-1, 1], np.int8), count) for number in range(40)}
    return pd.DataFrame({"name": names, "split": splits, "identity": np.arange(count), **attributes})


def params(folder: Path, changes: dict) -> None:
    """params.yaml of this checkout, changed."""
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(folder / "params.yaml", changes)


def command(stage: str) -> list[str]:
    """Paths of a stage, as dvc.yaml gives them."""
    words = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["cmd"].split()
    return [word.replace("${vectors.labels}", "crops/table.parquet") for word in words[3:]]


def write_raw(folder: Path, count: int) -> None:
    """One picture stands `count` times in the archive under as many names."""
    rng = np.random.default_rng(0)
    content = writer.encode_jpeg(Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)), 90)
    (folder / "data/raw").mkdir(parents=True)
    names = [f"{number:08d}.jpg" for number in range(count)]
    with zipfile.ZipFile(folder / "data/raw/images.zip", "w") as archive:
        for name in names:
            archive.writestr(name, content)
    writer.write_labels(folder / "data/raw/labels.parquet", labels(count, names))


def write_crops(folder: Path, count: int) -> None:
    """data/crops of `count` faces, each of one colour."""
    rng = np.random.default_rng(0)
    crops = folder / "data/crops"
    crops.mkdir(parents=True)
    images = np.lib.format.open_memmap(crops / "images.npy", "w+", np.uint8, (count, SIDE, SIDE, 3))
    for rows in batches(count, BLOCK):
        images[rows] = rng.integers(0, 256, (rows.stop - rows.start, 1, 1, 3), np.uint8)
    images.flush()
    writer.write_labels(crops / "table.parquet", labels(count, [f"{n:08d}.jpg" for n in range(count)]))
    write_json(crops / "geometry.json", {"box": "square", "size": SIDE, "filter": "lanczos"})
    (folder / "data/measures").mkdir()
    write_json(folder / "data/measures/measures.json", {"enabled": False})


def write_vectors(folder: Path, count: int) -> None:
    """What the stage vectors reads, for `count` faces with codes of 128 numbers."""
    write_crops(folder, count)
    (folder / "data/latents").mkdir()
    rng = np.random.default_rng(0)
    codes = np.lib.format.open_memmap(folder / "data/latents/latents.npy", "w+", np.float32, (count, 128))
    for rows in batches(count, BLOCK):
        codes[rows] = rng.standard_normal((rows.stop - rows.start, 128), np.float32)
    codes.flush()


def run_vectors(folder: Path) -> float:
    """Most anonymous memory of the stage vectors, MB."""
    return run("vectors", folder, *command("vectors"))[0]


def peaks(count: int) -> dict[str, float]:
    """Memory of each stage for `count` faces, MB."""
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        params(folder, SMALL)
        write_raw(folder, count // FEWER)
        found["crop"], found["crop, a worker"] = run("crop", folder, *command("crop"))
        print(f"crop of {count // FEWER:,} faces: {found['crop']:,.0f} MB", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        params(folder, SMALL)
        write_crops(folder, count)
        (folder / "reports").mkdir()
        for stage in STAGES:
            found[stage] = run(stage, folder, *command(stage))[0]
            print(f"{stage} of {count:,} faces: {found[stage]:,.0f} MB", flush=True)
    return found


def main(*counts: int) -> None:
    few, many = counts or COUNTS
    first = peaks(few)
    second = peaks(many)
    print(f"{'':16}{few:>12,}{many:>12,}   bytes a face")
    for stage, peak in second.items():
        faces = (many - few) / (FEWER if stage.startswith("crop") else 1)
        more = (peak - first[stage]) * 2**20 / faces
        print(f"{stage:16}{first[stage]:9,.0f} MB{peak:9,.0f} MB   {more:,.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
