"""Cut every face out of its picture and store all of them as one array.

in    data/raw/     images.zip, labels.parquet (faces/data/annotations.py); the archive is never extracted
out   data/crops/   images.npy (and more, beyond crop.rows), table.parquet, rejects.csv, geometry.json,
                    sheet.png (faces/data/crops.py);
                    where the source draws counterfactuals, of test faces and (calibration) of valid faces,
                    these cut alike (faces/scoring/counterfactuals.py)

Several processes (faces/core/ranks.py) share the pictures, each with its own workers. Faces go to
.ckpt/<key>/ until rank 0 puts them together in order; an interrupted run continues after the finished shards.
"""

import hashlib
import multiprocessing
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image
from pydantic import Field

from faces.core import parquet, ranks, threads
from faces.core.batches import batches
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data import annotations, label_checks
from faces.data.crops import BOX, Geometry
from faces.data.sharded_array import Writer, open_parts
from faces.ingest import alignment, decode
from faces.ingest.alignment import Look, Plan

CHUNK = 256  # faces a worker returns at once: 3 MB at 64 pixels
SHARDS = 1 << 14  # at most: above 4 million faces they grow, to 75 MB at 100 million
LOOKS = 4  # pictures of the sample that a worker looks at, at once
WAITING = 16  # results that may wait for their turn
PAIRS = ("counterfactuals", "calibration")  # of test and of valid faces, where the source draws them
SHEET = (12, 6)  # columns and rows of sheet.png

Job = tuple[str, np.ndarray | None]  # a picture's name, and its landmarks (3, 2) where the table has them
T = TypeVar("T")

archive: zipfile.ZipFile  # of a worker process


class Crop(Geometry):
    max_rejects: int
    rows: Annotated[int, Field(ge=1)]


class Params(Group):
    crop: Crop


@dataclass(frozen=True)
class Listing:
    """Names and landmarks of pictures, read as they are asked for."""

    count: int
    take: Callable[[slice | np.ndarray], pd.DataFrame]

    @classmethod
    def open(cls, path: Path) -> "Listing":
        """A label table."""
        rows = parquet.Rows(path, ("name", *annotations.LANDMARKS))
        return cls(len(rows), rows.__getitem__)

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Listing":
        """A table in memory."""
        return cls(len(table), table.iloc.__getitem__)


@dataclass(frozen=True)
class Chunk:
    """Faces of consecutive pictures."""

    faces: np.ndarray  # uint8 (n, H, W, 3)
    reasons: list[str]  # why each was refused; "" where it was not
    frames: list[bool]  # whether each picture was CelebA's frame already
    rejects: list[tuple[str, str]]  # name and reason of those refused


@dataclass(frozen=True)
class Cut:
    """Faces of one archive, in shards."""

    folder: Path
    cut: list[slice]
    kept: np.ndarray  # (N,) bool, of the names
    rejects: list[tuple[str, str]]  # name and reason of the others
    frames: bool  # whether every picture was CelebA's frame already


def start_worker(path: Path) -> None:
    global archive  # noqa: PLW0603 (one open archive per process)
    ranks.die_with_parent()
    archive = zipfile.ZipFile(path)


def member(name: str) -> bytes:
    """An encoded picture out of the worker's archive. Raises BadPicture."""
    try:
        return archive.read(name)
    except KeyError:
        raise decode.BadPicture("no such image in the archive") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise decode.BadPicture(f"damaged in the archive: {error}") from None


def look(jobs: list[Job]) -> list[Look]:
    """What the named members show; those that cannot be read are left out."""
    found = []
    for name, marked in jobs:
        try:
            found.append(alignment.look(name, member(name), marked))
        except decode.BadPicture:
            found.append(None)
    return [one for one in found if one is not None]


def cut_chunk(jobs: list[Job], geometry: Geometry, plan: Plan) -> Chunk:
    """The named members, cut as `plan` says."""
    faces = np.zeros((len(jobs), geometry.size, geometry.size, 3), np.uint8)
    reasons = [""] * len(jobs)
    frames = [True] * len(jobs)
    for place, (name, marked) in enumerate(jobs):
        try:
            faces[place], frames[place] = alignment.face(member(name), geometry, plan, marked)
        except decode.BadPicture as error:
            reasons[place] = str(error)
    rejects = [(name, reason) for (name, _), reason in zip(jobs, reasons, strict=True) if reason]
    return Chunk(faces, reasons, frames, rejects)


@contextmanager
def worker_pool(path: Path) -> Iterator[ProcessPoolExecutor]:
    """Processes that have the archive at `path` open."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(
        "fork" if "fork" in methods and sys.platform == "linux" else "spawn"
    )  # a fork starts at once
    processes = max(1, threads.workers() // ranks.neighbours())
    with ProcessPoolExecutor(processes, context, start_worker, (path,)) as pool:
        yield pool


def in_order(
    pool: ProcessPoolExecutor, work: Callable[[list[Job]], T], jobs: Iterable[list[Job]]
) -> Iterator[T]:
    """`work` on each list of jobs, results in order. Only a few wait in memory at any time."""
    waiting = []
    for some in jobs:
        waiting.append(pool.submit(work, some))
        if len(waiting) > WAITING:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def check_archive(path: Path) -> None:
    """Raises RawError where there is no readable archive: every worker would fail on it."""
    if not zipfile.is_zipfile(path):
        raise annotations.RawError(
            f"{path} is missing, truncated or no zip archive; run `dvc repro -f download`"
        )


def jobs_of(table: pd.DataFrame) -> list[Job]:
    """Name and landmarks of each row."""
    marks = alignment.marks_of(table.reindex(columns=annotations.LANDMARKS))
    return list(zip(table["name"].tolist(), marks, strict=True))


def run(params: Params, source: Path, out: Path) -> None:
    """Read `source`, write `out`. Raises RawError where more than `crop.max_rejects` images are refused, or
    all of them.
    """
    crop = params.crop
    geometry = Geometry(box=crop.box, size=crop.size, filter=crop.filter)
    labels = source / annotations.LABELS
    annotations.read_attributes(labels)
    listing = Listing.open(labels)
    check_archive(source / "images.zip")
    plan = sampled_plan(source / "images.zip", listing, geometry)
    say(f"crop: {plan.reason}")
    settings = [geometry.model_dump(mode="json"), checksums(source), str(out)]
    work = ranks.unfinished(settings, [labels])
    with ranks.joined():
        cutting = Cutting(geometry, plan, crop.max_rejects)
        faces = cutting.shards(work / "images", source / "images.zip", listing)
        pairs = {}
        for name in PAIRS:
            if (source / f"{name}.csv").is_file():
                table = pd.read_csv(source / f"{name}.csv")
                table = table[table["of"].isin(names_of(labels, faces.kept, table["of"]))]
                listed = Listing.of(table)
                pairs[name] = table, cutting.shards(work / name, source / f"{name}.zip", listed)
    if ranks.rank() > 0:
        return
    with new_folder(out) as folder:
        write_faces(folder / "images.npy", faces, geometry, crop)
        if faces.rejects:
            name, reason = faces.rejects[0]
            say(
                f"crop: {len(faces.rejects)} of {listing.count} images refused, "
                f"listed in {out / 'rejects.csv'}; "
                f"the first: {name}: {reason}"
            )
        parquet.keep(labels, folder / annotations.TABLE, faces.kept)
        pd.DataFrame(faces.rejects, columns=["name", "reason"]).to_csv(
            folder / "rejects.csv", index=False, lineterminator="\n"
        )
        for name, (table, cut_pairs) in pairs.items():
            write_faces(folder / f"{name}.npy", cut_pairs, geometry, crop)
            table[cut_pairs.kept].to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        if geometry.box == "auto" and faces.frames:  # then the box alone says how they were cut
            geometry = geometry.model_copy(update={"box": BOX})
        write_json(folder / "geometry.json", geometry.model_dump(mode="json"))
        write_sheet(folder)
    ranks.discard(work)
    for line in label_checks.warnings(out / annotations.TABLE):
        say(f"crop: {line}")
    say(f"crop: {faces.kept.sum()} faces in {out}; look at {out / 'sheet.png'} before you train")


def names_of(labels: Path, kept: np.ndarray, wanted: pd.Series) -> set[str]:
    """Which of the `wanted` names are those of faces that are `kept` (N,) bool."""
    found: set[str] = set()
    start = 0
    for block in parquet.blocks(labels, ["name"]):
        names = block["name"].filter(pa.array(kept[start : start + len(block)]))
        found.update(names.filter(pc.is_in(names, pa.array(wanted, pa.string()))).to_pylist())
        start += len(block)
    return found


def sampled_plan(pictures: Path, listing: Listing, geometry: Geometry) -> Plan:
    """How all pictures are to be cut, by a sample spread evenly over them."""
    places = np.unique(np.linspace(0, listing.count - 1, min(alignment.SAMPLE, listing.count)).astype(int))
    sample = jobs_of(listing.take(places))
    with worker_pool(pictures) as pool:
        parts = (sample[part] for part in batches(len(sample), LOOKS))
        looks = [one for some in in_order(pool, look, parts) for one in some]
    return alignment.plan(looks, geometry)


@dataclass(frozen=True)
class Cutting:
    """How faces are cut."""

    geometry: Geometry
    plan: Plan
    max_rejects: int

    def shards(self, folder: Path, pictures: Path, listing: Listing) -> Cut:
        """Leave the faces of the listed members of the archive `pictures` in shards in `folder`.

        Raises RawError where more than `max_rejects` are refused, or all.
        """
        check_archive(pictures)
        cut = ranks.pieces(listing.count, CHUNK, SHARDS)
        ranks.deal(f"crop {pictures.name}", folder, cut, partial(self.pieces, pictures, listing))
        kept = np.zeros(listing.count, bool)
        rejects: list[tuple[str, str]] = []
        frames = True
        for rows, found in ranks.merged(folder, cut, "reasons", "frames"):
            kept[rows] = found["reasons"] == ""
            frames = frames and bool(found["frames"].all())
            places = np.flatnonzero(~kept[rows])
            if len(places):
                names = listing.take(rows.start + places)["name"]
                rejects.extend(zip(names, found["reasons"][places].tolist(), strict=True))
        self.check_rejects(pictures, rejects)
        if cut and not kept.any():
            raise annotations.RawError(
                f"none of the {listing.count} images of {pictures} can be used; "
                f"the first: {rejects[0][0]}: {rejects[0][1]}"
            )
        return Cut(folder, cut, kept, rejects, frames)

    def pieces(
        self, pictures: Path, listing: Listing, cut: Iterable[slice]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Faces (n, H, W, 3), reasons (n,) and frames (n,) of each piece; see Chunk."""
        cut = list(cut)
        bar = Progress(f"crop {pictures.name}", sum(rows.stop - rows.start for rows in cut), "faces")
        jobs = (
            jobs_of(listing.take(slice(rows.start + part.start, rows.start + part.stop)))
            for rows in cut
            for part in batches(rows.stop - rows.start, CHUNK)
        )
        done = 0
        rejects: list[tuple[str, str]] = []
        with worker_pool(pictures) as pool:
            chunks = in_order(pool, partial(cut_chunk, geometry=self.geometry, plan=self.plan), jobs)
            for rows in cut:
                parts = []
                for _ in batches(rows.stop - rows.start, CHUNK):
                    chunk = next(chunks)
                    rejects.extend(chunk.rejects)
                    self.check_rejects(pictures, rejects)
                    parts.append(chunk)
                    done += len(chunk.reasons)
                    bar.update(done)
                yield {
                    "faces": np.concatenate([chunk.faces for chunk in parts]),
                    "reasons": np.array([reason for chunk in parts for reason in chunk.reasons]),
                    "frames": np.array([frame for chunk in parts for frame in chunk.frames]),
                }
        bar.close()

    def check_rejects(self, pictures: Path, rejects: list[tuple[str, str]]) -> None:
        """Raises RawError where there are too many."""
        if len(rejects) > self.max_rejects:
            raise annotations.RawError(
                f"more than crop.max_rejects = {self.max_rejects} images of {pictures} cannot be used; "
                f"the first: {rejects[0][0]}: {rejects[0][1]}; mend or remove them, "
                "choose another crop.box, or raise crop.max_rejects"
            )


def checksums(source: Path) -> list[str]:
    """A digest of the CRC-32 of every member of each archive in `source`, from its directory alone."""
    found = []
    for path in sorted(source.glob("*.zip")):
        with zipfile.ZipFile(path) as members:
            digest = hashlib.sha256()
            for member in members.infolist():
                digest.update(f"{member.filename} {member.CRC} {member.file_size}\n".encode())
        found.append(f"{path.name} {digest.hexdigest()}")
    return found


def write_faces(path: Path, faces: Cut, geometry: Geometry, crop: Crop) -> None:
    """Append the kept faces to the array that begins at `path` (faces/data/sharded_array.py), in order; each
    shard is removed when its faces are there.
    """
    with Writer(path, (geometry.size, geometry.size, 3), np.uint8, crop.rows) as out:
        for piece, found in ranks.merged(faces.folder, faces.cut, "faces", "reasons"):
            out.append(found["faces"][found["reasons"] == ""])
            ranks.shard(faces.folder, piece).unlink()


def write_sheet(folder: Path) -> None:
    """sheet.png: crops spread evenly over the data."""
    images = open_parts(folder / "images.npy")
    columns, rows = SHEET
    places = np.unique(np.linspace(0, len(images) - 1, min(columns * rows, len(images))).astype(int))
    side = images.shape[1]
    sheet = Image.new("RGB", (min(columns, len(places)) * side, -(-len(places) // columns) * side), "white")
    for place, face in enumerate(images[places]):
        sheet.paste(Image.fromarray(face), (place % columns * side, place // columns * side))
    sheet.save(folder / "sheet.png", compress_level=6)


def main(source: Path, out: Path) -> None:
    try:
        run(load(Params), source, out)
    except (ValueError, alignment.align.DetectorMissing) as error:
        raise stop(error) from None


if __name__ == "__main__":
    ranks.launch("stages.crop")
    main(*map(Path, sys.argv[1:]))
