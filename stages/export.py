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

from faces import checkpoints, export
from faces.attributes import GROUPS, describe
from faces.crops import Crops
from faces.directions import Directions
from faces.export import CELEBA_FRAME, ExportError, Spread
from faces.files import new_folder, write_json
from faces.params import Group, load
from faces.raw import LANDMARKS
from faces.terminal import say, stop

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
    primary: str = Field(alias="vectors.primary")


def attributes(
    params: Params, directions: Directions, table: pd.DataFrame, metrics: dict[str, Any], meanings: dict[str, str]
) -> list[dict]:
    """The entries of bundle.json, in the order of `directions`; those that say `telling` are the best known of the reliable ones."""
    measured = table[table["estimator"] == params.primary].set_index("attribute")
    reductions = metrics.get("counterfactual", {}).get("error_reduction", {})
    entries = []
    for name, vector, sigma in zip(directions.attributes, directions.vectors, directions.sigma, strict=True):
        row, shown = measured.loc[name], describe(name)
        entries.append(
            {
                "name": name,
                "label": shown.label,
                "group": shown.group,
                "meaning": meanings.get(name) or shown.meaning,
                "judgemental": shown.judgemental,
                "sigma": float(sigma),
                "length": float(np.linalg.norm(vector)),
                **{key: number(row[key]) for key in ("auroc", "auroc_low", "auroc_high")},
                **{key: int(row[key]) for key in ("positives", "negatives")},
                "error_reduction": number(reductions.get(name)),
            }
        )
    reliable = [e["name"] for e in entries if describe(e["name"]).rank and (e["auroc"] or 0) >= params.export.telling_auroc]
    telling = sorted(reliable, key=lambda name: describe(name).rank)[: params.export.telling]
    return [entry | {"telling": entry["name"] in telling} for entry in entries]


def number(value: float | None) -> float | None:
    """`value` for JSON: nothing where it is unknown."""
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def order(entry: dict[str, Any]) -> tuple[bool, int, int, str]:
    """Where an attribute stands on the page: telling ones by rank, then by group."""
    shown = describe(entry["name"])
    return (not entry["telling"], shown.rank if entry["telling"] else 0, GROUPS.index(shown.group), shown.label)


def geometry(crops: Crops, raw: Path) -> dict[str, Any]:
    """How a photograph becomes a face like those of the data."""
    cut = crops.geometry
    if cut.box == "square":  # pictures of any size: no common frame but the square itself, and CelebA's face in it
        side = CELEBA_FRAME[0]
        template = export.CELEBA_TEMPLATE - np.subtract(CELEBA_FRAME, side) / 2
        return {
            "frame": [side, side],
            "template": template.round(3).tolist(),
            "box": [0, 0, side, side],
            "size": cut.size,
            "filter": cut.filter,
        }
    with zipfile.ZipFile(raw / "images.zip") as archive, Image.open(io.BytesIO(archive.read(crops.table["name"].iloc[0]))) as picture:
        frame = picture.size
    known = crops.table.iloc[crops.rows("train")].reindex(columns=LANDMARKS).dropna().to_numpy()
    template = export.template(known if len(known) else None, frame)
    return {"frame": list(frame), "template": template.round(3).tolist(), "box": list(cut.box), "size": cut.size, "filter": cut.filter}


def spread(codes: np.ndarray, rows: np.ndarray, moments: dict[str, np.ndarray], rank: int) -> Spread:
    """The train codes as a Gaussian: from their covariance where that was kept, otherwise from some of the codes."""
    if "covariance" in moments:
        return Spread.of_moments(moments["mean"], moments["covariance"], rank)
    return Spread.of_codes(codes[rows[: export.SAMPLE // 4]], rank)


@torch.no_grad()
def own_prior(model: torch.nn.Module, seed: int, rank: int) -> Spread:
    """The model's own prior as a Gaussian, from draws."""
    draws = model.sample(export.SAMPLE, torch.Generator().manual_seed(seed), 1.0).double().numpy()
    return Spread.of_moments(draws.mean(0), np.cov(draws.T, bias=True), rank)


def presets(params: Params, crops: Crops, codes: np.ndarray, prior: Spread, show: bool, folder: Path) -> tuple[list[dict], np.ndarray]:
    """Faces to start from: some of the test split where its licence lets them be shown, otherwise samples. Entries and codes (P, D)."""
    count, test = params.export.presets, crops.rows("test")
    if show:
        rows = np.sort(np.random.default_rng(params.seed).permutation(test)[:count])
        chosen, pictures = codes[rows], crops.images[rows]
    else:
        chosen = np.array([prior.sample(seed, params.export.temperature) for seed in range(1, count + 1)], np.float32)
        pictures = export.run(folder / "decoder.onnx", chosen).round().astype(np.uint8) if count else []
    entries = [{"label": f"Face {place}", "picture": export.png(picture)} for place, picture in enumerate(pictures, 1)]
    return entries, chosen.reshape(count if not show else len(chosen), codes.shape[1])


def notes(about: dict[str, Any], source: dict[str, Any], train: int) -> dict[str, Any]:
    """Sentences for whoever uses the model."""
    size, length = about["geometry"]["size"], about["config"].get("code_length")
    code = f" and a code of {length} numbers" if length else ""
    return {
        "model": f"{about['model']}: faces of {size} x {size} pixels{code}, trained on {train:,} faces.",
        "data": f"{source['description']}. {source['licence']}" if "description" in source else source["licence"],
        "limits": [
            f"A face is seen at {size} x {size} pixels; finer detail is the photograph's own or is lost.",
            "A slider moves what its label went with in the training faces; what is correlated there moves along unless it is locked.",
            "Faces unlike the training faces are encoded worse. Labels are the annotators' view, not facts about a person.",
            "Use photographs of yourself or of people who agreed, and say that a picture was edited.",
        ],
    }


def main(crops_folder: Path, weights: Path, latents: Path, vectors: Path, raw: Path, metrics_file: Path, out: Path) -> None:
    try:
        params = load(Params)
        low, high = params.export.range
        if not 0 <= low < high <= 1:
            raise ValueError(f"params.yaml: export.range = {[low, high]}; two shares in ascending order are needed, such as [0.02, 0.98]")
        crops = Crops.open(crops_folder)
        model, _ = checkpoints.load(weights)
        directions = Directions.open(vectors, params.primary)
    except ValueError as error:
        raise stop(error) from None
    about, source, metrics = (
        json.loads(path.read_text(encoding="utf-8")) for path in (weights / "model.json", raw / "source.json", metrics_file)
    )
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    train, test = crops.rows("train"), crops.rows("test")
    with np.load(latents / "moments.npz", allow_pickle=False) as file:
        moments = dict(file)
    entries = attributes(params, directions, pd.read_csv(vectors / "vectors.csv"), metrics, source.get("meanings", {}))
    units = np.stack([directions.unit(name) for name in directions.attributes])
    ranges = export.standing(codes[train], moments["mean"], units, directions.sigma, low, high)
    for entry, (least, most) in zip(entries, ranges, strict=True):
        entry |= {"range": [number(least), number(most)], "reach": number(most - least)}
    places = sorted(range(len(entries)), key=lambda place: order(entries[place]))
    entries = [entries[place] for place in places]
    covariance = spread(codes, train, moments, params.export.rank)
    prior = covariance if params.export.prior == "train" else own_prior(model, params.seed, params.export.rank)
    show = source.get("redistributable") is True
    with new_folder(out) as folder:
        some = np.resize(test, PARITY)
        try:
            export.networks(model, np.ascontiguousarray(crops.images[some]), np.ascontiguousarray(codes[some]), folder)
        except ExportError as error:
            raise stop(error) from None
        faces, face_codes = presets(params, crops, codes, prior, show, folder)
        arrays = {
            "mean": moments["mean"],
            "std": moments["std"],
            "directions": units[places],
            "factor": covariance.factor,
            "residual": covariance.residual,
            "prior_mean": prior.mean,
            "prior_factor": prior.factor,
            "prior_residual": prior.residual,
            "presets": face_codes,
        }
        table = export.write_arrays(folder / "arrays.bin", arrays)
        write_json(
            folder / "bundle.json",
            {
                "format": export.FORMAT,
                "model": {"name": about["model"], "code_length": codes.shape[1], "size": crops.geometry.size, "config": about["config"]},
                "geometry": geometry(crops, raw),
                "files": {name: export.digest(folder / name) for name in ("encoder.onnx", "decoder.onnx", "arrays.bin")},
                "arrays": table,
                "attributes": entries,
                "groups": [group for group in GROUPS if any(entry["group"] == group for entry in entries)],
                "prior": {"source": params.export.prior, "temperature": params.export.temperature},
                "presets": faces,
                "presets_from": "test" if show else "prior",
                "data": {
                    "source": source["source"],
                    "licence": source["licence"],
                    "redistributable": show,
                    "faces": {split: len(crops.rows(split)) for split in ("train", "valid", "test")},
                },
                "notes": notes(about, source, len(train)),
                "quality": metrics.get("reconstruction", {}),
            },
        )
    say(f"export: {out}: {sum(entry['telling'] for entry in entries)} telling of {len(entries)} attributes, {len(faces)} presets")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
