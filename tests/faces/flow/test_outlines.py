"""Structure tensors of pictures whose edges are known."""

import numpy as np
import pytest
import torch

from faces.flow.outlines import CELLS, batched, beyond_labels, outlines, structure_tensors


def seen(picture: np.ndarray) -> np.ndarray:
    """(3, CELLS, CELLS) strength, cosine and sine of a grey picture (H, W)."""
    images = torch.from_numpy(np.repeat(picture[None, ..., None], 3, 3).astype(np.uint8))
    return structure_tensors(images)[0].numpy().reshape(3, CELLS, CELLS)


@pytest.mark.parametrize("side", [32, 64, 128])
def test_an_edge_is_seen_where_it_is_and_as_it_runs(side):
    """One half is lighter than the other. The gradient of an upright edge has the angle 0, of a level one 90
    degrees, of which the double is 180.
    """
    upright = np.where(np.arange(side) < side // 2, 50, 150) * np.ones((side, 1))
    strength, cosine, sine = seen(upright)
    assert np.flatnonzero(strength.sum(0) > 0).tolist() == [CELLS // 2 - 1, CELLS // 2]
    np.testing.assert_allclose(cosine, strength, atol=1e-6)
    np.testing.assert_allclose(sine, 0, atol=1e-6)
    strength, cosine, _ = seen(upright.T)
    assert np.flatnonzero(strength.sum(1) > 0).tolist() == [CELLS // 2 - 1, CELLS // 2]
    np.testing.assert_allclose(cosine, -strength, atol=1e-6)


def test_which_side_is_lighter_makes_no_difference(rng):
    """Nor how strong the contrast is. A mirrored slope has the opposite sine."""
    picture = rng.integers(0, 100, (64, 64))
    np.testing.assert_allclose(seen(255 - picture), seen(picture), atol=1e-6)
    np.testing.assert_allclose(seen(2 * picture), seen(picture), atol=1e-6)
    slope = np.add.outer(np.arange(64), np.arange(64))
    np.testing.assert_allclose(seen(slope)[2], -seen(slope[:, ::-1])[2], atol=1e-6)
    assert seen(slope)[2].min() > 0


def test_a_picture_without_edges_has_none():
    np.testing.assert_array_equal(seen(np.full((64, 64), 9)), 0)


def test_faces_come_in_batches_mirrored_where_asked(rng):
    images = rng.integers(0, 255, (150, 16, 16, 3), np.uint8)
    rows = np.array([*range(150), 3])
    turned = rows == 3
    turned[3] = False
    found = outlines(batched(images, rows, turned))
    assert found.shape[0] == 151
    np.testing.assert_allclose(found[:150], structure_tensors(torch.from_numpy(images)).numpy(), atol=1e-6)
    mirrored = torch.from_numpy(images[3:4, :, ::-1].copy())
    np.testing.assert_allclose(found[150:], structure_tensors(mirrored).numpy(), atol=1e-6)


def test_what_labels_say_is_taken_out(rng):
    labels = np.where(rng.random((500, 2)) < 0.5, 1, -1)
    own = rng.standard_normal(500)
    points = np.column_stack([3 * labels[:, 0], labels[:, 1] + own, np.zeros(500)]).astype(np.float32)
    rest = beyond_labels(points, labels)
    assert abs(np.corrcoef(rest[:, 0], own)[0, 1]) > 0.99
    np.testing.assert_allclose(rest[:, 1:], 0, atol=1e-5)
