"""Membership attacks find what was memorised, and nothing where nothing was."""

import numpy as np

from ops.forget import membership


def test_area_has_known_answers():
    rng = np.random.default_rng(0)
    perfect = membership.area(np.arange(10, 30), np.arange(10), rng)
    assert (perfect["auroc"], perfect["low"], perfect["high"]) == (1.0, 1.0, 1.0)
    even = membership.area(np.zeros(40), np.zeros(50), rng)
    assert (even["auroc"], even["members"], even["strangers"]) == (0.5, 40, 50)
    assert membership.area(np.ones(1), np.zeros(50), rng)["low"] is None


def test_the_shadow_attack_finds_members_of_an_overfitted_gaussian():
    rng = np.random.default_rng(1)
    faces = rng.standard_normal((240, 30))
    members = faces[:60]
    strangers = faces[60:120]
    found = membership.shadow(members, members, strangers, rng)
    assert found["low"] > 0.8
    without = membership.shadow(faces[120:], members, strangers, rng)
    assert without["low"] < 0.5 < without["high"] or abs(without["auroc"] - 0.5) < 0.1
