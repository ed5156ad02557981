"""Scores of disentanglement against codes of which the answer is known: the golden cases of
disentanglement_lib, and some by hand.
"""

import numpy as np
import pytest

from faces.evaluation.disentanglement import (
    Settings,
    auroc_gap,
    dci,
    gaps,
    importances,
    mig,
    mutual_information,
    sap,
    scores,
    shortened,
    single_aurocs,
    squared_correlations,
)
from faces.metrics.auroc import auroc


@pytest.fixture
def factors(rng) -> np.ndarray:
    """Ten independent factors of ten values each, 4,000 times."""
    return rng.integers(1, 11, (4000, 10))


def test_a_code_that_is_the_factors(factors):
    codes = factors.astype(np.float32)
    assert 0.9 <= sap(codes, factors) <= 1
    assert 0.9 <= mig(codes, factors, 20) <= 1
    table, told = importances(codes[:3000], factors[:3000], (codes[3000:], factors[3000:]), penalty=0.1)
    assert min(dci(table)) >= 0.9
    assert told == pytest.approx(
        [0.99] * 10, abs=2e-3
    )  # a weight shrunk by a tenth leaves a tenth of the deviation: R^2 = 1 - .1^2


def test_a_code_that_says_nothing(factors):
    codes = np.zeros((4000, 10), np.float32)
    assert sap(codes, factors) == 0
    assert mig(codes, factors, 20) == pytest.approx(0, abs=1e-12)
    table, told = importances(codes, factors, (codes, factors), penalty=0.1)
    assert dci(table) == (0, 0) and np.isnan(told).all()


def test_a_code_that_says_everything_twice(factors):
    codes = np.concatenate([factors, factors], 1).astype(np.float32)
    assert sap(codes, factors) == pytest.approx(0, abs=1e-9)
    assert mig(codes, factors, 20) == pytest.approx(0, abs=1e-9)
    table, _ = importances(codes[:2000], factors[:2000], (codes, factors), penalty=0.1)
    assert dci(table)[0] >= 0.9


def test_importances_do_not_depend_on_how_rare_an_attribute_is(rng):
    """Two numbers that each tell one attribute, of half and of a twentieth of the faces: DCI weighs both
    alike.
    """
    labels = np.stack([rng.random(4000) < 0.5, rng.random(4000) < 0.05], 1) * 2 - 1
    codes = labels + 0.01 * rng.standard_normal((4000, 2))
    table, _ = importances(codes, labels, (codes, labels), penalty=0.02)
    assert table[0, 0] == pytest.approx(table[1, 1], rel=0.01)


def test_dci_of_tables():
    assert dci(5 * np.eye(10)) == pytest.approx((1, 1))
    assert dci(np.vstack([5 * np.eye(5), 5 * np.eye(5)])) == pytest.approx(
        (1, 1 - np.log(2) / np.log(10))
    )  # every factor in two of ten numbers
    assert dci(np.hstack([5 * np.eye(5), 5 * np.eye(5)])) == pytest.approx(
        (1 - np.log(2) / np.log(10), 1)
    )  # every number for two of ten factors
    assert dci(np.zeros((10, 10))) == (0, 0)
    assert dci(np.ones((10, 10))) == pytest.approx((0, 0))
    assert dci(np.array([[3.0, 0], [0.5, 0.5]])) == pytest.approx(
        (0.75, 0.25 * 0 + 3.5 / 4 * (1 - _bits(1 / 7)) + 0.5 / 4)
    )


def _bits(share: float) -> float:
    return -(share * np.log2(share) + (1 - share) * np.log2(1 - share))


def test_mutual_information_by_hand():
    """One number equal to the label, one cut in half by it, one blind: ln 2, 0.5 ln 2 with half the faces
    undecided, 0.
    """
    labels = np.array([[1], [1], [1], [1], [-1], [-1], [-1], [-1], [0]])
    codes = np.array(
        [[1, 2, 0], [1, 2, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 2, 1]],
        np.float32,
    )
    table, entropies = mutual_information(codes, labels, 3)
    assert entropies == pytest.approx([np.log(2)])
    assert table[:, 0] == pytest.approx([np.log(2), 0.5 * np.log(2), 0], abs=1e-12)
    assert mig(codes, labels, 3) == pytest.approx(0.5)


def test_squared_correlations_equal_numpy(rng):
    codes = rng.standard_normal((300, 4))
    labels = rng.choice([-1, 0, 1], (300, 2))
    codes[:, 0] += labels[:, 0]
    codes[:, 3] = 5
    table = squared_correlations(codes, labels)
    for a in range(2):
        known = labels[:, a] != 0
        expected = [np.corrcoef(codes[known, d], labels[known, a])[0, 1] ** 2 for d in range(3)]
        np.testing.assert_allclose(table[:, a], [*expected, 0], atol=1e-12)


def test_single_aurocs_equal_the_curve_with_ties_and_unknown_labels(rng):
    codes = rng.integers(0, 5, (400, 3)).astype(np.float32)
    labels = rng.choice([-1, 0, 1], (400, 3))
    codes[:, 0] -= labels[:, 0]
    labels[:, 1] = np.abs(labels[:, 1])
    table = single_aurocs(codes, labels)
    for d in range(3):
        for a in (0, 2):
            known = labels[:, a] != 0
            plain = auroc(codes[known, d], labels[known, a] == 1)[0]
            assert table[d, a] == pytest.approx(max(plain, 1 - plain), abs=1e-12)
    assert (table[:, 1] == 0.5).all()


def test_auroc_gap_counts_only_what_is_told(rng):
    """Label 0 is told by one number alone, label 1 by two alike, label 2 by none: gaps of about .5, 0, and
    not counted.
    """
    labels = rng.choice([-1, 1], (5000, 3))
    codes = np.stack(
        [labels[:, 0], labels[:, 1], labels[:, 1], rng.standard_normal(5000)], 1
    ) + 1e-3 * rng.standard_normal((5000, 4))
    total, told = auroc_gap(codes, labels, 0.75)
    assert told == 2 and total == pytest.approx(0.5, abs=0.03)


def test_gaps_of_one_number_are_its_own_entries():
    assert gaps(np.array([[0.3, 0.7]])).tolist() == [0.3, 0.7]
    assert gaps(np.array([[0.3, 0.7], [0.1, 0.9], [0.2, 0.0]])) == pytest.approx([0.1, 0.2])


def test_scores_of_a_code_that_is_its_attributes(rng):
    """Two code numbers that are the labels themselves, and two of noise: every score near 1, the gap near 1/2
    for each of the two.
    """
    labels = rng.choice([-1, 1], (2000, 2)).astype(np.int8)
    codes = np.hstack([labels, rng.standard_normal((2000, 2))]) + 1e-3 * rng.standard_normal((2000, 4))
    settings = Settings(faces=2000, longest=64, bins=20, penalty=0.02, floor=0.75)
    found = scores(codes[:1000], codes[1000:], labels[:1000], labels[1000:], settings)
    for name in ("sap", "mig", "dci_disentanglement", "dci_completeness", "dci_informativeness"):
        assert found[name] == pytest.approx(1, abs=0.05), name
    assert found["auroc_gap"] == pytest.approx(1, abs=0.1) and found["auroc_gap_attributes"] == 2


def test_a_long_code_is_asked_along_its_principal_axes(rng):
    codes = rng.standard_normal((300, 30)) * np.r_[10, 5, np.full(28, 0.1)]
    short, other = shortened(codes[:200], codes[200:], 2, seed=1)
    assert short.shape == (200, 2) and other.shape == (100, 2)
    assert (
        abs(np.corrcoef(short[:, 0], codes[:200, 0])[0, 1]) > 0.99
        and abs(np.corrcoef(other[:, 1], codes[200:, 1])[0, 1]) > 0.99
    )
    assert shortened(codes, codes, 30, seed=1)[0] is codes
