"""The arithmetic of the cost model: lines with known constants, and how processes share a part."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cost_model import Line, Part, check, hours, measured, weighed


def nothing(folder: Path, count: int) -> dict[str, float]:
    return {"s": float((folder / "params.yaml").is_file() and Path.cwd() == folder) * count}


def test_a_line_is_recovered_and_its_error_is_that_of_least_squares(rng):
    """Noise of 5%: over many fits the constants lie round the true ones as widely as their errors say."""
    counts = np.tile([1e4, 1e5], 5)
    lines = [Line.fit(counts, (2 + 3e-4 * counts) * rng.normal(1, 0.05, 10)) for _ in range(2000)]
    for name, true in (("fixed", 2), ("each", 3e-4)):
        found = np.array([getattr(line, name) for line in lines])
        errors = np.array([getattr(line, f"{name}_error") for line in lines])
        assert found.mean() == pytest.approx(true, rel=0.02)
        assert np.sqrt(np.square(errors).mean()) == pytest.approx(found.std(), rel=0.06)
    exact = Line.fit(counts, 2 + 3e-4 * counts)
    assert (exact.fixed, exact.each) == pytest.approx((2, 3e-4))
    assert exact.each_error == pytest.approx(0, abs=1e-12)
    assert exact.at(1e6) == pytest.approx(302)


@pytest.mark.parametrize(
    ("shares", "processes", "share"),
    [(None, 1, 1), (None, 64, 1 / 64), (1, 64, 1), (8, 3, 3 / 8), (8, 64, 1 / 8)],
)
def test_processes_share_what_can_be_shared(shares, processes, share):
    """0.36 ms a face, done twice: 20 core hours for 10^8 faces."""
    part = Part(nothing, (), (), shares, 2)
    found = hours(Line(5.0, 3.6e-4, 1.0, 3.6e-5), part, 10**8, processes)
    assert found == pytest.approx((20 * share, 2 * share))


def test_a_check_is_held_against_the_median():
    said, found, error = check(Line(1.0, 0.1, 0.0, 0.0), 100, [10.0, 9.0, 50.0])
    assert (said, found) == (11.0, 10.0)
    assert error == pytest.approx(0.1)


def test_a_measurement_has_a_folder_of_its_own():
    before = Path.cwd()
    assert measured(Part(nothing, (), (), None, 1), 7) == {"s": 7.0}
    assert Path.cwd() == before


def test_a_whole_is_off_by_the_errors_of_its_parts_by_their_hours():
    assert weighed([9.0, 1.0], [0.1, -0.5]) == pytest.approx(0.14)
