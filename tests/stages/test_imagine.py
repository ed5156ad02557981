"""Imagined faces: what a classifier reads in decoded samples becomes labels of their codes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from faces import checkpoints, models
from faces.classifier import AttributeClassifier, Ensemble
from faces.core.params import parse
from faces.data.crops import read_geometry
from faces.ingest import writer
from faces.metrics.label_stats import extremes
from stages import imagine

SETTINGS = {"faces": 200, "extremes": 0.1, "batch": 64}


class Painter(nn.Module):
    """Number 2 of a code is the brightness of the face."""

    code_length = 4

    def __init__(self) -> None:
        super().__init__()
        self.brush = nn.Parameter(torch.full((1, 3, 8, 8), 0.1))

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> torch.Tensor:
        return temperature * torch.randn(count, 4, generator=generator)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes[:, 2, None, None, None] * self.brush


class Brightness(AttributeClassifier):
    """Reads brightness, `sign` times."""

    def __init__(self, sign: float) -> None:
        nn.Module.__init__(self)
        self.sign = sign

    def log_odds(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.sign * images.mean((1, 2, 3))[:, None], images.flatten(1)


def test_codes_are_labelled_by_what_the_last_classifier_reads_in_their_faces():
    ensemble = Ensemble((Brightness(-1.0), Brightness(1.0)), ("Bright",), (0,), np.ones((2, 1)))
    cut = [slice(0, 64), slice(64, 192), slice(192, 200)]
    shards = list(imagine.read(Painter(), ensemble, parse(imagine.Imagine, SETTINGS), 7, cut))
    codes, log_odds = (np.concatenate([shard[key] for shard in shards]) for key in ("codes", "log_odds"))
    np.testing.assert_allclose(log_odds[:, 0], 0.1 * codes[:, 2], rtol=1e-5)
    np.testing.assert_array_equal(
        codes[:64], Painter().sample(64, torch.Generator().manual_seed(7), 1.0).numpy()
    )
    (last,) = imagine.read(Painter(), ensemble, parse(imagine.Imagine, SETTINGS), 7, cut[2:])
    np.testing.assert_array_equal(last["codes"], codes[192:], "whoever made those before")
    labels = extremes(log_odds, 20)[:, 0]
    assert (codes[labels == 1, 2].min() >= np.sort(codes[:, 2])[-20]) and (
        codes[labels == -1, 2].max() <= np.sort(codes[:, 2])[19]
    )


@pytest.fixture
def project(tmp_path, monkeypatch, params):
    """A table of two attributes, a small model, and a classifier that reads only the second well enough."""
    monkeypatch.chdir(tmp_path)
    for name in ("crops", "model", "classifiers"):
        (tmp_path / name).mkdir()
    table = pd.DataFrame({"name": [f"{i}.jpg" for i in range(8)], "split": "train", "Rare": -1, "Smiling": 1})
    writer.write_labels(tmp_path / "crops/table.parquet", table)
    np.save(tmp_path / "crops/images.npy", np.zeros((8, 32, 32, 3), np.uint8))
    (tmp_path / "crops/geometry.json").write_text(
        json.dumps({"box": "square", "size": 32, "filter": "lanczos"})
    )
    config = models.config("vae", {"vae": {**params["models"]["vae"], "code_length": 6, "width": 4}})
    torch.manual_seed(0)
    model = models.find("vae").Model(config, 32)
    checkpoints.save(
        tmp_path / "model", "vae", config, read_geometry(tmp_path / "crops/geometry.json"), model
    )
    save_file(
        nn.ModuleList([AttributeClassifier(32, 2, 4, 8)]).state_dict(),
        tmp_path / "classifiers/classifier.safetensors",
    )
    figures = {"Rare": {"usable": False, "deviation": 1.0}, "Smiling": {"usable": True, "deviation": 1.0}}
    about = {
        "attributes": ["Rare", "Smiling"],
        "size": 32,
        "widths": [4],
        "features": 8,
        "classifiers": [figures],
    }
    (tmp_path / "classifiers/classifier.json").write_text(json.dumps(about))

    def run(labels="imagined"):
        values = {"seed": 1, "imagine": SETTINGS, "vectors": {"labels": labels}}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        imagine.main(*(tmp_path / name for name in ("crops", "model", "classifiers", "out")))
        return tmp_path / "out"

    return run


def test_the_stage_labels_the_attributes_that_can_be_read(project):
    out = project()
    codes = np.load(out / "codes.npy")
    labels = np.load(out / "labels.npy")
    assert codes.shape == (200, 6) and labels.shape == (200, 2)
    assert (labels[:, 0] == 0).all()
    assert [(labels[:, 1] == value).sum() for value in (1, -1, 0)] == [20, 20, 160]


def test_the_folder_is_empty_where_directions_come_from_the_data_s_labels(project):
    assert list(project("crops/table.parquet").iterdir()) == []


def test_labels_need_an_attribute_that_can_be_read(project, tmp_path):
    about = json.loads((tmp_path / "classifiers/classifier.json").read_text())
    about["classifiers"][0]["Smiling"]["usable"] = False
    (tmp_path / "classifiers/classifier.json").write_text(json.dumps(about))
    with pytest.raises(SystemExit):
        project()
