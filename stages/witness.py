"""Ask networks that nobody here trained about identities, edits and sets of faces: face-api's expressions,
landmarks and identity (faces/witnesses).

in    data/crops/        images.npy, table.parquet
      data/model/        the trained model
      data/latents/      latents.npy
      data/prior/        the priors that new faces are drawn from
      data/vectors/      vectors.npz
      data/flow/         the flow of codes, an editor
      data/classifier/   the attribute classifiers
      data/scores/       levels.csv, changes.npz: at which strengths edits are compared, on which faces
      data/measures/     labels that were measured: then the tiny network of landmarks is asked, as the larger
                         one has labelled
out   data/witness/      witness.json   whether it was asked; the weights' digest, the scale of identity
                         roc.csv        false and true accepts, where people are known
                         edits.csv      per editor, kind and attribute: what changed, who stayed who they are
                         agreement.csv  rank correlation of witness and classifier
                         sets.csv       reconstructions and samples against real faces, by identity
                         sliders.csv    where labels were measured: asked against achieved changes of them

Optional: without `witness.enabled` the tables have no rows. The weights are fetched by `python -m
ops.witnesses`; nothing is downloaded here.

Several processes (faces/core/ranks.py) share the edits, the sets and the sliders by editor; an interrupted
run continues after the finished shards.
"""

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faces import checkpoints
from faces.classifier import Ensemble
from faces.core import ranks
from faces.core.console import say, stop
from faces.core.files import new_folder, open_npy, write_csv, write_json
from faces.core.params import Group, load
from faces.data.annotations import SPLITS
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.edits.detail import Detail, keep_detail
from faces.edits.directions import Directions
from faces.flow.editor import FlowEditor
from faces.metrics.changes import Changes
from faces.nn.device import pick_device, side_by_side
from faces.priors import Priors
from faces.scoring import samples
from faces.scoring.context import KINDS, Codec
from faces.scoring.counterfactuals import labels_for
from faces.scoring.editors import ScoredEditor, SigmaEditor, SwitchEditor
from faces.scoring.served import Served
from faces.witnesses import sliders, testimony, weights
from faces.witnesses.measures import MEASURES
from faces.witnesses.scale import Scale, scale_rows
from faces.witnesses.testimony import Edit
from faces.witnesses.witness import Witness

COLUMNS = {
    "edits": ("estimator", "kind", "attribute"),
    "agreement": ("measure", "attribute", "where"),
    "sets": ("set", "faces"),
    "roc": ("false_accept", "true_accept"),
}


SLIDER_FACES = 100  # test faces whose measured sliders are moved


class Settings(Group):
    """The group `witness`."""

    enabled: bool
    weights: str
    editors: Annotated[tuple[str, ...], Field(min_length=1)]
    faces: Annotated[int, Field(ge=8)]
    resamples: Annotated[int, Field(ge=2)]


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    witness: Settings
    detail: Detail
    batch: int = Field(alias="score.batch")
    groups: int = Field(alias="score.groups")


class Subject(NamedTuple):
    """The model under test, its faces and its editors."""

    codec: Codec
    crops: Crops
    codes: np.ndarray  # (N, D)
    editors: dict[str, ScoredEditor]
    detail: Detail


def editors_of(
    names: tuple[str, ...], vectors: Path, flow: Path, device: torch.device
) -> dict[str, ScoredEditor]:
    """The editors by name: `flow`, or an estimator of directions."""
    return {
        name: SwitchEditor(FlowEditor.open(flow, device), ())
        if name == "flow"
        else SigmaEditor(Directions.open(vectors, name), ())
        for name in names
    }


def edits_seen(
    subject: Subject, witness: Witness, levels: pd.DataFrame, changes: Changes, work: Path
) -> list[Edit]:
    """Every edit at its compared strength, before and after, on the faces on which it was scored; by way of
    shards in `work`.
    """
    if levels.empty:
        return []
    crops = subject.crops
    codes = subject.codes
    rows = np.unique(np.concatenate([np.zeros(0, int), *(found for found, _ in changes.edits.values())]))
    if len(rows) == 0:  # no edit reaches the level at which they are compared
        return []
    start = {"plain": subject.codec.decode(codes[rows]), "detail": subject.codec.pictures(crops.images[rows])}
    frames = {kind: witness.frames(images) for kind, images in start.items()}
    before = {kind: seen(witness, start[kind], frames[kind]) for kind in KINDS}

    def see(row: NamedTuple) -> dict[str, np.ndarray]:
        edited, change = changes.edits[0, row.estimator, row.kind, row.attribute]
        places = np.searchsorted(rows, edited)
        editor = subject.editors[row.estimator]
        labels = labels_for(editor, crops, edited)
        side = -labels[:, editor.attributes.index(row.attribute)]
        images = subject.codec.decode(editor.edited(codes[edited], labels, row.attribute, row.strength))
        if row.kind == "detail":
            images = keep_detail(start["detail"][places], start["plain"][places], images, subject.detail)
        measures, identities = seen(witness, images, frames[row.kind][places])
        return {
            "places": places,
            "side": side,
            "change": change[:, changes.attributes.index(row.attribute)] * side,
            "measures": measures,
            "identities": identities,
        }

    edits = list(levels.itertuples())
    shards = ranks.dealt_jobs("witness edits", "edits", work, edits, see, side_by_side(subject.codec.device))
    return [
        Edit(
            row.estimator,
            row.kind,
            row.attribute,
            rows[found["places"]],
            found["side"],
            found["change"],
            tuple(values[found["places"]] for values in before[row.kind]),
            (found["measures"], found["identities"]),
        )
        for row, found in zip(edits, shards, strict=True)
    ]


def seen(witness: Witness, images: Tensor, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measures (n, 9) and identities (n, 128)."""
    return witness.read(images, frames), witness.features(images, frames)


def evidence_of(ensemble: Ensemble, images: Tensor, batch: int) -> np.ndarray:
    """(n, A) what the first classifier reads."""
    return np.concatenate([ensemble.predict(0, some)[0] for some in images.split(batch)])


def scale_of(witness: Witness, codec: Codec, crops: Crops, count: int, seed: int) -> Scale:
    """The scale of identity, from valid faces; of an exam, which has none and is not served, from its test
    faces. Raises WitnessError.
    """
    valid = np.flatnonzero(crops.splits == SPLITS.index("valid"))
    rows = scale_rows(valid if len(valid) else crops.rows("test"), count, seed)
    found = witness.identities(codec.pictures(crops.images[rows]))
    return Scale.of(found, crops.column("identity").to_numpy()[rows])


class Testimony(NamedTuple):
    """What the witness said: witness.json, the rows of the tables, and where its shards are."""

    about: dict[str, object]
    tables: dict[str, list[dict[str, float | str | int]]]
    work: Path | None


def asked(
    params: Params,
    crops_folder: Path,
    model_folder: Path,
    latents: Path,
    prior: Path,
    vectors: Path,
    flow: Path,
    classifier: Path,
    scores: Path,
    measures_folder: Path,
) -> Testimony:
    """All that the witness says; nothing to ranks other than 0. Raises ValueError where an input or the
    weights are missing.
    """
    settings = params.witness
    home = Path(settings.weights) if settings.weights else weights.home()
    device = pick_device()
    crops = Crops.open(crops_folder)
    measures = Measures.open(measures_folder, len(crops.labels))
    labelled = bool(measures.scales)
    witness = Witness.open(home, device, params.batch, labelled)
    model = checkpoints.load(model_folder)[0].to(device, memory_format=torch.channels_last)
    codec = Codec(model, device, params.batch)
    codes = open_npy(latents / "latents.npy")
    editors = editors_of(settings.editors, vectors, flow, device)
    ensemble = Ensemble.open(classifier).to(device)
    changes = Changes.open(scores / "changes.npz")
    levels = testimony.compared_strengths(pd.read_csv(scores / "levels.csv"), changes, settings.editors)

    rng = np.random.default_rng(params.seed)
    rows = np.sort(rng.permutation(crops.rows("test"))[: settings.faces])
    people = crops.column("identity").to_numpy()[rows]
    real = codec.pictures(crops.images[rows])
    measured, identities = seen(witness, real, witness.frames(real))
    scale = scale_of(witness, codec, crops, settings.faces, params.seed)
    told, curve = testimony.recognition(identities, people, scale, settings.resamples, rng)
    deviations = testimony.deviations_of(measured)
    train = crops.rows("train")
    sets = samples.sets(codec, crops.images, codes, train, rows, Priors.open(prior, device), params.seed)
    digest = weights.digest(home, Witness.networks(labelled))
    folders = (crops_folder, model_folder, latents, prior, vectors, flow, classifier, scores, measures_folder)
    # an exam may have no flow
    work = ranks.unfinished([params.model_dump(), digest], filter(Path.is_dir, folders))
    few = rows[:: -(-len(rows) // SLIDER_FACES)]

    def move(name: str) -> dict[str, np.ndarray]:
        editor = served_editor(name, vectors, flow, device)
        faces = np.asarray(codes[few])
        found = sliders.slider_rows(name, editor, faces, codec.decode, witness, measures.scales)
        return {"lines": ranks.as_text(list(found))}

    with ranks.joined(device):
        subject = Subject(codec, crops, codes, editors, params.detail)
        edits = edits_seen(subject, witness, levels, changes, work / "edits")
        compared = testimony.set_rows(witness, sets, identities, scale, params.groups, work / "sets")
        moved = []
        if labelled:
            names = list(settings.editors)
            shards = ranks.dealt_jobs("witness sliders", "editors", work / "sliders", names, move)
            moved = [row for found in shards for row in ranks.from_text(found["lines"])]
    if ranks.rank() > 0:
        return Testimony({}, {}, work)
    evidence = evidence_of(ensemble, real, params.batch)
    agreement = testimony.agreement_rows(
        measured, evidence, ensemble.attributes, edits, settings.resamples, rng
    )
    about = {
        "package": f"@vladmandic/face-api {weights.VERSION}",
        "sha256": digest,
        "faces": len(rows),
        "identity": {
            "unit": scale.unit,
            "threshold": scale.threshold,
            **told,
        },
        "deviations": dict(zip(MEASURES, deviations.tolist(), strict=True)),
    }
    tables = {
        "edits": [testimony.edit_row(edit, scale, deviations) for edit in edits],
        "agreement": list(agreement),
        "sets": compared,
        "roc": [{"false_accept": false, "true_accept": true} for false, true in curve.tolist()],
    }
    if labelled:
        seen_labels = sliders.judged(witness, real, witness.frames(real))
        tables["sliders"] = [
            *sliders.agreement_with_labels(measures.labels[rows], seen_labels, measures.scales),
            *moved,
        ]
    return Testimony(about, tables, work)


def served_editor(name: str, vectors: Path, flow: Path, device: torch.device) -> Served:
    """The sliders as they are served, along the flow or the directions of an estimator."""
    directions = None if name == "flow" else Directions.open(vectors, name)
    return Served(FlowEditor.open(flow, device), directions)


def run(params: Params, *folders: Path) -> None:
    """The stage with these params; folders in the order of dvc.yaml, the last is written. Raises ValueError
    where an input or the weights are missing.
    """
    *inputs, out = folders
    enabled = params.witness.enabled
    found = asked(params, *inputs) if enabled else Testimony({}, {}, None)
    if ranks.rank() > 0:
        return
    if not enabled:
        say("witness: off (witness.enabled); its figures are left out")
    elif "reason" in found.about["identity"]:
        say(f"witness: how well people are told apart is not known: {found.about['identity']['reason']}")
    with new_folder(out) as folder:
        write_json(folder / "witness.json", {"enabled": enabled, **found.about})
        for name, columns in COLUMNS.items():
            rows = found.tables.get(name)
            write_csv(folder / f"{name}.csv", pd.DataFrame(rows or [], columns=None if rows else columns))
        if "sliders" in found.tables:
            write_csv(folder / "sliders.csv", pd.DataFrame(found.tables["sliders"]))
    if found.work is not None:
        ranks.discard(found.work)


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.witness")
    main(*map(Path, sys.argv[1:]))
