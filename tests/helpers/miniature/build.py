"""The miniature's whole pipeline: faces in; crops, principal components, directions and an export out.
`python build.py nan` spoils the weights.
"""

import csv
import hashlib
import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import standin
import yaml
from PIL import Image

ATTRIBUTES = tuple(standin.ATTRIBUTES)


def split_of(name: str) -> str:
    return "test" if hashlib.sha256(name.encode()).digest()[0] < 100 else "train"


def drawn(count: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    images, labels = standin.faces(count, seed)
    return [f"{number:03d}.png" for number in range(count)], images, labels


def folder(path: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        images = np.stack([np.asarray(Image.open(archive.open(row["name"]))) for row in rows])
    return (
        [row["name"] for row in rows],
        images,
        np.array([[row[name] == "1" for name in ATTRIBUTES] for row in rows]),
    )


def components(images: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (P,) and principal axes (D, P) of pictures."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)[2]
    return flat.mean(0), axes[:length]


def main(spoil: bool) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    source = (
        folder(params["sources"]["folder"]["path"])
        if params["data"]["source"] == "folder"
        else drawn(params["drawn"], params["seed"])
    )
    names, images, labels = source
    train = np.array([split_of(name) == "train" for name in names])
    shutil.rmtree("data", ignore_errors=True)
    for name in ("crops", "classifier", "model", "vectors"):
        Path("data", name).mkdir(parents=True)
    np.save("data/crops/images.npy", images)
    np.save("data/crops/labels.npy", labels)
    table = pd.DataFrame({"name": names, "split": [split_of(name) for name in names]})
    table.to_parquet("data/crops/table.parquet", index=False)
    mean, axes = components(images[train], params["length"])
    codes = (images[train].reshape(train.sum(), -1) - mean) @ axes.T
    directions = np.stack([codes[has].mean(0) - codes[~has].mean(0) for has in labels[train].T])
    np.savez("data/model/model.npz", mean=mean, axes=np.full_like(axes, np.nan) if spoil else axes)
    np.save("data/vectors/vectors.npy", directions)
    standin.write_export(
        Path("data/export"), images[train], labels[train], standin.ATTRIBUTES, params["length"], 1
    )
    Path("reports").mkdir(exist_ok=True)
    Path("reports/metrics.json").write_text(json.dumps({"train": int(train.sum())}) + "\n")
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")


if __name__ == "__main__":
    main(sys.argv[1:] == ["nan"])
