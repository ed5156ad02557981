"""Cut every face out of its picture and store all of them as one array.

in    data/raw/     images.zip, labels.csv (faces/data/annotations.py); the archive is never extracted
out   data/crops/   images.npy (and more, beyond crop.rows), table.csv, rejects.csv, geometry.json, sheet.png
      (faces/data/crops.py);
                    where the source draws counterfactuals, of test faces and (calibration) of valid faces,
                    these cut alike (faces/scoring/counterfactuals.py)
"""

import multiprocessing
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from faces.core import threads
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data import annotations, label_checks
from faces.data.crops import BOX, Geometry
from faces.data.sharded_array import Writer, open_parts
from faces.ingest import alignment, decode
from faces.ingest.alignment import Look, Plan

CHUNK = 256  # faces a worker returns at once: 3 MB at 64 pixels
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
class Chunk:
    """Faces of consecutive pictures."""

    faces: np.ndarray  # uint8 (n, H, W, 3)
    reasons: list[str]  # why each was refused; "" where it was not
    frames: list[bool]  # whether each picture was CelebA's frame already


@dataclass(frozen=True)
class Written:
    """Faces that were stored."""

    kept: list[int]  # places among the names
    rejects: list[tuple[str, str]]  # name and reason of the others
    frames: bool  # whether every picture was CelebA's frame already


def start_worker(path: Path) -> None:
    global archive  # noqa: PLW0603 (one open archive per process)
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


def cut(jobs: list[Job], geometry: Geometry, plan: Plan) -> Chunk:
    """The named members, cut as `plan` says."""
    faces = np.zeros((len(jobs), geometry.size, geometry.size, 3), np.uint8)
    reasons = [""] * len(jobs)
    frames = [True] * len(jobs)
    for place, (name, marked) in enumerate(jobs):
        try:
            faces[place], frames[place] = alignment.face(member(name), geometry, plan, marked)
        except decode.BadPicture as error:
            reasons[place] = str(error)
    return Chunk(faces, reasons, frames)


@contextmanager
def worker_pool(path: Path) -> Iterator[ProcessPoolExecutor]:
    """Processes that have the archive at `path` open."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(
        "fork" if "fork" in methods and sys.platform == "linux" else "spawn"
    )  # a fork starts at once
    processes = threads.workers()
    with ProcessPoolExecutor(processes, context, start_worker, (path,)) as pool:
        yield pool


def in_order(
    pool: ProcessPoolExecutor, work: Callable[[list[Job]], T], jobs: Sequence[Job], length: int
) -> Iterator[T]:
    """`work` on `length` jobs at a time, results in order. Only a few wait in memory at any time."""
    waiting = []
    for start in range(0, len(jobs), length):
        waiting.append(pool.submit(work, jobs[start : start + length]))
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
    labels = annotations.read_labels(source / "labels.csv")
    check_archive(source / "images.zip")
    plan = sampled_plan(source / "images.zip", jobs_of(labels), geometry)
    say(f"crop: {plan.reason}")
    with new_folder(out) as folder:
        written = write_faces(
            folder / "images.npy", source / "images.zip", jobs_of(labels), geometry, plan, crop
        )
        if written.rejects:
            name, reason = written.rejects[0]
            say(
                f"crop: {len(written.rejects)} of {len(labels)} images refused, "
                f"listed in {out / 'rejects.csv'}; "
                f"the first: {name}: {reason}"
            )
        labels = labels.iloc[written.kept]
        labels.to_csv(folder / "table.csv", index=False, lineterminator="\n")
        pd.DataFrame(written.rejects, columns=["name", "reason"]).to_csv(
            folder / "rejects.csv", index=False, lineterminator="\n"
        )
        for name in PAIRS:
            if (source / f"{name}.csv").is_file():
                pairs = pd.read_csv(source / f"{name}.csv")
                pairs = pairs[pairs["of"].isin(labels["name"])]
                pictures = source / f"{name}.zip"
                cut_pairs = write_faces(
                    folder / f"{name}.npy", pictures, jobs_of(pairs), geometry, plan, crop
                )
                pairs.iloc[cut_pairs.kept].to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        if geometry.box == "auto" and written.frames:  # then the box alone says how they were cut
            geometry = geometry.model_copy(update={"box": BOX})
        write_json(folder / "geometry.json", geometry.model_dump(mode="json"))
        write_sheet(folder)
    for line in label_checks.warnings(labels):
        say(f"crop: {line}")
    say(f"crop: {len(labels)} faces in {out}; look at {out / 'sheet.png'} before you train")


def sampled_plan(pictures: Path, jobs: Sequence[Job], geometry: Geometry) -> Plan:
    """How all pictures are to be cut, by a sample spread evenly over them."""
    places = np.unique(np.linspace(0, len(jobs) - 1, min(alignment.SAMPLE, len(jobs))).astype(int))
    sample = [jobs[place] for place in places]
    with worker_pool(pictures) as pool:
        looks = [one for some in in_order(pool, look, sample, LOOKS) for one in some]
    return alignment.plan(looks, geometry)


def write_faces(
    path: Path, pictures: Path, jobs: Sequence[Job], geometry: Geometry, plan: Plan, crop: Crop
) -> Written:
    """Cut the named members of the archive `pictures` into the array that begins at `path`
    (faces/data/sharded_array.py), in order.

    Raises RawError where more than `crop.max_rejects` are refused, or all.
    """
    check_archive(pictures)
    bar = Progress(f"crop {pictures.name}", len(jobs), "faces")
    kept: list[int] = []
    rejects: list[tuple[str, str]] = []
    done = 0
    frames = True
    work = partial(cut, geometry=geometry, plan=plan)
    with (
        Writer(path, (geometry.size, geometry.size, 3), np.uint8, crop.rows) as out,
        worker_pool(pictures) as pool,
    ):
        for chunk in in_order(pool, work, jobs, CHUNK):
            good = np.array([not reason for reason in chunk.reasons])
            out.append(chunk.faces[good])
            frames = frames and all(chunk.frames)
            kept.extend((done + np.flatnonzero(good)).tolist())
            rejects.extend(
                (jobs[done + place][0], reason) for place, reason in enumerate(chunk.reasons) if reason
            )
            done += len(good)
            bar.update(done)
            if len(rejects) > crop.max_rejects:
                raise annotations.RawError(
                    f"more than crop.max_rejects = {crop.max_rejects} images of {pictures} cannot be used; "
                    f"the first: {rejects[0][0]}: {rejects[0][1]}; mend or remove them, "
                    "choose another crop.box, or raise crop.max_rejects"
                )
    bar.close()
    if jobs and not kept:
        raise annotations.RawError(
            f"none of the {len(jobs)} images of {pictures} can be used; "
            f"the first: {rejects[0][0]}: {rejects[0][1]}"
        )
    return Written(kept, rejects, frames)


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
    main(*map(Path, sys.argv[1:]))
