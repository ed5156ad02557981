"""The exam: frozen test faces and classifier on which champion and challenger are both scored, by the same
code.

    python -m ops.retrain.exam build CROPS CLASSIFIER TRAIN_FACES OUT   copy what the exam needs
    python -m ops.retrain.exam score EXAM MODEL VECTORS FLOW PRIMARY OUT   figures of one model, as JSON

An exam is a folder: crops/ with all test faces (and counterfactuals) and some train faces, from which only
priors and label correlations are read, classifier/, and scored/ with the figures that were found on it, which
are read again where model, code and params are the same. Figures come from the stages `encode`, `prior`,
`score` and `evaluate` run on it, and `witness` where it is on, with the params of the working directory.
`edits` holds the editor that is served alone, under the name "primary", and so does what the witness says of
edits: FLOW, or where that is "-" straight lines along the estimator PRIMARY. AUROC is PRIMARY's in any case.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import facemorph
import stages.score
from faces.core.console import say, stop
from faces.core.files import fingerprint, new_folder, read_json, write_json
from faces.core.params import FILE, Group, parse, pick, read
from faces.data.annotations import TABLE
from faces.data.crops import Crops, read_geometry
from faces.edits.directions import Directions
from faces.ingest.writer import write_labels
from faces.metrics.auroc import auroc
from ops.retrain.gates import COSTS
from stages import encode, evaluate, measure, prior, witness

OWN = (
    "valid",
    "auroc",
    "auroc_by_estimator",
    "classifier",
)  # groups of metrics.json that speak of the model's own data
GROUPS = (
    encode.Params,
    prior.Params,
    stages.score.Params,
    measure.Params,
    witness.Params,
    evaluate.Params,
)  # the params that figures depend on


def build(crops_folder: Path, classifier: Path, train_faces: int, out: Path) -> None:
    """Write the exam. Train faces are the first by name, up to `train_faces`."""
    crops = Crops.open(crops_folder)
    train = crops.rows("train")
    train = train[np.argsort(crops.column("name").to_numpy(str)[train], kind="stable")[:train_faces]]
    rows = np.sort(np.concatenate([train, crops.rows("test")]))
    with new_folder(out) as folder:
        (folder / "crops").mkdir()
        images = np.lib.format.open_memmap(
            folder / "crops/images.npy", "w+", np.uint8, (len(rows), *crops.images.shape[1:])
        )
        for place, row in enumerate(rows):
            images[place] = crops.images[row]
        images.flush()
        write_labels(folder / "crops" / TABLE, crops.columns().iloc[rows].reset_index(drop=True))
        for path in (crops_folder / "geometry.json", *sorted(crops_folder.glob("counterfactuals.*"))):
            shutil.copyfile(path, folder / "crops" / path.name)
        shutil.copytree(classifier, folder / "classifier")


def settings(primary: str, editor: str) -> dict[str, Any]:
    """The values of params.yaml, with `primary` as the one estimator, and `editor` seen by the witness."""
    values = read(Path(FILE))
    values["vectors"] |= {"primary": primary, "estimators": [primary]}
    values["score"] |= {"estimators": [primary], "decoded_alone": []}
    values["witness"] |= {"editors": [editor]}
    values["measure"] |= {"enabled": False}  # measured labels are of the model's own data
    values["prior"]["diffusion"] = (
        0  # no gate goes by it, and an exam has no valid faces to stop its training
    )
    return values


def remembered(exam: Path, model: Path, vectors: Path, flow: Path | None, primary: str) -> dict[str, Any]:
    """What `score` finds, or found before: figures are kept by a fingerprint of all that they depend on."""
    values = settings(primary, primary if flow is None else "flow")
    places = [exam / "crops", exam / "classifier", model, vectors, *([flow] if flow else [])]
    files = sorted(path for place in places for path in place.rglob("*") if path.is_file())
    code = [Path(__file__), Path("requirements.txt"), *sorted(Path(facemorph.__file__).parent.glob("*.py"))]
    key = fingerprint([pick(group, values) for group in GROUPS], [*files, *filter(Path.is_file, code)])
    kept = exam / "scored" / f"{key}.json"
    if kept.is_file():
        say(f"exam: {model} has sat it before, by this code and these params")
        return read_json(kept)
    found = score(exam, model, vectors, flow, primary)
    kept.parent.mkdir(exist_ok=True)
    write_json(kept, found)
    return found


def score(exam: Path, model: Path, vectors: Path, flow: Path | None, primary: str) -> dict[str, Any]:
    """The figures of one model, edited by its `flow`, or along its directions of the estimator `primary`."""
    crops = exam / "crops"
    classifier = exam / "classifier"
    own = read_json(model / "model.json")["geometry"]
    ours = read_geometry(crops / "geometry.json").model_dump(mode="json")
    if own != ours:
        raise ValueError(
            f"the model's faces are cut as {own}, the exam's as {ours}; start a new exam with --new-exam"
        )
    editor = primary if flow is None else "flow"
    values = settings(primary, editor)

    def params(group: type[Group]) -> Group:
        return parse(group, pick(group, values))

    with tempfile.TemporaryDirectory(prefix="exam-") as folder:
        place = Path(folder)
        latents = place / "latents"
        scores = place / "scores"
        metrics_file = place / "metrics.json"
        encode.run(params(encode.Params), crops, model, latents)
        prior.run(params(prior.Params), crops, model, latents, flow, place / "prior")
        stages.score.run(
            params(stages.score.Params),
            *(crops, model, latents, place / "prior", vectors, flow, classifier, scores),
        )
        if values["witness"]["enabled"]:
            measure.run(params(measure.Params), crops, place / "measures")
            trained = (crops, model, latents, place / "prior", vectors, flow or place / "no_flow")
            inputs = (*trained, classifier, scores, place / "measures")
            witness.run(params(witness.Params), *inputs, place / "witness")
        seen = place / "witness" if values["witness"]["enabled"] else None
        evaluate.run(
            params(evaluate.Params),
            *(crops, model, latents, vectors, classifier, scores, None, seen, metrics_file, place / "plots"),
        )
        metrics = read_json(metrics_file)
        levels = pd.read_csv(place / "plots/levels.csv")
        codes = np.load(latents / "latents.npy", allow_pickle=False)
    found = {group: values for group, values in metrics.items() if group not in OWN}
    found["edits"] = {"primary": metrics["edits"].get(editor, {})}
    if found["witness"]:
        found["witness"]["edits"] = {"primary": metrics["witness"]["edits"].get(editor, {})}
    found["edits_by_attribute"] = by_attribute(levels[levels["estimator"] == editor])
    return found | {"auroc": read_off(Crops.open(crops), codes, Directions.open(vectors, primary))}


def by_attribute(levels: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Costs of an editor's decoded edits by attribute, from levels.csv; the gates compare them on common
    attributes.
    """
    last = levels[(levels["level"] == levels["level"].max()) & (levels["classifier"] == 0)]
    last = last[(last["kind"] == "plain") & last["common"]]
    return {
        row["attribute"]: {name: round(float(row[name]), 4) for name in COSTS if np.isfinite(row[name])}
        for _, row in last.iterrows()
    }


def read_off(crops: Crops, codes: np.ndarray, directions: Directions) -> dict[str, float]:
    """AUROC of test codes projected on each direction, where the attribute has test faces on both sides; and
    their mean.

    codes (N, D) are those of all faces.
    """
    test = crops.rows("test")
    found: dict[str, float] = {}
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
            exam, model, vectors, flow, primary, out = arguments
            places = (Path(path).resolve() for path in (exam, model, vectors))
            found = remembered(*places, None if flow == "-" else Path(flow).resolve(), primary)
            write_json(Path(out), found)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*sys.argv[1:])
