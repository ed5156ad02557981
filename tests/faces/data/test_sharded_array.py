"""An array in several files is the array: whatever is asked of it, and however it was written."""

import os

import numpy as np
import pytest

from faces.data.sharded_array import Parts, Writer, files, open_parts, read_ahead


@pytest.fixture
def whole(rng):
    return rng.integers(256, size=(23, 4, 4, 3), dtype=np.uint8)


def write(path, whole, length, chunks):
    with Writer(path, whole.shape[1:], np.uint8, length) as out:
        for chunk in np.array_split(whole, chunks):
            out.append(chunk)
    assert out.count == len(whole)


@pytest.mark.parametrize(
    ("length", "lengths"), [(100, [23]), (23, [23]), (10, [10, 10, 3]), (1, [1] * 23), (22, [22, 1])]
)
@pytest.mark.parametrize("chunks", [1, 4, 23])
def test_what_is_written_is_read(tmp_path, whole, length, lengths, chunks):
    path = tmp_path / "images.npy"
    write(path, whole, length, chunks)
    assert [len(np.load(file)) for file in files(path)] == lengths
    array = open_parts(path)
    assert len(array) == 23 and array.shape == whole.shape and array.dtype == np.uint8
    np.testing.assert_array_equal(array[:], whole)


def test_one_file_is_what_numpy_writes(tmp_path, whole):
    """Byte for byte, so that nothing that holds less than a file changes; and it is mapped plainly."""
    write(tmp_path / "ours.npy", whole, 1000, 3)
    np.save(tmp_path / "plain.npy", whole)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "plain.npy").read_bytes()
    assert isinstance(open_parts(tmp_path / "ours.npy"), np.memmap)


@pytest.mark.parametrize(
    "rows",
    [
        0,
        9,
        10,
        22,
        -1,
        slice(None),
        slice(3, 7),
        slice(8, 12),
        slice(10, 20),
        slice(5, 23),
        slice(20, 99),
        slice(7, 7),
        slice(0, 23, 4),
        slice(9, 2, -3),
    ]
    + [np.array(rows, int) for rows in ([3, 21, 10, 3], [[0, 22], [11, 9]], [], [-1, 5], list(range(23)))]
    + [np.arange(23) % 3 == 0],
    ids=str,
)
def test_it_is_indexed_like_an_array(tmp_path, whole, rows):
    write(tmp_path / "a.npy", whole, 10, 2)
    array = open_parts(tmp_path / "a.npy")
    assert isinstance(array, Parts)
    np.testing.assert_array_equal(array[rows], whole[rows])


@pytest.mark.parametrize("rows", [23, -24, np.array([0, 23])])
def test_a_row_that_is_not_there_is_an_error(tmp_path, whole, rows):
    write(tmp_path / "a.npy", whole, 10, 2)
    with pytest.raises(IndexError):
        open_parts(tmp_path / "a.npy")[rows]


def test_rows_of_one_file_are_not_copied(tmp_path, whole):
    write(tmp_path / "a.npy", whole, 10, 2)
    assert np.shares_memory(open_parts(tmp_path / "a.npy")[0:0], whole) is False
    array = Parts([whole[:10], whole[10:20], whole[20:]])
    assert np.shares_memory(array[12:20], whole) and not np.shares_memory(array[8:12], whole)


def test_an_empty_array_is_one_empty_file(tmp_path):
    write(tmp_path / "a.npy", np.empty((0, 2, 2, 3), np.uint8), 10, 1)
    assert open_parts(tmp_path / "a.npy").shape == (0, 2, 2, 3)


def test_files_that_do_not_belong_together_are_refused(tmp_path, whole):
    np.save(tmp_path / "a.npy", whole[:10])
    np.save(tmp_path / "a.1.npy", whole[10:21])
    with pytest.raises(
        ValueError, match=r"a\.npy and the 1 files after it do not make one array: they hold 10, 11 rows"
    ):
        open_parts(tmp_path / "a.npy")
    np.save(tmp_path / "a.1.npy", whole[10:14, :2])
    with pytest.raises(ValueError, match="rows of different shapes"):
        open_parts(tmp_path / "a.npy")


def test_reading_ahead_asks_for_the_bytes_of_the_rows(tmp_path, whole, monkeypatch):
    """Across two files, and not for arrays in memory."""
    asked = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, start, size, how: asked.append((start, size)), raising=False
    )
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    path = tmp_path / "images.npy"
    write(path, whole, 10, 1)
    read_ahead(open_parts(path), 8, 12)
    assert asked == [(128 + 8 * 48, 2 * 48), (128, 3 * 48)]
    read_ahead(whole, 0, 5)
    assert len(asked) == 2
