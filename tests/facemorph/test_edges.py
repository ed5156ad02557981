"""facemorph/edges.py on a planted photograph: a dark head before a light wall."""

import cv2
import numpy as np
import pytest

from facemorph import edges
from facemorph.detail import fade

SIDE = 256
Y, X = np.mgrid[:SIDE, :SIDE]
HEAD = np.hypot((X - 128) / 85, (Y - 135) / 110) < 1  # wider and lower than what is taken for a head at first
RIM = cv2.dilate(HEAD.astype(np.uint8), np.ones((9, 9))) > cv2.erode(HEAD.astype(np.uint8), np.ones((9, 9)))
CORNER = np.hypot(X - 40, Y - 60) < 14  # of the wall


@pytest.fixture
def crop(rng):
    picture = np.where(HEAD[..., None], (90, 60, 50), (190, 200, 210)) + rng.normal(0, 4, (SIDE, SIDE, 3))
    return cv2.GaussianBlur(picture, (0, 0), 1).clip(0, 255).astype(np.uint8)


def counted(where, crop, strength=80.0):
    """What counts of a change in some places, blurred as a model of 64 pixels blurs it."""
    field = cv2.GaussianBlur(where.astype(np.float64) * strength, (0, 0), 6)[..., None].repeat(3, 2)
    return edges.mask(field, crop, fade(SIDE)), field[..., 0] / strength


def test_a_change_of_light_stays_in_the_head(crop):
    mask, _ = counted(np.ones((SIDE, SIDE), bool), crop)
    assert mask[HEAD & ~RIM].mean() > 0.97
    assert mask[~HEAD & ~RIM].mean() < 0.05


def test_what_spills_over_an_outline_is_held_back(crop):
    """A change of the head alone: 6 to 12 samples beside it, where it has spilled, an eighth is left."""
    mask, change = counted(HEAD, crop)
    away = cv2.distanceTransform((~HEAD).astype(np.uint8), cv2.DIST_L2, 5)
    beside = (away > 5) & (away < 12)
    assert (mask * change)[beside].sum() < 0.125 * change[beside].sum()
    assert mask[HEAD & ~RIM].min() > 0.95


def test_what_is_drawn_before_the_background_counts(crop):
    """A thing in a corner, of one colour with what is around it: a hat, hair."""
    mask, _ = counted(CORNER, crop)
    assert mask[CORNER].min() > 0.9


def test_what_is_drawn_in_the_face_counts_in_full(crop):
    """Two thin rims of glasses: no place of them loses anything for being thin."""
    rims = np.abs(np.hypot(np.abs(X - 128) - 35, Y - 120) - 20) < 2
    mask, _ = counted(rims, crop)
    assert mask[rims].min() > 0.95


def test_a_stronger_change_of_the_same_places_has_the_same_mask(crop):
    weak, change = counted(HEAD, crop, 20.0)
    strong, _ = counted(HEAD, crop, 160.0)
    np.testing.assert_allclose(weak * change, strong * change, atol=1e-6)


def test_an_even_photograph_loses_nothing_in_the_middle():
    """No outline, nothing to keep to: the middle of the crop counts in full."""
    mask, _ = counted(np.ones((SIDE, SIDE), bool), np.full((SIDE, SIDE, 3), 120, np.uint8))
    np.testing.assert_allclose(mask[88:168, 100:156], 1, atol=0.01)
