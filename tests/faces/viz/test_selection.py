"""Which faces appear: labels met exactly, the best of the drawn, the same for the same seed."""

import numpy as np
import pytest

from faces.core.params import ParamsError
from faces.viz.selection import Absent, cast, conditions, matching, unlike, unsigned

ATTRIBUTES = ("Male", "Smiling", "Eyeglasses")


def test_conditions_read_signs_and_question_marks():
    assert conditions("k", ("-Male?", "Smiling"), ATTRIBUTES) == {"Male": -1, "Smiling": 1}
    assert conditions("k", (), ATTRIBUTES) == {}
    assert unsigned(("-Male?", "Smiling")) == ("Male?", "Smiling")


def test_conditions_tell_what_may_be_missing_from_what_is_a_mistake():
    with pytest.raises(Absent, match="the data have no Bald, Bangs"):
        conditions("k", ("-Bald?", "Male", "Bangs?"), ATTRIBUTES)
    with pytest.raises(ParamsError, match=r"render\.edits\.x = 'Smilling', did you mean 'Smiling'"):
        conditions("render.edits.x", ("-Smilling",), ATTRIBUTES)


def test_matching_takes_no_unknown_label():
    labels = np.array([[1, -1, 1], [1, 1, 1], [-1, -1, 1], [1, 0, 1]], np.int8)
    assert matching(labels, ATTRIBUTES, {"Male": 1, "Smiling": -1}).tolist() == [True, False, False, False]
    assert matching(labels, ATTRIBUTES, {}).all()


def test_cast_takes_the_best_of_each_group(rng):
    """With as many rivals as there are rows, the best row of all; with one rival, a permutation; never a row
    twice.
    """
    rows = np.arange(100, 160)
    assert cast(rows, 1, 60, lambda some: np.abs(some - 137), rng).tolist() == [137]
    assert sorted(cast(rows, 60, 1, lambda some: some, rng)) == rows.tolist()
    chosen = cast(rows, 10, 6, lambda some: some, rng)
    assert len(set(chosen)) == 10
    assert chosen.max() < 155  # the five worst of sixty cannot each be the best of six


def test_cast_makes_do_with_few(rng):
    assert len(cast(np.array([7, 8, 9]), 5, 8, lambda some: some, rng)) == 3
    assert len(cast(np.array([], int), 5, 8, lambda some: some, rng)) == 0


def test_cast_repeats_itself():
    first, second = (
        cast(np.arange(500), 6, 8, lambda some: some % 17, np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_unlike_prefers_the_mean_face_to_its_mirror_a_dim_copy_and_a_flat_one(rng):
    mean = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    faces = np.stack([np.full_like(mean, 99), mean // 2, mean, mean[:, ::-1]])
    found = unlike(faces, mean)
    assert found.argmin() == 2
    assert found[2] == pytest.approx(-mean.astype(float).var(), rel=1e-4)  # a covariance with itself
    assert found[0] == pytest.approx(0, abs=1e-3)  # no contrast
    assert found[1] == pytest.approx(found[2] / 2, rel=0.02)
