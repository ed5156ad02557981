"""What comes along, from hand-made changes: the figures, the ratio to the first estimator, and intervals that hold them."""

import numpy as np
import pandas as pd
import pytest

from faces.metrics import confounding

NAMES = ("a", "b", "c")
EXPECTED = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])


def changes(estimator: str, along: dict[str, tuple[float, float]]) -> list[tuple]:
    """Every edit changes its own attribute by 2, those that correlate by the first number, the others by the second."""
    rows = []
    for a, edited in enumerate(NAMES):
        if edited in along:
            for b, other in enumerate(NAMES):
                value = 2.0 if a == b else along[edited][0 if EXPECTED[a, b] else 1]
                rows.append((0, estimator, "plain", edited, other, value))
    return rows


@pytest.fixture
def found() -> pd.DataFrame:
    rows = changes("first", dict.fromkeys("abc", (0.8, 0.2)))
    rows += changes("second", {"a": (0.2, 0.1), "c": (0.2, 0.3)})
    rows += [(0, "truth", "truth", "a", "b", 9.0)]
    table = pd.DataFrame(rows, columns=["judge", "estimator", "kind", "attribute", "other", "change"])
    return confounding.table(
        table, {0: np.zeros((3, 3))}, EXPECTED, NAMES, 50, np.random.default_rng(1)
    ).set_index("estimator")


def test_figures_are_shares_of_the_edits_own_change(found):
    assert found.loc["first", ["confounded", "unrelated", "carried"]].tolist() == pytest.approx(
        [0.4, 0.1, 0.8]
    )
    assert found.loc["second", "confounded"] == pytest.approx(0.1)
    assert found.loc["second", "unrelated"] == pytest.approx((0.05 + 2 * 0.15) / 3)
    assert found["attributes"].tolist() == [3, 2]


def test_a_ratio_is_over_the_attributes_that_both_reach(found):
    assert found.loc["first", "confounded_ratio"] == 1
    assert found.loc["second", "confounded_ratio"] == pytest.approx(0.1 / 0.4)
    assert found.loc["second", "unrelated_ratio"] == pytest.approx((0.05 + 2 * 0.15) / 3 / 0.1)


def test_intervals_hold_the_figures_and_close_where_edits_are_alike(found):
    for name in ("confounded", "unrelated", "unrelated_ratio"):
        assert (found[f"{name}_low"] <= found[name] + 1e-12).all() and (
            found[name] <= found[f"{name}_high"] + 1e-12
        ).all()
    assert found.loc["first", "confounded_high"] == pytest.approx(found.loc["first", "confounded_low"])
    assert found.loc["second", "unrelated_high"] > found.loc["second", "unrelated_low"] + 0.05


def test_the_truth_is_no_estimator(found):
    assert found.index.tolist() == ["first", "second"]
