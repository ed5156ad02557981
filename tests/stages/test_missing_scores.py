"""Data on which nothing can be scored: stages go on, figures are null, and the reasons are written down."""

import json
import zipfile
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from facemorph.export import Export
from faces import checkpoints, models
from faces.core.params import parse, pick
from faces.data.crops import read_geometry
from faces.ingest import writer
from faces.nn import perceptual
from stages import classifier, encode, evaluate, export, flow, prior, score, vectors, witness
from tests.helpers import measures
from tests.helpers.checkouts import SMALL
from tests.helpers.dotted import changed

NAMES = ("grins", "capped")


@pytest.fixture
def project(tmp_path, monkeypatch, params, rng):
    """Metrics of `count` grey faces with labels of own names, the last `test` of them for testing."""
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    values = changed(params, SMALL | {"train.averaging": 0})

    def run(count, test, labels, **changes):
        for key, value in changes.items():
            group, name = key.split("__")
            values[group][name] = value
        folders = {name: tmp_path / name for name in ("crops", "model")}
        for folder in folders.values():
            folder.mkdir()
        splits = np.array(["train"] * (count - test - 4) + ["valid"] * 4 + ["test"] * test)
        table = pd.DataFrame({"name": [f"{i}.jpg" for i in range(count)], "split": splits, "identity": -1})
        for name, column in zip(NAMES, labels, strict=True):
            table[name] = column
        writer.write_labels(folders["crops"] / "table.parquet", table)
        np.save(folders["crops"] / "images.npy", rng.integers(0, 255, (count, 32, 32, 3), np.uint8))
        geometry = {"box": "square", "size": 32, "filter": "lanczos"}
        (folders["crops"] / "geometry.json").write_text(json.dumps(geometry))
        config = models.config("vae", values["models"])
        torch.manual_seed(0)
        model = models.find("vae").Model(config, 32)
        geometry = read_geometry(folders["crops"] / "geometry.json")
        checkpoints.save(folders["model"], "vae", config, geometry, model)
        history = {"images": [1, 2], "train_loss": 1.0, "valid_loss": 1.0, "valid_psnr": 9.0}
        pd.DataFrame(history).to_csv(folders["model"] / "history.csv", index=False)

        def of(stage):
            return parse(stage.Params, pick(stage.Params, values))

        crops, model, latents, directions, judges, scores = (
            tmp_path / name for name in ("crops", "model", "latents", "vectors", "classifier", "scores")
        )
        unmeasured = measures.none(tmp_path / "measures")
        encode.run(of(encode), crops, model, latents)
        prior.run(of(prior), crops, model, latents, None, tmp_path / "prior")
        vectors.run(of(vectors), crops, latents, crops / "table.parquet", unmeasured, directions)
        classifier.run(of(classifier), crops, judges)
        score.run(of(score), crops, model, latents, tmp_path / "prior", directions, None, judges, scores)
        inputs = (crops, model, latents, tmp_path / "prior", directions, tmp_path / "flow", judges, scores)
        witness.run(of(witness), *inputs, unmeasured, tmp_path / "witness")
        plots = tmp_path / "plots"
        evaluate.run(
            *(of(evaluate), crops, model, latents, directions, judges, scores, None, tmp_path / "witness"),
            *(tmp_path / "metrics.json", plots),
        )
        raw = tmp_path / "raw"
        raw.mkdir()
        source = {"source": "own", "licence": "ours", "redistributable": True, "counts": {"images": count}}
        (raw / "source.json").write_text(json.dumps(source))
        with zipfile.ZipFile(raw / "images.zip", "w") as archive:
            archive.writestr("0.jpg", writer.encode_jpeg(Image.new("RGB", (32, 32)), 90))
        flow.run(of(flow), crops, model, latents, unmeasured, tmp_path / "flow")
        made = export.run(
            of(export),
            crops,
            model,
            latents,
            directions,
            tmp_path / "flow",
            tmp_path / "prior",
            unmeasured,
            raw,
            tmp_path / "export",
        )
        opened = Export(tmp_path / "export")
        assert len(opened.names) == len(made["attributes"])
        opened.decode(opened.edit(opened.sample(1), dict.fromkeys(opened.names, 1.0))[None])
        metrics = json.loads((tmp_path / "metrics.json").read_text())
        return metrics, pd.read_csv(plots / "missing.csv").set_index("group")["reason"].to_dict()

    return run


def test_an_attribute_that_is_the_same_for_every_face(project):
    """No direction, no classifier of use: reconstruction and samples are measured all the same."""
    metrics, reasons = project(40, 12, [np.ones(40, int)] * 2)
    assert metrics["reconstruction"]["psnr"] > 0
    assert metrics["generation"]["gaussian"]["faces"] == 12
    assert metrics["witness"] == {}
    assert metrics["auroc"] == {"mean": None}
    edits = metrics["edits"]["partial"]["plain"]
    assert edits["attributes"] == 0 and edits["leakage"] is None and edits["error_reduction"] is None
    assert set(reasons) == {"edits", "counterfactual", "auroc"}
    assert "classifier.min_auroc" in reasons["edits"]


def test_fewer_faces_than_score_needs(project):
    """Attributes that can be read, on three test faces: no edit is scored, and no set is measured."""
    sides = np.resize([1, -1], 20)
    metrics, reasons = project(20, 3, [sides, sides], score__min_faces=5)
    assert metrics["edits"]["partial"]["detail"]["reached"] is None
    assert metrics["generation"] == {}
    assert metrics["auroc"]["mean"] is not None
    assert set(reasons) == {"edits", "counterfactual", "generation"}


def test_a_network_that_is_in_no_loss_judges_edits(project, monkeypatch):
    given = []
    real = score.Context
    monkeypatch.setattr(score, "Context", lambda *parts: given.append(parts) or real(*parts))
    sides = np.resize([1, -1], 20)
    project(20, 3, [sides, sides])
    assert isinstance(given[0][-1].network, perceptual.EfficientNetLite1)
    fields = [models.find(name).Config.model_fields.get("network") for name in models.names()]
    choices = {choice for field in fields if field for choice in get_args(field.annotation)}
    assert "efficientnet_lite0" in choices and "efficientnet_lite1" not in choices


def test_nine_pictures(project):
    """There is little to measure on, and still an export to edit with."""
    sides = np.resize([1, -1], 9)
    metrics, reasons = project(9, 1, [sides, sides])
    assert metrics["generation"] == {}
    assert "edits" in reasons
