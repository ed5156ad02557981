"""Forms of labels, found where they were planted."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from faces.flow.forms import FormSettings, between_clusters, find, told_apart, with_lots
from faces.flow.network import Flow

SETTINGS = FormSettings(separation=3.0, min_faces=200)
FACES = 6000
PLACES = np.array([[4.0, 0], [-4, 0], [0, 5]])
SHARES = np.array([0.5, 0.3, 0.2])


@pytest.fixture
def world(rng):
    """Codes (N, 8) and labels (N, 2). Of the faces with the first label, three in ten, there are three forms,
    at PLACES in numbers 2 and 3. Those with the second spread widely along number 4, in one heap.
    """
    labels = np.where(rng.random((FACES, 2)) < 0.3, 1, -1)
    form = rng.choice(3, FACES, p=SHARES)
    codes = rng.standard_normal((FACES, 8))
    hat = labels[:, 0] > 0
    codes[hat, 2:4] = PLACES[form[hat]] + 0.8 * codes[hat, 2:4]
    codes[labels[:, 1] > 0, 4] *= 5
    return codes, labels, np.where(hat, form, -1)


def plain_flow(length: int) -> Flow:
    """A flow along the code's own numbers."""
    flow = Flow(length, length, 2, 8, 1, 0, 0)
    flow.inward.copy_(torch.eye(length))
    flow.outward.copy_(torch.eye(length))
    return flow


def test_planted_forms_are_found(world):
    """All three and no others; the commonest first, each face in its own."""
    codes, labels, form = world
    ((place, side, parts),) = find(codes, labels, SETTINGS)
    assert (place, side) == (0, 1)
    for number, rows in enumerate(parts):
        assert np.mean(form[rows] == number) > 0.99
    assert sum(map(len, parts)) == (form >= 0).sum()


def test_a_line_stands_between_each_cluster_and_the_others(rng):
    """Three clusters in six dimensions, of unequal noise, so that no axis runs between them."""
    form = rng.choice(3, 1500)
    mixing = rng.standard_normal((6, 6))
    points = np.eye(6)[form] * 9 + rng.standard_normal((1500, 6))
    along = points @ mixing @ between_clusters(points @ mixing)
    for number in range(3):
        inside, outside = along[form == number], along[form != number]
        spread = np.sqrt((inside.var(0) + outside.var(0)) / 2)
        assert (np.abs(inside.mean(0) - outside.mean(0)) / spread).max() > 6


def test_points_that_are_all_one_have_no_line_between_them():
    with pytest.warns(match="distinct clusters"):
        assert between_clusters(np.ones((10, 4))).shape == (4, 0)


def test_faces_without_a_label_have_forms_too(world):
    codes, labels, _ = world
    ((place, side, _),) = find(codes, -labels, SETTINGS)
    assert (place, side) == (0, -1)


def test_what_another_label_explains_is_not_found_again(world):
    """A label that mostly goes with the first one shows no forms of its own, be it more common or less."""
    codes, labels, form = world
    more = np.where((form >= 0) | (np.arange(FACES) % 4 == 0), 1, -1)
    less = np.where((form >= 0) & (np.arange(FACES) % 3 > 0) | (np.arange(FACES) % 9 == 0), 1, -1)
    for beside in (more, less):
        found = find(codes, np.stack([labels[:, 0], beside], 1), SETTINGS)
        assert [(place, side) for place, side, _ in found] == [(0, 1)]


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS.model_copy(update={"separation": 20.0}),
        SETTINGS.model_copy(update={"min_faces": FACES // 2}),
    ],
)
def test_no_forms_are_found(world, settings):
    """None stand so far apart; no label has faces enough."""
    assert find(world[0], world[1], settings) == []


def test_faces_of_one_heap_have_no_forms(rng):
    labels = np.where(rng.random((FACES, 3)) < 0.4, 1, -1)
    codes = rng.standard_normal((FACES, 8)) * (1 + 2 * (labels[:, :1] > 0))
    assert find(codes, labels, SETTINGS) == []


def test_a_face_tells_its_form(world):
    """The form of a face with the label is read off its code; a face without has none."""
    codes, labels, form = world
    forms = told_apart(plain_flow(8), codes, find(codes, labels, SETTINGS))
    read = forms.read(codes, labels)
    hat = form >= 0
    assert np.mean(read[hat].argmax(1) == form[hat]) > 0.99
    np.testing.assert_allclose(read[~hat], -1)
    assert forms.names(("hat", "other")) == ["hat"] * 3


def test_two_forms_are_told_by_one_difference(world):
    codes, labels, form = world
    two = form != 2
    forms = told_apart(plain_flow(8), codes[two], find(codes[two], labels[two], SETTINGS))
    read = forms.read(codes[two], labels[two])
    hat = form[two] >= 0
    assert np.mean(read[hat].argmax(1) == form[two][hat]) > 0.99


def test_lots_are_drawn_as_often_as_faces_have_the_form(world, rng):
    """Also where the noise is not quite standard; and one label's lot says nothing of another's."""
    codes, labels, _ = world
    both = np.stack([labels[:, 0], -labels[:, 0]], 1)
    parts = find(codes, labels, SETTINGS)
    forms = told_apart(plain_flow(8), codes, [*parts, (1, -1, parts[0][2])])
    conditions = np.concatenate([both, forms.read(codes, both)], 1)
    noise = torch.from_numpy(0.3 + 1.4 * rng.standard_normal((FACES, 8)))
    forms = with_lots(forms, noise, torch.from_numpy(conditions), seed=0)
    drawn = forms.drawn(noise.numpy()[labels[:, 0] < 0])
    np.testing.assert_array_equal(drawn[:, :3].sum(1), 1)
    np.testing.assert_allclose(drawn.mean(0), [*SHARES, *SHARES], atol=0.03)
    file = save(forms.arrays)
    np.testing.assert_array_equal(load(file)["lots"], forms.lots)
    np.testing.assert_allclose(load(file)["lots"] @ load(file)["lots"].T, np.eye(2), atol=1e-6)
    together = drawn[:, 0] & drawn[:, 3]
    assert together.mean() == pytest.approx(SHARES[0] ** 2, abs=0.03)
