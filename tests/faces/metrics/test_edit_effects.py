"""Effects of edits against editors whose effect is known: one that moves its attribute alone, one that
overshoots, one that carries.
"""

import math

import numpy as np
import pytest

from faces.metrics import edit_effects

STRENGTHS = np.array([0.0, 1.0, 2.0, 4.0])


def linear(rng, effect, faces=300):
    """Evidence (S, F, A) of a linear classifier while edits of side +-1 move face f by strength x effect, and
    the sides.
    """
    side = np.where(np.arange(faces) % 2, 1.0, -1.0)
    start = rng.normal(0, 1, (faces, len(effect)))
    start[:, 0] = -side * rng.uniform(0.1, 3, faces)
    return start + STRENGTHS[:, None, None] * side[:, None] * np.asarray(effect), side


def test_a_perfect_editor_has_a_diagonal_matrix(rng):
    deviation = np.array([1.0, 2.0, 0.5])
    matrix = []
    for target in range(3):
        effect = np.zeros(3)
        effect[target] = 1.5
        evidence, side = linear(rng, effect)
        change = edit_effects.changes(evidence[0], evidence[-1], side, deviation)
        matrix.append(change.mean(0))
        assert edit_effects.leakage(change.mean(0), target) == pytest.approx(0, abs=1e-12)
        assert edit_effects.dependency(change, target) == pytest.approx((0, 0), abs=1e-12)
    np.testing.assert_allclose(matrix, np.diag(4.0 * 1.5 / deviation), atol=1e-12)


def test_an_editor_that_does_nothing_scores_zero(rng):
    evidence, side = linear(rng, [0.0, 0.0, 0.0])
    change = edit_effects.changes(evidence[0], evidence[-1], side, np.ones(3))
    assert not change.any()
    assert edit_effects.leakage(change.mean(0), 0) == 0
    assert np.isnan(edit_effects.dependency(change, 0)).all()
    assert (edit_effects.kept(evidence[:1], evidence, 0) == 1).all()
    assert not edit_effects.flipped(evidence[:, :, 0], side).any()


def test_flips_are_counted_at_a_strength():
    """A step that overshoots: each of ten faces is flipped at one of two strengths, none at both and half at
    the next.
    """
    side = np.ones(10)
    evidence = -np.ones((4, 10))
    evidence[1, :6] = 1
    evidence[2, 5:] = 1
    evidence[3, :5] = 1
    shares = edit_effects.flipped(evidence, side)
    assert shares.tolist() == [0.0, 0.6, 0.5, 0.5]
    assert edit_effects.strength_for(STRENGTHS, shares, 0.9) == math.inf  # though every face flipped once
    assert edit_effects.strength_for(STRENGTHS, shares, 0.6) == pytest.approx(1.0)
    assert edit_effects.strength_for(STRENGTHS, shares, 0.3) == pytest.approx(0.5)


def test_the_first_crossing_counts_where_the_share_falls_again():
    shares = np.array([0.0, 0.95, 0.2, 1.0])
    assert edit_effects.strength_for(STRENGTHS, shares, 0.95) == pytest.approx(1.0)
    assert edit_effects.strength_for(STRENGTHS, shares, 1.0) == pytest.approx(4.0)
    assert edit_effects.strength_for(STRENGTHS, np.array([0.6, 0.9, 0.9, 0.9]), 0.5) == 0.0


def test_the_strength_is_close_on_a_fine_grid(rng):
    """A face at distance m from the threshold flips at m / effect: 90% have at the 90th percentile of these
    strengths.
    """
    strengths = np.linspace(0, 4, 201)
    margin = rng.uniform(0.1, 3, 400)
    evidence = -margin + strengths[:, None] * 0.9
    shares = edit_effects.flipped(evidence, np.ones(400))
    for level in (0.5, 0.9):
        expected = np.quantile(margin / 0.9, level)
        assert edit_effects.strength_for(strengths, shares, level) == pytest.approx(expected, abs=0.03)


def test_leakage_counts_size_whatever_its_sign():
    assert edit_effects.leakage(np.array([[3.0, -1.0, 0.5]]), 0) == pytest.approx([0.75])
    assert edit_effects.leakage(np.array([[3.0]]), 0) == pytest.approx([0.0])


def test_leakage_is_the_excess_over_the_truth():
    """Blond hair takes black away: an edit that fails to must not pass for the cleaner one."""
    truth = np.array([[2.0, -1.0, 0.0]])
    along = edit_effects.entailed(truth, np.array([0]))[0]
    assert along.tolist() == [1.0, -0.5, 0.0]
    right = np.array([3.0, -1.5, 0.0])
    lazy = np.array([3.0, 0.0, 0.0])
    assert edit_effects.leakage(right, 0, along) == pytest.approx(0)
    assert edit_effects.leakage(lazy, 0, along) == pytest.approx(0.75)
    assert edit_effects.leakage(right, 0) > edit_effects.leakage(lazy, 0)  # what the plain definition says


def test_dependency_sees_side_effects_that_cancel_in_the_mean():
    change = np.array([[2.0, 1.0, 0.2], [2.0, -1.0, 0.2]])
    assert edit_effects.leakage(change.mean(0), 0) == pytest.approx(0.1)
    assert edit_effects.dependency(change, 0) == pytest.approx((0.3, 0.5))


def test_curves_are_read_between_strengths():
    curve = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [4.0, 8.0]])
    np.testing.assert_allclose(edit_effects.at(STRENGTHS, curve, 3.0), [3.0, 6.0])
    np.testing.assert_allclose(edit_effects.at(STRENGTHS, curve, 0.0), [0.0, 0.0])
    np.testing.assert_allclose(edit_effects.at(STRENGTHS, curve, 4.0), [4.0, 8.0])


def test_kept_is_the_share_of_other_decisions():
    """One face: the target flips, and one of the two others with it."""
    evidence = np.array([[[-1.0, 1.0, 1.0]], [[1.0, -1.0, 2.0]]])
    np.testing.assert_allclose(edit_effects.kept(evidence[:1], evidence, 0), [1.0, 0.5])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_carried_finds_the_planted_share(share):
    """Edits whose every other change is `share` of the labels' correlation, beyond what the true
    counterfactuals change.
    """
    expected = np.array(
        [[1.0, 0.5, -0.4, 0.02], [0.5, 1.0, -0.2, 0.0], [-0.4, -0.2, 1.0, 0.0], [0.02, 0.0, 0.0, 1.0]]
    )
    truth = np.eye(4) * 2.0
    truth[0, 1] = -0.8  # entailed: left out
    truth[3, 1] = 0.1  # a small change of the truth is no leakage
    matrix = 3.0 * (share * (expected - np.eye(4)) + truth / 2.0)
    found = edit_effects.carried(matrix, truth, expected, np.arange(4), np.ones(4))
    assert found["carried"] == pytest.approx(share, abs=1e-12)
    assert found["confounded"] == pytest.approx(share * np.mean([0.4, 0.5, 0.2, 0.4, 0.2]), abs=1e-12)
    assert found["unrelated"] == pytest.approx(share * (0.02 + 0.02) / 6, abs=1e-12)


def test_nothing_is_carried_where_nothing_is_correlated():
    nowhere = np.full((3, 3), np.nan)
    found = edit_effects.carried(np.eye(3), nowhere, np.eye(3), np.arange(3), np.ones(3))
    assert np.isnan(found["carried"])
    assert np.isnan(found["confounded"])
    assert found["unrelated"] == 0


def test_an_edit_that_counts_twice_is_an_edit_that_stands_there_twice(rng):
    expected = np.full((3, 3), 0.5)
    matrix = rng.normal(1, 0.3, (3, 3))
    twice = np.array([0, 1, 1, 2])
    nowhere = np.full((4, 3), np.nan)
    stood = edit_effects.carried(matrix[twice], nowhere, expected, twice, np.ones(4))
    weighed = edit_effects.carried(matrix, nowhere[:3], expected, np.arange(3), np.array([1, 2, 1]))
    for name, value in weighed.items():
        assert value == pytest.approx(stood[name], nan_ok=True)


def test_weightings_are_computed_together(rng):
    expected = np.full((3, 3), 0.5)
    matrices = rng.normal(1, 0.3, (5, 3, 3))
    weights = rng.integers(1, 4, (5, 3))
    nowhere = np.full((5, 3, 3), np.nan)
    together = edit_effects.carried(matrices, nowhere, expected, np.arange(3), weights)
    for place in range(5):
        alone = edit_effects.carried(matrices[place], nowhere[place], expected, np.arange(3), weights[place])
        for name, value in alone.items():
            assert together[name][place] == pytest.approx(value, nan_ok=True)


def test_the_identity_scale_puts_strangers_at_one():
    scale = edit_effects.identity_scale(np.arange(101) / 100, np.array([2.0, 4.0, 6.0]))
    assert scale["unit"] == 4.0
    assert scale["same_median"] == pytest.approx(0.125)
    assert scale["same_95"] == pytest.approx(0.2375)


def test_distances_leave_an_axis_out():
    a = np.array([[3.0, 4.0, 12.0], [1.0, 0.0, 0.0]])
    b = np.zeros((2, 3))
    np.testing.assert_allclose(edit_effects.distances(a, b), [13.0, 1.0])
    np.testing.assert_allclose(edit_effects.distances(a, b, np.array([0.0, 0.0, 2.0])), [5.0, 1.0])


def test_identity_pairs_are_of_one_known_person(rng):
    identity = np.array([5, 7, -1, 5, 7, 7, -1, 9])
    left, right = edit_effects.identity_pairs(identity, 10, rng)
    assert len(left) == 3  # one of 5, two of 7
    assert (identity[left] == identity[right]).all()
    assert (identity[left] >= 0).all()
    assert (left != right).all()
    assert not len(edit_effects.identity_pairs(np.full(4, -1), 10, rng)[0])
