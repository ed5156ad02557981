"""The exam: champion and challenger sit the same one, whatever they are made of."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from faces import checkpoints, models
from faces.core.params import parse, pick
from faces.data.crops import read_geometry
from faces.ingest import writer
from ops.retrain import exam
from stages import classifier, encode, evaluate, flow, vectors
from tests.helpers import face_api, measures
from tests.helpers.checkouts import SMALL
from tests.helpers.dotted import changed

pytestmark = pytest.mark.slow
NAMES = ("grins", "capped")
GEOMETRY = {"box": "square", "size": 32, "filter": "lanczos"}


@pytest.fixture
def place(tmp_path, monkeypatch, params, rng):
    """A folder with params.yaml, an exam of 12 test faces, and a way to make untrained models of any system:
    (values, exam, make).
    """
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    values = changed(params, SMALL | {"train.averaging": 0})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    crops = tmp_path / "crops"
    crops.mkdir()
    splits = ["train"] * 24 + ["valid"] * 4 + ["test"] * 12
    sides = np.resize([1, -1], 40)
    table = pd.DataFrame({"name": [f"{i}.jpg" for i in range(40)], "split": splits, "identity": -1})
    for name, column in zip(NAMES, (sides, np.roll(sides, 1)), strict=True):
        table[name] = column
    writer.write_labels(crops / "table.parquet", table)
    images = rng.integers(0, 120, (40, 32, 32, 3), np.uint8)
    images[sides > 0, 16:] += 120  # what the labels say can be seen
    np.save(crops / "images.npy", images)
    (crops / "geometry.json").write_text(json.dumps(GEOMETRY))

    def of(stage):
        return parse(stage.Params, pick(stage.Params, values))

    classifier.run(of(classifier), crops, tmp_path / "classifier")
    exam.build(crops, tmp_path / "classifier", 24, tmp_path / "exam")

    def make(name, system, **changes):
        config = models.config(system, values["models"]).model_copy(update=changes)
        torch.manual_seed(0)
        folder = tmp_path / name
        folder.mkdir()
        model = models.find(system).Model(config, 32)
        checkpoints.save(folder, system, config, read_geometry(crops / "geometry.json"), model)
        history = {"images": [1, 2], "train_loss": 1.0, "valid_loss": 1.0, "valid_psnr": 9.0}
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
        latents = tmp_path / f"{name} latents"
        encode.run(of(encode), crops, folder, latents)
        unmeasured = measures.none(tmp_path / f"{name} measures")
        vectors.run(
            of(vectors), crops, latents, crops / "table.parquet", unmeasured, tmp_path / f"{name} vectors"
        )
        return folder, tmp_path / f"{name} vectors", np.load(latents / "latents.npy").shape[1]

    return values, tmp_path / "exam", make


def test_another_system_and_another_code_length_sit_the_champions_exam(place):
    values, folder, make = place
    primary = values["vectors"]["primary"]
    found = {}
    lengths = {}
    for name, system, changes in (
        ("champion", "vae", {}),
        ("shorter", "vae", {"code_length": 8}),
        ("other", "beta_vae", {}),
    ):
        model, directions, lengths[name] = make(name, system, **changes)
        found[name] = exam.score(folder, model, directions, None, primary)
    assert lengths["champion"] == 16 and lengths["shorter"] == 8 and lengths["other"] not in (8, 16)
    for figures in found.values():
        assert figures["reconstruction"]["psnr"] > 0
        assert set(figures["auroc"]) == {"mean", *NAMES}
        assert set(figures["edits"]) == {"primary"}
    assert len({figures["reconstruction"]["psnr"] for figures in found.values()}) == 3


def test_a_model_sits_the_same_exam_once(place, tmp_path, monkeypatch):
    """Another model, params that count and other packages make it sit again; where the data lie does not."""
    values, folder, make = place
    primary = values["vectors"]["primary"]
    sat = []
    monkeypatch.setattr(exam, "score", lambda *given: sat.append(given[1].name) or {"sat": len(sat)})

    def figures(model, directions):
        exam.main("score", *map(str, (folder, model, directions)), "-", primary, str(tmp_path / "out.json"))
        return json.loads((tmp_path / "out.json").read_text())["sat"]

    first = make("champion", "vae")[:2]
    other = make("shorter", "vae", code_length=8)[:2]
    assert [figures(*first), figures(*first), figures(*other), figures(*first)] == [1, 1, 2, 1]
    values["sources"]["folder"]["path"] = "elsewhere"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    assert figures(*first) == 1
    values["score"]["samples"] += 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    assert figures(*first) == 3
    (tmp_path / "requirements.txt").write_text("torch==9\n")
    assert figures(*first) == 4
    assert sat == ["champion", "shorter", "champion", "champion"]


def test_the_edits_that_are_served_are_examined(place, tmp_path, monkeypatch):
    """A model whose flow edits sits the exam by the flow, under the same keys as one whose lines do.

    No edit of an untrained model reaches the level that is compared: each editor's figures get its name.
    """
    values, folder, make = place
    primary = values["vectors"]["primary"]
    model, directions, _ = make("champion", "vae")
    unmeasured = measures.none(tmp_path / "measures")
    params = parse(flow.Params, pick(flow.Params, values))
    inputs = (tmp_path / name for name in ("crops", "champion", "champion latents"))
    flow.run(params, *inputs, unmeasured, tmp_path / "flow")
    whole = evaluate.run

    def named(*inputs):
        whole(*inputs)
        metrics = json.loads(inputs[-2].read_text())
        for name, figures in metrics["edits"].items():
            figures["plain"]["editor"] = name
        inputs[-2].write_text(json.dumps(metrics))

    monkeypatch.setattr(evaluate, "run", named)
    lines = exam.score(folder, model, directions, None, primary)
    served = exam.score(folder, model, directions, tmp_path / "flow", primary)
    assert lines["edits"]["primary"]["plain"].pop("editor") == primary
    assert served["edits"]["primary"]["plain"].pop("editor") == "flow"
    assert served["generation"].pop("flow")["faces"] == 12, "it draws new faces too"
    assert served == lines


def test_the_witness_is_asked_where_it_is_on(place, tmp_path):
    """Its figures are of the exam's faces and of the primary editor, under the same keys for every model."""
    values, folder, make = place
    primary = values["vectors"]["primary"]
    model, directions, _ = make("champion", "vae")
    assert exam.score(folder, model, directions, None, primary)["witness"] == {}
    face_api.package(tmp_path / "weights")
    values["witness"] |= {"enabled": True, "weights": str(tmp_path / "weights"), "faces": 12, "resamples": 10}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    found = exam.score(folder, model, directions, None, primary)["witness"]
    assert set(found) == {"identity", "edits", "agreement", "sets"}
    assert set(found["edits"]) == {"primary"}
    assert found["sets"]["reconstruction"]["faces"] == 12
