"""Tables as Parquet: the same rows are the same bytes, columns and rows are read as they are asked for."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faces.core import parquet
from faces.data import annotations
from faces.ingest import removal, writer
from ops import table as csv_of

COUNT = 1000


@pytest.fixture
def table(rng):
    """Labels of COUNT faces: names with a comma and a quote among them, landmarks of every second."""
    known = np.arange(COUNT) % 2 == 0
    return pd.DataFrame(
        {
            "name": [f'a, "{place}".jpg' for place in range(COUNT)],
            "split": rng.choice(annotations.SPLITS, COUNT),
            "identity": rng.integers(-1, 2**40, COUNT),
            "nose_x": np.where(known, rng.random(COUNT), np.nan),
            "Hat": rng.integers(-1, 2, COUNT),
        }
    )


def test_the_same_rows_are_the_same_bytes_whatever_the_parts(tmp_path, monkeypatch, table):
    monkeypatch.setattr(parquet, "ROWS", 128)
    schema = pa.schema({"name": pa.string(), "split": pa.string(), "nose_x": pa.float64()})
    some = table[schema.names]
    for size in (1, 100, 128, COUNT):
        with parquet.Writer(tmp_path / f"{size}.parquet", schema) as out:
            for start in range(0, COUNT, size):
                out.append(some.iloc[start : start + size])
    first, *others = (path.read_bytes() for path in tmp_path.iterdir())
    assert all(other == first for other in others)
    head = pq.read_metadata(tmp_path / "1.parquet")
    assert [head.row_group(place).num_rows for place in range(head.num_row_groups)] == [128] * 7 + [104]
    assert set(head.metadata) == {b"ARROW:schema"}, "no version of pandas"
    pd.testing.assert_frame_equal(parquet.read(tmp_path / "1.parquet"), some)


def test_labels_come_back_to_the_bit(tmp_path, table):
    path = tmp_path / "labels.parquet"
    writer.write_labels(path, table)
    found = annotations.read_labels(path)
    assert list(found) == [*annotations.FIXED, "Hat"]
    pd.testing.assert_frame_equal(found[list(table)], table.astype({"Hat": "int8"}))
    assert found["lefteye_x"].isna().all() and found["lefteye_x"].dtype == float
    assert annotations.read_labels(path, ["Hat", "name"]).columns.tolist() == ["Hat", "name"]
    labels, splits = annotations.read_numbers(path, COUNT)
    assert labels.dtype == splits.dtype == np.int8
    np.testing.assert_array_equal(labels[:, 0], table["Hat"])
    assert [annotations.SPLITS[place] for place in splits] == table["split"].tolist()


def test_rows_are_kept_and_taken(tmp_path, monkeypatch, table):
    """Without some rows a table is the one that was written without them."""
    monkeypatch.setattr(parquet, "ROWS", 300)
    path = tmp_path / "labels.parquet"
    writer.write_labels(path, table)
    gone = [3, 299, 300, 999]
    names = table["name"][gone].tolist()
    before = path.read_bytes()
    assert removal.take_rows(path, ["nobody.jpg"])[0] == COUNT and path.read_bytes() == before
    count, rows = removal.rows_naming(path, names)
    assert count == COUNT and rows.tolist() == gone
    count, rows, firsts = removal.take_rows(path, names)
    assert (count, rows.tolist(), firsts) == (COUNT, gone, set(names))
    writer.write_labels(tmp_path / "without.parquet", table.drop(gone))
    assert path.read_bytes() == (tmp_path / "without.parquet").read_bytes()


def test_a_person_gets_the_table_as_csv(tmp_path, monkeypatch, table):
    monkeypatch.setattr(parquet, "ROWS", 300)
    (tmp_path / "crops").mkdir()
    writer.write_labels(tmp_path / "crops/table.parquet", table)
    csv_of.main([str(tmp_path / "crops"), str(tmp_path / "faces.csv")])
    found = pd.read_csv(tmp_path / "faces.csv")
    whole = annotations.read_labels(tmp_path / "crops/table.parquet")
    assert list(found) == list(whole)
    pd.testing.assert_frame_equal(found[list(table)], whole[list(table)].astype({"Hat": "int64"}))
    with pytest.raises(SystemExit, match="no table of faces; give data/crops, data/raw or data/measures"):
        csv_of.main([str(tmp_path), str(tmp_path / "faces.csv")])


def test_rows_are_read_as_they_are_asked_for(tmp_path, monkeypatch, table):
    """By slice or by number, over the ends of row groups; a column that is not there is left out."""
    monkeypatch.setattr(parquet, "ROWS", 300)
    path = tmp_path / "labels.parquet"
    writer.write_labels(path, table)
    rows = parquet.Rows(path, ("name", "nose_x", "no such column"))
    assert len(rows) == COUNT and rows.columns == ["name", "nose_x"]
    for wanted in (slice(290, 610), slice(0, 0), np.array([0, 299, 300, 301, 999])):
        expected = table[["name", "nose_x"]].iloc[wanted].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[wanted], expected)
