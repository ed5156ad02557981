"""The stage of the flow on planted codes, and labels read off codes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from faces.classifier import calibration_error
from faces.estimators.linear import Boundary
from faces.flow.editor import FlowEditor
from faces.flow.readouts import calibrated_on, expected, fit_readouts
from faces.ingest import writer
from stages import flow
from tests.helpers import measures

ATTRIBUTES = ["Male", "Rare", "Smiling"]
SPLITS = {"train": 1200, "valid": 300, "test": 300}
BOUNDARY = Boundary(ridge=1e-2, faces=1000, iterations=100)


@pytest.fixture
def world(tmp_path, monkeypatch, params, rng):
    """Codes (1800, 6):

    Male adds 3 to number 0, Smiling turns the sign of number 1; Rare is on three faces. Returns a runner.
    """
    count = sum(SPLITS.values())
    male = rng.random(count) < 0.5
    smiling = rng.random(count) < 0.5
    labels = np.where(np.stack([male, np.arange(count) < 3, smiling], 1), 1, -1)
    codes = rng.standard_normal((count, 6)).astype(np.float32)
    codes[:, 0] += 3 * male
    codes[:, 1] = (np.abs(codes[:, 1]) + 1) * np.where(smiling, 1, -1)
    table = pd.DataFrame(
        {
            "name": [f"{i:04}.jpg" for i in range(count)],
            "split": np.repeat(list(SPLITS), list(SPLITS.values())),
        }
    )
    (tmp_path / "crops").mkdir()
    (tmp_path / "latents").mkdir()
    table = pd.concat([table, pd.DataFrame(labels, columns=ATTRIBUTES)], axis=1)
    writer.write_labels(tmp_path / "crops/table.parquet", table)
    np.save(tmp_path / "crops/images.npy", rng.integers(0, 255, (count, 4, 4, 3), np.uint8))
    geometry = {"box": [15, 35, 163, 183], "size": 64, "filter": "lanczos"}
    (tmp_path / "crops/geometry.json").write_text(json.dumps(geometry))
    np.save(tmp_path / "latents/latents.npy", codes)
    monkeypatch.chdir(tmp_path)

    def run(**changes):
        small = {"steps": 40, "width": 16, "blocks": 1, "reports": 2}
        values = {
            "seed": 1,
            "flow": params["flow"] | small | changes,
            "vectors": {"exclusive": params["vectors"]["exclusive"]},
        }
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        measured = measures.none(tmp_path / "measures")
        flow.main(tmp_path / "crops", tmp_path / "model", tmp_path / "latents", measured, tmp_path / "out")
        return tmp_path / "out"

    return run, codes, labels


def test_what_the_stage_leaves_behind(world, capsys):
    run, codes, labels = world
    out = run()
    editor = FlowEditor.open(out, torch.device("cpu"))
    assert editor.attributes == tuple(ATTRIBUTES)
    history = pd.read_csv(out / "history.csv")
    assert history["step"].tolist() == [0, 20, 40]
    about = json.loads((out / "flow.json").read_text())
    assert about["held_out_gaussian"] == pytest.approx(history["held_out"][0], rel=1e-4)
    assert about["held_out"] == pytest.approx(history["held_out"].min(), rel=1e-4)
    test = slice(1500, None)
    moved = editor.switch("Male", codes[test], labels[test], -labels[test, 0], 1.0) - codes[test]
    assert (moved[:, 0] * -labels[test, 0]).mean() == pytest.approx(3, abs=0.4)
    table = pd.read_csv(out / "readouts.csv").set_index("attribute")
    assert table["auroc"].isna().tolist() == [False, True, False]
    assert "too few labelled faces to read Rare" in capsys.readouterr().err


def test_the_same_params_leave_the_same_bytes(world):
    run = world[0]
    out = run()
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    run()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_labels_are_read_off_codes(world):
    """AUROC of Male is Phi(3 / sqrt 2) = .983, its log-odds rise by 3 a unit; Rare stays unknown.

    What is known stays as it is.
    """
    _, codes, labels = world
    readouts, expected, table = fit_readouts(
        tuple(ATTRIBUTES), codes[:1200], labels[:1200], 5, 20, BOUNDARY, 1
    )
    assert table[0]["auroc"] == pytest.approx(0.983, abs=0.01)
    assert table[0]["calibration_error"] < 0.03
    assert table[1]["auroc"] is None
    read = readouts.labels(codes[1500:])
    assert ((read[:, 0] > 0) == (labels[1500:, 0] > 0)).mean() > 0.9
    assert (read[:, 1] == 0).all()
    assert (expected[:, 1] == 0).all()
    assert readouts.normals[0, 0] == pytest.approx(3, abs=0.4)
    hidden = labels[1500:].copy()
    hidden[:, 0] = 0
    np.testing.assert_array_equal(
        readouts.fill(codes[1500:], hidden), np.stack([read[:, 0], *hidden[:, 1:].T], 1)
    )
    np.testing.assert_array_equal(readouts.fill(codes[1500:], labels[1500:]), labels[1500:])


def test_labels_drawn_by_chance_tell_nothing(rng):
    """60 numbers and 200 faces would fit any labels, yet the expected labels of random ones
    stay near 0.
    """
    codes = rng.standard_normal((200, 60)).astype(np.float32)
    labels = np.where(rng.random((200, 1)) < 0.5, 1, -1)
    _, expected, table = fit_readouts(("a",), codes, labels, 5, 20, BOUNDARY, 1)
    assert table[0]["auroc"] < 0.65
    assert np.abs(expected).mean() < 0.25


def test_codes_that_know_their_labels_are_calibrated_on_faces_that_do_not(rng):
    """As of an encoder that labels trained: the codes of its train faces hold them, right or wrong, beside
    what the picture shows. Readouts are then far too sure of other faces, of which they know the picture
    alone; as sure as they may be after `calibrated_on`. An attribute that is not read stays unread.
    """
    count = 6000
    shown = np.where(rng.random((count, 1)) < 0.5, 1, -1)
    labels = np.where(rng.random((count, 1)) < 0.8, shown, -shown)
    codes = 0.7 * shown * np.eye(8)[0] + rng.standard_normal((count, 8))
    train, valid, test = slice(0, 2000), slice(2000, 4000), slice(4000, None)
    codes[train, 1] += 1.5 * labels[train, 0]
    codes = codes.astype(np.float32)
    told = np.column_stack([labels, np.zeros(count)])
    readouts, read, _ = fit_readouts(("a", "Rare"), codes[train], told[train], 5, 20, BOUNDARY, 1)
    again, reread = calibrated_on(readouts, read, codes[valid], told[valid], 20)

    def error(of) -> float:
        return calibration_error((1 + of.labels(codes[test])[:, 0]) / 2, labels[test, 0] > 0, 10)

    assert error(readouts) > 0.1
    assert error(again) < 0.05
    log_odds = codes[train] @ again.normals.T + again.intercepts
    np.testing.assert_allclose(reread, expected(log_odds), atol=0.1)
    assert (reread[:, 1] == 0).all()
    assert not again.normals[1].any()
    few, unchanged = calibrated_on(readouts, read, codes[valid][:10], told[valid][:10], 20)
    np.testing.assert_array_equal(few.normals, readouts.normals)
    np.testing.assert_allclose(unchanged, read, atol=1e-6)


def test_the_stage_calibrates_where_the_params_say(world, params):
    """On the valid faces it leaves what `calibrated_on` makes of them."""
    run, codes, labels = world
    kept = {}
    for where in ("train", "valid"):
        out = run(steps=0, readouts=params["flow"]["readouts"] | {"calibration": where})
        kept[where] = FlowEditor.open(out, torch.device("cpu")).readouts
    unread = np.zeros((1200, 3), np.float32)
    wanted, _ = calibrated_on(kept["train"], unread, codes[1200:1500], labels[1200:1500], 20)
    np.testing.assert_allclose(kept["valid"].normals, wanted.normals, rtol=1e-4)
    assert not np.allclose(kept["valid"].normals, kept["train"].normals, rtol=1e-2)


@pytest.fixture
def hats(world, tmp_path, rng):
    """The world with Smiling as a hat of two forms, at 4 and -4 of code number 2; runner, codes, labels. In
    the picture a hat is of upright or of level stripes, whose light and dark ones change places for Male.
    """
    run, codes, labels = world
    codes[:, 1] = rng.standard_normal(len(codes))
    hat = labels[:, 2] > 0
    upright = rng.random(len(codes)) < 0.6
    codes[:, 2] = np.where(hat, np.where(upright, 4, -4), 0) + 0.5 * codes[:, 2]
    np.save(tmp_path / "latents/latents.npy", codes)
    stripes = np.tile(np.repeat([40.0, -40.0], 2), (16, 4))
    pattern = np.where(upright[:, None, None], stripes, stripes.T) * labels[:, 0, None, None]
    grey = 128 + 15 * rng.standard_normal((len(codes), 16, 16)) + pattern * hat[:, None, None]
    np.save(tmp_path / "crops/images.npy", np.repeat(grey[..., None], 3, 3).clip(0, 255).astype(np.uint8))

    def trained(separation):
        return run(
            steps=400, width=64, blocks=2, batch=128, forms={"separation": separation, "min_faces": 100}
        )

    return trained, codes, labels


def test_an_edit_brings_one_form_and_not_half_of_two(hats, capsys):
    """As often as faces have it; told of forms, next to no edit lies between them."""
    run, codes, labels = hats
    without = np.flatnonzero(labels[:, 2] < 0)

    def ends(separation):
        editor = FlowEditor.open(run(separation), torch.device("cpu"))
        return editor.switch("Smiling", codes[without], labels[without], np.ones(len(without)), 1.0)[:, 2]

    found = ends(3.0)
    assert np.mean(np.abs(found) > 2.5) > 0.97
    assert np.mean(found > 0) == pytest.approx(0.6, abs=0.05)
    table = pd.read_csv("out/forms.csv")
    assert table["label"].tolist() == ["Smiling"] * 2
    assert table["form"].tolist() == [1, 2]
    assert table["share"].tolist() == pytest.approx([0.6, 0.4], abs=0.03)
    assert "flow: 2 forms of Smiling" in capsys.readouterr().err
    plain = ends(0.0)
    assert np.mean(np.abs(plain) < 2.5) > 2 * np.mean(np.abs(found) < 2.5)
    assert not (Path("out") / "forms.csv").exists()


def test_the_other_form_is_the_same_way_back(hats):
    """Where the hat goes nothing of its form is left, and at strength 0 the face is as it was."""
    run, codes, labels = hats
    editor = FlowEditor.open(run(3.0), torch.device("cpu"))
    hat = np.flatnonzero(labels[:, 2] > 0)
    bare = editor.switch("Smiling", codes[hat], labels[hat], -np.ones(len(hat)), 1.0)
    assert np.abs(bare[:, 2]).mean() < 0.7
    same = editor.switch("Smiling", codes[hat], labels[hat], -np.ones(len(hat)), 0.0)
    np.testing.assert_array_equal(same, codes[hat])
