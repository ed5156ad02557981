"""Figures at equal effect, from hand-made tables."""

import numpy as np
import pandas as pd
import pytest

from faces.core.files import write_csv
from faces.evaluation import summary
from faces.metrics import confounding
from faces.metrics.changes import TRUTH, Changes
from faces.scoring import counterfactuals
from faces.scoring.edit_curves import LEVELS

IDENTITY = pd.DataFrame({"attribute": ["A", "B"], "same_95": 0.5, "different_05": 0.8})
NONE = pd.DataFrame(columns=confounding.COLUMNS)


def table(*rows: tuple, **more: object) -> pd.DataFrame:
    """Levels of one classifier; an infinite strength is a level that is not reached. All attributes are
    compared.
    """
    columns = ["estimator", "kind", "attribute", "level", "strength", "leakage", "identity"]
    found = pd.DataFrame(rows, columns=columns).assign(
        classifier=0, faces=8, labelled=10, common=True, **more
    )
    others = [*LEVELS, "leakage", *summary.TRUTH_COLUMNS, "common"]
    return found.reindex(columns=list(dict.fromkeys([*found, *others])))


def test_figures_are_means_over_the_common_set():
    levels = table(
        ("first", "plain", "A", 0.5, 1.0, 9.0, 9.0),  # not the last level
        ("first", "plain", "A", 0.9, 2.0, 0.4, 0.3),
        ("first", "plain", "B", 0.9, np.inf, np.nan, np.nan),
        ("second", "plain", "A", 0.9, 3.0, 0.1, 0.7),
        ("second", "plain", "B", 0.9, 1.0, 0.8, 0.1),
    )
    levels["common"] = levels["attribute"] == "A"
    levels["flips"] = 0.9
    along = [
        {"estimator": "first", "kind": "plain", "attributes": 1, "carried": 1.0, "confounded_ratio": 1.0},
        {"estimator": "second", "kind": "plain", "attributes": 1, "carried": 0.25, "confounded_ratio": 0.4},
    ]
    found = summary.compare(levels, pd.DataFrame(along), IDENTITY, {"B"})
    first, second = (found[name]["plain"] for name in ("first", "second"))
    assert (first["reached"], second["reached"]) == (0.5, 1.0)
    assert (first["reached_visible"], second["reached_visible"]) == (0.0, 1.0)  # of B alone
    assert (first["reached_hidden"], second["reached_hidden"]) == (1.0, 1.0)  # of A, which draws nothing
    assert (first["attributes"], second["attributes"]) == (1, 1)
    assert second["strength"] == 3.0  # B, which the first does not reach, is left out
    assert second["same_person"] == 0.0
    assert second["carried"] == 0.25
    assert second["confounded_ratio"] == 0.4
    assert second["confounded"] is None
    assert second["realism"] is None
    assert second["scored"] == 0.8


def test_a_scale_that_cannot_tell_people_apart_says_nothing():
    levels = table(("e", "plain", "A", 0.9, 2.0, 0.4, 0.3))
    overlapping = IDENTITY.assign(different_05=0.4)
    unknown = IDENTITY.assign(same_95=np.nan)
    assert summary.compare(levels, NONE, IDENTITY, set())["e"]["plain"]["same_person"] == 1.0
    for marks in (overlapping, unknown):
        assert summary.compare(levels, NONE, marks, set())["e"]["plain"]["same_person"] is None


def test_detail_is_held_against_the_decoded_edit():
    rows = [
        ("e", "plain", "A", 20.0),
        ("e", "plain", "B", 30.0),
        ("e", "detail", "A", 27.0),
        ("e", "detail", "B", 31.0),
        ("e", "detail", "C", 90.0),
    ]
    levels = table(*((editor, kind, name, 0.9, 1.0, 0.1, 0.1) for editor, kind, name, _ in rows))
    levels["psnr_outside"] = [value for *_, value in rows]
    identity = pd.DataFrame({"attribute": list("ABC"), "same_95": 0.5, "different_05": 0.8})
    found = summary.compare(levels, NONE, identity, set())["e"]
    assert found["detail"]["psnr_gain"] == 4.0  # (7 + 1) / 2: C is not known of the decoded edit
    assert found["plain"]["psnr_gain"] == 0.0


def test_an_editor_that_reaches_nothing_keeps_its_keys():
    levels = table(
        ("first", "plain", "A", 0.9, 2.0, 0.4, 0.3), ("random", "plain", "A", 0.9, np.inf, np.nan, np.nan)
    )
    found = summary.compare(levels, NONE, IDENTITY, set())
    assert set(found["random"]["plain"]) == set(found["first"]["plain"])
    assert found["random"]["plain"]["reached"] == 0.0
    assert found["random"]["plain"]["attributes"] == 0
    assert found["random"]["plain"]["leakage"] is None
    assert found["random"]["plain"]["reached_visible"] is None


def test_the_floor_stands_beside_the_editors():
    row = {"estimator": confounding.FLOOR, "kind": TRUTH, "attributes": 3, "confounded": 0.02}
    levels = table(("e", "plain", "A", 0.9, 2.0, 0.4, 0.3))
    found = summary.compare(levels, pd.DataFrame([row], columns=confounding.COLUMNS), IDENTITY, {"A"})
    assert found["floor"]["truth"]["confounded"] == 0.02
    assert found["floor"]["truth"]["attributes"] == 3


def test_levels_say_the_excess_over_the_truth_and_what_is_compared():
    """The edit of a moves b by 1.5 of its own 3; the truth moves it by 1 of 2: nothing is in excess."""
    rows = np.arange(4)

    def edit(*mean: float) -> tuple[np.ndarray, np.ndarray]:
        return rows, np.tile(mean, (4, 1))

    edits = {
        (0, "e", "plain", "a"): edit(3.0, 1.5),
        (0, "e", "plain", "b"): edit(0.6, 3.0),
        (0, TRUTH, TRUTH, "a"): edit(2.0, 1.0),
    }
    levels = pd.DataFrame(
        {
            "classifier": 0,
            "estimator": "e",
            "kind": "plain",
            "attribute": ["a", "b"],
            "level": 0.9,
            "strength": [1.0, 2.0],
        }
    )
    against = pd.DataFrame(
        [("e", "plain", "a", 0.4, 30.0)],
        columns=["estimator", "kind", "attribute", "error_reduction", "psnr_outside"],
    ).reindex(columns=counterfactuals.COLUMNS)
    common = summary.common_sets(levels, ("a", "b"), {"a"})
    assert common == {(0, "plain"): ("a",)}
    found = summary.detailed(levels, against, Changes(("a", "b"), edits), common)
    assert found["leakage"].tolist() == pytest.approx([0.0, 0.6])
    assert found["common"].tolist() == [True, False]
    assert found["error_reduction"].tolist() == pytest.approx([0.4, np.nan], nan_ok=True)


def test_without_a_truth_the_whole_leakage_counts(tmp_path):
    """Photographs: the table of counterfactuals has a head and no rows, as it is read from its file."""
    empty = tmp_path / "counterfactuals.csv"
    write_csv(empty, pd.DataFrame(columns=counterfactuals.COLUMNS))
    edits = {(0, "e", "plain", "a"): (np.arange(4), np.tile([3.0, 1.5], (4, 1)))}
    levels = pd.DataFrame(
        [(0, "e", "plain", "a", 0.9, 1.0)],
        columns=["classifier", "estimator", "kind", "attribute", "level", "strength"],
    )
    changes = Changes(("a", "b"), edits)
    common = summary.common_sets(levels, ("a", "b"), set())
    found = summary.detailed(levels, pd.read_csv(empty), changes, common)
    assert found["leakage"].tolist() == [1.5]
    assert found["common"].tolist() == [True]
    assert found["error_reduction"].isna().all()
    table = confounding.table(changes, common, np.eye(2), 20, 1)
    assert table["estimator"].tolist() == ["e"]  # no floor without a truth
    assert table["unrelated"].tolist() == pytest.approx([0.5])


def test_one_error_reduction_at_equal_effect():
    rows = [
        ("nothing", "picture", "a", 0.0, 10.0, 60.0),
        ("rebuilt", "picture", "a", 0.9, 25.0, 30.0),
        ("e", "plain", "a", 0.5, 14.0, 25.0),
        ("other", "plain", "a", 0.1, 11.0, 20.0),
        ("nothing", "picture", "b", 0.0, 12.0, 60.0),
        ("rebuilt", "picture", "b", 0.8, 26.0, 30.0),
    ]
    columns = ["estimator", "kind", "attribute", "error_reduction", "psnr_inside", "psnr_outside"]
    table = pd.DataFrame(rows, columns=columns).reindex(columns=counterfactuals.COLUMNS)
    table["error_reduction_nearest"] = table["error_reduction"] + 0.05
    found = summary.counterfactual(table, "e")
    assert found["error_reduction_nearest"] == {"a": 0.55, "b": None}
    assert found["mean"]["error_reduction_nearest_rebuilt"] == 0.9
    assert found["mean"]["mode_coverage_edit"] is None
    assert found["error_reduction"] == {"a": 0.5, "b": None}  # b never reaches the level
    assert found["error_reduction_detail"] == {"a": None, "b": None}
    assert found["mean"]["error_reduction_edit"] == 0.5
    assert found["mean"]["psnr_inside_rebuilt"] == 25.5
    assert found["mean"]["psnr_inside_nothing"] == 11.0


def test_edits_of_two_attributes_are_compared_where_all_editors_reach_both():
    """`poor` reaches one pair of three and has no say; `good` and `fair` share one pair."""
    rows = [("nothing", *two, 0.0, 0.0, 50.0) for two in ("AB", "AC", "BC")]
    rows += [
        ("good", "A", "B", 1.0, 0.8, 30.0),
        ("good", "A", "C", 0.9, 0.6, 28.0),
        ("good", "B", "C", 0.8, 0.1, 20.0),
        ("fair", "A", "B", 0.7, 0.4, 24.0),
        ("fair", "B", "C", 0.6, 0.2, 22.0),
        ("poor", "A", "C", 0.1, -0.5, 10.0),
    ]
    columns = ["estimator", "first", "second", "flips", "error_reduction", "psnr_outside"]
    found = summary.joint(pd.DataFrame(rows, columns=columns))
    assert found["good"]["mean"] == {
        "attribute_pairs": 2,
        "flips": 0.9,
        "error_reduction": 0.45,
        "psnr_outside": 25.0,
    }
    assert found["fair"]["mean"]["error_reduction"] == 0.3
    assert found["nothing"]["mean"]["psnr_outside"] == 50.0
    assert found["poor"]["mean"]["flips"] is None
    assert found["good"]["A_and_C"] == {"flips": 0.9, "error_reduction": 0.6, "psnr_outside": 28.0}
    assert summary.joint(pd.DataFrame(columns=columns)) == {}


def test_cosines_are_means_over_the_common_set():
    rows = [("e", "a", 0.9, 0.99), ("e", "b", 0.1, 0.5), ("f", "a", 0.8, 0.99), ("f", "b", 0.6, 0.5)]
    table = pd.DataFrame(rows, columns=["estimator", "attribute", "cosine", "ceiling"])
    found = summary.truth_cosine(table, ("a",), "f")
    assert found["mean"] == {"attributes": 1, "ceiling": 0.99, "e": 0.9, "f": 0.8}
    assert found["by_attribute"] == {"a": 0.8, "b": 0.6}


def test_classifiers_agree_as_far_as_their_ranks():
    """The second puts strengths in the first one's order, leakages in the reverse, and one pair of editors
    the other way.
    """
    names = ["a", "b", "c"]
    rows = []
    for k, name in enumerate(names):
        rows += [
            (0, name, "plain", "A", 0.9, k + 1.0, 0.1 * k),
            (1, name, "plain", "A", 0.9, (k + 1.0) ** 3, 0.9 - 0.1 * k),
        ]
    rows += [
        (0, "d", "plain", "A", 0.9, np.inf, np.nan),
        (1, "d", "plain", "A", 0.9, 1.0, 0.5),
    ]  # not reached for one of them
    levels = pd.DataFrame(
        rows, columns=["classifier", "estimator", "kind", "attribute", "level", "strength", "leakage"]
    )
    figures = [
        (number, name, "plain", value)
        for number, values in enumerate(([1, 2, 3], [2, 1, 3]))
        for name, value in zip(names, values, strict=True)
    ]
    carried = pd.DataFrame(figures, columns=["classifier", "estimator", "kind", "confounded"])
    assert summary.agreement(levels, carried) == {"strength": 1.0, "leakage": -1.0, "order": 0.6667}


def test_costs_are_drawn_at_shares_of_flipped_faces():
    """A cost that equals the strength, and flips that rise with it: at 45% flipped the strength is 0.45 of
    the first step.
    """
    curves = pd.DataFrame(
        {
            "estimator": "e",
            "kind": "plain",
            "attribute": "a",
            "strength": [0.0, 1.0, 2.0],
            "flips": [0.0, 1.0, 0.2],
            "cost": [0.0, 1.0, 2.0],
        }
    )
    levels = pd.DataFrame({"kind": ["plain"], "attribute": ["a"], "common": [True]})
    found = summary.trade(curves, levels, "cost")
    np.testing.assert_allclose(found["cost"], found["flips"])
    assert summary.trade(curves, levels.assign(common=False), "cost").empty


def test_the_matrix_has_one_order():
    names = ("B", "A", "C")
    edits = {
        (0, "e", "plain", edited): (np.arange(2), np.tile([float(3 * k), 3 * k + 1, 3 * k + 2], (2, 1)))
        for k, edited in enumerate(["A", "B"])
    }
    found = summary.matrix(Changes(names, edits), 0, "e", "plain")
    assert list(found.index) == ["B", "A"]
    assert list(found.columns) == list(names)
    assert found.loc["B", "A"] == 4.0


def test_figures_are_rounded_or_absent():
    assert summary.figure(0.123456) == 0.1235
    assert summary.figure(np.nan) is None
    assert summary.figure(np.inf) is None
