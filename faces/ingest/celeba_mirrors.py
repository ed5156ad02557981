"""Mirrors of CelebA. Each brings the whole set into a cache, in a layout that faces/ingest/celeba_layout.py
reads.

A mirror is a function of `report(done, total, unit)`; it returns the folder and a line on the origin, and
raises FetchError.
"""

import importlib
import io
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import pandas as pd

from faces.core.console import Report
from faces.core.files import new_file
from faces.data.annotations import SPLITS
from faces.ingest import celeba_layout
from faces.ingest.archives import is_picture, open_files
from faces.ingest.http import Expected, FetchError, HtmlPage, cache_folder, download, fetch_json
from faces.ingest.writer import write_images

KAGGLE = "jessicali9530/celeba-dataset/versions/2"

HUGGINGFACE = "https://huggingface.co"
REPOSITORY = "flwrlabs/celeba"
REVISION = "2d738f56e0e7f925ea36ae7c808ea925264aacec"
FOLDER = "img_align+identity+attr"
SHARDS = {"train": 19, "valid": 3, "test": 3}
JPEG = b"\xff\xd8"

DRIVE = "https://drive.usercontent.google.com/download"
DRIVE_FILES = {  # name: (id, md5), as torchvision lists them
    "list_attr_celeba.txt": ("0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c"),
    "list_eval_partition.txt": ("0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668"),
    "identity_CelebA.txt": ("1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", "32bd1bd63d3c78cd57e08160ec5ed1e2"),
    "list_landmarks_align_celeba.txt": ("0B7EVK8r0v71pd0FJY3Blby1HUTQ", "cc24ecafdb5b50baae59b03474781f8c"),
    "img_align_celeba.zip": ("0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb"),
}

BY_HAND = """By hand, then set sources.celeba.path in params.yaml to what you have:
    1. https://www.kaggle.com/datasets/jessicali9530/celeba-dataset (log in, Download): the archive as it is
    2. https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (Google Drive or Baidu): a folder with \
img_align_celeba.zip, list_attr_celeba.txt,
       list_eval_partition.txt
    3. a copy that torchvision.datasets.CelebA made: its folder celeba/"""


def kaggle(report: Report) -> tuple[Path, str]:
    """The copy on Kaggle, by its own client, which resumes, verifies, and keeps it in its own cache. No
    identities.
    """
    kagglehub = _optional("kagglehub")
    try:
        path = Path(kagglehub.dataset_download(KAGGLE))
    except (
        Exception
    ) as error:  # whatever the client, the login or the network come up with, the next mirror may work
        raise FetchError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None
    return path, f"https://www.kaggle.com/datasets/{KAGGLE}"


def gdrive(report: Report) -> tuple[Path, str]:
    """The authors' own files; their download quota is often exhausted."""
    store = cache_folder() / "celeba-gdrive"
    for name, (key, md5) in DRIVE_FILES.items():
        expected = Expected(checksum=("md5", md5), start=b"PK\x03\x04" if name.endswith(".zip") else b"")
        url = f"{DRIVE}?{urlencode({'id': key, 'export': 'download', 'confirm': 't'})}"
        try:
            try:
                download(url, store / name, expected, report)
            except (
                HtmlPage
            ) as notice:  # "too large to scan for viruses" has a button; what it would send is the way on
                if not (form := _Form(notice.page)).action:
                    raise
                download(
                    f"{urljoin(url, form.action)}?{urlencode(form.fields)}", store / name, expected, report
                )
        except FetchError:
            if name.startswith((celeba_layout.ATTRIBUTES, celeba_layout.PARTITION, celeba_layout.IMAGES)):
                raise  # the others are good to have, not needed
    return store, "Google Drive of the authors, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def huggingface(report: Report) -> tuple[Path, str]:
    """A mirror at a pinned revision, shard by shard; pictures are PNG, 11.7 GB in all. No landmarks, no file
    names: numbered in its order.

    Each shard is fetched, taken apart into an archive of its own, and deleted: an interrupted run goes on
    with the next shard.
    """
    parquet = _optional("pyarrow.parquet")
    store = cache_folder() / "celeba-huggingface"
    origin = f"{HUGGINGFACE}/datasets/{REPOSITORY}/tree/{REVISION}"
    if not (store / celeba_layout.IMAGES).exists():
        _join(_fetch_pieces(parquet, store, origin, report), store, report)
    for left in store.glob("*-of-*"):
        left.unlink()
    return store, origin


def _fetch_pieces(parquet: ModuleType, store: Path, origin: str, report: Report) -> dict[Path, str]:
    """The archives of all shards, in order, each with its split."""
    listing = fetch_json(f"{HUGGINGFACE}/api/datasets/{REPOSITORY}/tree/{REVISION}/{quote(FOLDER)}")
    entries = {entry["path"]: entry for entry in listing}
    pieces = {
        store / f"{split}-{n:05d}-of-{SHARDS[split]:05d}.zip": split
        for split in SPLITS
        for n in range(SHARDS[split])
    }
    for piece in pieces:
        if piece.exists():
            continue
        path = f"{FOLDER}/{piece.stem}.parquet"
        if path not in entries:
            raise FetchError(f"{origin}: {path} is missing")
        expected = Expected(entries[path]["size"], ("sha256", entries[path]["lfs"]["oid"]), b"PAR1", b"PAR1")
        shard = piece.with_suffix(".parquet")
        download(
            f"{HUGGINGFACE}/datasets/{REPOSITORY}/resolve/{REVISION}/{quote(path)}", shard, expected, report
        )
        with new_file(piece) as draft, parquet.ParquetFile(shard) as table:
            write_images(draft, _members(table))
        shard.unlink()
    return pieces


def _members(shard: Any) -> Iterator[tuple[str, bytes]]:
    """A shard's pictures as they are, in order, then one table of the rest of its columns."""
    rows = []
    for batch in shard.iter_batches(batch_size=64):
        for row in batch.to_pylist():
            content = row.pop("image")["bytes"]
            yield f"{len(rows):06d}.{'jpg' if content.startswith(JPEG) else 'png'}", content
            rows.append(row)
    yield "labels.csv", pd.DataFrame(rows).to_csv(index=False).encode()


def _join(pieces: dict[Path, str], store: Path, report: Report) -> None:
    """The shards' archives and tables as one set in CelebA's layout; the archive comes last: where it is, all
    is.
    """
    tables = []

    def members() -> Iterator[tuple[str, bytes]]:
        done = 0
        for count, (piece, split) in enumerate(pieces.items(), 1):
            with open_files(piece) as files:
                table = pd.read_csv(io.BytesIO(files.read("labels.csv")))
                pictures = [name for name in files.names if is_picture(name)]
                table["image_id"] = [
                    f"{done + place:06d}{PurePosixPath(name).suffix}"
                    for place, name in enumerate(pictures, 1)
                ]
                table["partition"] = SPLITS.index(split)
                for name, picture in zip(table["image_id"], pictures, strict=True):
                    yield name, files.read(picture)
                tables.append(table)
                done += len(table)
            report(count, len(pieces), "shards joined")

    with new_file(store / celeba_layout.IMAGES) as draft:
        write_images(draft, members())
        table = pd.concat(tables).set_index("image_id")
        table.pop("partition").to_csv(store / f"{celeba_layout.PARTITION}.csv")
        table.pop("celeb_id").to_csv(store / f"{celeba_layout.IDENTITIES}.csv")
        table.astype("int8").mul(2).sub(1).to_csv(store / f"{celeba_layout.ATTRIBUTES}.csv")


class _Form(HTMLParser):
    """Where the first form of a page leads (`action`, "" without a form) and what it would send unseen
    (`fields`).
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form" and not self.action:
            self.action = values.get("action") or ""
        elif tag == "input" and values.get("type") == "hidden" and values.get("name"):
            self.fields[values["name"]] = values.get("value") or ""


def _optional(name: str) -> ModuleType:
    """A package that only one mirror needs."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise FetchError(f"the Python package {package} is missing: pip install {package}") from None


MIRRORS = {"kaggle": kaggle, "huggingface": huggingface, "gdrive": gdrive}
