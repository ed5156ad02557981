"""Forms of labels: read, drawn, and what becomes of them in an edit."""

import numpy as np
import pytest

from facemorph.forms import ARRAYS, Forms


@pytest.fixture
def forms():
    """Label a has three forms, told by three numbers of a code, and faces without b two, told by a fourth."""
    normals = np.zeros((5, 4))
    normals[:3, :3] = 4 * np.eye(3)
    normals[4, 3] = 4
    lots = np.eye(2, 3)
    edges = np.array([-1.0, 1.0, 9.0, 0.0, 9.0])
    arrays = dict(zip(ARRAYS, (normals, np.zeros(5), lots, edges), strict=True))
    return Forms.of(("b", "a"), ("a", "a", "a", "-b", "-b"), arrays)


def test_a_code_says_which_form(forms):
    """In full where the label is sure, by half where it is not, and nothing of an unknown label."""
    code = np.array([0, 9, 0, -9.0])
    np.testing.assert_allclose(forms.read(code, np.array([-1.0, 1.0])), [-1, 1, -1, 1, -1], atol=1e-6)
    np.testing.assert_allclose(forms.read(code, np.array([1.0, -1.0])), [-1] * 5, atol=1e-6)
    np.testing.assert_allclose(forms.read(code, np.array([-0.5, 0.5])), [-1, 0.5, -1, 0.5, -1], atol=1e-6)
    np.testing.assert_array_equal(forms.read(code, np.zeros(2)), np.zeros(5))
    np.testing.assert_allclose(forms.read(np.zeros(4), np.ones(2)), [-1 / 3] * 3 + [-1, -1])


def test_noise_draws_one_form_of_each_label(forms):
    """Below the edge of the first, between the two, above both; the other label's by a number of its own."""
    noise = np.array([[-2, 0.5, 7], [0, -0.5, 7], [2, 0.5, 7.0]])
    expected = [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 1]]
    np.testing.assert_array_equal(forms.drawn(noise), expected)
    found = forms.of_noise(np.array([-1.0, 1.0]), noise)
    np.testing.assert_array_equal(found, 2 * np.array(expected) - 1)
    np.testing.assert_array_equal(forms.of_noise(np.array([0.0, -1.0]), noise[0]), [-1, -1, -1, 0, 0])


def test_forms_follow_their_label(forms):
    """A label that comes brings the form that is drawn; of a face that had one, its own; one that goes takes
    all along; one that stays, none.
    """
    noise = np.array([2.0, -5, 0])
    without = np.array([1.0, -1.0])
    none = np.full(5, -1.0)
    with_it = np.array([1.0, 1.0])
    own = np.array([-1, 1, -1, -1, -1.0])
    np.testing.assert_array_equal(forms.after(without, none, with_it, noise), [-1, -1, 1, -1, -1])
    np.testing.assert_array_equal(forms.after(with_it, own, without, noise), none)
    np.testing.assert_array_equal(forms.after(with_it, own, with_it, noise), own)
    np.testing.assert_array_equal(forms.after(without, none, -without, noise), [-1, -1, 1, 1, -1])
    half = np.array([1.0, 0.0])
    np.testing.assert_array_equal(forms.after(without, none, half, noise), [-1, -1, 0, -1, -1])
    unsure = np.array([1.0, 0.5])
    seen = np.array([-1, 0.4, -0.9, -1, -1])
    np.testing.assert_allclose(forms.after(unsure, seen, with_it, noise), own)
    unknown = np.array([1.0, 0.0])
    np.testing.assert_array_equal(
        forms.after(unknown, forms.read(np.zeros(4), unknown), with_it, noise), [-1, -1, 1, -1, -1]
    )


def test_what_follows_is_continuous(forms, rng):
    """A small change of the goal changes forms little, and they add up to their label all along."""
    for _ in range(20):
        labels = np.array([1.0, rng.uniform(-1, 0.5)])
        before = forms.read(rng.normal(size=4), labels)
        noise = rng.normal(size=3)
        way = np.linspace(-1, 1, 201)
        path = np.array([forms.after(labels, before, np.array([1.0, goal]), noise) for goal in way])
        np.testing.assert_allclose((1 + path[:, :3]).sum(1), 1 + way, atol=1e-9)
        assert np.abs(np.diff(path, axis=0)).max() < 0.05


def test_several_faces_at_once_are_as_one(forms, rng):
    codes = rng.normal(size=(6, 4))
    labels = rng.uniform(-1, 1, (6, 2))
    goal = rng.uniform(-1, 1, (6, 2))
    noise = rng.normal(size=(6, 3))
    read = forms.read(codes, labels)
    after = forms.after(labels, read, goal, noise)
    for row in range(6):
        np.testing.assert_allclose(forms.read(codes[row], labels[row]), read[row])
        np.testing.assert_allclose(forms.after(labels[row], read[row], goal[row], noise[row]), after[row])


def test_without_forms_there_is_nothing_to_say():
    none = Forms.of(("a",), (), {})
    labels = np.ones((3, 1))
    for found in (
        none.read(np.ones((3, 4)), labels),
        none.after(labels, np.ones((3, 0)), -labels, np.ones((3, 2))),
        none.of_noise(labels, np.ones((3, 2))),
    ):
        assert found.shape == (3, 0)
    assert none.names(("a",)) == []


def test_names_come_back(forms):
    assert forms.names(("b", "a")) == ["a", "a", "a", "-b", "-b"]
    again = Forms.of(("b", "a"), forms.names(("b", "a")), forms.arrays)
    np.testing.assert_array_equal(again.groups, forms.groups)
    np.testing.assert_array_equal(again.edges, forms.edges)
