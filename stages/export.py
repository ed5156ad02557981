"""Export the model for use without torch: two ONNX networks, arrays, and a description in one folder.

in    data/crops/     images.npy, table.parquet, geometry.json
      data/model/     the trained model
      data/latents/   latents.npy, moments.npz
      data/vectors/   vectors.npz, vectors.csv
      data/flow/      the flow, its readouts of labels, and the labels that exclude one another
      data/prior/     the priors of new faces, and which is best
      data/measures/  units and scales of measured labels
      data/raw/       source.json, and the size of a picture in images.zip
out   data/export/    encoder.onnx, decoder.onnx, arrays.safetensors, bundle.json (web/API.md);
                      modulation.onnx and velocity.onnx where the flow edits; identity.onnx where witnesses
                      are asked (`witness.enabled`): by it the website says who is still the same person
"""

import io
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from facemorph.gaussian import LowRankGaussian
from facemorph.likeness import Likeness, statistics
from faces import checkpoints
from faces.core.console import say, stop
from faces.core.files import new_folder, open_npy, read_json, write_json
from faces.core.params import Group, load
from faces.data.annotations import LANDMARKS, SPLITS
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.edits.likeness import FACES, Calibration
from faces.export import bundle, onnx
from faces.export.attributes import GROUPS
from faces.flow.choice import Edits
from faces.flow.editing import COUPLING
from faces.flow.editor import FlowEditor
from faces.flow.export import FLOW_NETWORKS, export_velocity, regression_arrays
from faces.latents.pca import gaussian_of_moments, gaussian_of_train
from faces.priors import Priors
from faces.witnesses import weights
from faces.witnesses.export import IDENTITY, export_identity
from faces.witnesses.scale import Scale, scale_rows
from faces.witnesses.witness import Witness

SAMPLE = 8192  # draws from which the covariance of the model's own prior is taken
PARITY = 8  # images and codes on which the networks are compared with torch
BATCH = 32  # faces that the witness looks at at once
NETWORKS = ("encoder.onnx", "decoder.onnx")
ARRAYS = "arrays.safetensors"


class Export(Group):
    prior: Literal["best", "flow", "train", "model"]
    drawn: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, le=2)]
    rank: Annotated[int, Field(ge=1)]
    telling: Annotated[int, Field(ge=0)]
    telling_auroc: Annotated[float, Field(ge=0, le=1)]
    presets: Annotated[int, Field(ge=0)]


class Params(Group):
    seed: int
    export: Export
    likeness: Calibration
    detail: Detail
    primary: str = Field(alias="vectors.primary")
    edits: Edits
    witnesses: bool = Field(alias="witness.enabled")
    weights: str = Field(alias="witness.weights")
    witnessed: int = Field(alias="witness.faces")


@dataclass(frozen=True)
class Run:
    """What earlier stages left: all that an export is made from."""

    crops: Crops
    model: torch.nn.Module
    about: dict[str, Any]  # model.json
    source: dict[str, Any]  # source.json
    codes: np.ndarray  # (N, D) memory map
    moments: dict[str, np.ndarray]
    directions: Directions
    flow: FlowEditor
    priors: Path  # data/prior
    measures: Measures
    measured: pd.DataFrame  # vectors.csv of the primary estimator
    frame: tuple[int, int]  # width and height of one of the data's pictures
    made_from: dict[str, str]

    @property
    def train(self) -> np.ndarray:
        """Rows of the train split."""
        return self.crops.rows("train")

    @property
    def show(self) -> bool:
        """Whether the data's licence lets faces be shown."""
        return self.source.get("redistributable") is True

    @classmethod
    def open(
        cls,
        primary: str,
        crops_folder: Path,
        weights: Path,
        latents: Path,
        vectors: Path,
        flow: Path,
        priors: Path,
        measures: Path,
        raw: Path,
    ) -> "Run":
        """Raises ValueError where a folder is not what its stage writes."""
        crops = Crops.open(crops_folder)
        model, _ = checkpoints.load(weights)
        with np.load(latents / "moments.npz", allow_pickle=False) as file:
            moments = dict(file)
        table = pd.read_csv(vectors / "vectors.csv")
        return cls(
            crops=crops,
            model=model,
            about=read_json(weights / "model.json"),
            source=read_json(raw / "source.json"),
            codes=open_npy(latents / "latents.npy"),
            moments=moments,
            directions=Directions.open(vectors, primary),
            flow=FlowEditor.open(flow, torch.device("cpu")),
            priors=priors,
            measures=Measures.open(measures, len(crops.labels)),
            measured=table[table["estimator"] == primary],
            frame=frame(raw, crops.column("name").iloc[0]),
            made_from=bundle.made_from(weights, vectors, flow),
        )


def frame(raw: Path, name: str) -> tuple[int, int]:
    """Width and height of one of the data's pictures."""
    with zipfile.ZipFile(raw / "images.zip") as archive:
        with Image.open(io.BytesIO(archive.read(name))) as picture:
            return picture.size


@torch.no_grad()
def own_prior(model: torch.nn.Module, seed: int, rank: int) -> LowRankGaussian:
    """The model's own prior as a Gaussian, from draws."""
    draws = model.sample(SAMPLE, torch.Generator().manual_seed(seed), 1.0).double().numpy()
    return gaussian_of_moments(draws.mean(0), np.cov(draws.T, bias=True), rank)


def drawn(run: Run, seed: int, count: int) -> np.ndarray:
    """Codes (count, D) of new faces from the prior that the stage `prior` found best."""
    priors = Priors.open(run.priors, torch.device("cpu"))
    return priors.samplers(run.model, seed)[priors.best](count, np.random.default_rng(seed))


def presets(
    params: Params, run: Run, faces: np.ndarray, folder: Path
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Faces to start from, entries and codes (P, D): test faces where they may be shown, else new `faces`."""
    count = params.export.presets
    if run.show:
        rows = np.sort(np.random.default_rng(params.seed).permutation(run.crops.rows("test"))[:count])
        chosen = run.codes[rows]
        pictures = run.crops.images[rows]
    else:
        chosen = faces[:count].astype(np.float32).reshape(-1, run.codes.shape[1])
        pictures = onnx.run(folder / "decoder.onnx", chosen).round().astype(np.uint8) if count else []
    entries = [
        {"label": f"Face {place}", "picture": bundle.png(picture)}
        for place, picture in enumerate(pictures, 1)
    ]
    return entries, chosen


def attributes(params: Params, run: Run) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The attributes' entries in the order to show, and their unit directions (A, D)."""
    directions = run.directions
    units = np.array([directions.unit(name) for name in directions.attributes], np.float64)
    units = units.reshape(-1, run.codes.shape[1])  # of data without a single direction too
    entries = bundle.describe_attributes(
        directions, run.measured, run.source.get("meanings", {}), run.measures.scales
    )
    telling = bundle.choose_telling(entries, params.export.telling, params.export.telling_auroc)
    entries = [entry | {"telling": entry["name"] in telling} for entry in entries]
    rows = sorted(range(len(entries)), key=lambda row: bundle.order(entries[row]))
    return [entries[row] for row in rows], units[rows]


def likeness(params: Params, run: Run, codes: LowRankGaussian, folder: Path) -> Likeness | None:
    """What tells how like the training faces a picture is, from valid faces; None where there are too few."""
    rows = run.crops.rows("valid")[:FACES]
    if not len(rows):
        return None
    rebuilt = onnx.run(folder / "decoder.onnx", run.codes[rows])
    found = statistics(codes, run.crops.images[rows], run.codes[rows], rebuilt)
    return Likeness.of(found, params.likeness.refuse, params.likeness.gradual)


def identity(params: Params, run: Run, folder: Path) -> dict[str, Any]:
    """Write identity.onnx; the group `identity` of bundle.json, with the scale of stage `witness`, from the
    same valid faces, so that an export need not wait for scores. Raises WitnessError.
    """
    home = Path(params.weights) if params.weights else weights.home()
    witness = Witness.open(home, torch.device("cpu"), BATCH, bool(run.measures.scales))
    rows = scale_rows(run.crops.rows("valid"), params.witnessed, params.seed)
    images = run.crops.images[rows]
    export_identity(witness, np.resize(images, (PARITY, *images.shape[1:])), folder)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    scale = Scale.of(witness.identities(pictures), run.crops.column("identity").to_numpy()[rows])
    return {
        "file": IDENTITY,
        **bundle.digest(folder / IDENTITY),
        "unit": scale.unit,
        "threshold": scale.threshold,
    }


def write(params: Params, run: Run, folder: Path) -> dict[str, Any]:
    """Fill `folder`; what bundle.json says. Raises ExportError where networks and model differ."""
    some = np.resize(run.crops.rows("test"), PARITY)
    images = np.ascontiguousarray(run.crops.images[some])
    onnx.networks(run.model, images, np.ascontiguousarray(run.codes[some]), folder)
    entries, units = attributes(params, run)
    covariance = gaussian_of_train(run.moments, run.codes, run.train, params.export.rank)
    names = [*NETWORKS, ARRAYS]
    arrays = {
        "mean": run.moments["mean"],
        "std": run.moments["std"],
        "directions": units,
        "readout_normals": run.flow.readouts.normals,
        "readout_intercepts": run.flow.readouts.intercepts,
        "factor": covariance.factor,
        "residual": covariance.residual,
    }
    if params.edits.primary == "flow":
        labels = run.flow.arranged(run.crops.attributes, run.crops.labels[some])
        conditions = run.flow.conditions(run.codes[some], labels)
        export_velocity(run.flow.flow, run.codes[some], conditions, folder)
        arrays |= {f"flow_{name}": array for name, array in regression_arrays(run.flow.flow).items()}
        arrays |= {f"flow_form_{name}": array for name, array in run.flow.forms.arrays.items()}
        names += FLOW_NETWORKS
    prior = covariance
    if params.export.prior == "model":
        prior = own_prior(run.model, params.seed, params.export.rank)
        arrays |= {"prior_mean": prior.mean, "prior_factor": prior.factor, "prior_residual": prior.residual}
    if params.export.prior == "best":
        faces = arrays["drawn"] = drawn(run, params.seed, params.export.drawn)
    else:
        seeds = range(1, params.export.presets + 1)
        faces = np.array([prior.sample(seed, params.export.temperature) for seed in seeds])
    starts, arrays["presets"] = presets(params, run, faces, folder)
    description = describe(params, run, entries, starts)
    like = likeness(params, run, covariance, folder)
    if like is not None:
        arrays["likeness_scores"] = like.scores
        description["likeness"] = bundle.describe_likeness(like)
    if params.witnesses:
        description["identity"] = identity(params, run, folder)
    bundle.write_arrays(folder / ARRAYS, arrays)
    description["files"] = {name: bundle.digest(folder / name) for name in names}
    write_json(folder / "bundle.json", description)
    return description


def describe_editor(kind: str, editor: FlowEditor) -> dict[str, Any]:
    """The group `editor`: which one edits, "flow" or "directions", what both read: labels and exclusions, in
    the order of `editor`, and what the flow alone does.
    """

    def ends(members: Iterable[tuple[int, int]]) -> list[str]:
        return [("" if side > 0 else "-") + editor.attributes[place] for place, side in members]

    ruled_out = editor.exclusions
    return {
        "kind": kind,
        "attributes": list(editor.attributes),
        "forms": editor.forms.names(editor.attributes),
        "steps": editor.steps,
        "coupling": COUPLING,
        "exclusive": [ends((a, pair[a]) for a in np.flatnonzero(pair)) for pair in ruled_out.pairs],
        "exhaustive": [ends(members) for members in ruled_out.members()],
    }


def describe(params: Params, run: Run, entries: list[dict], faces: list[dict]) -> dict[str, Any]:
    """bundle.json, all but `files`."""
    landmarks = run.crops.columns(*LANDMARKS).iloc[run.train].dropna().to_numpy()
    length = run.codes.shape[1]
    source = params.export.prior
    if source == "flow" and params.edits.primary != "flow":
        source = "train"
    return {
        "format": bundle.FORMAT,
        "made_from": run.made_from,
        "model": {
            "name": run.about["model"],
            "code_length": length,
            "size": run.crops.geometry.size,
            "config": run.about["config"],
        },
        "geometry": bundle.describe_geometry(run.crops.geometry, run.frame, landmarks),
        "editor": describe_editor(params.edits.primary, run.flow),
        "attributes": entries,
        "groups": [group for group in GROUPS if any(entry["group"] == group for entry in entries)],
        "detail": params.detail.model_dump(),
        "prior": {"source": source, "temperature": params.export.temperature},
        "presets": faces,
        "presets_from": "test" if run.show else "prior",
        "data": {
            "source": run.source["source"],
            "licence": run.source["licence"],
            "redistributable": run.show,
            "drawn": run.source.get("drawn") is True,
            "faces": {split: len(run.crops.rows(split)) for split in SPLITS},
        },
        "notes": bundle.notes(run.about, run.source, length, len(run.train), bool(run.measures.scales)),
    }


def run(
    params: Params,
    crops_folder: Path,
    weights: Path,
    latents: Path,
    vectors: Path,
    flow: Path,
    prior: Path,
    measures: Path,
    raw: Path,
    out: Path,
) -> dict[str, Any]:
    """Write the export `out`; what its bundle.json says. Raises ValueError."""
    inputs = Run.open(params.primary, crops_folder, weights, latents, vectors, flow, prior, measures, raw)
    with new_folder(out) as folder:
        return write(params, inputs, folder)


def main(*paths: Path) -> None:
    try:
        about = run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None
    telling = sum(entry["telling"] for entry in about["attributes"])
    say(
        f"export: {telling} telling of {len(about['attributes'])} attributes, {len(about['presets'])} presets"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
