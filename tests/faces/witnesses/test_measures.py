"""Measures of landmarks: planted angles come back, and nothing depends on size, place and roll."""

import numpy as np
import pytest

from faces.witnesses.measures import LANDMARKS, NOSE_DOWN, NOSE_OUT, measures


@pytest.fixture
def face() -> np.ndarray:
    """(68, 2) a face with the outer corners of the eyes 2 apart, y down."""
    points = np.zeros((68, 2))
    points[17:27, 1] = -0.6  # brows
    for first, x in ((36, -1.0), (42, 0.5)):
        points[first : first + 6] = np.array([(0, 0), (1, -1), (2, -1), (3, 0), (2, 1), (1, 1)]) * [
            1 / 6,
            0.05,
        ] + [x, 0]
    points[30] = 0, 2 * NOSE_DOWN
    points[48] = -0.4, 1.1
    points[54] = 0.4, 1.1
    points[[61, 62, 63], 1] = 1.1
    points[[67, 66, 65], 1] = 1.3
    return points


def named(points: np.ndarray) -> dict[str, float]:
    return dict(zip(LANDMARKS, measures(points[None])[0].tolist(), strict=True))


def test_lengths_are_over_the_distance_of_the_eyes(face):
    found = named(face)
    assert found["mouth_open"] == pytest.approx(0.1)
    assert found["mouth_width"] == pytest.approx(0.4)
    assert found["corner_lift"] == pytest.approx(0.05)
    assert found["eye_open"] == pytest.approx(0.1 / 0.5)
    assert found["brow_height"] == pytest.approx(0.3)
    assert [found[name] for name in ("yaw", "roll", "pitch")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_size_place_and_roll_change_roll_alone(face):
    """Clockwise, with y down, is from x towards y."""
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert named(face @ turn * 31 + [5, -7]) == pytest.approx(named(face) | {"roll": 20.0}, abs=1e-6)


def test_planted_angles_come_back(rng):
    """A head with a nose, turned up, then to the side, then tilted, and seen from afar."""
    yaw, roll, pitch = rng.uniform(-30, 30, (3, 50))

    def turned(points: np.ndarray, first: int, second: int, degrees: np.ndarray) -> np.ndarray:
        angle = np.radians(degrees)[:, None]
        found = points.copy()
        found[..., first] = np.cos(angle) * points[..., first] - np.sin(angle) * points[..., second]
        found[..., second] = np.sin(angle) * points[..., first] + np.cos(angle) * points[..., second]
        return found

    head = np.tile(rng.normal(size=(68, 3)), (50, 1, 1))  # x right, y up, z to the viewer
    head[:, 36] = -0.5, 0, 0
    head[:, 45] = 0.5, 0, 0
    head[:, 30] = 0, -NOSE_DOWN, NOSE_OUT
    head = turned(turned(turned(head, 2, 1, pitch), 2, 0, yaw), 0, 1, -roll)
    found = measures(head[..., :2] * [1, -1] * 40 + 90)
    wanted = {"yaw": yaw, "roll": roll, "pitch": pitch}
    for name, values in wanted.items():
        assert found[:, LANDMARKS.index(name)] == pytest.approx(values, abs=1e-6)
