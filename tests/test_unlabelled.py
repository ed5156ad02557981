"""The whole chain from a folder of pictures that nobody labelled."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from tests.helpers import face_api, measures
from tests.helpers.checkouts import DVC, SMALL, checkout, run


@pytest.mark.slow
def test_a_folder_of_pictures_without_labels_makes_sliders(tmp_path):
    """The preset, and the whole chain: mouths that open with the light have a slider in its unit."""
    place = checkout(tmp_path / "checkout")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for i in range(120):
        grey = (60 + i + rng.integers(-25, 26, (218, 178, 3))).astype(np.uint8)
        grey[100:130, 60:120] = 30
        Image.fromarray(grey).save(pictures / f"{i:03}.png")
    face_api.write(tmp_path / "weights", "face_landmark_68_model", measures.opening_mouths())
    small = {key: value for key, value in SMALL.items() if not key.startswith("sources.")}
    changes = small | {
        "sources.folder.path": str(pictures),
        "witness.enabled": False,
        "witness.weights": str(tmp_path / "weights"),
        "prior.guidance": 1.0,
    }
    words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    run(place, sys.executable, "-m", "ops.preset", "unlabelled", *words)
    run(place, *DVC, "repro")
    about = json.loads((place / "data/export/bundle.json").read_text())
    found = {one["name"]: one for one in about["attributes"]}
    assert "mouth_open" in found and found["mouth_open"]["measure"]["unit"] == "%"
    assert about["groups"][0] == "Expression and pose"
    assert (place / "reports/grids/edit_mouth_open.png").is_file()
    assert "Mouth opening" in (place / "reports/index.html").read_text(encoding="utf-8")
