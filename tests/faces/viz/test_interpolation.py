"""Interpolation of codes, by hand; kept detail, to the grey level."""

import numpy as np
import pytest

from faces.viz.interpolation import arc, blend_detail, closed_walk, eased, lerp, there_and_back

ORIGIN = np.zeros(2)
X = np.array([1.0, 0.0])
Y = np.array([0.0, 1.0])


def test_eased_starts_and_stops_at_rest():
    positions = eased(5)
    np.testing.assert_allclose(positions, [0, (1 - 2**-0.5) / 2, 0.5, (1 + 2**-0.5) / 2, 1], atol=1e-15)
    steps = np.diff(eased(101))
    assert steps[0] < 0.02 * steps[50]
    assert steps[-1] < 0.02 * steps[50]


def test_there_and_back_repeats_no_frame():
    assert there_and_back(4).tolist() == [0, 1, 2, 3, 2, 1]
    assert there_and_back(2).tolist() == [0, 1]


def test_lerp_by_hand():
    way = lerp(np.array([0.0, 2.0], np.float32), np.array([4.0, 0.0], np.float32), np.array([0, 0.25, 1]))
    assert way.dtype == np.float32
    assert way.tolist() == [[0, 2], [1, 1.5], [4, 0]]


def test_arc_follows_the_circle():
    way = arc(X, Y, np.array([0, 1 / 3, 0.5, 1]), ORIGIN)
    np.testing.assert_allclose(
        way, [[1, 0], [np.cos(np.pi / 6), 0.5], [0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-15
    )


def test_arc_turns_about_the_centre():
    centre = np.array([3.0, -1.0])
    np.testing.assert_allclose(
        arc(X + centre, Y + centre, np.array([0.5]), centre), [centre + 0.5**0.5], atol=1e-15
    )


def test_the_arc_turns_evenly_and_its_length_changes_evenly():
    """Between (2, 0) and (0, 4): a third of the way, 30 degrees and length 2 + 2 / 3."""
    way = arc(2 * X, 4 * Y, np.array([0, 1 / 3, 1]), ORIGIN)
    length = 2 + 2 / 3
    np.testing.assert_allclose(way, [[2, 0], [length * np.cos(np.pi / 6), length / 2], [0, 4]], atol=1e-15)


@pytest.mark.parametrize(
    ("first", "second", "middle"),
    [(X, 3 * X, [2, 0]), (X, -X, [0, 0]), (ORIGIN, Y, [0, 0.5]), (X, X, [1, 0]), (ORIGIN, ORIGIN, [0, 0])],
    ids=["collinear", "antipodal", "from the centre", "equal", "both at the centre"],
)
def test_where_there_is_no_arc_it_is_the_straight_line(first, second, middle):
    np.testing.assert_array_equal(arc(first, second, np.array([0, 0.5, 1]), ORIGIN), [first, middle, second])


def test_closed_walk_passes_its_anchors(rng):
    anchors = rng.normal(size=(5, 16))
    centre = rng.normal(size=16)
    np.testing.assert_allclose(closed_walk(anchors, 5 * 8, centre)[::8], anchors, atol=1e-12)


def test_closed_walk_is_closed_and_smooth(rng):
    """Steps shrink with their number, also over the seam, and so do the changes of step: by n and n^2, as
    those of a smooth loop do.
    """
    anchors = rng.normal(size=(6, 32))
    centre = np.full(32, 0.3)

    def largest(count, order):
        walk = closed_walk(anchors, count, centre)
        return np.linalg.norm(np.diff(np.concatenate((walk, walk[: order + 1])), order, axis=0), axis=1).max()

    assert largest(6000, 1) / largest(600, 1) == pytest.approx(0.1, rel=0.05)
    assert largest(6000, 2) / largest(600, 2) == pytest.approx(0.01, rel=0.1)


def test_closed_walk_keeps_the_distance_of_its_anchors(rng):
    anchors = rng.normal(size=(4, 64))
    anchors *= 3 / np.linalg.norm(anchors, axis=1, keepdims=True)
    centre = rng.normal(size=64)
    walk = closed_walk((anchors + centre).astype(np.float32), 40, centre)
    assert walk.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(walk - centre, axis=1), 3, atol=1e-5)


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, 4, 8, 8, 3)).astype(np.uint8)


def test_blend_detail_begins_and_ends_with_the_originals(pictures):
    originals = pictures[0, :2]
    rebuilt = pictures[1, :2]
    blended = blend_detail(originals, rebuilt, rebuilt, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(blended, originals)


def test_blend_detail_by_hand():
    originals, rebuilt = (np.array(values, np.uint8).reshape(2, 1, 1, 1) for values in ([100, 60], [90, 80]))
    between = np.array([50, 50], np.uint8).reshape(2, 1, 1, 1)
    assert blend_detail(originals, rebuilt, between, np.array([0.5, 0.25])).ravel().tolist() == [
        45,
        52,
    ]  # 50 + 5 - 10; 50 + 7.5 - 5, to even
