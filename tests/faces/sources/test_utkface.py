import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

from faces.core.params import ParamsError, parse
from faces.data import annotations
from faces.ingest import writer
from faces.sources import SourceError, utkface
from stages.download import remarks

MEN = ["26_0_2_20170116172132354.jpg.chip.jpg", "60_0_0_20170110120000001.jpg.chip.jpg"]
WOMEN = [
    "31_1_1_20170110120000002.jpg.chip.jpg",
    "90_1_3_20170110120000003.jpg.chip.jpg",
    "30_1_4_20170110120000004.jpg.chip.jpg",
]


def config(path, young_until=30, old_from=60):
    return parse(
        utkface.Config,
        {"path": str(path), "young_until": young_until, "old_from": old_from, "valid": 0.1, "test": 0.1},
    )


def lay(place, names):
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"\xff\xd8" + name.encode())
    return place


def fetch(settings, out):
    out.mkdir()
    utkface.Source(settings).fetch(0, out, lambda done, total, unit: None)
    with zipfile.ZipFile(out / "images.zip") as archive:
        pictures = {name: archive.read(name) for name in archive.namelist()}
    return (
        annotations.read_labels(out / "labels.parquet").set_index("name"),
        pictures,
        json.loads((out / "source.json").read_text()),
    )


@pytest.mark.parametrize(
    "name, fields",
    [
        ("26_0_2_20170116172132354.jpg.chip.jpg", (26, 0, 2)),
        ("116_1_0_20170112220255178.jpg", (116, 1, 0)),
        ("1_0_4_20161219222752047.JPG.chip.jpg", (1, 0, 4)),
        ("55_0_0_20170116232725357jpg.chip.jpg", (55, 0, 0)),  # the dot is missing
        ("24_0_1_20170116220224657 .jpg.chip.jpg", (24, 0, 1)),  # a blank before it
        (
            "39_1_20170116174525125.jpg.chip.jpg",
            (39, None, 1),
        ),  # repaired; gender or race was left out, published repairs disagree on gender
        ("61_1_20170109150557335.jpg.chip.jpg", (61, 1, 3)),
        ("61_1_20170109142408075.jpg", (61, 1, 1)),
        ("61_1_20170109142408076.jpg", None),
        ("117_0_0_20170109142408075.jpg", None),
        ("26_2_0_20170109142408075.jpg", None),
        ("26_0_5_20170109142408075.jpg", None),
        ("26_0_0_20170109142408075.png", (26, 0, 0)),
        ("portrait.jpg", None),
    ],
)
def test_what_a_name_says(name, fields):
    assert utkface.parse(name) == fields


def test_labels_of_a_folder(tmp_path):
    path = lay(
        tmp_path / "UTKFace",
        [
            *MEN,
            *WOMEN,
            "39_1_20170116174525125.jpg.chip.jpg",
            "61_3_20170109150557337.jpg.chip.jpg",
            "notes.txt",
        ],
    )
    assert utkface.Source(config(path)).attributes() == (
        "Male",
        "Young",
        "Old",
        "White",
        "Black",
        "Asian",
        "Indian",
        "Other_Race",
    )
    table, pictures, about = fetch(config(path), tmp_path / "raw")
    assert {name[:2]: tuple(row) for name, row in table[list(utkface.ATTRIBUTES)].iterrows()} == {
        "26": (1, 1, -1, -1, -1, 1, -1, -1),
        "60": (1, -1, 1, 1, -1, -1, -1, -1),
        "31": (-1, -1, -1, -1, 1, -1, -1, -1),  # neither young nor old
        "90": (-1, -1, 1, -1, -1, -1, 1, -1),
        "30": (-1, 1, -1, -1, -1, -1, -1, 1),
        "39": (0, -1, -1, -1, 1, -1, -1, -1),
    }
    assert pictures == {name: b"\xff\xd8" + name.encode() for name in table.index}
    assert table["split"].tolist() == [writer.split_of(name, 0.1, 0.1) for name in table.index]
    assert set(table["identity"]) == {-1}
    assert about["malformed_names"] == ["61_3_20170109150557337.jpg.chip.jpg"]
    assert about["source"] == "utkface" and "non-commercial" in about["licence"] and about["flippable"] == []
    assert about["counts"]["positives"]["Old"] == 2


def test_the_ages_are_params(tmp_path):
    path = lay(tmp_path / "UTKFace", [*MEN, *WOMEN])
    table, _, _ = fetch(config(path, young_until=25, old_from=31), tmp_path / "raw")
    assert table["Young"].tolist() == [-1] * 5
    assert table["Old"].groupby(table.index.str[:2]).first().to_dict() == {
        "26": -1,
        "30": -1,
        "31": 1,
        "60": 1,
        "90": 1,
    }


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archives_with_every_picture_several_times(tmp_path, kind):
    """Kaggle's copy holds the pictures two and three times over; an archive may hold both editions."""
    plain = [name.replace(".chip.jpg", "") for name in MEN]
    names = [
        *(f"UTKFace/{name}" for name in plain),
        *(f"crop_part1/{name}" for name in MEN),
        *(f"utkface_aligned_cropped/{name}" for name in MEN + WOMEN),
    ]
    path = tmp_path / f"all.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, name)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(name)
                archive.addfile(member, io.BytesIO(name.encode()))
    table, pictures, _ = fetch(config(path), tmp_path / "raw")
    assert sorted(table.index) == sorted(MEN + WOMEN)
    assert {name: content.decode() for name, content in pictures.items()} == {
        **{name: f"crop_part1/{name}" for name in MEN},
        **{name: f"utkface_aligned_cropped/{name}" for name in WOMEN},
    }


def test_rows_and_pictures_agree_whatever_the_order_in_the_archive(tmp_path):
    names = [f"{age}_{age % 2}_{age % 5}_201701{age:011d}.jpg.chip.jpg" for age in range(1, 100)]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in np.random.default_rng(0).permutation(names):
            archive.writestr(f"UTKFace/{name}", name)
    table, pictures, about = fetch(config(tmp_path / "all.zip"), tmp_path / "raw")
    assert {name: content.decode() for name, content in pictures.items()} == {name: name for name in names}
    assert (table["Male"] == 1).to_dict() == {name: int(name.split("_")[0]) % 2 == 0 for name in names}
    assert about["counts"]["images"] == 99


def test_faults(tmp_path):
    for reader in (
        lambda settings: utkface.Source(settings).attributes(),
        lambda settings: utkface.Source(settings).fetch(0, None, None),
    ):
        with pytest.raises(SourceError, match=r"sources.utkface.path is empty"):
            reader(config(""))
        with pytest.raises(SourceError, match=r"gone does not exist"):
            reader(config(tmp_path / "gone"))
    with pytest.raises(
        SourceError, match=r"no picture is named \[age\]_\[gender\]_\[race\]_\[date\].jpg; the first: me.jpg"
    ):
        fetch(config(lay(tmp_path / "other", ["me.jpg"])), tmp_path / "raw")
    (tmp_path / "UTKFace.tar.gz").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(
        SourceError, match=r"UTKFace.tar.gz: expected a folder, a zip or a tar, found an HTML page"
    ):
        fetch(config(tmp_path / "UTKFace.tar.gz"), tmp_path / "raw2")
    with pytest.raises(ParamsError, match=r"old_from = 200; "):
        config("", old_from=200)


def test_copies_in_other_formats_and_names_without_labels_are_said(tmp_path):
    names = ["26_1_2_20170116172132354.png", "26_1_2_20170116172132354.jpg.chip.jpg", "27_0_1_20170116.webp"]
    table, _, about = fetch(config(lay(tmp_path / "set", [*names, "me.jpg"])), tmp_path / "raw")
    assert table.index.tolist() == names[1:]
    assert remarks(about) == ["1 pictures have names without labels and are left out; first 'me.jpg'"]
