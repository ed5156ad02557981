"""The stage: off it says so and reads nothing; on, with weights of known answers, it fills its tables."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from faces import checkpoints, models
from faces.core.params import parse, pick
from faces.data.crops import read_geometry
from faces.evaluation import summary
from faces.ingest import writer
from faces.metrics.changes import Changes
from faces.witnesses.measures import MEASURES
from stages import classifier, encode, flow, prior, vectors, witness
from tests.helpers import face_api, measures
from tests.helpers.checkouts import SMALL
from tests.helpers.dotted import changed

NAMES = ("Smiling", "Eyeglasses")


@pytest.fixture
def of(params, tmp_path):
    """Params of a stage for a run of seconds, with the witness on."""
    values = changed(params, SMALL)
    values["witness"] |= {"enabled": True, "weights": str(tmp_path / "weights"), "faces": 12, "resamples": 10}
    values["flow"]["steps"] = 2

    def read(stage, **changes):
        values["witness"] |= changes
        return parse(stage.Params, pick(stage.Params, values))

    return read


@pytest.fixture
def folders(tmp_path, monkeypatch, rng, of, params):
    """What the stages before it leave, on 40 small faces; edits of four of them, at strength 1."""
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    names = ("crops", "model", "latents", "prior", "vectors", "flow", "classifier", "scores")
    names += ("measures", "witness")
    place = {name: tmp_path / name for name in names}
    for name in ("crops", "model", "scores"):
        place[name].mkdir()
    measures.none(place["measures"])
    table = pd.DataFrame({"name": [f"{i}.jpg" for i in range(40)], "identity": np.arange(40) // 2})
    table["split"] = ["train"] * 20 + ["valid"] * 4 + ["test"] * 16
    for name in NAMES:
        table[name] = np.resize([1, -1], 40)
    writer.write_labels(place["crops"] / "table.parquet", table)
    np.save(place["crops"] / "images.npy", rng.integers(0, 255, (40, 32, 32, 3), np.uint8))
    (place["crops"] / "geometry.json").write_text('{"box": "square", "size": 32, "filter": "lanczos"}')
    values = json.loads(json.dumps(params))["models"]
    values["vae"] |= {"code_length": 16, "width": 4, "linear_in": 16, "linear_out": 16}
    config = models.config("vae", values)
    torch.manual_seed(0)
    geometry = read_geometry(place["crops"] / "geometry.json")
    checkpoints.save(place["model"], "vae", config, geometry, models.find("vae").Model(config, 32))
    crops, model, latents = (place[name] for name in ("crops", "model", "latents"))
    encode.run(of(encode), crops, model, latents)
    vectors.run(of(vectors), crops, latents, crops / "table.parquet", place["measures"], place["vectors"])
    flow.run(of(flow), crops, model, latents, place["measures"], place["flow"])
    prior.run(of(prior), crops, model, latents, place["flow"], place["prior"])
    classifier.run(of(classifier), crops, place["classifier"])
    keys = [
        (0, editor, kind, name)
        for editor in ("partial", "flow")
        for kind in ("plain", "detail")
        for name in NAMES
    ]
    rows = np.array([25, 28, 31, 36])
    Changes(NAMES, {key: (rows, rng.normal(size=(4, 2))) for key in keys}).save(
        place["scores"] / "changes.npz"
    )
    levels = pd.DataFrame(keys, columns=["classifier", "estimator", "kind", "attribute"])
    levels.assign(level=0.9, strength=1.0).to_csv(place["scores"] / "levels.csv", index=False)
    face_api.package(tmp_path / "weights")
    return place


def tables(folder):
    return {name: pd.read_csv(folder / f"{name}.csv") for name in ("edits", "agreement", "sets")}


def test_off_it_says_so_and_reads_nothing(tmp_path, of):
    """Not one input exists."""
    nowhere = [tmp_path / name for name in "abcdefghi"]
    witness.run(of(witness, enabled=False, weights=""), *nowhere, tmp_path / "witness")
    assert json.loads((tmp_path / "witness/witness.json").read_text()) == {"enabled": False}
    assert all(found.empty for found in tables(tmp_path / "witness").values())


def test_without_weights_it_says_what_fetches_them(folders, of):
    (folders["crops"].parent / "weights/face_recognition_model.bin").unlink()
    with pytest.raises(
        ValueError, match=r"face_recognition_model\.bin is missing; `python -m ops\.witnesses`"
    ):
        witness.run(of(witness), *folders.values())


def test_every_edit_and_set_is_seen(folders, of):
    """The synthetic identity is the mean colour of the frame, so it tells near from far as colours do."""
    witness.run(of(witness), *folders.values())
    about = json.loads((folders["witness"] / "witness.json").read_text())
    assert about["enabled"] and len(about["sha256"]) == 64 and about["faces"] == 12
    assert 0 < about["identity"]["threshold"] < about["identity"]["unit"]
    assert about["identity"]["pairs"] >= 1 and "reason" not in about["identity"]
    roc = pd.read_csv(folders["witness"] / "roc.csv")
    assert roc["true_accept"].is_monotonic_increasing and roc.iloc[-1].tolist() == [1, 1]
    found = tables(folders["witness"])
    assert len(found["edits"]) == 8 and (found["edits"]["faces"] == 4).all()
    assert set(MEASURES) <= set(found["edits"])
    assert found["edits"]["same_person"].between(0, 1).all()
    assert {"train_faces", "reconstruction", "gaussian"} <= set(found["sets"]["set"])
    metrics = summary.witness(about, **found)
    assert metrics["edits"]["flow"]["plain"]["attributes"] == 2
    assert metrics["identity"]["auroc"] == pytest.approx(about["identity"]["auroc"], abs=1e-4)
    assert metrics["sets"]["reconstruction"]["kernel_identity"] == pytest.approx(
        float(found["sets"].set_index("set").loc["reconstruction", "kernel_identity"]), abs=1e-4
    )


def test_the_scale_of_identity_never_comes_from_test_faces(folders, of):
    """Other test faces change what is said of them, not the threshold; of other valid faces it is another."""
    images = np.load(folders["crops"] / "images.npy")
    splits = pd.read_parquet(folders["crops"] / "table.parquet")["split"].to_numpy()
    found = {}
    for split in ("none", "test", "valid"):
        changed = images.copy()
        changed[splits == split] = 255 - changed[splits == split] // 2
        np.save(folders["crops"] / "images.npy", changed)
        witness.run(of(witness), *folders.values())
        found[split] = json.loads((folders["witness"] / "witness.json").read_text())["identity"]
    assert found["test"]["threshold"] == found["none"]["threshold"] != found["valid"]["threshold"]
    assert found["test"]["auroc"] != found["none"]["auroc"]


def test_without_known_people_it_says_why(folders, of, capsys):
    path = folders["crops"] / "table.parquet"
    table = pd.read_parquet(path)
    writer.write_labels(path, table.assign(identity=-1))
    witness.run(of(witness), *folders.values())
    about = json.loads((folders["witness"] / "witness.json").read_text())
    assert "no two of the faces are known to be of one person" in about["identity"]["reason"]
    assert "people are told apart is not known" in "".join(capsys.readouterr())
    assert pd.read_csv(folders["witness"] / "roc.csv").empty
    metrics = summary.witness(about, **tables(folders["witness"]))["identity"]
    assert metrics["auroc"] is None and metrics["pairs"] == 0 and "reason" not in metrics


def test_where_no_edit_reaches_the_level_the_sets_are_seen_all_the_same(folders, of):
    levels = pd.read_csv(folders["scores"] / "levels.csv")
    levels.assign(strength=np.nan).to_csv(folders["scores"] / "levels.csv", index=False)
    Changes(NAMES, {}).save(folders["scores"] / "changes.npz")
    witness.run(of(witness), *folders.values())
    found = tables(folders["witness"])
    assert found["edits"].empty and {"reconstruction", "gaussian"} <= set(found["sets"]["set"])
    about = json.loads((folders["witness"] / "witness.json").read_text())
    assert summary.witness(about, **found)["edits"] == {}


def test_the_same_params_give_the_same_bytes(folders, of):
    written = []
    for _ in range(2):
        witness.run(of(witness), *folders.values())
        written.append({path.name: path.read_bytes() for path in folders["witness"].iterdir()})
    assert written[0] == written[1]
