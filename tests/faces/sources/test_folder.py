import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from faces.core.params import ParamsError, parse
from faces.data import annotations
from faces.ingest import writer
from faces.sources import SourceError, folder


def picture(number, kind="JPEG"):
    pixels = np.random.default_rng(number).integers(0, 255, (9, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


PICTURES = {
    "a.jpg": picture(1),
    "deep/er/b.PNG": picture(2, "PNG"),
    "c.webp": picture(3, "WEBP"),
    "deep/d.jpeg": picture(4),
}


def lay(place, table, files=PICTURES):
    for name, content in {"labels.csv": table.encode() if isinstance(table, str) else table, **files}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def config(path, valid=0.1, test=0.1, unlabelled=False):
    values = {"path": str(path), "unlabelled": unlabelled, "licence": "mine", "valid": valid, "test": test}
    return parse(folder.Config, values)


def fetch(settings, out):
    out.mkdir()
    folder.Source(settings).fetch(0, out, lambda done, total, unit: None)
    with zipfile.ZipFile(out / "images.zip") as archive:
        pictures = {name: archive.read(name) for name in archive.namelist()}
    return (
        annotations.read_labels(out / "labels.parquet"),
        pictures,
        json.loads((out / "source.json").read_text()),
    )


TABLE = """name, split,identity,nose_x,Smiling,Hat,Beard
a.jpg,train,7,44.5,1,-1,1

deep/er/b.PNG,test,,,0,0,
c.webp,,-1,,,1,0
deep/d.jpeg,valid,8,3,1.0,,0
,,,,,,
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_folder_with_everything(tmp_path, ending, mark):
    path = lay(
        tmp_path / "set",
        mark + TABLE.replace("\n", ending),
        PICTURES | {"stray.png": picture(9, "PNG"), "notes.txt": b"x", ".hidden.jpg": b"x"},
    )
    settings = config(path)
    assert folder.Source(settings).attributes() == ("Smiling", "Hat", "Beard")
    table, pictures, about = fetch(settings, tmp_path / "raw")
    assert pictures == PICTURES  # byte for byte, whatever the format
    assert table["name"].tolist() == list(PICTURES)
    assert table["split"].tolist() == ["train", "test", writer.split_of("c.webp", 0.1, 0.1), "valid"]
    assert table["identity"].tolist() == [7, -1, -1, 8]
    np.testing.assert_array_equal(table["nose_x"], [44.5, np.nan, np.nan, 3])
    assert table["Smiling"].tolist() == [1, -1, 0, 1]  # only 1, 0, blank: 0 is no
    assert table["Hat"].tolist() == [-1, 0, 1, 0]  # a -1 among them: 0 is unknown
    assert table["Beard"].tolist() == [1, 0, -1, -1]
    assert (about["licence"], about["images_without_row"], about["rows_without_image"]) == ("mine", 1, 0)
    assert (
        about["visible"] == ["Smiling", "Hat", "Beard"]
        and about["flippable"] == []
        and about["source"] == "folder"
    )


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_of_such_a_folder(tmp_path, kind):
    lay(tmp_path / "top" / "set", TABLE)
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((tmp_path / "top").rglob("*")):
                archive.write(file, file.relative_to(tmp_path / "top"))
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tmp_path / "top" / "set", "./set")
    table, pictures, _ = fetch(config(path), tmp_path / "raw")
    assert table["name"].tolist() == list(PICTURES) and pictures == PICTURES


def test_splits_by_hash_have_their_shares_and_never_move(tmp_path):
    names = [f"{number}.jpg" for number in range(4000)]
    small = "name,Hat\n" + "".join(f"{name},1\n" for name in names[:2000])
    large = "name,Hat\n" + "".join(f"{name},1\n" for name in reversed(names))
    few = {"7.jpg": picture(7)}
    before, _, _ = fetch(config(lay(tmp_path / "a", small, few), 0.2, 0.1), tmp_path / "raw a")
    after, _, about = fetch(config(lay(tmp_path / "b", large, few), 0.2, 0.1), tmp_path / "raw b")
    assert after.set_index("name")["split"][before["name"]].tolist() == before["split"].tolist()
    shares = after["split"].value_counts(normalize=True)
    assert [shares[split] for split in annotations.SPLITS] == pytest.approx(
        [0.7, 0.2, 0.1], abs=3 * np.sqrt(0.21 / 4000)
    )
    assert about["rows_without_image"] == 3999  # rows stay: cropping reports them


@pytest.mark.parametrize(
    "table, message",
    [
        ("", r"no column 'name'"),
        (
            "name,split,identity,nose_x\na.jpg,train,1,2\n",
            r"no attribute column \(found: name, split, identity, nose_x\)",
        ),
        ("name,Hat,Hat\na.jpg,1,1\n", r"column 'Hat' stands twice"),
        ("person,Hat\na.jpg,1\n", r"no column 'name' \(found: person, Hat\)"),
        ("name,Hat,\na.jpg,1,7\n", r"column 3 has no name"),
        ("name,Hat\n", r"no rows"),
        (
            "name,Hat\na.jpg,1\n\nc.webp,perhaps\n",
            r"row 4, column 'Hat': 'perhaps'; allowed: 1, 0, -1, yes, no",
        ),
        ("name,Hat\na.jpg,1\nc.webp,2\n", r"row 3, column 'Hat': '2'; allowed: 1, 0, -1, yes, no"),
        ("name,Hat\na.jpg,0.5\n", r"row 2, column 'Hat': '0.5'"),
        (
            "name,identity,Hat\na.jpg,Bob,1\n",
            r"row 2, column 'identity': 'Bob'; allowed: a whole number, or blank",
        ),
        ("name,nose_x,Hat\na.jpg,left,1\n", r"row 2, column 'nose_x': 'left'; allowed: a number, or blank"),
        ("name,Hat\na.jpg,1\na.jpg,0\n", r"row 3: a.jpg stands twice, otherwise labelled in row 2"),
        ("name,Hat\na.jpg,1\n./A.JPG,0\n", r"row 3: a.jpg stands twice, otherwise labelled in row 2"),
        ("name,Hat\na.jpg,1\n,0\n", r"row 3 has no name"),
        ("name,Hat\n../a.jpg,1\n", r"row 2: ../a.jpg leads out of the folder"),
        ("name,Hat\n/etc/a.jpg,1\n", r"row 2: /etc/a.jpg leads out of the folder"),
        ("name,Hat\na.jpg,1,1\n", r"row 2 has 3 fields, the header 2"),
        ("name,split,Hat\na.jpg,dev,1\n", r"split 'dev'; allowed: train, valid, test"),
        ("name,Hat\nz.jpg,1\n", r"none of the 1 pictures that it names is here \(z.jpg"),
        (b"name,Hat\n\x81.jpg,1\n", r"not UTF-8 text"),
        (b"n\0a\0m\0e\0,\0H\0\n\0", r"not UTF-8 text"),
        (b"PK\x03\x04" + bytes(30), r"a workbook, not a text table; save it as CSV"),
    ],
)
def test_a_faulty_table_names_file_and_row(tmp_path, table, message):
    with pytest.raises(SourceError, match=r"sources.folder.path: .*labels.csv: .*" + message) as caught:
        fetch(config(lay(tmp_path / "set", table)), tmp_path / "raw")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reader",
    [
        lambda settings: folder.Source(settings).attributes(),
        lambda settings: folder.Source(settings).fetch(0, None, None),
    ],
)
def test_a_faulty_path(tmp_path, reader):
    with pytest.raises(SourceError, match=r"sources.folder.path is empty"):
        reader(config(""))
    with pytest.raises(SourceError, match=r"does not exist"):
        reader(config(tmp_path / "gone"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"labels.csv is missing; write one row per picture"):
        reader(config(tmp_path / "empty"))
    (tmp_path / "page.zip").write_bytes(b"<html>log in</html>")
    with pytest.raises(SourceError, match=r"expected a folder, a zip or a tar, found an HTML page"):
        reader(config(tmp_path / "page.zip"))
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(lay(tmp_path / "set", TABLE, {"a.jpg": np.random.default_rng(0).bytes(200_000)}), "set")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "set.tar.gz").read_bytes()[:100_000])
    with pytest.raises(SourceError, match=r"cut.tar.gz is a damaged archive"):
        reader(config(tmp_path / "cut.tar.gz"))


def test_pictures_without_labels_are_taken_where_asked_to(tmp_path):
    place = tmp_path / "set"
    lay(place, TABLE)
    (place / "labels.csv").unlink()
    with pytest.raises(SourceError, match=r"labels.csv is missing.*set sources.folder.unlabelled"):
        fetch(config(place), tmp_path / "refused")
    assert folder.Source(config(place, unlabelled=True)).attributes() == ()
    table, pictures, about = fetch(config(place, unlabelled=True), tmp_path / "raw")
    assert pictures == PICTURES and sorted(table["name"]) == sorted(PICTURES)
    assert annotations.attributes(table) == () and set(table["split"]) == {"train", "valid", "test"}
    assert about["attributes"] == [] and about["description"] == "A folder of pictures without labels"


def test_a_table_of_names_alone_says_which_pictures_are_taken(tmp_path):
    place = lay(tmp_path / "set", "name,split,identity\na.jpg,train,7\nc.webp,test,8\n")
    table, pictures, _ = fetch(config(place, unlabelled=True), tmp_path / "raw")
    assert sorted(pictures) == ["a.jpg", "c.webp"] and list(table["identity"]) == [7, 8]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SourceError, match="no picture in it"):
        fetch(config(tmp_path / "nothing", unlabelled=True), tmp_path / "none")


def test_config_is_strict():
    with pytest.raises(ParamsError, match=r"valid = 0.6; .*less than or equal to 0.5"):
        config("", valid=0.6)
    with pytest.raises(ParamsError, match=r"licence is missing"):
        parse(folder.Config, {"path": "", "valid": 0.1, "test": 0.1})


# what each of the tables below says
TWO = "name,Hat,Beard\na.jpg,1,0\ndeep/er/b.PNG,0,1\nc.webp,0,\ndeep/d.jpeg,1,1\n"


@pytest.mark.parametrize(
    ("table", "assumed"),
    [
        (TWO, []),
        (TWO.replace(",", ";"), ["separated by semicolons"]),
        (TWO.replace(",", "\t"), ["separated by tabs"]),
        (TWO.replace(",", "|"), ["separated by bars"]),
        ("sep=;\n" + TWO.replace(",", ";"), ["separated by semicolons"]),
        (TWO.replace("\n", "\r\n").encode("utf-16"), ["the text is UTF-16"]),
        (TWO.replace(",", "\t").encode("utf-16"), ["the text is UTF-16", "separated by tabs"]),
        (TWO.encode("utf-32"), ["the text is UTF-32"]),
        (TWO.replace(",1", ",True").replace(",0", ",False"), []),
        (TWO.replace(",1", ",yes").replace(",0", ",No"), []),
        (TWO.replace(",1", ",1.0").replace(",0", ",0.0").replace("webp,0.0,", "webp,0.0,NaN"), []),
        (TWO.replace("webp,0,", "webp,0,#N/A"), []),
        (TWO.replace("webp,0,", "webp,0,?").replace("a.jpg,1,0", "a.jpg,1,-1").replace(",0,1", ",-1,1"),
         None),
        (TWO.replace("name", "image_id"), ["column 'image_id' is taken for 'name'"]),
        (TWO.replace("name", "File_Name"), ["column 'File_Name' is taken for 'name'"]),
        (TWO.replace("name,", ",name,").replace("a.jpg", "0,a.jpg").replace("deep/er", "1,deep/er")
         .replace("c.webp", "2,c.webp").replace("deep/d", "3,deep/d"),
         ["column 1 ('') only counts the rows"]),
        (TWO.replace("/", "\\"), ["names are written otherwise"]),
        (TWO.replace("a.jpg", "./a.jpg"), ["1 names are written otherwise"]),
        (TWO.replace("a.jpg", "A.JPG").replace("b.PNG", "b.png"), ["2 names are written otherwise"]),
        (TWO.replace("a.jpg", "a.png"), ["1 names are written otherwise"]),
        (TWO.replace("a.jpg", "a"), ["1 names are written otherwise"]),
        (TWO + "c.webp,0,\n", ["1 rows that stand twice are read once"]),
        (TWO.replace("\n", ",\n"), []),
        (TWO.replace("name", '"name"').replace("a.jpg", '"a.jpg"'), []),
    ],
)  # fmt: skip
def test_what_people_write_is_read_and_what_was_assumed_is_said(tmp_path, table, assumed):
    read, pictures, about = fetch(config(lay(tmp_path / "set", table)), tmp_path / "raw")
    assert read["name"].tolist() == list(PICTURES) and pictures == PICTURES
    if assumed is not None:  # else -1 stands for no, and 0 for unknown
        assert read["Hat"].tolist() == [1, -1, -1, 1]
        assert read["Beard"].tolist() == [-1, 1, 0, 1]
        assert len(about["assumed"]) == len(assumed)
    else:
        assert read["Hat"].tolist() == [1, -1, 0, 1] and read["Beard"].tolist() == [-1, 1, 0, 1]
    for said, expected in zip(about["assumed"], assumed or [], strict=True):
        assert expected in said


def test_an_absolute_path_into_the_folder_is_a_name_in_it(tmp_path):
    path = tmp_path / "set"
    lay(path, TWO.replace("a.jpg", f"{path}/a.jpg"))
    assert fetch(config(path), tmp_path / "raw")[0]["name"].tolist() == list(PICTURES)


def test_windows_text_and_decimal_commas(tmp_path):
    table = "name;nose_x;Straße\na.jpg;44,5;1\nc.webp;;0\n".encode("cp1252")
    read, _, about = fetch(config(lay(tmp_path / "set", table)), tmp_path / "raw")
    np.testing.assert_array_equal(read["nose_x"], [44.5, np.nan])
    assert read["Straße"].tolist() == [1, -1]
    assert "the text is not UTF-8; read as Windows-1252" in about["assumed"]


def test_splits_by_other_names(tmp_path):
    table = "name,Split,Hat\na.jpg,Training,1\ndeep/er/b.PNG,val,0\nc.webp,2,1\ndeep/d.jpeg,0,1\n"
    read, _, _ = fetch(config(lay(tmp_path / "set", table)), tmp_path / "raw")
    assert read["split"].tolist() == ["train", "valid", "test", "train"]


def test_decomposed_letters_are_the_composed_ones(tmp_path):
    """macOS writes names in decomposed letters, tables hold composed ones."""
    files = {"a\u0308.jpg": picture(1), "b.jpg": picture(2)}
    read, pictures, _ = fetch(
        config(lay(tmp_path / "set", "name,Hat\n\u00e4.jpg,1\nb.jpg,0\n", files)), tmp_path / "raw"
    )
    assert set(pictures) == set(read["name"]) == set(files)


def test_of_two_files_that_fit_alike_none_is_taken(tmp_path):
    files = {"a.jpg": picture(1), "a.png": picture(2, "PNG"), "b.jpg": picture(3)}
    _, pictures, about = fetch(config(lay(tmp_path / "set", "name,Hat\na,1\nb,0\n", files)), tmp_path / "raw")
    assert (
        set(pictures) == {"b.jpg"} and about["rows_without_image"] == 1 and about["images_without_row"] == 2
    )


@pytest.mark.parametrize("count", [3, 9])
def test_a_handful_of_pictures_fills_every_split(tmp_path, count):
    files = {f"{number}.jpg": picture(number) for number in range(count)}
    table = "name,Hat\n" + "".join(f"{name},{place % 2}\n" for place, name in enumerate(files))
    read, _, _ = fetch(config(lay(tmp_path / "set", table, files)), tmp_path / "raw")
    assert set(read["split"]) == set(annotations.SPLITS)


def test_two_tables_side_by_side_are_refused(tmp_path):
    path = lay(tmp_path / "set" / "train", TWO)
    lay(tmp_path / "set" / "test", TWO)
    with pytest.raises(
        SourceError, match=r"test/labels.csv and train/labels.csv are both tables of labels; put one"
    ):
        fetch(config(path.parent), tmp_path / "raw")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("hat/cap", "hat_cap"),
        ("hat\\cap", "hat_cap"),
        ("v1.2", "v1_2"),
        ("mean", "mean_attribute"),
        ("Smiling?", "Smiling"),
        ("-beard", "beard"),
        ('"Ha\nt"', "Ha_t"),
        ("long hair", "long_hair"),
        ("\N{GRINNING FACE}", "\N{GRINNING FACE}"),
        ("Stra\u00dfe", "Stra\u00dfe"),
        ("...", "attribute"),
        ("a" * 300, "a" * 51 + "_89971909"),
    ],
)
def test_attribute_names_are_made_safe_and_that_is_said(tmp_path, name, safe):
    settings = config(lay(tmp_path / "set", f"name,{name},Hat\na.jpg,1,0\nc.webp,0,1\n"))
    assert folder.Source(settings).attributes() == (safe, "Hat")
    read, _, about = fetch(settings, tmp_path / "raw")
    assert read[safe].tolist() == [1, -1] and about["attributes"] == [safe, "Hat"]
    assert len(about["assumed"]) == (safe != name)


def test_two_names_that_become_one_are_kept_apart(tmp_path):
    settings = config(lay(tmp_path / "set", "name,hat/cap,hat_cap,Hat.Cap\na.jpg,1,0,1\nc.webp,0,1,1\n"))
    assert folder.Source(settings).attributes() == ("hat_cap", "hat_cap_2", "Hat_Cap_3")
