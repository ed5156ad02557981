"""What several tests need: small data in the formats of the pipeline, made on the spot."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from faces.core import ranks

ROOT = Path(__file__).parents[1]
LONGEST = ("test_pipeline", "test_retrain", "test_distributed", "test_unlabelled", "test_retraining_story")


# The many programs that tests start compile this project's modules once, not each for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
cv2.setNumThreads(1)  # its threads would not survive the fork of the stage crop in a test that comes later


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: of several cores none waits for the others at the end. pytest-xdist keeps this
    order by --no-loadscope-reorder alone; else the files of most tests come first.
    """
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def unfinished(tmp_path_factory, monkeypatch) -> None:
    """What an interrupted stage leaves stays out of the project."""
    monkeypatch.setattr(ranks, "UNFINISHED", tmp_path_factory.getbasetemp() / "unfinished")


@pytest.fixture(scope="session")
def params() -> dict:
    """The project's own params.yaml as plain values."""
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
