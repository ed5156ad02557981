"""The networks with weights whose answers follow by hand."""

import numpy as np
import pytest
import torch

from faces.witnesses import weights
from faces.witnesses.networks import MEAN, Expression, Identity, Landmarks, same
from faces.witnesses.witness import Witness, framed
from tests.helpers import face_api

COLOURS = np.array([200.0, 180.0, 160.0])


def plain(side: int, count: int = 1) -> torch.Tensor:
    """Pictures of one colour."""
    colour = torch.tensor(COLOURS / 127.5 - 1, dtype=torch.float32)
    return colour.view(1, 3, 1, 1).expand(count, 3, side, side).contiguous()


def test_same_padding_is_tensorflows():
    """With stride 2 an even side is padded right and below alone, an odd one on both sides."""
    picture = torch.arange(1.0, 5.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[..., 1, 1] = 1
    found = torch.nn.functional.conv2d(same(picture, 2), kernel, stride=2)
    assert found[0, 0, 0].tolist() == [2.0, 4.0]
    odd = torch.nn.functional.conv2d(same(picture[..., :3, :3], 2), kernel, stride=2)
    assert odd[0, 0, 0].tolist() == [1.0, 3.0]


def test_a_dense_block_sees_the_sum_of_what_came_before():
    """Layers that multiply by k: a block makes x into x (1 + k)^3, after k at its start but for the first."""
    tap = 0.5
    kept = face_api.trunk(7, tap=tap)
    x = (COLOURS - MEAN) / 255 * (1 + tap) ** 12 * tap**3
    logits = x @ kept["fc/weights"] + kept["fc/bias"]
    found = Expression(kept)(plain(112))[0].numpy()
    assert found == pytest.approx(np.exp(logits) / np.exp(logits).sum(), rel=1e-4)
    kept = face_api.trunk(136, tap=tap)
    points = Landmarks(kept)(plain(64, 2)).numpy()
    assert points.shape == (2, 68, 2)
    assert points[1].ravel() == pytest.approx(x @ kept["fc/weights"] + kept["fc/bias"], rel=1e-3, abs=1e-4)


def test_a_halved_branch_leaves_the_pixels_that_it_misses():
    """150 pixels end as 2 x 2, of which the branch fills one: its shift counts a quarter."""
    found = Identity(face_api.identity(shift=0.8))(plain(150))[0].numpy()
    expected = np.full(128, 0.2)
    expected[:3] += (COLOURS - MEAN) / 256
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_frame_is_cut_where_it_lies():
    picture = torch.zeros(1, 3, 8, 8)
    picture[:, :, :4, 4:] = 1  # the quarter above on the right
    assert framed(picture, np.array([[0.75, 0.25, 0.25]]), 4).min() == 1
    assert framed(picture, np.array([[0.25, 0.25, 0.25]]), 4).max() == 0
    assert torch.equal(framed(picture, np.array([[0.5, 0.5, 0.5]]), 8), picture)


def test_landmarks_are_places_in_the_whole_picture(tmp_path):
    """The same points inside of a frame half as large lie half as far apart."""
    witness = Witness.open(face_api.package(tmp_path), torch.device("cpu"), 2)
    images = plain(64, 3)
    whole = witness.points(images, np.tile([0.5, 0.5, 0.5], (3, 1)))
    part = witness.points(images, np.tile([0.25, 0.5, 0.25], (3, 1)))
    assert part == pytest.approx(whole / 2 + np.array([0.0, 0.25]), abs=1e-5)
    frames = witness.frames(images)
    assert frames[:, :2] == pytest.approx((whole.min(1) + whole.max(1)) / 2, abs=1e-6)
    assert frames[:, 2] == pytest.approx(np.ptp(whole, axis=1).max(1) * 0.6, abs=1e-6)
    assert witness.read(images, frames).shape == (3, 9)
    assert witness.features(images, frames).shape == (3, 128)


def test_weights_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(weights.WitnessError, match="face_expression_model"):
        Witness.open(tmp_path, torch.device("cpu"), 2)
