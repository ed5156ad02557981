"""What comes along, from hand-made changes: the figures, the common set, ratios, the floor, and intervals."""

import numpy as np
import pandas as pd
import pytest

from faces.metrics import confounding
from faces.metrics.changes import TRUTH, Changes

NAMES = ("a", "b", "c")
EXPECTED = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
FACES = np.arange(12)


def edits(
    editor: str, along: dict[str, tuple[float, float]], spread: float = 0.0, kind: str = "plain"
) -> dict:
    """Every edit changes its own attribute by 2, those that correlate by the first number, the others by the
    second.

    Faces differ by `spread`, one up, one down.
    """
    found = {}
    for a, edited in enumerate(NAMES):
        if edited in along:
            mean = [2.0 if a == b else along[edited][0 if EXPECTED[a, b] else 1] for b in range(3)]
            wave = spread * np.where(FACES % 2, 1.0, -1.0)[:, None] * (np.arange(3) != a)
            found[0, editor, kind, edited] = FACES, np.tile(mean, (len(FACES), 1)) + wave
    return found


def tabled(*found: dict, common=NAMES) -> pd.DataFrame:
    changes = Changes(NAMES, {key: value for some in found for key, value in some.items()})
    table = confounding.table(changes, {(0, "plain"): common}, EXPECTED, 50, 1)
    return table.set_index("estimator")


@pytest.fixture
def found() -> pd.DataFrame:
    first = edits("first", dict.fromkeys("abc", (0.8, 0.2)))
    return tabled(first, edits("second", {"a": (0.2, 0.1), "c": (0.2, 0.3)}))


def test_figures_are_shares_of_the_edits_own_change(found):
    first = found.loc["first"]
    assert first[["confounded", "unrelated", "carried"]].tolist() == pytest.approx([0.4, 0.1, 0.8])
    assert first["leakage"] == pytest.approx((0.5 + 0.5 + 0.2) / 3)
    assert first["dependency"] == pytest.approx((0.25 + 0.25 + 0.1) / 3)
    assert first["dependency_max"] == pytest.approx((0.4 + 0.4 + 0.1) / 3)
    assert found.loc["second", "confounded"] == pytest.approx(0.1)
    assert found["attributes"].tolist() == [3, 2]


def test_nobody_is_charged_for_what_others_do_not_reach():
    """The attribute c, which only the first reaches, is in no figure of the common set."""
    bad = {"a": (0.8, 0.2), "b": (0.8, 0.2), "c": (0.0, 2.0)}
    second = edits("second", {"a": (0.8, 0.2), "b": (0.8, 0.2)})
    table = tabled(edits("first", bad), second, common=("a", "b"))
    for name in ("confounded", "unrelated", "leakage", "dependency"):
        assert table.loc["first", name] == pytest.approx(table.loc["second", name])
    assert table.loc["second", "confounded_ratio"] == pytest.approx(1)


def test_the_common_set_is_what_all_reach_and_pictures_show():
    reached = {"good": {"a", "b", "c"}, "fair": {"a", "b"}, "random": set()}
    assert confounding.common_set(reached, NAMES, set()) == ("a", "b")
    assert confounding.common_set(reached, NAMES, {"b", "c"}) == ("b",)
    assert confounding.common_set(reached | {"control": {"c"}}, NAMES, set()) == (
        "a",
        "b",
    )  # too few to have a say
    assert confounding.common_set({"random": set()}, NAMES, set()) == ()


def test_ratios_are_over_what_both_reach():
    first = edits("first", {"a": (0.8, 0.2), "b": (0.2, 0.2), "c": (0.8, 0.2)})
    found = tabled(first, edits("second", {"a": (0.2, 0.1), "c": (0.2, 0.3)}))
    assert found.loc["first", "confounded_ratio"] == 1
    assert found.loc["second", "confounded_ratio"] == pytest.approx(0.1 / 0.4)  # on a alone, not on b
    assert found.loc["second", "unrelated_ratio"] == pytest.approx((0.05 + 2 * 0.15) / 3 / 0.1)


def test_intervals_hold_the_figures():
    first = edits("first", {"a": (0.8, 0.2), "b": (0.4, 0.2), "c": (0.1, 0.3)}, spread=0.5)
    table = tabled(first, edits("second", {"a": (0.2, 0.1), "c": (0.2, 0.3)}))
    for name in ("confounded", "leakage", "dependency"):
        low, value, high = (table[f"{name}{end}"] for end in ("_low", "", "_high"))
        assert (low <= value + 1e-9).all() and (value <= high + 1e-9).all()


def test_intervals_resample_faces_too():
    """All attributes are alike, so resampling these alone would leave no interval; the faces differ."""
    alike = dict.fromkeys("abc", (0.8, 0.8))
    still = tabled(edits("e", alike)).loc["e"]
    moving = tabled(edits("e", alike, spread=0.5)).loc["e"]
    assert still["confounded_high"] - still["confounded_low"] == pytest.approx(0)
    assert moving["confounded_high"] - moving["confounded_low"] > 0.1


def test_the_truth_against_itself_is_the_floor():
    """Halves that agree have no excess; halves that differ by 0.2 of 2 show what a perfect edit scores."""
    along = {"a": (0.1, 0.0), "b": (0.1, 0.0), "c": (0.0, 0.0)}
    same = tabled(edits("e", along), edits(TRUTH, along, kind=TRUTH))
    assert same.index.tolist() == ["e", "floor"]
    assert same.loc["floor", ["confounded", "unrelated", "leakage"]].tolist() == pytest.approx([0, 0, 0])
    assert same.loc["floor", "dependency"] == pytest.approx(0.1 / 2 / 2 * 2 / 3)
    assert same.loc["e", "confounded"] == pytest.approx(0)
    apart = tabled(edits("e", along), edits(TRUTH, along, spread=0.1, kind=TRUTH))
    assert apart.loc["floor", "confounded"] == pytest.approx(0.2 / 2)
    assert apart.loc["e", "confounded"] == pytest.approx(0, abs=1e-9)


def test_changes_are_read_as_they_were_written(tmp_path, rng):
    written = Changes(NAMES, {(0, "e", "plain", "b"): (FACES, rng.normal(size=(12, 3)).astype(np.float32))})
    written.save(tmp_path / "changes.npz")
    found = Changes.open(tmp_path / "changes.npz")
    assert found.attributes == NAMES and list(found.edits) == list(written.edits)
    rows, change = found.edits[0, "e", "plain", "b"]
    np.testing.assert_array_equal(rows, FACES)
    np.testing.assert_array_equal(change, written.edits[0, "e", "plain", "b"][1])
    Changes(NAMES, {}).save(tmp_path / "empty.npz")
    assert Changes.open(tmp_path / "empty.npz").edits == {}
