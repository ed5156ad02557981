"""What the witness says, where the answer is known."""

import numpy as np
import pandas as pd
import pytest

from faces.metrics.changes import Changes
from faces.witnesses import testimony
from faces.witnesses.measures import MEASURES
from faces.witnesses.scale import Scale, scale_rows
from faces.witnesses.testimony import Edit
from faces.witnesses.weights import WitnessError


def test_the_threshold_takes_one_in_a_hundred_of_other_people(rng):
    """Faces on a line, and pairs of one person that are left out of it."""
    features = rng.normal(size=(200, 1))
    people = np.arange(200)
    scale = Scale.of(features, people)
    first, second = np.triu_indices(200, 1)
    apart = np.abs(features[first, 0] - features[second, 0])
    assert (apart < scale.threshold).mean() == pytest.approx(0.01, abs=1e-4)
    assert (apart < scale.unit).mean() == pytest.approx(0.5, abs=1e-4)
    twice = np.concatenate([features, features])
    assert Scale.of(twice, np.tile(people, 2)).threshold == pytest.approx(scale.threshold, rel=0.1)
    assert Scale.of(twice, np.full(400, -1)).threshold < scale.threshold


def test_people_who_are_told_apart(rng):
    centres = rng.normal(size=(40, 8)) * 10
    people = np.repeat(np.arange(40), 3)
    features = centres[people] + rng.normal(size=(120, 8)) * 0.01
    scale = Scale.of(features, people)
    found, curve = testimony.recognition(features, people, scale, 50, rng)
    assert found["pairs"] == 40 * 3 and found["pairs_apart"] == 120 * 119 // 2 - 40 * 3
    assert [found[name] for name in ("auroc", "auroc_low", "auroc_high", "true_accept_1")] == [1, 1, 1, 1]
    assert found["true_accept"] == 1.0 and found["false_accept"] == pytest.approx(0.01, abs=1e-3)
    assert (curve[:, 1] == 1).all() and curve[[0, -1], 0].tolist() == [0, 1]


def test_what_is_known_of_people_who_are_told_apart_badly(rng):
    """Features on a line: distances of one person are |N(0, 2)|, of two |N(0, 2 (1 + s^2))|, so the AUROC is
    that of two half-normals, 1 - 2 / pi atan(1 / ratio of scales), and the ROC curve has it as its area.
    """
    people = np.repeat(np.arange(150), 2)
    features = 2 * rng.normal(size=(150, 1))[people] + rng.normal(size=(300, 1))
    found, curve = testimony.recognition(features, people, Scale.of(features, people), 200, rng)
    expected = 1 - 2 / np.pi * np.arctan(1 / np.sqrt(5))
    assert found["auroc_low"] < expected < found["auroc_high"]
    assert 0.03 < found["auroc_high"] - found["auroc_low"] < 0.15
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(found["auroc"], abs=1e-3)
    assert found["true_accept_1"] == pytest.approx(found["true_accept"], abs=0.02)


def test_without_known_people_nothing_is_said_of_them_but_why(rng):
    """The share of strangers within a threshold of other faces needs no name."""
    features = rng.normal(size=(120, 1))
    found, curve = testimony.recognition(features, np.full(120, -1), Scale(1.0, 0.5), 50, rng)
    first, second = np.triu_indices(120, 1)
    near = (np.abs(features[first, 0] - features[second, 0]) < 0.5).mean()
    assert found.pop("reason") == testimony.STRANGERS and len(curve) == 0
    assert found.pop("pairs") == 0 and found.pop("pairs_apart") == 120 * 119 // 2
    assert found.pop("false_accept") == pytest.approx(near) and set(found.values()) == {None}
    alone, _ = testimony.recognition(features, np.zeros(120, int), Scale(1.0, 0.5), 50, rng)
    assert alone["reason"] == testimony.ALONE and alone["auroc"] is None and alone["true_accept"] > 0


def test_the_scale_comes_from_valid_faces_the_same_in_every_stage():
    valid = np.arange(100, 160)
    assert scale_rows(valid, 20, 3).tolist() == scale_rows(valid, 20, 3).tolist()
    assert len(set(scale_rows(valid, 20, 3)) & set(valid)) == 20
    with pytest.raises(WitnessError, match="valid faces of different people"):
        Scale.of(np.zeros((3, 2)), np.zeros(3, int))


def test_a_face_gone_wrong_moves_no_mean(rng):
    """Of 20 values the two least and the two greatest are left out; of a normal law the error is nearly the
    plain one.
    """
    values = np.arange(20.0)[:, None]
    values[-1] = 1e6
    assert testimony.trimmed(values)[0].tolist() == [9.5]
    normal = rng.normal(size=(4000, 2))
    means, errors = testimony.trimmed(normal)
    assert means == pytest.approx(0, abs=0.06)
    assert errors == pytest.approx(1.03 / np.sqrt(4000), rel=0.05)
    normal[0] = 1e9
    assert testimony.deviations_of(normal) == pytest.approx(1, rel=0.05)


def edit(attribute: str, change: np.ndarray, moved: np.ndarray, side: np.ndarray) -> Edit:
    count = len(side)
    before = np.zeros((count, len(MEASURES))), np.zeros((count, 128))
    features = np.zeros((count, 128))
    features[:, 0] = moved
    return Edit("flow", "plain", attribute, np.arange(count), side, side, before, (change, features))


def test_an_edit_leaks_what_is_not_its_own():
    """A smile that widens the mouth by 2 deviations and turns the head by half of one, either way."""
    side = np.array([1.0, 1.0, -1.0, -1.0])
    change = np.zeros((4, len(MEASURES)))
    change[:, MEASURES.index("mouth_width")] = 0.2 * side
    change[:, MEASURES.index("yaw")] = 5.0 * side
    deviations = np.full(len(MEASURES), 0.1)
    deviations[MEASURES.index("yaw")] = 10.0
    moved = np.array([0.1, 0.2, 0.3, 0.9])
    row = testimony.edit_row(edit("Smiling", change, moved, side), Scale(0.5, 0.4), deviations)
    assert row["mouth_width"] == pytest.approx(2.0) and row["mouth_width_error"] == 0
    assert row["leakage"] == pytest.approx(0.5 / 5)  # yaw among eyes, brows, yaw, roll, pitch
    assert row["same_person"] == 0.75
    assert row["identity"] == pytest.approx(0.375 / 0.5)
    other = testimony.edit_row(edit("Eyeglasses", change, moved, side), Scale(0.5, 0.4), deviations)
    assert other["leakage"] == pytest.approx(2.5 / 9)


def test_two_readings_of_one_thing_agree(rng):
    """Ranks alone count, and each reading is compared with its own attribute."""
    smile = rng.normal(size=300)
    measured = np.zeros((300, len(MEASURES)))
    measured[:, MEASURES.index("smile")] = np.exp(smile)
    measured[:, MEASURES.index("mouth_width")] = rng.normal(size=300)
    evidence = np.stack([rng.normal(size=300), smile**3], 1)
    side = np.resize([1.0, -1.0], 30)
    change = np.zeros((30, len(MEASURES)))
    change[:, 0] = side * np.arange(30)
    seen = edit("Smiling", change, np.zeros(30), side)
    seen = Edit(*(getattr(seen, name) for name in ("estimator", "kind", "attribute", "rows", "side")),
                np.arange(30.0), seen.before, seen.after)  # fmt: skip
    rows = list(testimony.agreement_rows(measured, evidence, ("Male", "Smiling"), [seen], 50, rng))
    found = {(row["measure"], row["where"]): row for row in rows}
    assert found["smile", "faces"]["correlation"] == pytest.approx(1.0)
    assert found["smile", "flow plain"]["correlation"] == pytest.approx(1.0)
    assert found["mouth_width", "faces"]["low"] < 0 < found["mouth_width", "faces"]["high"]
    assert {row["attribute"] for row in rows} == {"Smiling"}


def test_edits_are_those_that_were_reached():
    change = np.zeros((2, 1))
    changes = Changes(("A",), {(0, "flow", "plain", "A"): (np.arange(2), change)})
    table = [
        (0, "flow", "plain", "A", 0.5, 1.0),
        (0, "flow", "plain", "A", 0.9, 1.5),
        (0, "flow", "detail", "A", 0.9, np.inf),
        (0, "random", "plain", "A", 0.9, 9.0),
        (1, "flow", "plain", "A", 0.9, 2.0),
    ]
    levels = pd.DataFrame(
        table, columns=["classifier", "estimator", "kind", "attribute", "level", "strength"]
    )
    found = testimony.compared_strengths(levels, changes, ("flow", "partial"))
    assert found["strength"].tolist() == [1.5]
