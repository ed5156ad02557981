"""Peak memory of crop and vectors as the number of faces grows: it should not.

    python -m benchmarks.memory

Each measurement is a process of its own, over synthesised data; the figure is the highest resident set that
the system saw of it and, for crop, of its largest worker. Pages of a mapped file that the kernel keeps as
cache count towards the resident set, so vectors is measured with the codes' file behind a memory limit as
well: what it needs, not what it may borrow.
"""

import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from faces.core.files import write_json
from faces.ingest import writer

ROOT = Path(__file__).parents[1]
COUNTS = (10_000, 50_000, 200_000)


def run(stage: str, folder: Path, *paths: str) -> float:
    """Run one stage in `folder`; peak resident memory in MB."""
    code = (
        "import importlib, pathlib, resource, sys; "
        "importlib.import_module(sys.argv[1]).main(*map(pathlib.Path, sys.argv[2:])); "
        "print(max(resource.getrusage(who).ru_maxrss "
        "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FACES_LOG_SECONDS": "1e9"}
    done = subprocess.run(
        [sys.executable, "-c", code, f"stages.{stage}", *paths],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def labels(count: int, names: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    attributes = {f"A{number}": rng.choice([-1, 1], count) for number in range(40)}
    return pd.DataFrame(
        {"name": names, "split": np.resize(["train"] * 8 + ["valid", "test"], count), **attributes}
    )


def bench_crop(folder: Path, count: int) -> float:
    """One picture stands `count` times in the archive under as many names."""
    rng = np.random.default_rng(0)
    content = writer.encode_jpeg(
        Image.fromarray(rng.integers(0, 256, (14, 12, 3), dtype=np.uint8)).resize((178, 218)), 90
    )
    (folder / "raw").mkdir()
    names = [f"{number:06d}.jpg" for number in range(count)]
    with zipfile.ZipFile(folder / "raw" / "images.zip", "w") as archive:
        for name in names:
            archive.writestr(name, content)
    writer.write_labels(folder / "raw" / "labels.parquet", labels(count, names))
    return run("crop", folder, "raw", "crops")


def write_vectors(folder: Path, count: int) -> None:
    """What the stage vectors reads, for `count` faces."""
    (folder / "crops").mkdir()
    (folder / "latents").mkdir()
    rng = np.random.default_rng(0)
    codes = np.lib.format.open_memmap(folder / "latents" / "latents.npy", "w+", np.float32, (count, 128))
    for start in range(0, count, 10_000):
        codes[start : start + 10_000] = rng.standard_normal((min(10_000, count - start), 128), np.float32)
    codes.flush()
    writer.write_labels(
        folder / "crops" / "table.parquet", labels(count, [f"{number}.jpg" for number in range(count)])
    )
    with (folder / "crops" / "images.npy").open("wb") as file:  # no pixel is read: a sparse file will do
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (count, 64, 64, 3)}
        )
        file.truncate(file.tell() + count * 64 * 64 * 3)
    write_json(folder / "crops" / "geometry.json", {"box": "square", "size": 64, "filter": "lanczos"})


def run_vectors(folder: Path) -> float:
    return run("vectors", folder, "crops", "latents", "crops/table.parquet", "vectors")


def bench_vectors(folder: Path, count: int) -> float:
    write_vectors(folder, count)
    return run_vectors(folder)


def main() -> None:
    for name, bench in {"crop": bench_crop, "vectors": bench_vectors}.items():
        peaks = []
        for count in COUNTS:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
                (folder / "params.yaml").write_text(yaml.safe_dump(values))
                peaks.append(bench(folder, count))
        print(
            f"{name:8}"
            + "   ".join(f"{count:,}: {peak:,.0f} MB" for count, peak in zip(COUNTS, peaks, strict=True)),
            flush=True,
        )
    print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
