"""Figures at equal effect, from hand-made tables."""

import numpy as np
import pandas as pd
import pytest

from faces.evaluation.summary import FIGURES, agreement, compare, figure, matrix

SAME = pd.DataFrame({"attribute": ["A", "B"], "same_95": [0.5, 0.5]})


def table(*rows) -> pd.DataFrame:
    columns = ["estimator", "kind", "attribute", "level", "strength", "leakage", "identity"]
    return pd.DataFrame(rows, columns=columns).reindex(
        columns=[*columns, *(name for name in FIGURES if name not in columns)]
    )


def test_estimators_are_compared_where_both_reach_the_level():
    levels = table(
        ("first", "plain", "A", 0.5, 1.0, 9.0, 9.0),  # not the last level
        ("first", "plain", "A", 0.9, 2.0, 0.4, 0.3),
        ("first", "plain", "B", 0.9, np.inf, np.nan, np.nan),
        ("second", "plain", "A", 0.9, 3.0, 0.1, 0.7),
        ("second", "plain", "B", 0.9, 1.0, 0.8, 0.1),
    )
    carried = pd.DataFrame(
        [("first", "plain", 1.0, 1.0), ("second", "plain", 0.25, 0.4)],
        columns=["estimator", "kind", "carried", "confounded_ratio"],
    )
    found = compare(levels, carried, SAME, {"B"})
    assert found["first"]["plain"]["reached"] == 0.5
    assert found["first"]["plain"]["leakage_ratio"] == 1.0
    second = found["second"]["plain"]
    assert second["reached"] == 1.0
    assert second["leakage_ratio"] == 0.25  # on A alone
    assert second["leakage"] == pytest.approx(0.45)
    assert second["same_person"] == 0.5
    assert second["carried"] == 0.25
    assert second["confounded_ratio"] == 0.4
    assert second["confounded"] is None
    assert [found[name]["plain"]["reached_visible"] for name in ("first", "second")] == [
        0.0,
        1.0,
    ]  # of B alone
    assert second["realism"] is None


def test_detail_is_held_against_the_decoded_edit():
    rows = [
        ("e", "plain", "A", 20.0),
        ("e", "plain", "B", 30.0),
        ("e", "detail", "A", 27.0),
        ("e", "detail", "B", 31.0),
        ("e", "detail", "C", 90.0),
    ]
    shared = {"level": 0.9, "strength": 1.0, "identity": 0.1, "leakage": 0.1}
    levels = (
        pd.DataFrame(rows, columns=["estimator", "kind", "attribute", "psnr_outside"])
        .assign(**shared)
        .reindex(columns=table().columns)
    )
    same = pd.DataFrame({"attribute": list("ABC"), "same_95": 0.5})
    found = compare(levels, pd.DataFrame(columns=["estimator", "kind", "carried"]), same, set())["e"]
    assert found["detail"]["psnr_gain"] == 4.0  # (7 + 1) / 2: C is not known of the decoded edit
    assert found["plain"]["psnr_gain"] == 0.0


def test_an_estimator_that_reaches_nothing_keeps_its_keys():
    levels = table(
        ("first", "plain", "A", 0.9, 2.0, 0.4, 0.3), ("random", "plain", "A", 0.9, np.inf, np.nan, np.nan)
    )
    found = compare(levels, pd.DataFrame(columns=["estimator", "kind", "carried"]), SAME, set())
    assert set(found["random"]["plain"]) == set(found["first"]["plain"])
    assert found["random"]["plain"]["reached"] == 0.0
    assert found["random"]["plain"]["leakage_ratio"] is None
    assert found["random"]["plain"]["reached_visible"] is None


def test_judges_agree_as_far_as_their_ranks():
    """The second judge puts strengths in the first one's order, leakages in the reverse, and one of the three pairs of estimators the other way round."""
    names, rows = ["a", "b", "c"], []
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
        rows, columns=["judge", "estimator", "kind", "attribute", "level", "strength", "leakage"]
    )
    figures = [
        (judge, name, "plain", value)
        for judge, values in enumerate(([1, 2, 3], [2, 1, 3]))
        for name, value in zip(names, values, strict=True)
    ]
    carried = pd.DataFrame(figures, columns=["judge", "estimator", "kind", "confounded"])
    assert agreement(levels, carried) == {"strength": 1.0, "leakage": -1.0, "order": 0.6667}


def test_the_matrix_has_one_order():
    names = ["B", "A", "C"]
    rows = [
        ("e", "plain", edited, other, float(i * 3 + j))
        for i, edited in enumerate(["A", "B"])
        for j, other in enumerate(names)
    ]
    found = matrix(
        pd.DataFrame(rows, columns=["estimator", "kind", "attribute", "other", "change"]), "e", "plain"
    )
    assert list(found.index) == ["B", "A"]
    assert list(found.columns) == names
    assert found.loc["B", "A"] == 4.0


def test_figures_are_rounded_or_absent():
    assert figure(0.123456) == 0.1235
    assert figure(np.nan) is None
    assert figure(np.inf) is None
