"""Run the networks on reconstructions, edits and samples of test faces. All that is costly is here;
`evaluate` sums up.

in    data/crops/        images.npy, table.parquet, and counterfactuals where the source draws them
      data/model/        the trained model
      data/latents/      latents.npy
      data/prior/        the priors that new faces are drawn from
      data/vectors/      vectors.npz
      data/flow/         the flow of codes, an editor
      data/classifier/   the attribute classifiers
out   data/scores/       reconstruction.csv  per test face: PSNR, SSIM, MS-SSIM, and PSNR after further rounds
                         code.json           length of the code, units in use
                         curves.csv          per classifier, editor, kind, attribute and strength
                         levels.csv          the same where a share of the faces is flipped
                         changes.npz         at the last level: what each edit, and the truth, changed
                         counterfactuals.csv the same edits against the true pictures, pixel by pixel
                         joint.csv           edits of two attributes at once against the true pictures
                         modes.csv           which of several true forms edits are nearest to
                         truth_cosine.csv    each editor's displacement of the codes against the true one
                         identity.csv        marks of the scale of likeness, by classifier and attribute
                         priors.csv          reconstructions and samples against real faces
                         new_faces.npz       some faces of each of these sets
                         missing.csv         what could not be scored, and why

An edit adds an attribute to the faces without it and removes it from those with it, and takes with it what
cannot stay (faces/edits/exclusions.py). `plain` is the decoded edit, `detail` the original plus what the edit
changed, which is not scored for the editors of `score.decoded_alone`. A face counts where the classifier
reads it, before the edit, as its label says. Beside the estimators stands the `oracle`, the mean displacement
of true counterfactuals, where there are enough of them.

Several processes (faces/core/ranks.py) share the reconstructions, the edits, alone and against true pictures,
and the sets of priors.csv, which each of them draws; rank 0 does the rest. An interrupted run continues after
the finished shards.
"""

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from faces.core.params import Group, load, one_of
from faces.data.crops import Crops
from faces.edits.detail import Detail
from faces.edits.directions import Directions
from faces.flow.editor import FlowEditor
from faces.metrics.changes import Changes
from faces.nn import perceptual
from faces.nn.device import pick_device
from faces.nn.quality import active_units
from faces.priors import Priors
from faces.scoring import counterfactuals, edit_curves, inception, joint, samples
from faces.scoring.context import Codec, Context, FeatureNetwork, Sample, Scales, Score
from faces.scoring.counterfactuals import Counterfactuals, labels_for
from faces.scoring.editors import Oracle, ScoredEditor, SigmaEditor, SwitchEditor
from faces.scoring.identity import identity_scales
from faces.scoring.reconstruction import reconstruction


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    score: Score
    detail: Detail
    estimators: tuple[str, ...] = Field(alias="vectors.estimators")
    fit: int = Field(alias="prior.fit")


class Inputs(NamedTuple):
    """What was opened."""

    crops: Crops
    codes: np.ndarray  # (N, D)
    priors: Priors
    pairs: Counterfactuals | None
    directions: dict[str, Directions]
    flow: FlowEditor | None
    context: Context
    networks: dict[str, samples.Features]


def opened(
    params: Params,
    crops_folder: Path,
    weights: Path,
    latents: Path,
    prior: Path,
    vectors: Path,
    flow: Path | None,
    classifier: Path,
) -> Inputs:
    """Every input; without a `flow` none is scored. Raises ValueError where one is missing or
    does not fit.
    """
    device = pick_device()
    crops = Crops.open(crops_folder)
    model, _ = checkpoints.load(weights)
    names = [one_of("score.estimators", name, params.estimators) for name in params.score.estimators]
    score = params.score
    codec = Codec(model.to(device, memory_format=torch.channels_last), device, score.batch)
    features = {
        name: FeatureNetwork(perceptual.load(f"efficientnet_{name}", "", device), score.side, score.batch)
        for name in ("lite0", "lite1")
    }
    networks: dict[str, samples.Features] = dict(features)
    if score.inception:
        eye = inception.load(Path(score.inception), device)
        networks["inception"] = partial(inception.features, eye, batch=score.batch)
    return Inputs(
        crops,
        open_npy(latents / "latents.npy"),
        Priors.open(prior, device),
        Counterfactuals.open(crops_folder, crops.column("name")),
        {name: Directions.open(vectors, name) for name in names},
        None if flow is None else FlowEditor.open(flow, device),
        Context(score, params.detail, codec, Ensemble.open(classifier).to(device), features["lite1"]),
        networks,
    )


class Choice(NamedTuple):
    """Which test faces are looked at."""

    real: np.ndarray  # (n,) rows that sets of faces are held against
    edited: np.ndarray  # (F,) rows that are edited


def chosen_faces(params: Params, crops: Crops, rng: np.random.Generator) -> Choice:
    """Rows of the test split, drawn at random, in ascending order."""
    order = rng.permutation(crops.rows("test"))
    return Choice(np.sort(order[: params.score.samples]), np.sort(order[: params.score.faces]))


def editors_of(params: Params, inputs: Inputs, moved: np.ndarray | None) -> dict[str, ScoredEditor]:
    """Every editor that is scored, by name; moved (M, D) are the true displacements of the pairs' codes."""
    strengths = params.score.strengths
    found: dict[str, ScoredEditor] = {
        name: SigmaEditor(directions, strengths) for name, directions in inputs.directions.items()
    }
    if inputs.flow is not None:
        found["flow"] = SwitchEditor(inputs.flow, params.score.switches)
    if moved is not None:
        changes = counterfactuals.oracle_changes(inputs.context, inputs.pairs, moved)
        if changes:
            train = inputs.codes[inputs.crops.rows("train")[: params.fit]]
            found["oracle"] = Oracle.of(changes, train, strengths)
    return found


def edit_tables(
    inputs: Inputs,
    choice: Choice,
    editors: dict[str, ScoredEditor],
    real_features: np.ndarray,
    scales: Scales,
    work: Path,
) -> edit_curves.Scores:
    """Rows of curves.csv and levels.csv, and the edits of changes.npz; by way of shards in `work`."""
    crops = inputs.crops
    codes = inputs.codes
    context = inputs.context
    rows = choice.edited
    columns = [crops.attributes.index(name) for name in context.attributes]
    sample = Sample.of(context, rows, crops.images[rows], codes[rows], crops.labels[np.ix_(rows, columns)])
    labels = {name: labels_for(editor, crops, rows) for name, editor in editors.items()}
    real = {
        name: real_features[crops.labels[choice.real, column] == 1]
        for name, column in zip(context.attributes, columns, strict=True)
    }
    return edit_curves.score_editors(context, sample, scales, editors, labels, real, work)


def truth_tables(
    inputs: Inputs,
    editors: dict[str, ScoredEditor],
    levels: pd.DataFrame,
    moved: np.ndarray | None,
    work: Path,
) -> dict[str, pd.DataFrame]:
    """counterfactuals.csv, joint.csv, modes.csv and truth_cosine.csv; without rows where there is no
    truth. By way of shards in `work`.
    """
    crops = inputs.crops
    codes = inputs.codes
    pairs = inputs.pairs
    context = inputs.context
    if pairs is None:
        return {
            "counterfactuals": pd.DataFrame(columns=counterfactuals.COLUMNS),
            "joint": pd.DataFrame(columns=joint.COLUMNS),
            "modes": pd.DataFrame(columns=counterfactuals.MODES),
            "truth_cosine": pd.DataFrame(columns=counterfactuals.COSINES),
        }
    first = (levels["classifier"] == 0) & (levels["level"] == context.params.levels[-1])
    reached = levels[first & np.isfinite(levels["strength"].astype(float))]
    compared = (context, crops, pairs, codes, editors, reached)
    table, modes = counterfactuals.against_truth(*compared, work / "counterfactuals")
    return {
        "counterfactuals": table,
        "joint": joint.against_truth(*compared, work / "joint"),
        "modes": modes,
        "truth_cosine": counterfactuals.truth_cosines(pairs, moved, codes, editors, crops),
    }


def prior_table(
    params: Params, inputs: Inputs, choice: Choice, real: Tensor, scale: float, work: Path
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """priors.csv, and the faces of new_faces.npz; by way of shards in `work`."""
    crops = inputs.crops
    codes = inputs.codes
    context = inputs.context
    train = crops.rows("train")
    faces = samples.sets(context.codec, crops.images, codes, train, choice.real, inputs.priors, params.seed)
    fitted = np.random.default_rng(params.seed).permutation(train)[: params.fit]
    own = codes[choice.real]
    table = samples.score_priors(context, faces, real, own, codes[fitted], inputs.networks, scale, work)
    return table, samples.portraits(faces)


def missing(context: Context, tables: dict[str, pd.DataFrame], drawn: bool) -> pd.DataFrame:
    """missing.csv: group of metrics and reason, a row for each group that these tables cannot give.

    drawn: whether the source draws counterfactuals.
    """
    reasons = {}
    if not context.attributes:
        reasons["edits"] = "no attribute reaches classifier.min_auroc on the test split"
    elif tables["levels"].empty:
        reasons["edits"] = "no attribute has score.min_faces test faces that the classifier reads as labelled"
    if not drawn:
        reasons["counterfactual"] = "the data hold no true counterfactuals"
    elif tables["counterfactuals"].empty:
        reasons["counterfactual"] = "no true counterfactual is among the test faces"
    if not tables["priors"]["faces"].gt(0).any():
        reasons["generation"] = f"fewer than {samples.FEWEST} test faces, or than score.groups"
    return pd.DataFrame(reasons.items(), columns=["group", "reason"])


def run(
    params: Params,
    crops_folder: Path,
    weights: Path,
    latents: Path,
    prior: Path,
    vectors: Path,
    flow: Path | None,
    classifier: Path,
    out: Path,
) -> None:
    """The stage with these params; without a `flow` none is scored. Raises ValueError where an input is
    missing or does not fit.
    """
    inputs = opened(params, crops_folder, weights, latents, prior, vectors, flow, classifier)
    crops = inputs.crops
    codes = inputs.codes
    pairs = inputs.pairs
    context = inputs.context
    rng = np.random.default_rng(params.seed)
    torch.manual_seed(params.seed)
    choice = chosen_faces(params, crops, rng)
    real = context.codec.pictures(crops.images[choice.real])
    real_features = context.features(real)
    test = crops.rows("test")
    folders = [crops_folder, weights, latents, prior, vectors, *([] if flow is None else [flow]), classifier]
    work = ranks.unfinished(params.model_dump(), folders)
    identity, units = identity_scales(context, crops, pairs is not None, real, rng)
    scales = Scales.of(units, real_features)
    moved = None if pairs is None else counterfactuals.displacements(context.codec, pairs, codes)
    editors = editors_of(params, inputs, moved)
    with ranks.joined(context.codec.device):
        rounds = params.score.rounds
        rebuilt = reconstruction(context.codec, crops.images, codes, test, rounds, work / "reconstructions")
        scores = edit_tables(inputs, choice, editors, real_features, scales, work / "edits")
        levels = pd.DataFrame(scores.levels, columns=edit_curves.LEVELS)
        priors, portraits = prior_table(params, inputs, choice, real, scales.features, work / "priors")
        compared = truth_tables(inputs, editors, levels, moved, work)
    if ranks.rank() > 0:
        return
    truth = {} if pairs is None else counterfactuals.true_changes(context, crops, pairs)
    tables = {
        "reconstruction": rebuilt,
        "curves": pd.DataFrame(scores.curves, columns=edit_curves.CURVES),
        "levels": levels,
        "identity": identity,
        "priors": priors,
        **compared,
    }
    tables["missing"] = missing(context, tables, pairs is not None)
    for row in tables["missing"].itertuples():
        say(f"score: {row.group} not scored: {row.reason}")
    with new_folder(out) as folder:
        for name, table in tables.items():
            write_csv(folder / f"{name}.csv", table)
        write_json(
            folder / "code.json", {"length": codes.shape[1], "active_units": active_units(codes[test])}
        )
        Changes(context.attributes, scores.changes | truth).save(folder / "changes.npz")
        np.savez(folder / "new_faces.npz", **portraits)
    ranks.discard(work)


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.score")
    main(*map(Path, sys.argv[1:]))
