"""Faces taken out of sums: what is left is what would have been without them."""

import dataclasses

import numpy as np
import pytest

from faces.core.params import parse
from faces.estimators import estimators
from faces.estimators.estimators import Problem, Settings
from faces.latents.codes import Codes
from faces.latents.moments import Moments
from ops.forget import sums

NAMES = ("Male", "Smiling", "Hat", "Glasses")
SETTINGS = parse(
    Settings,
    {
        "balanced": {"confounders": ["Male?", "Smiling?", "Nowhere?"], "min_faces": 5},
        "partial": {"ridges": [0.0, 0.01, 0.1], "largest_inflation": 5.0},
        "lda": {"shrinkage": 0.1},
        "boundary": {"ridge": 0.01, "faces": 100, "iterations": 10},
    },
)


@pytest.fixture
def faces():
    rng = np.random.default_rng(5)
    labels = rng.choice([-1, 1, 1, -1, 0], (700, len(NAMES))).astype(np.int8)
    effects = rng.standard_normal((len(NAMES), 12))
    codes = 50 + labels @ effects + rng.standard_normal((700, 12)) * rng.uniform(0.2, 3, 12)
    return codes, labels


def problem(codes, labels, rows):
    valid = np.arange(600, 700)
    return Problem(
        Codes(codes, rows),
        labels[rows],
        NAMES,
        Codes(codes, valid),
        labels[valid],
        SETTINGS,
        np.random.default_rng(0),
    )


@pytest.mark.parametrize("gone", [np.array([3]), np.arange(0, 600, 7), np.arange(590)])
def test_every_closed_form_direction_equals_one_computed_without_them(faces, gone):
    codes, labels = faces
    train = np.arange(600)
    kept = np.setdiff1d(train, gone)
    confounders = sums.confounders_of(NAMES, SETTINGS)
    centre = codes[train].mean(0)
    every = sums.Sums.of(Codes(codes, train), labels[train], confounders, centre)
    left = every - sums.Sums.of(Codes(codes, gone), labels[gone], confounders, centre)
    found = sums.directions(left, problem(codes, labels, kept))
    assert set(found) == set(sums.CLOSED)
    for name, vectors in found.items():
        truth = getattr(estimators, name)(problem(codes, labels, kept)).vectors
        np.testing.assert_allclose(vectors, truth, rtol=0, atol=1e-10, err_msg=name)
        if len(gone) > 1 and len(kept) > 50:
            before = getattr(estimators, name)(problem(codes, labels, train)).vectors
            assert np.abs(vectors - before).max() > 1e-3, "the faces made no difference: nothing is tested"


def test_stored_moments_are_downdated(faces):
    codes, _ = faces
    whole = sums.stored(Moments.of(codes, np.arange(700)).arrays())
    left = sums.without(whole, sums.about(codes[:40], whole.centre, True)).arrays()
    for name, value in Moments.of(codes, np.arange(40, 700)).arrays().items():
        np.testing.assert_allclose(left[name], value, rtol=0, atol=1e-10, err_msg=name)


def test_what_cannot_be_subtracted_is_refused(faces):
    codes, _ = faces
    whole = Moments.of(codes, np.arange(700))
    with pytest.raises(ValueError, match="no face would be left"):
        sums.without(whole, whole)
    with pytest.raises(ValueError, match="different centres"):
        sums.without(whole, dataclasses.replace(Moments.of(codes, np.arange(9)), centre=np.zeros(12)))
