"""Sliders of one's own, where the answer is known."""

import numpy as np
import pytest

from facemorph import BadValue, open_editor
from facemorph.flow_editor import FlowEditor
from facemorph.forms import Forms
from facemorph.gaussian import LowRankGaussian
from facemorph.labels import Labels
from facemorph.own_sliders import leave_pair_out, own_slider, shrinkage
from tests.helpers import exports


@pytest.fixture(scope="module")
def editor():
    return open_editor(exports.shared() / "data/export")


def test_shrinkage_is_james_steins():
    """Ten dimensions used of twelve, two pictures a side: m = 1, so a standardised energy of 16 leaves half;
    one of 4 nothing.
    """
    std = np.array([2.0] * 10 + [1e-6] * 2)
    vector = np.array([2 * np.sqrt(1.6)] * 10 + [9.0] * 2)
    assert shrinkage(vector, std, 2, 2) == pytest.approx(0.5)
    assert shrinkage(vector / 2, std, 2, 2) == 0
    assert shrinkage(np.zeros(12), std, 2, 2) == 0


def test_held_out_pairs_are_honest(rng):
    """One half on average where nothing differs, 1 where the sides lie apart, nothing of one picture."""
    noise = rng.normal(size=(400, 8, 10))
    assert np.mean([leave_pair_out(a[:4], a[4:]) for a in noise]) == pytest.approx(0.5, abs=0.04)
    assert leave_pair_out(noise[0, :4] + 4, noise[0, 4:] - 4) == 1
    assert leave_pair_out(noise[0, :1], noise[0, 1:]) is None


class Still:
    """A velocity of nothing, under which the noise is what the regression leaves."""

    def run(self, _, values):
        return [np.zeros_like(values["x"])]


class Silent:
    """No modulation."""

    def run(self, _, values):
        return [np.zeros((len(values["times"]), 1), np.float32)]


@pytest.fixture
def plain():
    """Codes of six numbers, of which a label read off the first moves two."""
    axes = np.eye(6)
    label = Labels.of(("Beard",), 20 * axes[:1], np.zeros(1), (), ())
    return FlowEditor(
        names=("Beard",),
        units=axes[:1],
        labels=label,
        modulation=Silent(),
        velocity=Still(),
        mean=np.zeros(6),
        label_mean=np.zeros(1),
        slopes=axes[:1] + axes[1:2],
        inward=axes,
        outward=axes,
        pair_mean=np.zeros(0),
        pairs=np.zeros((0, 6)),
        interplay=np.zeros((0, 6)),
        kinds=np.zeros((2, 1, 1, 6)),
        compensation=np.zeros((0, 0)),
        forms=Forms.none(),
        steps=1,
        coupling=0.9,
    )


def faces(rng, label, hat, count):
    """Codes (count, 6) of faces with a label, that have something along the fourth number."""
    codes = rng.normal(size=(count, 6)) * 0.1
    codes[:, :2] = label
    codes[:, 3] += hat
    return codes.astype(np.float32)


LAW = LowRankGaussian(np.zeros(6), np.eye(6), np.zeros(6))


def test_what_a_label_says_does_not_get_into_a_slider(plain, rng):
    """Hats on three bearded faces and none on three others: the slider is the hat's alone, two deviations
    long, and the beard stays; in the codes' own mean difference the beard is half.
    """
    with_it, without = faces(rng, 1, 2, 3), faces(rng, -1, 0, 3)
    slider = own_slider(plain, LAW, np.ones(6), with_it, without)
    assert slider.direction[3] > 0.99 and slider.auroc == 1
    assert slider.measured * slider.sigma == pytest.approx(2, abs=0.3)
    code = faces(rng, -1, 0, 1)[0]
    moved = plain.edit(code, {}, custom=[slider.at(1.0)])
    np.testing.assert_allclose(moved[:2], code[:2], atol=0.1)
    assert moved[3] - code[3] == pytest.approx(2 * slider.kept, abs=0.3)


def test_what_a_few_pictures_differ_in_by_chance_is_shortened(plain, rng):
    """Of pictures that do not differ at all next to nothing is left, on average."""
    lengths = []
    for _ in range(200):
        codes = rng.normal(size=(8, 6)).astype(np.float32)
        codes[:, :2] = 1
        made = own_slider(plain, LAW, np.ones(6), codes[:4], codes[4:])
        lengths.append((made.measured, made.measured * made.kept))
    chance, left = np.mean(lengths, 0)
    assert left < 0.5 * chance


def test_a_label_that_sets_the_sides_apart_is_meant(plain, rng):
    """Four bearded faces and four without, alike in all else: the beard's two numbers are the slider. Of
    three it is taken out, as anything that they have in common by chance would be.
    """
    sides = faces(rng, 1, 0, 4), faces(rng, -1, 0, 4)
    slider = own_slider(plain, LAW, np.ones(6), *sides)
    np.testing.assert_allclose(slider.direction[:2], 0.5**0.5, atol=0.05)
    assert own_slider(plain, LAW, np.ones(6), *(side[:3] for side in sides)).measured < 0.5


def test_a_slider_of_the_python_interface(editor):
    """From faces: at 0 nothing changes, at 1 as much as the sides differ beyond chance."""
    some = [editor.sample(seed) for seed in range(6)]
    sides = [[editor.edit(face, {"Eyeglasses": sign * 1.5}) for face in some] for sign in (1, -1)]
    slider = editor.own_slider(*sides)
    before = editor.sample(77)
    np.testing.assert_array_equal(editor.edit(before, {}, own=[(slider, 0.0)]).code, before.code)
    step = editor.edit(before, {}, own=[(slider, 1.0)]).code - before.code
    expected = slider.direction * slider.sigma * slider.measured * slider.kept
    np.testing.assert_allclose(step, expected, atol=1e-4 * np.abs(expected).max())


def test_a_slider_of_nothing_is_refused(editor):
    face = editor.sample(1)
    with pytest.raises(BadValue, match="at least one picture"):
        editor.own_slider([face], [])
    with pytest.raises(BadValue, match="do not differ"):
        editor.own_slider([face], [face])
