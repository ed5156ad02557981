"""The exam that champion and challenger both sit: the same frozen test faces, the same judge, the same code.

    python -m ops.retrain.exam build CROPS CLASSIFIER TRAIN_FACES OUT      copy what the exam needs out of a finished pipeline
    python -m ops.retrain.exam score EXAM MODEL VECTORS PRIMARY OUT        figures of one model, as JSON in the layout of reports/metrics.json

An exam is a folder: crops/ with all test faces (and counterfactuals) and some train faces, from which only priors and label correlations are read, and
classifier/, the judge. Figures come from the stages `encode`, `score` and `evaluate` run on it, with the params of the working directory; `edits` holds the
primary estimator alone, under the name "primary".
"""

import json
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import stages.encode
import stages.evaluate
import stages.score
from faces.core.console import stop
from faces.core.files import new_folder, write_json
from faces.core.params import FILE, read
from faces.data.crops import Crops, read_geometry
from faces.edits.directions import Directions
from faces.ingest.writer import write_labels
from faces.metrics.auroc import auroc

OWN = (
    "valid",
    "auroc",
    "auroc_by_estimator",
    "judge",
)  # groups of metrics.json that speak of the model's own data


def build(crops_folder: Path, classifier: Path, train_faces: int, out: Path) -> None:
    """Write the exam. Train faces are the first by name, up to `train_faces`."""
    crops = Crops.open(crops_folder)
    train = crops.rows("train")
    train = train[np.argsort(crops.table["name"].to_numpy(str)[train], kind="stable")[:train_faces]]
    rows = np.sort(np.concatenate([train, crops.rows("test")]))
    with new_folder(out) as folder:
        (folder / "crops").mkdir()
        images = np.lib.format.open_memmap(
            folder / "crops/images.npy", "w+", np.uint8, (len(rows), *crops.images.shape[1:])
        )
        for place, row in enumerate(rows):
            images[place] = crops.images[row]
        images.flush()
        write_labels(folder / "crops/table.csv", crops.table.iloc[rows].reset_index(drop=True))
        for path in (crops_folder / "geometry.json", *sorted(crops_folder.glob("counterfactuals.*"))):
            shutil.copyfile(path, folder / "crops" / path.name)
        shutil.copytree(classifier, folder / "classifier")


@contextmanager
def bench(primary: str):
    """A temporary working directory whose params.yaml is ours, with `primary` as the one estimator."""
    params, before = read(Path(FILE)), Path.cwd()
    params["vectors"] |= {"primary": primary, "estimators": [primary]}
    params["score"]["estimators"] = [primary]
    params["score"]["diffusion"] = 0  # no gate goes by it, and an exam has no valid faces to fit it with
    with tempfile.TemporaryDirectory(prefix="exam-") as place:
        (Path(place) / FILE).write_text(yaml.safe_dump(params), encoding="utf-8")
        os.chdir(place)
        try:
            yield Path(place)
        finally:
            os.chdir(before)


def score(exam: Path, model: Path, vectors: Path, primary: str) -> dict[str, Any]:
    """The figures of one model."""
    own, ours = (
        json.loads((model / "model.json").read_text(encoding="utf-8"))["geometry"],
        read_geometry(exam / "crops/geometry.json"),
    )
    if own != ours.model_dump(mode="json"):
        raise ValueError(
            f"the model's faces are cut as {own}, the exam's as {ours.model_dump(mode='json')}; start a new exam with --new-exam"
        )
    with bench(primary) as place:
        stages.encode.main(exam / "crops", model, place / "latents")
        stages.score.main(
            exam / "crops", model, place / "latents", vectors, exam / "classifier", place / "scores"
        )
        stages.evaluate.main(
            exam / "crops",
            model,
            place / "latents",
            vectors,
            exam / "classifier",
            place / "scores",
            place / "metrics.json",
            place / "plots",
        )
        metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
        codes = np.load(place / "latents/latents.npy", allow_pickle=False)
    found = {group: values for group, values in metrics.items() if group not in OWN}
    found["edits"] = {"primary": metrics["edits"].get(primary, {})}
    return found | {"auroc": read_off(Crops.open(exam / "crops"), codes, Directions.open(vectors, primary))}


def read_off(crops: Crops, codes: np.ndarray, directions: Directions) -> dict[str, float]:
    """AUROC on the test faces of codes (N, D) projected on each direction, for attributes that have test faces on both sides; and their mean."""
    test, found = crops.rows("test"), {}
    for name in directions.attributes:
        labels = (
            crops.labels[test, crops.attributes.index(name)]
            if name in crops.attributes
            else np.zeros(len(test))
        )
        if (labels == 1).any() and (labels == -1).any():
            known = labels != 0
            found[name] = round(
                float(auroc(codes[test[known]] @ directions.unit(name), labels[known] == 1)[0]), 4
            )
    return found | {"mean": round(float(np.mean(list(found.values()))), 4)} if found else {}


def main(action: str, *arguments: str) -> None:
    try:
        if action == "build":
            crops, classifier, train_faces, out = arguments
            build(Path(crops), Path(classifier), int(train_faces), Path(out))
        else:
            exam, model, vectors, primary, out = arguments
            found = score(*(Path(path).resolve() for path in (exam, model, vectors)), primary)
            write_json(Path(out), found)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
