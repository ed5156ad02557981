"""Which labels an edit takes away with the one it brings, on hand-made faces."""

import numpy as np
import pytest

from faces.core.params import ParamsError
from faces.edits.exclusions import Exclusive, exclusions, switched

ATTRIBUTES = ("Bald", "Black_Hair", "Brown_Hair", "Long_Hair", "Bangs", "Smiling")
BALD, BLACK, BROWN, LONG, BANGS, SMILING = range(6)
SETS = (("Bald?", "Black_Hair", "Brown_Hair", "Red_Hair?"), ("-Long_Hair", "Bangs"))
FACES = np.array(
    [
        [1, -1, -1, -1, -1, 1],  # bald
        [-1, 1, -1, -1, -1, -1],  # short black hair
        [-1, 1, -1, 1, 1, 1],  # long black hair with bangs
        [-1, -1, 1, 1, 0, -1],  # long brown hair, bangs unknown
    ],
    np.int8,
)


@pytest.fixture
def pairs() -> np.ndarray:
    return exclusions("here", Exclusive(sets=SETS, tolerance=0.0), ATTRIBUTES, FACES)


def test_sets_become_pairs(pairs):
    expected = np.zeros((4, 6), int)
    for row, (a, b) in zip(expected, [(BALD, BLACK), (BALD, BROWN), (BLACK, BROWN)], strict=False):
        row[[a, b]] = 1
    expected[3, [LONG, BANGS]] = -1, 1
    np.testing.assert_array_equal(pairs, expected)


def test_a_pair_that_the_faces_show_together_is_passed_over():
    both = np.repeat(
        np.array([[1, 1], [1, -1], [-1, 1]], np.int8), [2, 8, 18], axis=0
    )  # 2 of the 10 faces with the rarer label
    for tolerance, count in ((0.2, 1), (0.19, 0)):
        assert (
            len(exclusions("here", Exclusive(sets=(("a", "b"),), tolerance=tolerance), ("a", "b"), both))
            == count
        )


def test_what_cannot_stay_goes(pairs):
    brown = switched(BROWN, np.ones(3, int), FACES[:3], pairs)
    np.testing.assert_array_equal(brown, [[-1, 0, 1, 0, 0, 0], [0, -1, 1, 0, 0, 0], [0, -1, 1, 0, 0, 0]])
    short = switched(LONG, np.array([-1, -1]), FACES[2:], pairs)
    np.testing.assert_array_equal(
        short, [[0, 0, 0, -1, -1, 0], [0, 0, 0, -1, 0, 0]]
    )  # nobody knows of the second face's bangs: they stay
    bangs = switched(BANGS, np.ones(1, int), FACES[1:2], pairs)
    np.testing.assert_array_equal(bangs, [[0, 0, 0, 1, 1, 0]])


def test_taking_away_brings_nothing(pairs):
    np.testing.assert_array_equal(switched(BLACK, np.array([-1]), FACES[1:2], pairs), [[0, -1, 0, 0, 0, 0]])


def test_an_attribute_in_no_set_changes_alone(pairs):
    np.testing.assert_array_equal(
        switched(SMILING, -FACES[:, SMILING], FACES, pairs), -FACES * (np.arange(6) == SMILING)
    )


def test_a_name_that_the_data_lack_is_an_error():
    with pytest.raises(ParamsError, match="here = 'Blak_Hair', did you mean 'Black_Hair'"):
        exclusions("here", Exclusive(sets=(("Blak_Hair", "Bald"),), tolerance=0.0), ATTRIBUTES, FACES)
