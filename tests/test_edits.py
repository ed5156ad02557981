"""Scores of edits against editors whose effect is known: one that moves its attribute alone, one that moves nothing, one that carries a confounder."""

import numpy as np
import pytest

from faces.metrics import edit_effects

STRENGTHS = np.array([0.0, 1.0, 2.0, 4.0])


def linear(rng, effect, faces=300):
    """Evidence (S, F, A) of a linear judge while edits of side +-1 move face f by strength x effect (A,), and the sides (F,)."""
    side = np.where(np.arange(faces) % 2, 1.0, -1.0)
    start = rng.normal(0, 1, (faces, len(effect)))
    start[:, 0] = -side * rng.uniform(0.1, 3, faces)
    return start + STRENGTHS[:, None, None] * side[:, None] * np.asarray(effect), side


def test_a_perfect_editor_has_a_diagonal_matrix(rng):
    spread, matrix = np.array([1.0, 2.0, 0.5]), []
    for target in range(3):
        effect = np.zeros(3)
        effect[target] = 1.5
        evidence, side = linear(rng, effect)
        change = edit_effects.changes(evidence, side, spread)
        matrix.append(change[-1])
        assert edit_effects.leakage(change, target) == pytest.approx(np.zeros(4), abs=1e-12)
    np.testing.assert_allclose(matrix, np.diag(4.0 * 1.5 / spread), atol=1e-12)


def test_an_editor_that_does_nothing_scores_zero(rng):
    evidence, side = linear(rng, [0.0, 0.0, 0.0])
    change = edit_effects.changes(evidence, side, np.ones(3))
    assert not change.any()
    assert not edit_effects.leakage(change, 0).any()
    assert (edit_effects.kept(evidence, 0) == 1).all()
    assert np.isinf(edit_effects.flip_strengths(STRENGTHS, evidence[:, :, 0], side)).all()
    assert (
        edit_effects.strength_for(edit_effects.flip_strengths(STRENGTHS, evidence[:, :, 0], side), 0.5)
        == np.inf
    )


def test_leakage_counts_size_whatever_its_sign():
    assert edit_effects.leakage(np.array([[3.0, -1.0, 0.5]]), 0) == pytest.approx([0.75])
    assert edit_effects.leakage(np.array([[3.0]]), 0) == pytest.approx([0.0])


def test_the_strength_is_exact_on_a_linear_judge(rng):
    """A face at distance m from the threshold flips at m / effect; 90% of them have at the 90th of a hundred such strengths."""
    evidence, side = linear(rng, [0.9, 0.0], faces=100)
    truth = np.abs(evidence[0, :, 0]) / 0.9
    flips = edit_effects.flip_strengths(STRENGTHS, evidence[:, :, 0], side)
    np.testing.assert_allclose(flips, truth, rtol=1e-12)
    for share in (0.5, 0.9, 1.0):
        assert edit_effects.strength_for(flips, share) == pytest.approx(
            np.sort(truth)[round(share * 100) - 1], rel=1e-12
        )


def test_a_share_that_is_never_reached_is_infinite():
    flips = np.array([1.0, 2.0, np.inf, np.inf])
    assert edit_effects.strength_for(flips, 0.5) == 2.0
    assert edit_effects.strength_for(flips, 0.51) == np.inf
    assert edit_effects.strength_for(np.array([]), 0.5) == np.inf


def test_a_face_that_flips_and_returns_counts_from_its_first_flip():
    evidence = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    assert edit_effects.flip_strengths(STRENGTHS, evidence, np.ones(1)) == pytest.approx([0.5])


def test_curves_are_read_between_strengths():
    curve = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [4.0, 8.0]])
    np.testing.assert_allclose(edit_effects.at(STRENGTHS, curve, 3.0), [3.0, 6.0])
    np.testing.assert_allclose(edit_effects.at(STRENGTHS, curve, 0.0), [0.0, 0.0])
    np.testing.assert_allclose(edit_effects.at(STRENGTHS, curve, 4.0), [4.0, 8.0])


def test_kept_is_the_share_of_other_decisions():
    evidence = np.array(
        [[[-1.0, 1.0, 1.0]], [[1.0, -1.0, 2.0]]]
    )  # one face: the target flips, one of the two others with it
    np.testing.assert_allclose(edit_effects.kept(evidence, 0), [1.0, 0.5])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_carried_finds_the_planted_share(share):
    """Edits whose every other change is `share` of the labels' correlation, on top of what the true counterfactuals change."""
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
    found = edit_effects.carried(np.eye(3), np.zeros((3, 3)), np.eye(3), np.arange(3), np.ones(3))
    assert np.isnan(found["carried"])
    assert np.isnan(found["confounded"])
    assert found["unrelated"] == 0


def test_an_edit_that_counts_twice_is_an_edit_that_stands_there_twice(rng):
    expected, matrix = np.full((3, 3), 0.5), rng.normal(1, 0.3, (3, 3))
    twice = np.array([0, 1, 1, 2])
    stood = edit_effects.carried(matrix[twice], np.zeros((4, 3)), expected, twice, np.ones(4))
    assert edit_effects.carried(
        matrix, np.zeros((3, 3)), expected, np.arange(3), np.array([1, 2, 1])
    ) == pytest.approx(stood, nan_ok=True)


def test_correlations_leave_unknown_labels_out():
    labels = np.array([[1, 1], [-1, -1], [1, 1], [-1, -1], [1, 0], [0, -1]])
    np.testing.assert_allclose(edit_effects.correlations(labels), np.ones((2, 2)))
    assert edit_effects.correlations(np.ones((5, 2))).tolist() == [[0, 0], [0, 0]]


def test_the_identity_scale_puts_strangers_at_one():
    scale = edit_effects.identity_scale(np.arange(101) / 100, np.array([2.0, 4.0, 6.0]))
    assert scale["unit"] == 4.0
    assert scale["same_median"] == pytest.approx(0.125)
    assert scale["same_95"] == pytest.approx(0.2375)


def test_distances_leave_an_axis_out():
    a, b, axis = np.array([[3.0, 4.0, 12.0], [1.0, 0.0, 0.0]]), np.zeros((2, 3)), np.array([0.0, 0.0, 2.0])
    np.testing.assert_allclose(edit_effects.distances(a, b), [13.0, 1.0])
    np.testing.assert_allclose(edit_effects.distances(a, b, axis), [5.0, 1.0])


def test_identity_pairs_are_of_one_known_person(rng):
    identity = np.array([5, 7, -1, 5, 7, 7, -1, 9])
    left, right = edit_effects.identity_pairs(identity, 10, rng)
    assert len(left) == 3  # one of 5, two of 7
    assert (identity[left] == identity[right]).all()
    assert (identity[left] >= 0).all()
    assert (left != right).all()
    assert not len(edit_effects.identity_pairs(np.full(4, -1), 10, rng)[0])
