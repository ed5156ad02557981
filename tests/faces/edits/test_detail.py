"""Edits that keep the picture, on changes worked out by hand."""

import pytest
import torch

from faces.edits.detail import Detail, keep_detail, weight

PLAIN = Detail(noise=0.0, reach=2)
FIRM = Detail(noise=0.1, reach=0)


@pytest.fixture
def pictures() -> torch.Tensor:
    """(3, 2, 3, 8, 8) in [-1, 1]."""
    return torch.rand(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("settings", [PLAIN, FIRM])
def test_nothing_changes_where_the_model_changes_nothing(pictures, settings):
    original, decoded, _ = pictures
    assert torch.equal(keep_detail(original, decoded, decoded, settings), original)


def test_the_edit_of_a_perfect_model_is_kept_whole(pictures):
    original, edited, _ = pictures
    torch.testing.assert_close(keep_detail(original, original, edited, PLAIN), edited)


def test_small_changes_count_for_nothing_large_ones_in_full_and_between_them_smoothly():
    """A change of 0.2 in [-1, 1] is 0.1 of the range: t = 1/2, and so is 3 t^2 - 2 t^3."""
    change = torch.tensor([0.05, 0.1, 0.2, 0.3, 0.9]).view(1, 1, 1, 5).repeat(1, 3, 1, 1)
    torch.testing.assert_close(weight(change, FIRM)[0, 0, 0], torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))


def test_the_strongest_channel_speaks_for_all():
    change = torch.zeros(1, 3, 4, 4)
    change[:, 0] = 0.6
    change[:, 1] = -0.01
    assert (weight(change, FIRM) == 1).all()


def test_a_place_is_told_by_what_is_around_it():
    """A lone pixel of 0.9 among nine: strength 0.05 of the range each, half the noise: gone. A block of nine
    stands.
    """
    lone = torch.zeros(1, 3, 9, 9)
    block = torch.zeros(1, 3, 9, 9)
    lone[..., 4, 4] = 0.9
    block[..., 3:6, 3:6] = 0.9
    settings = Detail(noise=0.1, reach=1)
    assert not weight(lone, settings).any()
    assert (weight(block, settings)[..., 4, 4] == 1).all()


def test_the_drawing_stands_where_it_changes_and_the_original_elsewhere():
    """Rims of -0.9 that the model drew at -0.5 and takes away: none of them is left. A mole that the model
    never drew stays.
    """
    original = torch.zeros(1, 3, 9, 9)
    original[..., 2:5, 2:5] = -0.9
    original[..., 8, 8] = 0.4
    before = torch.zeros(1, 3, 9, 9)
    before[..., 2:5, 2:5] = -0.5
    after = torch.zeros(1, 3, 9, 9)
    kept = keep_detail(original, before, after, FIRM)
    assert not kept[..., :8, :8].any()
    assert (kept[..., 8, 8] == original[..., 8, 8]).all()
