"""Steps and conditions: the formulas of InterFaceGAN, and what follows from them."""

import numpy as np
import pytest

from faces.edits.directions import Directions, absolute, conditioned, relative
from faces.edits.exclusions import Exclusions


@pytest.fixture
def units(rng) -> np.ndarray:
    """Four unit boundaries (4, 512) with cosines like those of attributes that go together."""
    vectors = rng.standard_normal((4, 512)) + 0.8 * rng.standard_normal(512)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def one(n1: np.ndarray, n2: np.ndarray) -> np.ndarray:
    return n1 - (n1 @ n2) * n2


def two(n1: np.ndarray, n2: np.ndarray, n3: np.ndarray) -> np.ndarray:
    """project_boundary's closed form, without the 1e-8 that it adds below."""
    c12 = n1 @ n2
    c13 = n1 @ n3
    c23 = n2 @ n3
    alpha = (c12 - c13 * c23) / (1 - c23**2)
    beta = (c13 - c12 * c23) / (1 - c23**2)
    return n1 - alpha * n2 - beta * n3


def many(n1: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Its general form: solve (N N^T) x = N n1."""
    stack = np.stack(others)
    return n1 - np.linalg.solve(stack @ stack.T, stack @ n1) @ stack


@pytest.mark.parametrize("formula, conditions", [(one, 1), (two, 2), (many, 1), (many, 2), (many, 3)])
def test_conditioned_reproduces_the_formula(units, formula, conditions):
    golden = formula(*units[: conditions + 1])
    found = conditioned(units[0], units[1 : conditions + 1])
    np.testing.assert_allclose(found, golden, atol=1e-12, rtol=0)
    np.testing.assert_allclose(
        found / np.linalg.norm(found), golden / np.linalg.norm(golden), atol=1e-12, rtol=0
    )
    assert np.abs(units[1 : conditions + 1] @ found).max() < 1e-12


def test_the_length_of_conditions_does_not_matter_and_one_may_repeat(units):
    expected = conditioned(units[0], units[1:3])
    scaled = np.stack([7 * units[1], -0.01 * units[2], units[1] + units[2]])
    np.testing.assert_allclose(conditioned(units[0], scaled), expected, atol=1e-12)


def test_one_condition_takes_the_squared_cosine_of_the_length(units):
    """|n1|n2|^2 = 1 - cos^2."""
    assert np.linalg.norm(conditioned(units[0], units[1:2])) ** 2 == pytest.approx(
        1 - (units[0] @ units[1]) ** 2, abs=1e-12
    )


def test_steps(rng, units):
    codes = rng.standard_normal((5, 512))
    mean = rng.standard_normal(512)
    unit = units[0]
    np.testing.assert_allclose((relative(codes, unit, 1.5) - codes) @ unit, np.full(5, 1.5))
    moved = absolute(codes, unit, 1.5, mean)
    np.testing.assert_allclose((moved - mean) @ unit, np.full(5, 1.5))
    np.testing.assert_allclose(conditioned((moved - codes)[0], unit[None]), np.zeros(512), atol=1e-12)
    np.testing.assert_allclose(absolute(codes[0], unit, 1.5, mean), moved[0])
    several = np.array([1.5, -2.0])
    one_by_one = codes[:, None]
    np.testing.assert_allclose(
        (absolute(one_by_one, unit, several, mean) - mean) @ unit, np.tile(several, (5, 1))
    )
    np.testing.assert_allclose(
        (relative(one_by_one, unit, several) - one_by_one) @ unit, np.tile(several, (5, 1))
    )


def test_an_edit_is_a_switch_counted_in_its_own_sigmas(rng):
    """A face with b to which a comes, a and b exclusive, takes the step v_a - v_b; its sigma is the codes'
    deviation along that.
    """
    codes = rng.standard_normal((4000, 6)) * np.arange(1, 7)
    vectors = rng.standard_normal((3, 6))
    along = codes @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    covariance = np.cov(along.T, bias=True)
    pair = Exclusions(np.array([[1, 1, 0]]), np.zeros((0, 3)))
    directions = Directions(
        ("a", "b", "c"), vectors, along.std(0), codes.mean(0), codes.std(0), covariance, pair
    )
    labels = np.array([[-1, 1, 1], [-1, -1, 1], [1, -1, -1]])
    values = np.array([1, 1, -1])
    steps = directions.edit("a", values, labels)
    sigmas = directions.edit_sigma("a", values, labels)
    np.testing.assert_allclose(steps, [vectors[0] - vectors[1], vectors[0], -vectors[0]], atol=1e-12)
    np.testing.assert_allclose(
        sigmas[1:], [directions.one_sigma("a"), -directions.one_sigma("a")], atol=1e-12
    )
    unit = steps[0] / np.linalg.norm(steps[0])
    np.testing.assert_allclose(sigmas[0], unit * (codes @ unit).std(), atol=1e-12)
