"""The stage that fits priors: the valid split chooses, and without one it still fits."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from faces import checkpoints, models
from faces.core.params import parse, pick
from faces.data.crops import read_geometry
from faces.ingest import writer
from faces.nn.device import to_uint8
from faces.priors import Priors
from stages import prior

CPU = torch.device("cpu")


@pytest.fixture
def project(tmp_path, monkeypatch, params, rng):
    """Codes in two far clusters, and the faces that the model decodes from them; params of a short run."""
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    for name in ("crops", "model", "latents"):
        (tmp_path / name).mkdir()
    values = json.loads(json.dumps(params))
    values["models"]["vae"] |= {"code_length": 6, "width": 4}
    values["prior"] |= {"axes": 6, "components": 2, "diffusion": 2}
    values["score"] |= {"samples": 60}
    (tmp_path / "crops/geometry.json").write_text('{"box": "square", "size": 32, "filter": "lanczos"}')
    config = models.config("vae", values["models"])
    torch.manual_seed(0)
    model = models.find("vae").Model(config, 32).eval()
    geometry = read_geometry(tmp_path / "crops/geometry.json")
    checkpoints.save(tmp_path / "model", "vae", config, geometry, model)
    side = rng.choice([-1, 1], (300, 1))
    codes = (rng.normal(0, 0.2, (300, 6)) + 8 * side).astype(np.float32)
    np.save(tmp_path / "latents/latents.npy", codes)
    with torch.no_grad():
        images = to_uint8(model.decode(torch.from_numpy(codes)))
    np.save(tmp_path / "crops/images.npy", images)

    def run(valid: int) -> Priors:
        splits = ["train"] * 200 + ["valid"] * valid + ["test"] * (100 - valid)
        table = pd.DataFrame({"name": [f"{i}.jpg" for i in range(300)], "split": splits, "A": 1})
        writer.write_labels(tmp_path / "crops/table.parquet", table)
        folders = [tmp_path / name for name in ("crops", "model", "latents")]
        prior.run(parse(prior.Params, pick(prior.Params, values)), *folders, None, tmp_path / "prior")
        return Priors.open(tmp_path / "prior", CPU)

    return run


def test_the_best_prior_is_the_one_with_the_least_distance_to_valid_faces(project):
    """Two clusters: of all priors the mixture alone draws no face between them."""
    found = project(60)
    assert set(found.distances) == {"standard", "gaussian", "tempered", "mixture", "diffusion"}
    assert found.best == "mixture"


def test_without_a_valid_split_it_is_the_gaussian(project):
    found = project(0)
    assert (found.best, found.distances, found.diffusion) == ("gaussian", {}, None)
