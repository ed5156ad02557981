"""Stages that processes share: two of them leave what one leaves, to the byte but for the classifier, whose
sums of gradients are rounded otherwise. So do two of which one dies, when they are started again.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.numpy import load_file

from faces import checkpoints, models
from faces.core.params import load
from faces.data.crops import read_geometry
from faces.ingest import writer
from faces.metrics.changes import Changes
from ops.params_file import set_params
from stages import classifier, crop, encode, flow, prior, vectors
from tests.helpers import dealt_stages, face_api, measures
from tests.helpers.checkouts import SMALL
from tests.helpers.processes import TWO, finish, start
from tests.helpers.training import bytes_of
from tests.stages.test_crop import write_raw

pytestmark = pytest.mark.story
CHANGES = SMALL | {
    "crop.size": 32,
    "imagine.faces": 90,
    "imagine.batch": 16,
    "imagine.extremes": 0.1,
    "guarantee.level": 0.05,  # so low, and strengths so high, that an untrained model's edits reach it
    "guarantee.excess": 0.99,
    "guarantee.strengths": [10.0, 300.0],
    "score.strengths": [2.0, 8.0, 500.0],
    "witness.enabled": True,
    "witness.weights": "weights",
    "witness.faces": 12,
    "witness.resamples": 10,
    "witness.editors": ["partial"],
}
FACES = 150  # 50 of them valid: enough to say what is unusual


def add_attribute(labels: Path) -> None:
    """A second label, so that two can be flipped at once."""
    table = pd.read_parquet(labels)
    writer.write_labels(labels, table.assign(Round=1 - 2 * (table.index // 6 % 2)))


def write_counterfactuals(crops: Path, rng: np.random.Generator) -> None:
    """Of each test face a picture with each label flipped, a second that is as true, and one with both."""
    table = pd.read_parquet(crops / "table.parquet")
    columns = ("of", "attribute", "value", "variant", "form", "second", "second_value")
    lines = []
    for face in table[table["split"] == "test"].itertuples():
        for variant, form in enumerate(("wide", "thin")):
            lines.append((face.name, "Smiling", -face.Smiling, variant, form, "", 0))
            lines.append((face.name, "Round", -face.Round, variant, form, "", 0))
        lines.append((face.name, "Smiling", -face.Smiling, 0, "wide", "Round", -face.Round))
    lines.sort(key=lambda line: line[3])  # variants follow behind all pairs
    found = pd.DataFrame(lines, columns=columns)
    found.insert(0, "name", [f"truth_{place}.jpg" for place in range(len(found))])
    found.to_csv(crops / "counterfactuals.csv", index=False)
    np.save(crops / "counterfactuals.npy", rng.integers(0, 256, (len(found), 32, 32, 3), dtype=np.uint8))


def reach_the_level(scores: Path, rng: np.random.Generator) -> None:
    """An untrained model's edits flip nothing: say that all did, on four faces, so that there is much to look
    at.
    """
    levels = pd.read_csv(scores / "levels.csv").assign(strength=1.0)
    levels.to_csv(scores / "levels.csv", index=False)
    keys = levels[["classifier", "estimator", "kind", "attribute"]].drop_duplicates()
    rows = np.array([5, 11, 17, 23])
    edits = {key: (rows, rng.normal(size=(4, 2))) for key in keys.itertuples(index=False, name=None)}
    Changes(("Smiling", "Round"), edits).save(scores / "changes.npz")


def test_two_processes_leave_what_one_leaves(tmp_path, monkeypatch, params, rng):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    set_params(tmp_path / "params.yaml", CHANGES)
    data = tmp_path / "data"
    data.mkdir()
    coarse = rng.integers(0, 256, (FACES, 7, 6, 3), dtype=np.uint8)
    coarse[::2, 4:] //= 3  # what Smiling looks like
    pictures = [writer.encode_jpeg(Image.fromarray(face).resize((178, 218)), 90) for face in coarse]
    write_raw(
        data / "raw", {f"{n}.jpg": one for n, one in enumerate(pictures)}, [f"{n}.jpg" for n in range(FACES)]
    )
    add_attribute(data / "raw/labels.parquet")
    crop.run(load(crop.Params), data / "raw", data / "crops")
    write_counterfactuals(data / "crops", rng)
    config = models.config("vae", yaml.safe_load((tmp_path / "params.yaml").read_text())["models"])
    torch.manual_seed(0)
    model = models.find("vae").Model(config, 32)
    (data / "model").mkdir()
    checkpoints.save(data / "model", "vae", config, read_geometry(data / "crops/geometry.json"), model)
    encode.run(load(encode.Params), data / "crops", data / "model", data / "latents")
    classifier.run(load(classifier.Params), data / "crops", data / "classifier")
    table = data / "crops/table.parquet"
    measured = measures.none(data / "measures")
    vectors.run(load(vectors.Params), data / "crops", data / "latents", table, measured, data / "vectors")
    flow.run(load(flow.Params), data / "crops", data / "model", data / "latents", measured, data / "flow")
    inputs = (data / "crops", data / "model", data / "latents", data / "flow")
    prior.run(load(prior.Params), *inputs, data / "prior")
    face_api.package(tmp_path / "weights")
    pd.DataFrame({"images": [1, 2], "valid_psnr": 9.0}).to_csv(data / "model/history.csv", index=False)
    dealt_stages.main(data, tmp_path / "one", "scores")
    shutil.copytree(tmp_path / "one/scores", data / "scores")
    reach_the_level(data / "scores", rng)
    others = (
        "crops",
        "latents",
        "classifier",
        "imagined",
        "vectors",
        "prior",
        "guarantee",
        "witness",
        "plots",
    )
    dealt_stages.main(data, tmp_path / "one", *others)
    said = finish(start(tmp_path, TWO, ["-m", "tests.helpers.dealt_stages", "data", "two"]))
    assert said.count(f"{FACES} faces in") == 1, "rank 0 alone talks"
    assert (tmp_path / "one/metrics.json").read_bytes() == (tmp_path / "two/metrics.json").read_bytes()
    for stage in {"scores", *others} - {"classifier"}:
        one = bytes_of(tmp_path / "one" / stage)
        assert one == bytes_of(tmp_path / "two" / stage), stage
        assert len(one) >= 2
    for table in ("levels", "counterfactuals", "joint", "modes", "priors"):
        assert len(pd.read_csv(tmp_path / f"one/scores/{table}.csv")) > 1, f"{table}.csv is scored"
    for table in ("guarantee/ranges", "guarantee/refusals", "witness/edits", "witness/sets", "plots/carried"):
        assert len(pd.read_csv(tmp_path / f"one/{table}.csv")) > 1, f"{table}.csv has rows"
    one, two = (load_file(tmp_path / run / "classifier/classifier.safetensors") for run in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weights in one.items():
        apart = np.linalg.norm(two[name].astype(float) - weights)
        assert apart <= 3e-2 * np.linalg.norm(weights), f"{name} (measured: 1.2e-2 at most)"
    assert not list(tmp_path.glob(".ckpt/*"))
    for stage in ("imagined", "vectors", "scores", "guarantee", "plots"):
        lose_one(tmp_path, stage)


def lose_one(place: Path, stage: str) -> None:
    """One of two processes is killed while it writes its second shard: the run ends with one line that says
    so, and continues from the shards to the bytes of a single process.
    """
    command = ["-m", "tests.helpers.dealt_stages", "data", "lost", stage]
    launched = {"FACES_LAUNCH": " ".join(TWO)}
    run = start(place, [sys.executable], command, FACES_TEST_DIES="1", **launched)
    said, _ = run.communicate(timeout=900)
    assert run.returncode == 1
    assert said.splitlines()[-1].startswith(
        "error: tests.helpers.dealt_stages: a process ended before its work was done"
    )
    assert not (place / "lost" / stage).exists()
    assert list(place.glob(".ckpt/**/*.npz"))
    said = finish(start(place, [sys.executable], command, **launched))
    assert ": continuing, " in said
    assert bytes_of(place / "lost" / stage) == bytes_of(place / "one" / stage)
    assert not list(place.glob(".ckpt/*"))
