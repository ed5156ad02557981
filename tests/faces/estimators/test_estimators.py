"""Directions recovered from codes in which they were planted."""

import tracemalloc
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from faces.estimators import linear
from faces.estimators.estimators import (
    ESTIMATORS,
    Balanced,
    Discriminant,
    Estimate,
    Partial,
    Problem,
    Settings,
    balanced,
    lda,
    logistic,
    mean_difference,
    partial,
)
from faces.estimators.linear import Boundary
from faces.estimators.reliability import agreement, appraise, condition, project, reliability, spread, units
from faces.latents.codes import Codes
from faces.latents.moments import Moments
from faces.latents.pca import principal_components
from faces.metrics.auroc import auroc
from faces.metrics.label_stats import LabelStatistics, extremes, sample
from faces.nn.quality import active_units

SETTINGS = Settings(
    balanced=Balanced(confounders=("b",), min_faces=2),
    partial=Partial(ridges=(0.0,), largest_inflation=5.0),
    lda=Discriminant(shrinkage=1e-3),
    boundary=Boundary(ridge=1e-4, faces=10**9, iterations=200),
)


def pose(codes: np.ndarray, labels: np.ndarray, settings: Settings = SETTINGS) -> Problem:
    """A problem whose attributes are a, b, c, ... and whose valid faces are the train faces."""
    names = tuple("abcdefghijklmnopqrstuvwxyz"[: labels.shape[1]])
    return Problem(
        Codes.all(codes), labels, names, Codes.all(codes), labels, settings, np.random.default_rng(5)
    )


def confounded(
    rng: np.random.Generator, n: int, dims: int, lift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels a and b (n, 2) with P(a | b) = 1/2 +- lift; codes (n, D) = effects of both + unit noise; the
    effects (2, D) of a flip, of length 2, orthogonal.
    """
    effects = 2 * np.eye(2, dims)
    b = rng.random(n) < 0.5
    a = rng.random(n) < np.where(b, 0.5 + lift, 0.5 - lift)
    present = np.stack([a, b], 1)
    codes = (present @ effects + rng.standard_normal((n, dims))).astype(np.float32)
    return codes, np.where(present, 1, -1).astype(np.int8), effects


def slopes(labels: np.ndarray) -> np.ndarray:
    """S of labels that are all known: S_ab = Cov(y_a, y_b) / Var(y_a)."""
    covariance = np.cov((labels == 1).T.astype(float), bias=True)
    return covariance / np.diag(covariance)[:, None]


def test_mean_difference_recovers_a_planted_direction(rng):
    """n codes at +-d/2 along v: the estimate's squared error is 4 D / n in expectation, and the projection's
    AUROC is Phi(d / sqrt 2).
    """
    n = 20_000
    dims = 32
    d = 1.5
    v = np.eye(dims)[3] * d
    labels = rng.choice([-1, 1], (n, 1)).astype(np.int8)
    codes = (rng.standard_normal((n, dims)) + labels * v / 2).astype(np.float32)
    found = mean_difference(pose(codes, labels)).vectors
    assert np.square(found[0] - v).sum() == pytest.approx(4 * dims / n, rel=0.8)
    scores = project(Codes.all(codes), units(found))[:, 0]
    assert auroc(scores, labels[:, 0] == 1)[0] == pytest.approx(NormalDist().cdf(d / 2**0.5), abs=0.006)


def test_mean_difference_carries_the_confounder_as_theory_says(rng):
    """E D_a = beta_a + Cov(a, b) / Var(a) beta_b: with P(a | b) = .5 +- .3, b is .6 more common among the
    faces with a; the error is sqrt(4 D / n).
    """
    codes, labels, effects = confounded(rng, 40_000, 16, 0.3)
    found = mean_difference(pose(codes, labels)).vectors[0]
    assert found @ effects[1] / 4 == pytest.approx(0.6, abs=0.02)
    np.testing.assert_allclose(found, effects[0] + slopes(labels)[0, 1] * effects[1], atol=0.06)


@pytest.mark.parametrize("estimator", [balanced, partial])
def test_balanced_and_partial_recover_the_planted_direction_free_of_the_confounder(rng, estimator):
    """The rest of the confounder is at most five standard errors, 2 / sqrt(n (1 - phi^2)) = .0125 each."""
    codes, labels, effects = confounded(rng, 40_000, 16, 0.3)
    estimate = estimator(pose(codes, labels))
    assert abs(estimate.vectors[0] @ effects[1] / 2) < 0.0625
    np.testing.assert_allclose(estimate.vectors[0], effects[0], atol=0.0625)
    assert estimate.notes == {}


@pytest.mark.parametrize("estimator", [balanced, partial])
@pytest.mark.parametrize("wrong", [0.05, 0.15])
def test_wrong_labels_leave_a_share_of_the_confounder_in_closed_form(rng, estimator, wrong):
    """Errors in variables: of labels that correlate by r, each wrong with chance e, the other's effect stays
    with a share of r (1 - k) / (1 - k r^2), k = (1 - 2e)^2, of the own effect that is found. Five standard
    errors of the ratio are below .03.
    """
    correlation = 0.6
    codes, labels, effects = confounded(rng, 60_000, 16, correlation / 2)
    noisy = np.where(rng.random(labels.shape) < wrong, -labels, labels).astype(np.int8)
    found = estimator(pose(codes, noisy)).vectors[0]
    kept = (1 - 2 * wrong) ** 2
    expected = correlation * (1 - kept) / (1 - kept * correlation**2)
    assert (found @ effects[1]) / (found @ effects[0]) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("centre", [0.0, 50.0])
def test_partial_equals_least_squares_on_the_full_matrix(rng, centre):
    labels = np.where(rng.standard_normal((900, 6)) + rng.standard_normal((900, 1)) > 0.4, 1, -1).astype(
        np.int8
    )
    codes = centre + (labels @ rng.standard_normal((6, 9)) + rng.standard_normal((900, 9)))  # float64
    found = partial(pose(codes, labels)).vectors
    design = np.c_[np.ones(900), labels == 1]
    np.testing.assert_allclose(found, np.linalg.lstsq(design, codes)[0][1:], atol=1e-10, rtol=0)


def test_partial_uses_faces_whose_other_labels_are_unknown(rng):
    """Labels hidden at random: available cases keep the estimate unbiased, where taking unknown for absent
    would not.
    """
    codes, labels, effects = confounded(rng, 40_000, 16, 0.3)
    hidden = np.where(rng.random(labels.shape) < 0.4, 0, labels).astype(np.int8)
    np.testing.assert_allclose(partial(pose(codes, hidden)).vectors, effects, atol=0.09)
    as_absent = partial(pose(codes, np.where(hidden == 0, -1, hidden).astype(np.int8))).vectors
    assert np.abs(as_absent - effects).max() > 0.5


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_face_that_is_there_twice_counts_as_one(rng, name):
    """Twice the same codes: the same direction, and halves that agree no better, since no face has a copy in
    the other half.
    """
    codes, labels, _ = confounded(rng, 600, 6, 0.3)
    settings = SETTINGS.model_copy(
        update={
            "balanced": Balanced(confounders=("b",), min_faces=60),
            "boundary": Boundary(ridge=1e-2, faces=500, iterations=500),
        }
    )
    plain = pose(codes, labels, settings)
    twice = Problem(
        Codes.all(np.tile(codes, (2, 1))),
        np.tile(labels, (2, 1)),
        plain.names,
        plain.valid_codes,
        labels,
        settings,
        np.random.default_rng(5),
        2,
    )
    first, second = (ESTIMATORS[name](problem) for problem in (plain, twice))
    np.testing.assert_allclose(second.vectors, first.vectors, atol=2e-3)
    assert second.notes == first.notes
    halves = [
        agreement(ESTIMATORS[name], replace(problem, rng=np.random.default_rng(6)), 2)
        for problem in (plain, twice)
    ]
    np.testing.assert_allclose(halves[1], halves[0], atol=5e-3)


@pytest.mark.parametrize("n, agree, same, ridge", [(400, 0.95, True, 0.3), (20_000, 0.8, False, 0.0)])
def test_partial_chooses_the_ridge_that_the_valid_faces_ask_for(rng, n, agree, same, ridge):
    """Few faces, twin labels of one effect: telling the twins apart is noise, and a ridge is nearer. Many
    faces, effects at right angles: none is nearer.
    """
    a = rng.choice([-1, 1], 2 * n)
    labels = np.stack([a, np.where(rng.random(2 * n) < agree, a, -a)], 1).astype(np.int8)
    effects = np.ones((2, 20)) if same else np.kron(np.eye(2), np.ones(10))
    codes = ((labels == 1) @ effects + 3 * rng.standard_normal((2 * n, 20))).astype(np.float32)
    settings = SETTINGS.model_copy(update={"partial": Partial(ridges=(0.0, 0.3), largest_inflation=5.0)})
    problem = Problem(
        Codes(codes, np.arange(n)),
        labels[:n],
        ("a", "b"),
        Codes(codes, np.arange(n, 2 * n)),
        labels[n:],
        settings,
        rng,
    )
    expected = np.linalg.solve(slopes(labels[:n]) + ridge * np.eye(2), problem.differences)
    np.testing.assert_allclose(partial(problem).vectors, expected, atol=1e-9)


def test_partial_warns_where_labels_nearly_fix_one_another(rng):
    """Twins that differ on 2% of the faces: phi = .96, so the inflation is 1 / (1 - .96^2) = 12.8; c stands
    alone.
    """
    a = rng.choice([-1, 1], 20_000)
    labels = np.stack([a, np.where(rng.random(20_000) < 0.02, -a, a), rng.choice([-1, 1], 20_000)], 1).astype(
        np.int8
    )
    notes = partial(pose(rng.standard_normal((20_000, 4)).astype(np.float32), labels)).notes
    assert set(notes) == {"a", "b"} and "nearest label b (phi 0.96)" in notes["a"]
    assert LabelStatistics.of(labels).inflation() == pytest.approx([12.8, 12.8, 1], rel=0.12)


def test_labels_that_fix_one_another_have_infinite_inflation_and_the_directions_of_the_smallest_ridge(rng):
    """Three colours, one to a face: no two can be held while the third changes."""
    colours = rng.choice(3, 500, p=[0.6, 0.3, 0.1])
    labels = np.where(colours[:, None] == np.arange(3), 1, -1).astype(np.int8)
    problem = pose(rng.standard_normal((500, 4)), labels)
    assert np.isinf(problem.statistics.inflation()).all()
    tiny = np.linalg.solve(slopes(labels) + 1e-8 * np.eye(3), problem.differences)
    np.testing.assert_allclose(partial(problem).vectors, tiny, atol=1e-6)


def test_label_statistics_by_hand():
    """a and b known together on four faces: with a, b is there once in two; without, never. Var(a) = 1/4,
    Var(b) = 3/16, Cov = 1/8; phi = 1 / sqrt 3.
    """
    labels = np.array([[1, 1], [1, -1], [-1, -1], [-1, -1], [1, 0], [0, 1]], np.int8)
    statistics = LabelStatistics.of(labels)
    assert statistics.covariance[0, 1] == pytest.approx(1 / 8) and statistics.together[0].tolist() == [5, 4]
    assert (statistics.variance[0, 1], statistics.variance[1, 0]) == pytest.approx((1 / 4, 3 / 16))
    assert statistics.deviation() == pytest.approx([0.24**0.5, 0.24**0.5])
    assert statistics.phi()[0, 1] == pytest.approx(1 / 3**0.5)
    assert statistics.inflation() == pytest.approx([1.5, 1.5])


def test_balanced_by_hand():
    """Cells of b: with b the means differ by 10 - 4, without by 3 - 1; each cell counts half: 4, however many
    faces it holds. Unknown b: in no cell.
    """
    table = [
        (10, 1, 1),
        (4, -1, 1),
        (3, 1, -1),
        (3, 1, -1),
        (3, 1, -1),
        (0, -1, -1),
        (2, -1, -1),
        (99, 1, 0),
        (77, 0, 1),
    ]
    codes = np.array([[row[0]] for row in table], np.float32)
    labels = np.array([row[1:] for row in table], np.int8)
    settings = SETTINGS.model_copy(update={"balanced": Balanced(confounders=("b",), min_faces=1)})
    estimate = balanced(pose(codes, labels, settings))
    assert estimate.vectors[0, 0] == pytest.approx(4.0)
    assert estimate.notes == {}
    thin = balanced(pose(codes, labels))  # two faces a side: only the cell without b has them
    assert thin.vectors[0, 0] == pytest.approx(2.0)
    assert thin.notes["a"] == "1 of 2 cells left out, fewer than 2 faces on a side: +b"


def test_balanced_gives_up_where_no_cell_is_left_and_says_so():
    labels = np.array([[1, 1], [1, 1], [-1, -1], [-1, -1]], np.int8)
    estimate = balanced(pose(np.arange(8, dtype=np.float32).reshape(4, 2), labels))
    assert np.isnan(estimate.vectors[0]).all()
    assert estimate.notes["a"] == "no cell of the confounders has 2 faces on both sides"
    assert np.isfinite(estimate.vectors[1]).all()  # b is its own only confounder: one cell, all faces


def test_discriminant_whitens(rng):
    """Codes of covariance C whose classes differ by d: Fisher's direction is C^-1 d, exactly so for the
    sample's own covariance within the classes.
    """
    shape = rng.standard_normal((6, 6))
    labels = rng.choice([-1, 1], (5000, 1)).astype(np.int8)
    codes = rng.standard_normal((5000, 6)) @ shape + labels * np.arange(6.0)
    problem = pose(codes, labels, SETTINGS.model_copy(update={"lda": Discriminant(shrinkage=1e-12)}))
    within = sum(
        np.cov(codes[labels[:, 0] == side].T, bias=True) * (labels == side).mean() for side in (1, -1)
    )
    found = units(lda(problem).vectors)[0]
    expected = np.linalg.solve(within, problem.differences[0])
    assert found @ expected / np.linalg.norm(expected) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["logistic", "svm"])
def test_boundaries_equal_scikit_learn(rng, name):
    """The same objective, on standardised codes: the same normal and intercept. LinearSVC charges its
    intercept too; a large scale makes that negligible.
    """
    n = 3000
    scales = np.array([1, 5, 0.2, 3, 1])
    codes = (rng.standard_normal((n, 5)) * scales + 4).astype(np.float32)
    labels = np.where((codes - 4) / scales @ [1, -1, 0.5, 0, 0] + rng.logistic(size=n) > 0.7, 1, -1).astype(
        np.int8
    )[:, None]
    mean = codes.mean(0, dtype=np.float64)
    std = codes.std(0, dtype=np.float64)
    loss = {"logistic": linear.logistic_loss, "svm": linear.squared_hinge}[name]
    found = linear.fit(
        Codes.all(codes), labels, mean, std, loss, Boundary(ridge=1e-3, faces=n, iterations=500)
    )
    factor = 1 / (1e-3 * n)
    other = {
        "logistic": LogisticRegression(C=factor, tol=1e-8),
        "svm": LinearSVC(C=factor, dual=False, tol=1e-8, intercept_scaling=1e3),
    }[name].fit((codes - mean) / std, labels[:, 0])
    assert found.converged
    np.testing.assert_allclose(found.normals[0] * std, other.coef_[0], atol=2e-3)
    assert found.intercepts[0] + found.normals[0] @ mean == pytest.approx(other.intercept_[0], abs=2e-3)


@pytest.mark.parametrize("name", ["logistic", "svm"])
def test_boundaries_recover_a_planted_boundary_with_its_intercept(rng, name):
    """z . n = 2 with noise: the normal within three degrees, the intercept within .05, from one face in three
    whose label is unknown and off centre too.
    """
    n = 30_000
    normal = np.array([0.6, 0, 0.8, 0, 0, 0, 0, 0])
    codes = (rng.standard_normal((n, 8)) + 1).astype(np.float32)
    labels = np.where(codes @ normal - 2 + 0.3 * rng.logistic(size=n) > 0, 1, -1).astype(np.int8)[:, None]
    labels[rng.random(n) < 1 / 3] = 0
    estimate = ESTIMATORS[name](pose(codes, labels))
    assert units(estimate.vectors)[0] @ normal > np.cos(np.radians(3))
    assert estimate.intercepts[0] == pytest.approx(-2, abs=0.05)
    known = labels[:, 0] != 0
    gap = (codes[labels[:, 0] == 1].mean(0) - codes[labels[:, 0] == -1].mean(0)) @ units(estimate.vectors)[0]
    assert np.linalg.norm(estimate.vectors[0]) == pytest.approx(gap, rel=1e-4)  # native length
    assert ((codes @ units(estimate.vectors)[0] + estimate.intercepts[0] > 0) == (labels[:, 0] == 1))[
        known
    ].mean() > 0.85


def test_a_dimension_that_never_moves_gets_no_weight(rng):
    codes = np.c_[rng.standard_normal((400, 2)), np.full(400, 7.0)].astype(np.float32)
    labels = np.where(codes[:, :1] > 0, 1, -1).astype(np.int8)
    for estimator in (lda, logistic):
        found = estimator(pose(codes, labels)).vectors[0]
        assert found[2] == 0 and found[0] > 0


@pytest.mark.parametrize("name", ["random", "shuffled_labels"])
def test_controls_find_nothing(rng, name):
    """An attribute of AUROC Phi(2 / sqrt 2) = .92. A control has a share of its axis of standard error sqrt(2
    / D): AUROC .5 +- .025, times four.
    """
    n = 8000
    dims = 1024
    labels = rng.choice([-1, 1], (n, 1)).astype(np.int8)
    codes = rng.standard_normal((n, dims)).astype(np.float32)
    codes[:, 0] += labels[:, 0]
    problem = pose(codes[: n // 2], labels[: n // 2])

    def reached(vectors: np.ndarray) -> float:
        return auroc(
            project(Codes(codes, np.arange(n // 2, n)), units(vectors))[:, 0], labels[n // 2 :, 0] == 1
        )[0]

    control = ESTIMATORS[name](problem).vectors
    real = mean_difference(problem).vectors
    assert reached(real) == pytest.approx(
        NormalDist().cdf(2 / 2**0.5 / (1 + 4 * dims / (n // 2 * 4)) ** 0.5), abs=0.02
    )
    assert abs(reached(control) - 0.5) < 0.1
    assert np.linalg.norm(control) == pytest.approx(
        {"random": np.linalg.norm(real), "shuffled_labels": (4 * dims / (n // 2)) ** 0.5}[name], rel=0.1
    )


def test_agreement_of_halves_tells_the_error_of_the_whole(rng):
    """|v| = d in unit noise: the whole's cosine to v is 1 / sqrt(1 + 4 D / (n d^2)), and halves predict it
    without knowing v.
    """
    n = 2000
    dims = 200
    d = 0.8
    labels = rng.choice([-1, 1], (n, 1)).astype(np.int8)
    codes = (rng.standard_normal((n, dims)) + labels * d / 2 * np.eye(dims)[0]).astype(np.float32)
    problem = pose(codes, labels)
    truth = units(mean_difference(problem).vectors)[0, 0]
    predicted = reliability(agreement(mean_difference, problem, 5))[0]
    expected = 1 / (1 + 4 * dims / (n * d**2)) ** 0.5
    assert expected == pytest.approx(0.784, abs=1e-3)
    assert truth == pytest.approx(expected, abs=0.03) and predicted == pytest.approx(expected, abs=0.03)
    assert reliability(np.array([1.0, -0.2])) == pytest.approx([1, 0])


def test_conditions_leave_every_direction_without_a_share_of_them(rng):
    vectors = rng.standard_normal((4, 10))
    vectors[3] = np.nan
    estimate = condition(Estimate(vectors, np.zeros(4)), ("a", "b", "c", "d"), ("b", "c", "d", "absent"))
    assert np.abs(estimate.vectors[0] @ vectors[[1, 2]].T).max() < 1e-12
    assert abs(estimate.vectors[1] @ vectors[2]) < 1e-12 and abs(estimate.vectors[2] @ vectors[1]) < 1e-12
    assert estimate.intercepts is None and "not conditioned on d, absent" in estimate.notes["a"]


def test_spread_and_midpoint_equal_numpy(rng, monkeypatch):
    monkeypatch.setattr("faces.latents.codes.NUMBERS", 300)
    codes = (3 + rng.standard_normal((500, 6))).astype(np.float32)
    labels = rng.choice([-1, 0, 1], (500, 2)).astype(np.int8)
    directions = units(rng.standard_normal((2, 6)))
    covariance, midpoints = spread(Codes.all(codes), labels, directions, codes.mean(0, dtype=np.float64))
    along = codes.astype(np.float64) @ directions.T
    np.testing.assert_allclose(covariance, np.cov(along.T, bias=True), rtol=1e-5, atol=1e-6)
    expected = [
        (along[labels[:, a] == 1, a].mean() + along[labels[:, a] == -1, a].mean()) / 2 for a in range(2)
    ]
    np.testing.assert_allclose(midpoints, expected, rtol=1e-5)


def test_an_appraisal_says_why_a_figure_is_missing(rng):
    codes = rng.standard_normal((60, 4)).astype(np.float32)
    labels = rng.choice([-1, 1], (60, 2)).astype(np.int8)
    truth = labels[:20].copy()
    truth[:, 1] = 1
    estimate = Estimate(np.array([[np.nan] * 4, [1, 0, 0, 0]]), notes={"a": "no cell"})
    table = appraise(estimate, pose(codes, labels), Codes(codes, np.arange(20)), truth, None).table
    assert table.loc["a", "note"] == "no cell" and np.isnan(table.loc["a", "auroc"])
    assert table.loc["b", "note"] == "the test split has one class only" and table.loc["b", "length"] == 1


@pytest.fixture(scope="module")
def long_codes() -> np.ndarray:
    """(2000, 12288) float32: twenty faces over and over."""
    return np.tile(np.random.default_rng(0).standard_normal((20, 12_288)).astype(np.float32), (100, 1))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_long_codes_stay_in_bounded_memory(rng, long_codes, name):
    """2,000 codes of 12,288 float32 on disk are 98 MB. Every estimator allocates less than that: blocks and
    (A, D), never a float64 copy or (D, D).
    """
    labels = rng.choice([-1, 1], (2000, 2)).astype(np.int8)
    settings = SETTINGS.model_copy(update={"boundary": Boundary(ridge=1e-2, faces=2000, iterations=2)})
    problem = pose(long_codes, labels, settings)
    tracemalloc.start()
    estimate = ESTIMATORS[name](problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(estimate.vectors).all() and estimate.vectors.shape == (2, 12_288)
    assert peak < 60e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("known", [True, False])
def test_principal_components_of_planted_axes(rng, known):
    """Deviations 5, 4, 3 along three axes of a turned frame, 1 elsewhere: found in order, by the covariance
    and by subspace iteration alike.
    """
    frame = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    deviations = np.r_[5, 4, 3, np.ones(37)]
    codes = (rng.standard_normal((20_000, 40)) * deviations @ frame + 2).astype(np.float32)
    moments = Moments.of(codes, np.arange(len(codes)))
    covariance = moments.covariance() if known else None
    vectors, sigma = principal_components(Codes.all(codes), moments.mean(), covariance, 3, rng)
    assert sigma == pytest.approx([5, 4, 3], rel=0.02)
    assert np.abs((vectors * frame[:3]).sum(1)) == pytest.approx([1, 1, 1], abs=3e-3)
    assert (vectors[np.arange(3), np.abs(vectors).argmax(1)] > 0).all()


def test_extremes_of_a_score():
    scores = np.array([[0.1], [9.0], [np.nan], [5.0], [-3.0], [4.0]])
    assert extremes(scores, 1)[:, 0].tolist() == [0, 1, 0, 0, -1, 0]
    assert extremes(scores, 2)[:, 0].tolist() == [-1, 1, 0, 1, -1, 0]
    with pytest.raises(ValueError, match="ask for 2 or fewer"):
        extremes(scores, 3)


def test_unknown_labels_count_on_neither_side():
    codes = np.array([[1.0], [3.0], [100.0], [0.0]], np.float32)
    labels = np.array([[1], [1], [0], [-1]], np.int8)
    assert mean_difference(pose(codes, labels)).vectors[0, 0] == pytest.approx(2.0)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_blocks_do_not_matter(rng, monkeypatch, name):
    codes = rng.standard_normal((1000, 8)).astype(np.float32)
    labels = rng.choice([-1, 0, 1], (1000, 5)).astype(np.int8)
    whole = ESTIMATORS[name](pose(codes, labels)).vectors
    monkeypatch.setattr("faces.latents.codes.NUMBERS", 77 * 8)
    np.testing.assert_allclose(ESTIMATORS[name](pose(codes, labels)).vectors, whole, atol=2e-4)


def test_codes_read_the_rows_that_they_stand_for(rng):
    array = rng.standard_normal((50, 3))
    codes = Codes(array, np.array([3, 4, 5, 9, 20]))
    np.testing.assert_array_equal(codes[0:3], array[3:6])
    np.testing.assert_array_equal(codes[1:5], array[[4, 5, 9, 20]])
    np.testing.assert_array_equal(codes.part(np.array([0, 4]))[:], array[[3, 20]])


def test_sample_keeps_as_many_with_as_without(rng):
    labels = rng.choice([-1, 1], (500, 2), p=[0.9, 0.1]).astype(np.int8)
    kept = sample(labels, 20, rng)
    assert ((kept == 1).sum(0) == 20).all() and ((kept == -1).sum(0) == 20).all()
    assert (kept[kept != 0] == labels[kept != 0]).all()


def test_moments_equal_numpy(rng, monkeypatch):
    monkeypatch.setattr("faces.latents.moments.NUMBERS", 64 * 6)
    codes = 1000 + rng.standard_normal((500, 6))  # far from zero: sums of squares alone would lose it
    codes = codes.astype(np.float32)
    rows = np.arange(0, 500, 2)
    moments = Moments.of(codes, rows)
    chosen = codes[rows].astype(np.float64)
    np.testing.assert_allclose(moments.mean(), chosen.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std(), chosen.std(0), rtol=1e-9)
    np.testing.assert_allclose(moments.covariance(), np.cov(chosen.T, bias=True), atol=1e-9)
    assert Moments.of(codes, rows, products=False).covariance() is None


def test_active_units_counts_the_dimensions_that_move(rng):
    codes = rng.standard_normal((1000, 4)).astype(np.float32) * np.array([1, 0.5, 0.05, 0], np.float32)
    assert active_units(codes) == 2
