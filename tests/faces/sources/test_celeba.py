import io
import json
import shutil
import sys
import types
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from faces.core.params import ParamsError, parse
from faces.data import annotations
from faces.ingest import celeba_mirrors, http, writer
from faces.sources import SourceError, celeba
from tests.helpers.misbehaving import Reply, md5, serving, sha256

N = 12
SPLITS = [0] * 8 + [1] * 2 + [2] * 2
NAMES = [f"{n:06d}.jpg" for n in range(1, N + 1)]
LABELS = np.random.default_rng(3).choice([-1, 1], (N, 40))
IDENTITIES = np.arange(N) % 5 + 2880
MARKS = np.arange(N)[:, None] + [69, 109, 106, 113, 77, 142, 73, 152, 108, 154]


def picture(number, kind="JPEG"):
    pixels = np.random.default_rng(number).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


PICTURES = {name: picture(number) for number, name in enumerate(NAMES)}


def text(rows, header=None, ending="\n"):
    """Rows as the official tables write them: values padded to the same width, header ends in a space."""
    lines = [] if header is None else [str(N), " ".join(header) + " "]
    lines += [
        f"{name} " + " ".join(f"{value:2d}" for value in np.atleast_1d(row))
        for name, row in zip(NAMES, rows, strict=True)
    ]
    return (ending.join(lines) + ending).encode()


def comma(rows, header):
    return (
        pd.DataFrame(np.asarray(rows).reshape(N, -1), NAMES, header).to_csv(index_label="image_id").encode()
    )


OFFICIAL = {
    "list_attr_celeba.txt": text(LABELS, celeba.OFFICIAL),
    "list_eval_partition.txt": text(SPLITS),
    "identity_CelebA.txt": text(IDENTITIES),
    "list_landmarks_align_celeba.txt": text(MARKS, annotations.LANDMARKS),
    "list_bbox_celeba.txt": text(MARKS[:, :4], ["image_id", "x_1", "y_1", "width", "height"]),
}
KAGGLE = {
    "list_attr_celeba.csv": comma(LABELS, celeba.OFFICIAL),
    "list_eval_partition.csv": comma(SPLITS, ["partition"]),
    "list_landmarks_align_celeba.csv": comma(MARKS, annotations.LANDMARKS),
    "list_bbox_celeba.csv": comma(MARKS[:, :4], ["x_1", "y_1", "width", "height"]),
}


def zipped(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ALIGNED = {f"img_align_celeba/{name}": content for name, content in PICTURES.items()}
NESTED = {f"img_align_celeba/img_align_celeba/{name}": content for name, content in PICTURES.items()}
ZIP = zipped({"img_align_celeba/": b""} | ALIGNED)


def lay(folder, files):
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder


LAYOUTS = {
    "official": OFFICIAL | {"img_align_celeba.zip": ZIP},
    "authors' drive": {
        f"{'Eval' if 'eval' in name else 'Anno'}/{name}": content for name, content in OFFICIAL.items()
    }
    | {"Img/img_align_celeba.zip": ZIP},
    "CRLF": {name: content.replace(b"\n", b"\r\n") for name, content in OFFICIAL.items()}
    | {"img_align_celeba.zip": ZIP},
    "byte order mark": {name: b"\xef\xbb\xbf" + content for name, content in OFFICIAL.items()}
    | {"img_align_celeba.zip": ZIP},
    "torchvision, zip and folder": {
        f"celeba/{name}": c for name, c in (OFFICIAL | ALIGNED | {"img_align_celeba.zip": ZIP}).items()
    },
    "torchvision, folder": {f"celeba/{name}": c for name, c in (OFFICIAL | ALIGNED).items()},
    "Kaggle": KAGGLE | NESTED,
    "Kaggle, every picture twice": KAGGLE | NESTED | ALIGNED,
    "tables of both kinds": KAGGLE | OFFICIAL | NESTED,
    "PNG pictures": OFFICIAL | {name.replace(".jpg", ".png"): content for name, content in ALIGNED.items()},
}


def config(path="", mirrors=()):
    return parse(celeba.Config, {"path": str(path), "mirrors": list(mirrors)})


def fetch(settings, folder):
    folder.mkdir(parents=True)
    celeba.Source(settings).fetch(0, folder, lambda done, total, unit: None)
    with zipfile.ZipFile(folder / "images.zip") as archive:
        pictures = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    return (
        annotations.read_labels(folder / "labels.parquet"),
        pictures,
        json.loads((folder / "source.json").read_text()),
    )


def assert_whole(table, pictures, identities=IDENTITIES, marks=MARKS):
    """Each row has its own labels, and the bytes of its own picture."""
    assert [name.rpartition("/")[2].partition(".")[0] for name in table["name"]] == [
        name[:6] for name in NAMES
    ]
    assert [pictures[name] for name in table["name"]] == list(PICTURES.values()) and len(pictures) == N
    assert table["split"].tolist() == [annotations.SPLITS[part] for part in SPLITS]
    assert annotations.attributes(table) == celeba.OFFICIAL
    np.testing.assert_array_equal(table[list(celeba.OFFICIAL)], LABELS)
    np.testing.assert_array_equal(table["identity"], identities)
    np.testing.assert_array_equal(table[list(annotations.LANDMARKS)], marks)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_a_path(tmp_path, layout):
    path = lay(tmp_path / "set", LAYOUTS[layout])
    assert celeba.Source(config(path)).attributes() == celeba.OFFICIAL
    table, pictures, about = fetch(config(path), tmp_path / "raw")
    no_identities = "identity_CelebA.txt" not in {place.name for place in path.rglob("*")}
    assert_whole(table, pictures, np.full(N, -1) if no_identities else IDENTITIES)
    assert (about["source"], about["origin"], about["counts"]["images"]) == ("celeba", str(path), N)
    assert about["counts"]["positives"]["Smiling"] == (LABELS[:, celeba.OFFICIAL.index("Smiling")] == 1).sum()
    assert (about["images_without_row"], about["rows_without_image"], about["flippable"]) == (0, 0, [])
    assert about["visible"] == list(celeba.OFFICIAL) and "non-commercial" in about["licence"]
    assert about["request"] == {"path": str(path), "mirrors": []}


def test_pictures_behind_a_symbolic_link(tmp_path):
    path = lay(tmp_path / "set", OFFICIAL)
    (path / "img_align_celeba").symlink_to(lay(tmp_path / "elsewhere", PICTURES))
    table, pictures, _ = fetch(config(path), tmp_path / "raw")
    assert_whole(table, pictures)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_archive_that_kaggle_sends(tmp_path, compression):
    (tmp_path / "archive.zip").write_bytes(
        zipped(KAGGLE | NESTED | {"__MACOSX/._000001.jpg": b"?", ".DS_Store": b"?"}, compression)
    )
    table, pictures, _ = fetch(config(tmp_path / "archive.zip"), tmp_path / "raw")
    assert_whole(table, pictures, np.full(N, -1))
    assert set(pictures) == set(NAMES)  # tables and rubbish are not carried along


def test_the_official_archive_is_copied_as_it_is(tmp_path):
    path = lay(tmp_path / "set", LAYOUTS["official"])
    table, _, _ = fetch(config(path), tmp_path / "raw")
    assert (tmp_path / "raw" / "images.zip").read_bytes() == ZIP
    assert (
        tmp_path / "raw" / "images.zip"
    ).stat().st_nlink == 1  # not the user's own file: the cache would make that read-only
    assert table["name"][0] == "img_align_celeba/000001.jpg"


def test_tables_alone_are_needed_not_identities_or_landmarks(tmp_path):
    files = {
        name: LAYOUTS["official"][name]
        for name in ("list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba.zip")
    }
    table, pictures, _ = fetch(config(lay(tmp_path / "set", files)), tmp_path / "raw")
    assert_whole(table, pictures, np.full(N, -1), np.full((N, 10), np.nan))


def test_a_smaller_set_with_other_attributes(tmp_path):
    files = {
        "list_attr_celeba.txt": text(LABELS[:, :2], ["Smiling", "Hat"]),
        "list_eval_partition.txt": text(SPLITS),
        "img_align_celeba.zip": ZIP,
    }
    path = lay(tmp_path / "set", files)
    assert celeba.Source(config(path)).attributes() == ("Smiling", "Hat")
    table, _, _ = fetch(config(path), tmp_path / "raw")
    np.testing.assert_array_equal(table[["Smiling", "Hat"]], LABELS[:, :2])


def test_a_missing_picture_keeps_its_row_and_a_stray_one_is_counted(tmp_path):
    members = {name: content for name, content in ALIGNED.items() if "000003" not in name}
    members["img_align_celeba/999999.jpg"] = picture(99)
    table, pictures, about = fetch(
        config(lay(tmp_path / "set", OFFICIAL | {"img_align_celeba.zip": zipped(members)})), tmp_path / "raw"
    )
    assert table["name"].tolist() == NAMES and set(pictures) == set(NAMES) - {"000003.jpg"}
    assert (about["images_without_row"], about["rows_without_image"]) == (1, 1)


ATTR = "list_attr_celeba.txt"
PART = "list_eval_partition.txt"
HTML = b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>"


@pytest.mark.parametrize(
    "change, message",
    [
        ({ATTR: None}, r"list_attr_celeba.txt \(or .csv\) is missing"),
        ({ATTR: HTML}, r"list_attr_celeba.txt: the first line must be the number of rows, found '<!DOCTYPE"),
        ({ATTR: b""}, r"list_attr_celeba.txt: the first line must be the number of rows, found 'nothing'"),
        ({ATTR: b"\xff\xfe\x00"}, r"list_attr_celeba.txt: not a text table"),
        ({ATTR: OFFICIAL[ATTR].rpartition(b"000012")[0]}, r"12 rows promised in the first line, 11 found"),
        ({ATTR: OFFICIAL[ATTR][:-20]}, r"line 14: expected a name and 40 numbers, found '000012.jpg"),
        (
            {ATTR: OFFICIAL[ATTR].replace(b"000002.jpg", b"000002.jpg 1")},
            r"line 4: expected a name and 40 numbers",
        ),
        (
            {ATTR: OFFICIAL[ATTR].replace(b"000002.jpg", b"000002.jpg 1 1")},
            r"list_attr_celeba.txt: .*[Ee]xpected 42 fields in line 2, saw 43",
        ),
        ({ATTR: text(LABELS * 2, celeba.OFFICIAL)}, r"line 3, 5_o_Clock_Shadow = -?2; allowed: 1, -1"),
        ({ATTR: OFFICIAL[ATTR].replace(b"000005", b"000004")}, r"000004.jpg stands twice"),
        ({ATTR: OFFICIAL[ATTR].replace(b"Smiling", b"Young")}, r"names an attribute twice"),
        ({ATTR: f"0\n{' '.join(celeba.OFFICIAL)}\n".encode()}, r"no rows"),
        ({PART: text([*SPLITS[:-1], 3])}, r"list_eval_partition.txt: partition 3; allowed: 0 \(train\)"),
        (
            {PART: OFFICIAL[PART].replace(b"000005", b"000099")},
            r"list_eval_partition.txt: 000005.jpg has no partition \(1 of 12 rows\)",
        ),
        ({"img_align_celeba.zip": HTML}, r"img_align_celeba.zip: expected .* found an HTML page"),
        (
            {"img_align_celeba.zip": ZIP[:3000]},
            r"img_align_celeba.zip: .*without its end \(the download was cut short\)",
        ),
        ({"img_align_celeba.zip": b""}, r"img_align_celeba.zip: .*an empty file"),
        (
            {"img_align_celeba.zip": b"7z\xbc\xaf\x27\x1c rest"},
            r"img_align_celeba.zip: .*a 7z archive; unpack it and give the folder",
        ),
        (
            {"img_align_celeba.zip": zipped({"a/1.jpg": b"x"})},
            r"none of the 12 labelled pictures is here \(000001.jpg",
        ),
        ({"img_align_celeba.zip": None}, r"none of the 12 labelled pictures is here"),
    ],
)
def test_a_faulty_path_is_refused_with_file_and_place(tmp_path, change, message):
    files = {name: content for name, content in (LAYOUTS["official"] | change).items() if content is not None}
    path = lay(tmp_path / "set", files)
    with pytest.raises(SourceError, match=r"sources.celeba.path: .*" + message) as caught:
        fetch(config(path, ["kaggle"]), tmp_path / "raw")  # the mirror is not asked: this set was wanted
    assert "\n" not in str(caught.value)


def test_a_damaged_member_names_itself(tmp_path):
    broken = bytearray(zipped(KAGGLE | NESTED))
    broken[broken.index(PICTURES["000007.jpg"]) + 30] ^= 255
    (tmp_path / "archive.zip").write_bytes(broken)
    with pytest.raises(SourceError, match=r"member img_align_celeba/img_align_celeba/000007.jpg is damaged"):
        fetch(config(tmp_path / "archive.zip"), tmp_path / "raw")


def test_config_is_strict():
    with pytest.raises(
        ParamsError, match=r"mirrors.0 = 'torrent'; allowed: 'kaggle', 'huggingface', 'gdrive'"
    ):
        config(mirrors=["torrent"])
    with pytest.raises(ParamsError, match="not a known key"):
        parse(celeba.Config, {"path": "", "mirrors": [], "size": 3})
    assert celeba.Source(config()).attributes() == celeba.OFFICIAL and len(celeba.OFFICIAL) == 40
    assert sum(celeba.SPLIT_SIZES.values()) == celeba.ROWS == 202_599


# The mirrors. "All of CelebA" is the twelve pictures above.


@pytest.fixture
def small_celeba(monkeypatch, tmp_path):
    monkeypatch.setattr(celeba, "ROWS", N)
    monkeypatch.setattr(celeba, "SPLIT_SIZES", {"train": 8, "valid": 2, "test": 2})
    monkeypatch.setattr(
        celeba, "POSITIVES", dict(zip(celeba.OFFICIAL, (LABELS == 1).sum(axis=0), strict=True))
    )
    monkeypatch.setenv("FACES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http, "PAUSE", 0.0)


@pytest.fixture
def server():
    with serving() as server:
        yield server


def test_a_set_that_claims_to_be_the_whole_is_counted(tmp_path, small_celeba, monkeypatch):
    path = lay(tmp_path / "set", LAYOUTS["official"])
    fetch(config(path), tmp_path / "raw")
    monkeypatch.setitem(celeba.POSITIVES, "Smiling", 13)
    with pytest.raises(SourceError, match=r"Smiling: \d+ positives, CelebA has 13"):
        fetch(config(path), tmp_path / "raw2")
    monkeypatch.setitem(celeba.SPLIT_SIZES, "valid", 3)
    with pytest.raises(SourceError, match=r"split valid: 2 rows, CelebA has 3"):
        fetch(config(path), tmp_path / "raw3")


def kaggle_client(monkeypatch, download):
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=download))


def test_kaggle(tmp_path, small_celeba, monkeypatch):
    asked = []
    kaggle_client(
        monkeypatch, lambda handle: asked.append(handle) or str(lay(tmp_path / "hub", KAGGLE | NESTED))
    )
    table, pictures, about = fetch(config(tmp_path / "not here", ["kaggle"]), tmp_path / "raw")
    assert_whole(table, pictures, np.full(N, -1))
    assert asked == ["jessicali9530/celeba-dataset/versions/2"]
    assert about["origin"] == "https://www.kaggle.com/datasets/jessicali9530/celeba-dataset/versions/2"


def test_a_mirror_must_have_every_picture(tmp_path, small_celeba, monkeypatch):
    path = lay(tmp_path / "hub", KAGGLE | NESTED)
    next(path.rglob("000004.jpg")).unlink()
    kaggle_client(monkeypatch, lambda handle: str(path))
    with pytest.raises(SourceError, match=r"kaggle: .*1 of 12 pictures are missing"):
        fetch(config(mirrors=["kaggle"]), tmp_path / "raw")


def shards(server, monkeypatch):
    """The twelve pictures as the mirror keeps them: PNG in parquet, 5 + 3 train, 2 valid, 2 test."""
    monkeypatch.setattr(celeba_mirrors, "HUGGINGFACE", server.url)
    monkeypatch.setattr(celeba_mirrors, "SHARDS", {"train": 2, "valid": 1, "test": 1})
    revision = "flwrlabs/celeba/{}/2d738f56e0e7f925ea36ae7c808ea925264aacec"
    listing = []
    paths = []
    start = 0
    for name, count in [
        ("train-00000-of-00002", 5),
        ("train-00001-of-00002", 3),
        ("valid-00000-of-00001", 2),
        ("test-00000-of-00001", 2),
    ]:
        rows = range(start, start := start + count)
        columns = {
            "image": [{"bytes": picture(row, "PNG"), "path": None} for row in rows],
            "celeb_id": [int(IDENTITIES[row]) for row in rows],
            **{
                label: [bool(LABELS[row, place] == 1) for row in rows]
                for place, label in enumerate(celeba.OFFICIAL)
            },
        }
        pq.write_table(pa.table(columns), buffer := io.BytesIO(), row_group_size=2)
        content = buffer.getvalue()
        path = f"img_align+identity+attr/{name}.parquet"
        listing.append(
            {
                "type": "file",
                "path": path,
                "size": len(content),
                "lfs": {"oid": sha256(content), "size": len(content)},
            }
        )
        paths.append(f"/datasets/{revision.format('resolve')}/img_align%2Bidentity%2Battr/{name}.parquet")
        server.replies[paths[-1]] = Reply(content)
    server.replies[f"/api/datasets/{revision.format('tree')}/img_align%2Bidentity%2Battr"] = Reply(
        json.dumps(listing).encode()
    )
    return paths


def test_huggingface_end_to_end(tmp_path, small_celeba, server, monkeypatch):
    paths = shards(server, monkeypatch)
    table, pictures, about = fetch(config(mirrors=["huggingface"]), tmp_path / "raw")
    assert table["name"].tolist() == [name.replace("jpg", "png") for name in NAMES]
    assert [pictures[name] for name in table["name"]] == [
        picture(row, "PNG") for row in range(N)
    ]  # not encoded again
    np.testing.assert_array_equal(table[list(celeba.OFFICIAL)], LABELS)
    np.testing.assert_array_equal(table["identity"], IDENTITIES)
    assert table["split"].tolist() == [annotations.SPLITS[part] for part in SPLITS]
    assert about["origin"].endswith("/datasets/flwrlabs/celeba/tree/2d738f56e0e7f925ea36ae7c808ea925264aacec")
    store = tmp_path / "cache" / "celeba-huggingface"
    assert sorted(path.suffix for path in store.iterdir()) == [".csv"] * 3 + [".zip"]  # no shard is left
    (store / "test-00000-of-00001.zip").write_bytes(b"left behind by a run that was killed at the very end")
    fetch(config(mirrors=["huggingface"]), tmp_path / "again")
    assert len(list(store.iterdir())) == 4
    assert [server.asked(path) for path in paths] == [[None]] * 4  # a second run fetches nothing
    assert (tmp_path / "again" / "images.zip").read_bytes() == (tmp_path / "raw" / "images.zip").read_bytes()


def test_huggingface_goes_on_with_the_shard_that_failed(tmp_path, small_celeba, server, monkeypatch):
    paths = shards(server, monkeypatch)
    good = server.replies[paths[2]]
    server.replies[paths[2]] = [Reply(good.body, cut=1000), Reply(status=403)]
    with pytest.raises(
        SourceError, match=r"huggingface: .*valid-00000-of-00001.parquet: HTTP 403, access denied"
    ):
        fetch(config(mirrors=["huggingface"]), tmp_path / "raw")
    store = tmp_path / "cache" / "celeba-huggingface"
    assert sorted(path.name for path in store.iterdir()) == [
        "train-00000-of-00002.zip",
        "train-00001-of-00002.zip",
        "valid-00000-of-00001.parquet.part",
    ]
    server.replies[paths[2]] = good
    table, _, _ = fetch(config(mirrors=["huggingface"]), tmp_path / "again")
    assert len(table) == N
    assert [server.asked(path) for path in paths] == [
        [None],
        [None],
        [None, "bytes=1000-", "bytes=1000-"],
        [None],
    ]


def test_huggingface_shard_that_was_cut_short_in_the_repository(tmp_path, small_celeba, server, monkeypatch):
    """Size and checksum match the listing, yet the footer is missing: seen in a mirror of CelebA."""
    paths = shards(server, monkeypatch)
    content = server.replies[paths[1]].body[:-9]
    server.replies[paths[1]] = Reply(content)
    tree = next(path for path in server.replies if path.startswith("/api"))
    listing = json.loads(server.replies[tree].body)
    listing[1]["size"] = len(content)
    listing[1]["lfs"]["oid"] = sha256(content)
    server.replies[tree] = Reply(json.dumps(listing).encode())
    with pytest.raises(
        SourceError, match=r"train-00001-of-00002.parquet: does not end with b'PAR1': cut short"
    ):
        fetch(config(mirrors=["huggingface"]), tmp_path / "raw")


def test_huggingface_without_a_shard(tmp_path, small_celeba, server, monkeypatch):
    shards(server, monkeypatch)
    monkeypatch.setattr(celeba_mirrors, "SHARDS", {"train": 2, "valid": 1, "test": 2})
    with pytest.raises(SourceError, match=r"test-00000-of-00002.parquet is missing"):
        fetch(config(mirrors=["huggingface"]), tmp_path / "raw")


@pytest.fixture
def drive(server, monkeypatch):
    """Google Drive with the official files: the archive behind the page that says it is too large to scan.
    Returns the replies by name.
    """
    files = {name: LAYOUTS["official"][name] for name in celeba_mirrors.DRIVE_FILES}
    monkeypatch.setattr(celeba_mirrors, "DRIVE", f"{server.url}/download")
    monkeypatch.setattr(
        celeba_mirrors, "DRIVE_FILES", {name: (name, md5(content)) for name, content in files.items()}
    )
    replies = {name: Reply(content) for name, content in files.items()}
    page = (
        '<!DOCTYPE html><html><body><form id="download-form" action="/anyway" method="get">'
        '<input type="submit" value="Download anyway"/>'
        '<input type="hidden" name="id" value="img_align_celeba.zip">'
        '<input type="hidden" name="uuid" value="a&amp;b"></form></body></html>'
    )
    replies["img_align_celeba.zip"] = Reply(page.encode(), kind="text/html")
    server.replies["/anyway"] = Reply(ZIP)
    usual = server.next
    server.next = lambda path: (
        usual(path) if path != "/download" else replies[server.log[-1][1].split("&")[0].removeprefix("id=")]
    )
    return replies


def test_drive_end_to_end_through_the_virus_scan_page(tmp_path, small_celeba, server, drive):
    server.replies["/anyway"] = [Reply(ZIP, cut=4000), Reply(ZIP)]
    table, pictures, _ = fetch(config(mirrors=["gdrive"]), tmp_path / "raw")
    assert_whole(table, pictures)
    assert server.asked("/anyway") == [None, "bytes=4000-"]
    assert {query for path, query, _ in server.log if path == "/anyway"} == {
        "id=img_align_celeba.zip&uuid=a%26b"
    }
    count = len(server.log)
    fetch(config(mirrors=["gdrive"]), tmp_path / "again")
    assert len(server.log) == count


def test_drive_without_the_files_that_are_merely_good_to_have(tmp_path, small_celeba, drive):
    drive["identity_CelebA.txt"] = Reply(HTML, kind="text/html")
    drive["list_landmarks_align_celeba.txt"] = Reply(status=403)
    table, pictures, _ = fetch(config(mirrors=["gdrive"]), tmp_path / "raw")
    assert_whole(table, pictures, np.full(N, -1), np.full((N, 10), np.nan))


@pytest.mark.parametrize(
    "name, reply, message",
    [
        ("img_align_celeba.zip", Reply(HTML, kind="text/html"), "an HTML page came instead of the file"),
        ("img_align_celeba.zip", Reply(status=403), "HTTP 403, access denied"),
        ("list_attr_celeba.txt", Reply(b"12\n"), "md5 [0-9a-f]{32}, expected"),
    ],
)
@pytest.mark.usefixtures("small_celeba")
def test_drive_on_a_bad_day(tmp_path, drive, name, reply, message):
    drive[name] = reply
    with pytest.raises(SourceError, match=f"gdrive: .*{message}"):
        fetch(config(mirrors=["gdrive"]), tmp_path / "raw")


def test_when_nothing_works_one_message_says_all(tmp_path, small_celeba, drive, monkeypatch):
    def refuse(handle):
        raise ConnectionError("no\nlogin")

    kaggle_client(monkeypatch, refuse)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    drive["img_align_celeba.zip"] = Reply(HTML, kind="text/html")
    with pytest.raises(SourceError) as caught:
        fetch(config(tmp_path / "gone", ["huggingface", "kaggle", "gdrive"]), tmp_path / "raw")
    tried = str(caught.value).splitlines()
    assert tried[1] == f"  path: {tmp_path / 'gone'} does not exist"
    assert tried[2] == "  huggingface: the Python package pyarrow is missing: pip install pyarrow"
    assert tried[3] == "  kaggle: ConnectionError: no login"
    assert tried[4].startswith("  gdrive: http://127.0.0.1") and "HTML page" in tried[4]
    assert "set sources.celeba.path" in tried[5] and [
        line.strip()[:2] for line in tried[6:] if line.strip()[0].isdigit()
    ] == [
        "1.",
        "2.",
        "3.",
    ]


def test_the_next_mirror_is_tried(tmp_path, small_celeba, drive, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    table, pictures, about = fetch(config(mirrors=["kaggle", "gdrive"]), tmp_path / "raw")
    assert_whole(table, pictures)
    assert about["origin"].startswith("Google Drive") and about["request"]["mirrors"] == ["kaggle", "gdrive"]


def test_nothing_to_try(tmp_path):
    with pytest.raises(SourceError, match="path is empty and mirrors names none"):
        fetch(config(), tmp_path / "raw")


def test_the_same_set_is_the_same_bytes(tmp_path):
    path = lay(tmp_path / "set", LAYOUTS["Kaggle"])
    for name in ("one", "two"):
        fetch(config(path), tmp_path / name)
    for file in ("images.zip", "labels.parquet", "source.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    shutil.rmtree(path)


def test_without_a_partition_table_a_hash_decides(tmp_path):
    files = {name: content for name, content in LAYOUTS["official"].items() if name != PART}
    table, _, about = fetch(config(lay(tmp_path / "set", files)), tmp_path / "raw")
    assert table["split"].tolist() == writer.splits_of(NAMES, [""] * N, 0.1, 0.1)
    assert len(about["assumed"]) == 1 and set(table["split"]) == set(annotations.SPLITS)


def test_labels_of_1_and_0_throughout(tmp_path):
    files = LAYOUTS["official"] | {ATTR: text((LABELS + 1) // 2, celeba.OFFICIAL)}
    table, pictures, _ = fetch(config(lay(tmp_path / "set", files)), tmp_path / "raw")
    assert_whole(table, pictures)


def test_celeba_hq_by_its_own_label_file(tmp_path):
    """CelebAMask-HQ: its table is called otherwise, and there is no partition."""
    files = {"CelebAMask-HQ-attribute-anno.txt": OFFICIAL[ATTR]}
    files |= {f"CelebA-HQ-img/{name}": content for name, content in PICTURES.items()}
    settings = config(lay(tmp_path / "set", files))
    assert celeba.Source(settings).attributes() == celeba.OFFICIAL
    table, _, about = fetch(settings, tmp_path / "raw")
    np.testing.assert_array_equal(table[list(celeba.OFFICIAL)], LABELS)
    assert about["rows_without_image"] == 0


def test_pictures_before_alignment_with_their_own_landmarks(tmp_path):
    files = {name: c for name, c in OFFICIAL.items() if "landmarks" not in name}
    files |= {"list_landmarks_celeba.txt": text(MARKS + 100, annotations.LANDMARKS)}
    files |= {"img_celeba.zip": zipped({f"img_celeba/{name}": c for name, c in PICTURES.items()})}
    table, _, _ = fetch(config(lay(tmp_path / "set", files)), tmp_path / "raw")
    np.testing.assert_array_equal(table[list(annotations.LANDMARKS)], MARKS + 100)
