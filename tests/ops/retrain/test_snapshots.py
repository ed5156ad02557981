"""Freezing a growing folder: what is taken, what is refused, and why."""

import hashlib
import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from faces.ingest.writer import split_of
from faces.sources import folder as source
from ops.retrain import snapshots


def picture(seed):
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    image.save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


@pytest.fixture
def inbox(tmp_path):
    place = tmp_path / "inbox"
    place.mkdir()
    for number in range(4):
        (place / f"{number}.png").write_bytes(picture(number))
    label(place, "0.png,1", "1.png,0", "2.png,1", "3.png,0")
    return place


def label(place, *rows):
    (place / "labels.csv").write_text("\n".join(["name,Smiling", *rows]) + "\n", encoding="utf-8")


def take(inbox, tmp_path, today="2026-01-02"):
    return snapshots.take(inbox, 0.0, today, tmp_path / "index")


def test_a_snapshot_is_the_same_bytes_and_the_pipeline_reads_it(inbox, tmp_path):
    snapshot = take(inbox, tmp_path)
    assert snapshot.name.startswith("2026-01-02-") and len(snapshot.pictures) == 4 and not snapshot.refused
    for name in ("one.zip", "two.zip"):
        snapshots.write(snapshot, inbox, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    archive = str(tmp_path / "one.zip")
    config = source.Config(path=archive, licence="none", valid=0.1, test=0.2, unlabelled=False)
    (tmp_path / "raw").mkdir()
    source.Source(config).fetch(1, tmp_path / "raw", lambda *_: None)
    with zipfile.ZipFile(tmp_path / "raw/images.zip") as archive:
        assert {hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()} == set(
            snapshot.pictures.values()
        )


def test_the_same_content_keeps_its_name_on_another_day(inbox, tmp_path):
    first = take(inbox, tmp_path)
    snapshots.remember(first, tmp_path / "index")
    assert take(inbox, tmp_path, "2026-03-04").name == first.name
    (inbox / "4.png").write_bytes(picture(4))
    label(inbox, "0.png,1", "1.png,0", "2.png,1", "3.png,0", "4.png,1")
    grown = take(inbox, tmp_path, "2026-03-04")
    assert grown.name.startswith("2026-03-04-") and grown.added(first.pictures) == ["4.png"]


def test_a_changed_label_is_a_new_snapshot(inbox, tmp_path):
    first = take(inbox, tmp_path)
    label(inbox, "0.png,0", "1.png,0", "2.png,1", "3.png,0")
    assert take(inbox, tmp_path).name != first.name


def test_what_is_refused(inbox, tmp_path):
    snapshots.remember(take(inbox, tmp_path), tmp_path / "index")
    (inbox / "0-again.png").write_bytes(
        picture(0)
    )  # sorts before 0.png; the earlier name keeps its place all the same
    (inbox / "half.png").write_bytes(picture(7)[:90])
    (inbox / "1.png").write_bytes(picture(99))
    (inbox / "stray.png").write_bytes(picture(8))
    label(inbox, "0-again.png,1", "0.png,1", "1.png,0", "2.png,1", "3.png,0", "half.png,1", "gone.png,0")
    snapshot = take(inbox, tmp_path)
    assert set(snapshot.pictures) == {"0.png", "2.png", "3.png"}
    assert snapshot.refused.pop("half.png").startswith("cannot be read: ")
    assert snapshot.refused == {
        "0-again.png": "the same picture as 0.png",
        "1.png": "changed since an earlier snapshot; a changed picture needs a new name",
        "gone.png": "no such picture",
        "stray.png": "no row in labels.csv",
    }
    assert snapshot.labels == "name,Smiling\n0.png,1\n2.png,1\n3.png,0\n"


def test_files_that_are_still_being_copied_wait(inbox, tmp_path):
    assert snapshots.take(inbox, 3600.0, "2026-01-02", tmp_path / "index") is None, "labels.csv is fresh"
    for name in ("labels.csv", "0.png", "1.png", "2.png"):
        os.utime(inbox / name, (0, 0))
    snapshot = snapshots.take(inbox, 3600.0, "2026-01-02", tmp_path / "index")
    assert snapshot.refused == {"3.png": "still being written"} and len(snapshot.pictures) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "3.png,perhaps",
            "row 5, column 'Smiling': 'perhaps'; allowed: 1, 0, -1, yes, no, true, false, or blank",
        ),
        ("0.png,0", "row 5: 0.png stands twice, otherwise labelled in row 2"),
        ("../3.png,1", "row 5: ../3.png leads out of the folder"),
        ("3.png,1,1", "row 5 has 3 fields, the header 2"),
    ],
)
def test_a_wrong_label_file_stops_everything(inbox, tmp_path, row, message):
    label(inbox, "0.png,1", "1.png,0", "2.png,1", row)
    with pytest.raises(snapshots.SnapshotError, match=message.replace("(", r"\(").split(";")[0]):
        take(inbox, tmp_path)


def test_a_picture_that_changes_while_it_is_copied(inbox, tmp_path):
    snapshot = take(inbox, tmp_path)
    (inbox / "2.png").write_bytes(picture(50))
    with pytest.raises(snapshots.SnapshotError, match=r"2\.png changed while it was being copied"):
        snapshots.write(snapshot, inbox, tmp_path / "out.zip")
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".*draft"))


def test_splits_stay_when_pictures_come(inbox, tmp_path):
    """A picture's split follows from its name alone."""
    names = [f"{number}.png" for number in range(200)]
    before = {name: split_of(name, 0.1, 0.2) for name in names[:100]}
    after = {name: split_of(name, 0.1, 0.2) for name in names}
    assert all(after[name] == split for name, split in before.items())
    assert 20 <= sum(split == "test" for split in after.values()) <= 60
