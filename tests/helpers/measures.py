"""data/measures of a run without measured labels, and a network of landmarks with a known answer."""

from pathlib import Path

import numpy as np

from faces.core.files import write_json
from faces.witnesses.labelling import MIRROR
from tests.helpers import face_api


def none(folder: Path) -> Path:
    """The folder, as the stage leaves it where it is off."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "measures.json", {"enabled": False})
    return folder


def face() -> np.ndarray:
    """(68, 2) a symmetric face, as shares of the picture's side."""
    points = np.random.default_rng(1).uniform(-0.1, 0.1, (68, 2))
    points[[36, 45]] = [[-0.25, -0.1], [0.25, -0.1]]
    points[[61, 62, 63], 1] = 0.2
    points[[67, 66, 65], 1] = 0.2
    points[:, 1] = (points[:, 1] + points[MIRROR, 1]) / 2
    points[:, 0] = (points[:, 0] - points[MIRROR, 0]) / 2
    return points + 0.5


def opening_mouths() -> dict[str, np.ndarray]:
    """Weights of landmarks that open the mouth with the brightness of the picture."""
    weights = face_api.trunk(136)
    opened = np.zeros((68, 2))
    opened[[67, 66, 65], 1] = 0.02
    weights["fc/weights"] = np.tile(opened.ravel() / 3, (3, 1))
    weights["fc/bias"] = face().ravel()
    return weights
