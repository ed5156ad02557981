"""Files that hold many faces lose some, and keep all the others as they are."""

import numpy as np
import pytest

from faces.data import sharded_array
from ops.forget import scrub
from ops.forget.journal import Journal
from ops.forget.needles import Needles


def test_an_array_in_shards(tmp_path):
    rows = np.arange(11 * 6, dtype=np.uint8).reshape(11, 6)
    path = tmp_path / "images.npy"
    with sharded_array.Writer(path, (6,), np.uint8, 4) as out:
        out.append(rows)
    assert len(sharded_array.files(path)) == 3
    assert scrub.array(path, 11, np.array([0, 5, 10]))
    np.testing.assert_array_equal(sharded_array.open_parts(path)[:], rows[[1, 2, 3, 4, 6, 7, 8, 9]])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images.1.npy", "images.npy"]
    assert not scrub.array(path, 11, np.array([0])), "another number of rows: not theirs"


def test_pictures_of_the_training_go(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (3, 4, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "snapshots.npy", frames)
    np.save(tmp_path / "crops.npy", frames[0, [2]])
    scrub.progress(Journal(tmp_path, tmp_path), tmp_path / "snapshots.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "snapshots.npy"), frames[:, [0, 1, 3]])


@pytest.mark.parametrize(
    ("text", "held"),
    [("a/1.jpg,2", False), ("x,1.jpg,2", True), ("11.jpg", False), ("see 1.jpg.", True), ("1.jpg2", False)],
)
def test_names_are_whole_words(tmp_path, text, held):
    (tmp_path / "t.csv").write_text(text)
    assert (Needles([], ["1.jpg"]).within(tmp_path / "t.csv") is not None) == held
