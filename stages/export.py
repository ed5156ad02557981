"""Put everything that other programs need into one folder: two ONNX networks, arrays, and a description. No torch is needed to use it.

in    data/crops/     images.npy, table.csv, geometry.json
      data/model/     the trained model
      data/latents/   latents.npy, moments.npz
      data/vectors/   vectors.npz, vectors.csv
      data/raw/       source.json, and the size of a picture in images.zip
      reports/metrics.json
out   data/export/    encoder.onnx, decoder.onnx, arrays.bin, bundle.json (web/API.md)
"""

import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from faces import checkpoints
from faces.core.console import say, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data.annotations import LANDMARKS, SPLITS
from faces.data.crops import Crops
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.export import bundle, onnx
from faces.export.attributes import GROUPS
from faces.latents.gaussian import Spread

SAMPLE = 8192  # codes from which a covariance is taken where it is not known
PARITY = 8  # images and codes on which the networks are held against torch


class Export(Group):
    prior: Literal["train", "model"]
    temperature: Annotated[float, Field(ge=0, le=2)]
    rank: Annotated[int, Field(ge=1)]
    range: tuple[float, float]
    telling: Annotated[int, Field(ge=0)]
    telling_auroc: Annotated[float, Field(ge=0, le=1)]
    presets: Annotated[int, Field(ge=0)]


class Params(Group):
    seed: int
    export: Export
    detail: Detail
    primary: str = Field(alias="vectors.primary")


def spread(codes: np.ndarray, rows: np.ndarray, moments: dict[str, np.ndarray], rank: int) -> Spread:
    """The train codes as a Gaussian: from their covariance where that was kept, otherwise from some of the codes."""
    if "covariance" in moments:
        return Spread.of_moments(moments["mean"], moments["covariance"], rank)
    return Spread.of_codes(codes[rows[: SAMPLE // 4]], rank)


@torch.no_grad()
def own_prior(model: torch.nn.Module, seed: int, rank: int) -> Spread:
    """The model's own prior as a Gaussian, from draws."""
    draws = model.sample(SAMPLE, torch.Generator().manual_seed(seed), 1.0).double().numpy()
    return Spread.of_moments(draws.mean(0), np.cov(draws.T, bias=True), rank)


def presets(
    params: Params, crops: Crops, codes: np.ndarray, prior: Spread, show: bool, folder: Path
) -> tuple[list[dict], np.ndarray]:
    """Faces to start from: some of the test split where its licence lets them be shown, otherwise samples. Entries and codes (P, D)."""
    count, test = params.export.presets, crops.rows("test")
    if show:
        rows = np.sort(np.random.default_rng(params.seed).permutation(test)[:count])
        chosen, pictures = codes[rows], crops.images[rows]
    else:
        chosen = np.array(
            [prior.sample(seed, params.export.temperature) for seed in range(1, count + 1)], np.float32
        )
        pictures = onnx.run(folder / "decoder.onnx", chosen).round().astype(np.uint8) if count else []
    entries = [
        {"label": f"Face {place}", "picture": bundle.png(picture)}
        for place, picture in enumerate(pictures, 1)
    ]
    return entries, chosen.reshape(count if not show else len(chosen), codes.shape[1])


def frame(raw: Path, name: str) -> tuple[int, int]:
    """Width and height of one of the data's pictures."""
    with (
        zipfile.ZipFile(raw / "images.zip") as archive,
        Image.open(io.BytesIO(archive.read(name))) as picture,
    ):
        return picture.size


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def main(
    crops_folder: Path, weights: Path, latents: Path, vectors: Path, raw: Path, metrics_file: Path, out: Path
) -> None:
    try:
        params = load(Params)
        low, high = params.export.range
        if not 0 <= low < high <= 1:
            raise ValueError(
                f"params.yaml: export.range = {[low, high]}; two shares in ascending order are needed, such as [0.02, 0.98]"
            )
        crops = Crops.open(crops_folder)
        model, _ = checkpoints.load(weights)
        directions = Directions.open(vectors, params.primary)
        with new_folder(out) as folder:
            write(params, crops, model, directions, (weights, latents, vectors, raw, metrics_file), folder)
    except ValueError as error:
        raise stop(error) from None


def write(
    params: Params,
    crops: Crops,
    model: torch.nn.Module,
    directions: Directions,
    places: tuple[Path, ...],
    folder: Path,
) -> None:
    """Fill `folder`. Raises ExportError where the networks do not do what the model does."""
    weights, latents, vectors, raw, metrics_file = places
    about, source, metrics = (
        read_json(weights / "model.json"),
        read_json(raw / "source.json"),
        read_json(metrics_file),
    )
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    with np.load(latents / "moments.npz", allow_pickle=False) as file:
        moments = dict(file)
    train, some = crops.rows("train"), np.resize(crops.rows("test"), PARITY)
    onnx.networks(model, np.ascontiguousarray(crops.images[some]), np.ascontiguousarray(codes[some]), folder)

    units = np.stack([directions.unit(name) for name in directions.attributes])
    ranges = bundle.standing(codes[train], moments["mean"], units, directions.sigma, *params.export.range)
    table = pd.read_csv(vectors / "vectors.csv")
    reductions = metrics.get("counterfactual", {}).get("error_reduction", {})
    entries = bundle.describe_attributes(
        directions,
        table[table["estimator"] == params.primary],
        ranges,
        reductions,
        source.get("meanings", {}),
    )
    telling = bundle.choose_telling(entries, params.export.telling, params.export.telling_auroc)
    entries = [entry | {"telling": entry["name"] in telling} for entry in entries]
    rows = sorted(range(len(entries)), key=lambda row: bundle.order(entries[row]))

    covariance = spread(codes, train, moments, params.export.rank)
    prior = (
        covariance if params.export.prior == "train" else own_prior(model, params.seed, params.export.rank)
    )
    show = source.get("redistributable") is True
    faces, face_codes = presets(params, crops, codes, prior, show, folder)
    arrays = {
        "mean": moments["mean"],
        "std": moments["std"],
        "directions": units[rows],
        "factor": covariance.factor,
        "residual": covariance.residual,
        "prior_mean": prior.mean,
        "prior_factor": prior.factor,
        "prior_residual": prior.residual,
        "presets": face_codes,
    }
    places_of_arrays = bundle.write_arrays(folder / "arrays.bin", arrays)
    landmarks = crops.table.iloc[train].reindex(columns=LANDMARKS).dropna().to_numpy()
    write_json(
        folder / "bundle.json",
        {
            "format": bundle.FORMAT,
            "model": {
                "name": about["model"],
                "code_length": codes.shape[1],
                "size": crops.geometry.size,
                "config": about["config"],
            },
            "geometry": bundle.describe_geometry(
                crops.geometry, frame(raw, crops.table["name"].iloc[0]), landmarks
            ),
            "files": {
                name: bundle.digest(folder / name) for name in ("encoder.onnx", "decoder.onnx", "arrays.bin")
            },
            "arrays": places_of_arrays,
            "attributes": [entries[row] for row in rows],
            "groups": [group for group in GROUPS if any(entry["group"] == group for entry in entries)],
            "detail": params.detail.model_dump(),
            "prior": {"source": params.export.prior, "temperature": params.export.temperature},
            "presets": faces,
            "presets_from": "test" if show else "prior",
            "data": {
                "source": source["source"],
                "licence": source["licence"],
                "redistributable": show,
                "faces": {split: len(crops.rows(split)) for split in SPLITS},
            },
            "notes": bundle.notes(about, source, codes.shape[1], len(train)),
            "quality": metrics.get("reconstruction", {}),
        },
    )
    say(f"export: {len(telling)} telling of {len(entries)} attributes, {len(faces)} presets")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
