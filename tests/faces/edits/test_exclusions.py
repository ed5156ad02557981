"""Which labels an edit takes away or brings with the one it changes, on hand-made faces."""

import numpy as np
import pytest

from faces.core.params import ParamsError
from faces.edits.exclusions import Exclusions, Exclusive, goals, switched

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


def of(faces, sets=SETS, attributes=ATTRIBUTES, tolerance=0.0) -> Exclusions:
    return Exclusions.of("here", Exclusive(sets=sets, tolerance=tolerance), attributes, faces)


@pytest.fixture
def ruled_out() -> Exclusions:
    return of(FACES)


@pytest.fixture
def pairs(ruled_out) -> Exclusions:
    """The same, but that a face may show none of a set."""
    return Exclusions(ruled_out.pairs, ruled_out.exhaustive[:0])


def test_sets_become_pairs(ruled_out):
    expected = np.zeros((4, 6), int)
    for row, (a, b) in zip(expected, [(BALD, BLACK), (BALD, BROWN), (BLACK, BROWN)], strict=False):
        row[[a, b]] = 1
    expected[3, [LONG, BANGS]] = -1, 1
    np.testing.assert_array_equal(ruled_out.pairs, expected)


def test_a_set_of_which_every_face_shows_one_is_exhaustive(ruled_out):
    """The commonest first. Of bangs and short hair a face may show neither."""
    np.testing.assert_array_equal(ruled_out.exhaustive, [[2, 1, 3, 0, 0, 0]])
    assert ruled_out.members() == [[(BLACK, 1), (BALD, 1), (BROWN, 1)]]
    neither = np.repeat(FACES, 10, axis=0)
    neither[:2, BALD] = -1  # of 10 bald faces
    assert len(of(neither, tolerance=0.2).exhaustive) == 0  # 2 of the 8 that are left
    assert len(of(neither, tolerance=0.25).exhaustive) == 1
    absences = of(FACES[:, [LONG, SMILING]], (("-long", "-smiles"),), ("long", "smiles"))
    assert len(absences.pairs) == len(absences.exhaustive) == 0  # both are seen together


def test_without_one_of_its_labels_a_set_is_left_out(ruled_out):
    some = ruled_out.among(np.arange(6) != BROWN)
    np.testing.assert_array_equal(some.pairs, [[1, 1, 0, 0, 0], [0, 0, -1, 1, 0]])
    assert some.exhaustive.shape == (0, 5)


def test_where_the_last_of_an_exhaustive_set_goes_the_commonest_other_comes(ruled_out):
    """Whatever takes it away; not what is locked or unknown; nothing where it was not there."""
    black = switched(BLACK, np.array([-1]), FACES[1:2], ruled_out)
    np.testing.assert_array_equal(black, [[1, -1, 0, 0, 0, 0]])
    brown = switched(BROWN, np.array([-1]), FACES[3:], ruled_out)
    np.testing.assert_array_equal(brown, [[0, 1, -1, 0, 0, 0]])
    gone = switched(BROWN, np.array([-1]), FACES[:1], ruled_out)
    np.testing.assert_array_equal(gone, [[0, 0, -1, 0, 0, 0]])

    bald_in_bangs = Exclusions(
        np.array([[1, 0, 0, 0, 1, 0]], np.int8), ruled_out.exhaustive
    )  # bangs take baldness away, and hair has a colour
    change = switched(BANGS, np.array([1]), FACES[:1], bald_in_bangs)
    np.testing.assert_array_equal(change, [[-1, 1, 0, 0, 1, 0]])

    wanted = np.zeros((1, 6), np.int8)
    wanted[0, BROWN] = -1
    locked = np.arange(6) == BLACK
    np.testing.assert_array_equal(goals(FACES[3:], wanted, ruled_out, locked), [[1, -1, -1, 1, 0, -1]])
    unknown = FACES[3:].copy()
    unknown[0, BLACK] = 0
    np.testing.assert_array_equal(goals(unknown, wanted, ruled_out, None), [[-1, 0, -1, 1, 0, -1]])
    both = wanted.copy()
    both[0, BLACK] = -1
    np.testing.assert_array_equal(goals(FACES[3:], both, ruled_out, None), [[1, -1, -1, 1, 0, -1]])


def test_a_pair_that_the_faces_show_together_is_passed_over():
    both = np.repeat(
        np.array([[1, 1], [1, -1], [-1, 1]], np.int8), [2, 8, 18], axis=0
    )  # 2 of the 10 faces with the rarer label
    for tolerance, count in ((0.2, 1), (0.19, 0)):
        assert len(of(both, (("a", "b"),), ("a", "b"), tolerance).pairs) == count


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
        of(FACES, (("Blak_Hair", "Bald"),))
