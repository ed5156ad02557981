"""Attribute classifiers: class weights, calibration and scores with known answers; the stage on small
pictures.
"""

import contextlib
import io
import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from faces import classifier
from faces.core.files import write_json
from faces.data import annotations
from faces.ingest import writer
from faces.metrics.auroc import auroc
from faces.nn.device import to_device
from stages import classifier as stage
from tests.conftest import ROOT

SIDES = ["train"] * 6 + ["valid", "test"] * 2


def test_class_weights_even_out_the_sides():
    labels = np.array([[1, 1, 0]] * 10 + [[-1, 1, -1]] * 30 + [[-1, 1, -1]] * 60, np.int8)
    positive, negative = classifier.class_weights(labels, 5.0)
    np.testing.assert_allclose(positive, [5.0, 0.5, 5.0])
    np.testing.assert_allclose(negative, [100 / 180, 5.0, 0.5])
    assert classifier.class_weights(labels, 3.0)[0][0] == 3.0


def test_the_loss_leaves_unknown_labels_out():
    logits = torch.tensor([[0.0, 100.0]])
    ones = torch.ones(2)
    assert classifier.masked_loss(logits, torch.tensor([[1, 0]]), ones, ones).item() == pytest.approx(
        np.log(2)
    )
    assert classifier.masked_loss(logits, torch.tensor([[-1, 0]]), ones, 3 * ones).item() == pytest.approx(
        3 * np.log(2)
    )
    assert classifier.masked_loss(logits, torch.tensor([[0, 0]]), ones, ones).item() == 0


def test_platt_recovers_scale_and_shift(rng):
    logits = rng.normal(0, 2, 20_000)
    positive = rng.random(20_000) < 1 / (1 + np.exp(-(1.7 * logits - 0.6)))
    assert classifier.platt(logits, positive) == pytest.approx((1.7, -0.6), abs=0.08)


def test_platt_is_finite_on_perfect_separation():
    scale, shift = classifier.platt(
        np.r_[np.linspace(-3, -1, 50), np.linspace(1, 3, 50)], np.repeat([False, True], 50)
    )
    assert 1 < scale < 20
    assert abs(shift) < 1e-6


def test_calibration_error_of_known_frequencies():
    chance = np.repeat([0.25, 0.85], 100)
    positive = np.r_[np.arange(100) < 25, np.arange(100) < 65]
    assert classifier.calibration_error(chance, positive, 10) == pytest.approx(0.5 * 0.0 + 0.5 * 0.2)


def test_scores_of_two_gaussians(rng):
    """N(-d^2/2, d^2) and N(d^2/2, d^2) are exact log-likelihood ratios, so the scores are known.

    AUROC is Phi(d / sqrt 2), balanced accuracy Phi(d / 2), calibration error 0.
    """
    d = 1.5
    n = 40_000
    share = 0.1
    labels = np.where(rng.random(n) < share, 1, -1)
    log_odds = labels * d**2 / 2 + d * rng.normal(0, 1, n)
    found = classifier.attribute_scores(log_odds, labels, np.log(share / (1 - share)), 0.8, 10)
    assert found["auroc"] == pytest.approx(NormalDist().cdf(d / 2**0.5), abs=0.01)
    assert found["balanced_accuracy"] == pytest.approx(NormalDist().cdf(d / 2), abs=0.01)
    assert found["calibration_error"] < 0.01
    assert found["usable"]
    assert not classifier.attribute_scores(log_odds, labels, 0.0, 0.9, 10)["usable"]


def test_one_side_only_is_not_scored():
    found = classifier.attribute_scores(np.arange(4.0), np.array([1, 1, 0, 1]), 0.0, 0.0, 10)
    assert found["auroc"] is None
    assert not found["usable"]


def test_augmented_faces_stay_faces():
    torch.manual_seed(0)
    images = torch.zeros(64, 3, 32, 32)
    images[:, :, :, 16:] = 1.0  # bright on the right
    moved = classifier.augment(images)
    assert moved.shape == images.shape
    mirrored = (
        (moved[:, :, :, :8].mean((1, 2, 3)) > moved[:, :, :, 24:].mean((1, 2, 3))).float().mean().item()
    )
    assert 0.25 < mirrored < 0.75
    assert (moved - images).abs().mean() < 0.6


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The stage run twice over 300 small pictures.

    A brightens the upper half, Rare the lower one (8%), Noise is a coin, Absent never varies.
    """
    place = tmp_path_factory.mktemp("classifier")
    rng = np.random.default_rng(0)
    folder = place / "data" / "crops"
    count = 300
    folder.mkdir(parents=True)
    labels = np.stack([np.where(rng.random(count) < p, 1, -1) for p in (0.5, 0.08, 0.5, 0.0)], 1)
    images = rng.integers(90, 130, (count, 32, 32, 3))
    images[:, :16] += 60 * (labels[:, 0] == 1)[:, None, None, None]
    images[:, 16:, :, :1] += 100 * (labels[:, 1] == 1)[:, None, None, None]
    labels[rng.random((count, 4)) < 0.05] = 0
    np.save(folder / "images.npy", images.astype(np.uint8))
    table = pd.DataFrame({"name": [f"{n}.jpg" for n in range(count)], "split": SIDES * (count // 10)})
    table[["A", "Rare", "Noise", "Absent"]] = labels
    writer.write_labels(folder / "table.parquet", table)
    write_json(folder / "geometry.json", {"box": "square", "size": 32, "filter": "lanczos"})
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["classifier"] |= {
        "widths": [4, 6],
        "features": 12,
        "images": 1600,
        "batch": 16,
        "reports": 3,
        "min_auroc": 0.8,
        "learning_rate": 5.0e-3,
    }
    (place / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("FACES_DEVICE", "cpu")
        for out in ("classifier", "again"):
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                stage.main(Path("data/crops"), Path("data") / out)
    return place, said.getvalue()


def test_noise_is_refused_and_what_can_be_seen_is_scored(run):
    place, said = run
    ensemble = classifier.Ensemble.open(place / "data" / "classifier")
    assert ensemble.attributes == ("A", "Rare")
    assert len(ensemble.classifiers) == 2
    assert ensemble.deviation.shape == (2, 2)
    assert "Noise cannot be read (AUROC 0." in said
    assert "Absent cannot be read (one side only in the test split)" in said


def test_rare_attributes_are_found_as_often_as_common_ones(run):
    """Balanced weights and the threshold at the prior: the 8% are not answered with "no"."""
    scores = pd.read_csv(run[0] / "data" / "classifier" / "scores.csv").set_index(["width", "attribute"])
    for width in (4, 6):
        assert scores.loc[(width, "Rare"), "balanced_accuracy"] > 0.9
        assert scores.loc[(width, "A"), "auroc"] > 0.98


def test_the_panel_says_what_the_figures_say(run):
    """Read back, log-odds ratios of the test faces have the AUROC and deviation that were written down."""
    place, _ = run
    folder = place / "data" / "classifier"
    ensemble = classifier.Ensemble.open(folder)
    table = annotations.read_labels(place / "data" / "crops" / "table.parquet")
    rows = np.flatnonzero(table["split"] == "test")
    images = to_device(np.load(place / "data" / "crops" / "images.npy")[rows], torch.device("cpu"))
    log_odds, features = ensemble.predict(0, images)
    assert features.shape == (len(rows), 12)
    np.testing.assert_allclose(log_odds.std(0), ensemble.deviation[0], rtol=1e-3)
    written = json.loads((folder / "classifier.json").read_text())["classifiers"][0]["A"]["auroc"]
    known = table["A"].to_numpy()[rows]
    assert auroc(log_odds[known != 0, 0], known[known != 0] == 1)[0] == pytest.approx(written, abs=1e-6)


def test_the_stage_twice_is_the_same_bytes(run):
    first, second = (
        {path.name: path.read_bytes() for path in (run[0] / "data" / name).iterdir()}
        for name in ("classifier", "again")
    )
    assert first == second
    assert sorted(first) == ["classifier.json", "classifier.safetensors", "history.csv", "scores.csv"]


def test_missing_classifiers_name_the_stage(tmp_path):
    with pytest.raises(classifier.ClassifierError, match="run `dvc repro classifier`"):
        classifier.Ensemble.open(tmp_path)


def test_classifiers_of_no_use_have_no_attributes(tmp_path, run):
    about = json.loads((run[0] / "data" / "classifier" / "classifier.json").read_text())
    for figures in about["classifiers"]:
        for row in figures.values():
            row["usable"] = False
    write_json(tmp_path / "classifier.json", about)
    (tmp_path / "classifier.safetensors").write_bytes(
        (run[0] / "data" / "classifier" / "classifier.safetensors").read_bytes()
    )
    ensemble = classifier.Ensemble.open(tmp_path)
    assert ensemble.attributes == () and len(ensemble.classifiers) == 2
    log_odds, features = ensemble.predict(0, torch.zeros(3, 3, 32, 32))
    assert log_odds.shape == (3, 0) and features.shape == (3, 12)
