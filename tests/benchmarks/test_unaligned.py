"""Pictures and figures of the comparison of unaligned with aligned faces."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import unaligned


@pytest.fixture
def faces(tmp_path):
    """Three faces of CelebA's frame and one that is not, with CelebA's list of their attributes."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number, size in enumerate([(178, 218)] * 3 + [(64, 64)]):
        Image.new("RGB", size, (200, 100, 50)).save(folder / f"{number}.jpg")
    rows = "".join(f"{number}.jpg 1 -1 -1 1\n" for number in range(4))
    (tmp_path / "list.txt").write_text("4\nSmiling Bald Male Eyeglasses\n" + rows)
    return folder


def test_both_sets_have_the_same_names_and_labels_of_ones_own(tmp_path, faces):
    unaligned.write(faces, unaligned.attributes(tmp_path / "list.txt"), tmp_path, 4, seed=0)
    tables = [pd.read_csv(tmp_path / one / "labels.csv", index_col="name") for one in unaligned.SETS]
    pd.testing.assert_frame_equal(*tables)
    assert list(tables[0].index) == ["0.jpg", "1.jpg", "2.jpg"]
    assert tables[0].iloc[0].to_dict() == {"lacht": 1, "Brille/Sonnenbrille": 1, "mean": -1}
    content = (tmp_path / "unaligned/0.jpg").read_bytes()
    assert Image.open(io.BytesIO(content)).size == (512, 512)
    assert (tmp_path / "aligned/0.jpg").read_bytes() == (faces / "0.jpg").read_bytes()


def test_correlations_are_those_of_the_mean_changes(rng):
    """Faces differ by noise that cancels: attribute 0 changes alike, attribute 1 the other way round."""
    change = rng.normal(size=(2, 1, 4, 4, 3))
    noise = rng.normal(size=(2, 1, 4, 4, 3))
    first = np.concatenate([change + noise, change - noise], axis=1)
    found = unaligned.correlations(first, change * np.array([3.0, -1.0]).reshape(2, 1, 1, 1, 1))
    np.testing.assert_allclose(np.diag(found), [1, -1], atol=1e-9)
    assert abs(found[0, 1]) < 0.6
