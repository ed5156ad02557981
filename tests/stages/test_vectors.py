"""The stage of vectors on planted codes: what it leaves behind, and that everything else can read it."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from faces.edits.directions import Directions
from faces.ingest import writer
from stages import vectors
from tests.helpers import measures

ATTRIBUTES = ["Male", "Rare", "Smiling"]
PLANTED = 3.0
SPLITS = {"train": 1200, "valid": 300, "test": 300}


@pytest.fixture
def world(tmp_path, monkeypatch, params, rng):
    """Codes (1800, 8) in which Male moves number 0 and Smiling number 1, and Smiling goes with Male; Rare is
    on three faces. Returns a runner of the stage.
    """
    count = sum(SPLITS.values())
    male = rng.random(count) < 0.5
    smiling = rng.random(count) < np.where(male, 0.8, 0.2)
    labels = np.where(np.stack([male, np.arange(count) < 3, smiling], 1), 1, -1)
    codes = rng.standard_normal((count, 8)).astype(np.float32)
    codes[:, 0] += PLANTED * male
    codes[:, 1] += PLANTED * smiling
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
    np.save(tmp_path / "crops/images.npy", np.zeros((count, 1, 1, 3), np.uint8))
    (tmp_path / "crops/geometry.json").write_text(
        json.dumps({"box": [15, 35, 163, 183], "size": 64, "filter": "lanczos"})
    )
    np.save(tmp_path / "latents/latents.npy", codes)
    monkeypatch.chdir(tmp_path)

    def run(labels="crops/table.parquet", **changes):
        (tmp_path / "params.yaml").write_text(
            yaml.safe_dump(
                {
                    "seed": 1,
                    "vectors": params["vectors"]
                    | {"labels": labels, "components": 2, "bootstrap": 50}
                    | changes,
                }
            )
        )
        measured = measures.none(tmp_path / "measures")
        vectors.main(tmp_path / "crops", tmp_path / "latents", tmp_path / labels, measured, tmp_path / "out")
        return tmp_path / "out"

    return run


def test_what_the_stage_leaves_behind(world, params, capsys):
    out = world()
    estimators = params["vectors"]["estimators"]
    with np.load(out / "vectors.npz", allow_pickle=False) as file:
        assert file["vectors"].shape == (len(estimators), 3, 8) and file["components"].shape == (2, 8)
        assert np.isnan(file["vectors"][:, 1]).all() and np.isfinite(file["vectors"][:, [0, 2]]).all()
        assert (file["component_sigma"] > 1.2).all()
    table = pd.read_csv(out / "vectors.csv").set_index(["estimator", "attribute"])
    assert len(table) == 3 * len(estimators)
    assert table.loc[("partial", "Rare"), "note"] == "left out: fewer than 20 train faces on one side"
    assert table.loc[("partial", "Male"), "inflation"] == pytest.approx(1 / (1 - 0.6**2), rel=0.1)
    assert table.loc[("partial", "Smiling"), "reliability"] > 0.98
    row = table.loc[("mean_difference", "Male")]
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"] and row["positives"] + row["negatives"] == 1200
    cosines = pd.read_csv(out / "cosines.csv").set_index(["estimator", "attribute"])
    phi = pd.read_csv(out / "phi.csv").set_index("attribute")
    assert phi.loc["Male", "Smiling"] == pytest.approx(0.6, abs=0.06)
    assert (
        cosines.loc[("mean_difference", "Male"), "Smiling"] > 0.8
    )  # what the mean difference says of the model, the labels said
    assert abs(cosines.loc[("partial", "Male"), "Smiling"]) < 0.15
    assert "Rare: left out" in capsys.readouterr().err


def test_mirror_images_count_beside_the_faces(world, params, tmp_path):
    """Codes of mirror images in which Male moves another number: the direction is midway; faces are counted
    once, and tested unmirrored.
    """
    plain = pd.read_csv(
        world(estimators=["mean_difference"], primary="mean_difference") / "vectors.csv"
    ).set_index("attribute")
    codes = np.load(tmp_path / "latents/latents.npy")
    np.save(tmp_path / "latents/mirrored.npy", codes[:, [3, 1, 2, 0, 4, 5, 6, 7]])
    out = world(estimators=["mean_difference"], primary="mean_difference")
    vector = Directions.open(out, "mean_difference").native("Male")
    np.testing.assert_allclose(vector[[0, 3]], PLANTED / 2, atol=0.2)
    both = pd.read_csv(out / "vectors.csv").set_index("attribute")
    assert both["positives"].equals(plain["positives"])
    assert both.loc["Male", "auroc"] < plain.loc["Male", "auroc"] < 1


def test_labels_that_codes_contradict_are_turned_where_it_is_asked_for(world, tmp_path, rng):
    """A tenth of Male's labels of the train faces are wrong: most are turned, mirror images too, and no valid
    or test face's; the direction gets its length back.
    """
    only = {
        "estimators": ["mean_difference"],
        "primary": "mean_difference",
        "balanced": {"confounders": [], "min_faces": 20},
    }
    path = tmp_path / "crops/table.parquet"
    table = pd.read_parquet(path)
    wrong = (rng.random(len(table)) < 0.1) & (table["split"] == "train")
    table.loc[wrong, "Male"] *= -1
    writer.write_labels(path, table)
    np.save(tmp_path / "latents/mirrored.npy", np.load(tmp_path / "latents/latents.npy"))
    out = world(**only)
    assert not (out / "relabelled.csv").exists()
    before = Directions.open(out, "mean_difference").native("Male")[0]
    out = world(relabel=1.0, **only)
    turned = pd.read_csv(out / "relabelled.csv").set_index("attribute")
    assert turned.loc["Male", "known"] == 1200
    assert 0.7 * wrong.sum() < turned.loc["Male", "turned"] < 1.5 * wrong.sum()
    assert 0 < turned.loc["Male", "turned_on"] < turned.loc["Male", "turned"]
    after = Directions.open(out, "mean_difference").native("Male")[0]
    assert before < 0.9 * PLANTED < after


def test_directions_open_what_the_stage_wrote(world):
    directions = Directions.open(world(), "partial")
    assert directions.attributes == ("Male", "Smiling")
    np.testing.assert_allclose(directions.native("Male"), PLANTED * np.eye(8)[0], atol=0.35)
    assert directions.sigma[0] == pytest.approx((1 + PLANTED**2 / 4) ** 0.5, rel=0.06)


def test_imagined_faces_take_the_place_of_the_labelled_ones(world, tmp_path, rng):
    """Their classifier calls Male what number 5 says, not what Rare is, and marks the extremes of Smiling."""
    codes = rng.standard_normal((2000, 8)).astype(np.float32)
    labels = np.stack(
        [
            np.where(codes[:, 5] > 0, 1, -1),
            np.zeros(2000),
            np.where(abs(codes[:, 1]) > 2, np.sign(codes[:, 1]), 0),
        ],
        1,
    )
    (tmp_path / "imagined").mkdir()
    np.save(tmp_path / "imagined/codes.npy", codes)
    np.save(tmp_path / "imagined/labels.npy", labels.astype(np.int8))
    directions = Directions.open(world("imagined"), "mean_difference")
    assert directions.attributes == ("Male", "Smiling")
    assert directions.unit("Male")[5] > 0.99 and directions.unit("Smiling")[1] > 0.97
    table = pd.read_csv(tmp_path / "out/vectors.csv").set_index(["estimator", "attribute"])
    assert table.loc[("mean_difference", "Smiling"), "positives"] == (codes[:, 1] > 2).sum()
    assert table.loc[("mean_difference", "Smiling"), "auroc"] > 0.97
    assert table.loc[("mean_difference", "Male"), "auroc"] < 0.6


def test_conditions_are_taken_out(world):
    directions = Directions.open(world(condition_on=["Male", "Absent?"]), "mean_difference")
    plain = Directions.open(world(), "mean_difference")
    assert abs(directions.unit("Smiling") @ directions.unit("Male")) < 1e-6
    np.testing.assert_array_equal(directions.native("Male"), plain.native("Male"))


def test_the_same_bytes_whichever_other_estimators_are_asked_for(world):
    alone = Directions.open(
        world(estimators=["shuffled_labels"], primary="shuffled_labels"), "shuffled_labels"
    )
    among = Directions.open(world(), "shuffled_labels")
    np.testing.assert_array_equal(alone.vectors, among.vectors)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"estimators": ["partal"]}, "vectors.estimators = 'partal', did you mean 'partial'?"),
        ({"primary": "median"}, "vectors.primary = 'median'"),
        ({"condition_on": ["Mail"]}, "vectors.condition_on = 'Mail', did you mean 'Male'?"),
        ({"balanced": {"confounders": ["Age"], "min_faces": 20}}, "vectors.balanced.confounders = 'Age'"),
    ],
)
def test_a_wrong_name_is_one_clear_line(world, changes, message):
    with pytest.raises(SystemExit) as stopped:
        world(**changes)
    assert message in str(stopped.value)
