"""Cut every face out of its picture and store all of them as one array, in as few files as the disk takes.

in    data/raw/     images.zip, labels.csv (faces/data/annotations.py); the archive is never extracted
out   data/crops/   images.npy (and more, beyond crop.rows), table.csv, rejects.csv, geometry.json (faces/data/crops.py); where the source draws
                    counterfactuals, these cut alike (faces/scoring/counterfactuals.py)
"""

import multiprocessing
import os
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, write_json
from faces.core.params import Group, load
from faces.data import annotations
from faces.data.crops import Geometry
from faces.data.sharded_array import Writer
from faces.ingest import decode

CHUNK = 256  # faces a worker returns at once: 3 MB at 64 pixels

archive: zipfile.ZipFile  # of a worker process


class Crop(Geometry):
    max_rejects: int
    rows: Annotated[int, Field(ge=1)]


class Params(Group):
    crop: Crop


def start_worker(path: Path) -> None:
    global archive  # noqa: PLW0603 (one open archive per process)
    archive = zipfile.ZipFile(path)


def cut(names: list[str], geometry: Geometry) -> tuple[np.ndarray, list[str]]:
    """Cut the named members: uint8 (n, H, W, 3), and for each the reason why it was refused ("" where it was not)."""
    faces = np.zeros((len(names), geometry.size, geometry.size, 3), np.uint8)
    reasons = [""] * len(names)
    for place, name in enumerate(names):
        try:
            faces[place] = decode.face(archive.read(name), geometry)
        except KeyError:
            reasons[place] = "no such image in the archive"
        except zipfile.BadZipFile as error:
            reasons[place] = f"damaged in the archive: {error}"
        except decode.BadPicture as error:
            reasons[place] = str(error)
    return faces, reasons


def cut_all(
    path: Path, names: list[str], geometry: Geometry, workers: int
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """The same for all names, in order, chunk by chunk, by several processes. Only a few chunks wait in memory at any time."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(
        "fork" if "fork" in methods and sys.platform == "linux" else "spawn"
    )  # a fork starts at once
    with ProcessPoolExecutor(workers, context, start_worker, (path,)) as pool:
        waiting = []
        for start in range(0, len(names), CHUNK):
            waiting.append(pool.submit(cut, names[start : start + CHUNK], geometry))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def check_archive(path: Path) -> None:
    """Raises RawError where there is no readable archive: every worker would fail on it."""
    if not zipfile.is_zipfile(path):
        raise annotations.RawError(
            f"{path} is missing, truncated or no zip archive; run `dvc repro -f download`"
        )


def main(source: Path, out: Path) -> None:
    try:
        params = load(Params)
        crop_faces(params.crop, source, out)
    except ValueError as error:
        raise stop(error) from None


def crop_faces(crop: Crop, source: Path, out: Path) -> None:
    """Read `source`, write `out`. Raises RawError where more than `crop.max_rejects` images are refused."""
    geometry = Geometry(box=crop.box, size=crop.size, filter=crop.filter)
    labels = annotations.read_labels(source / "labels.csv")
    with new_folder(out) as folder:
        kept, rejects = write_faces(
            folder / "images.npy", source / "images.zip", labels["name"].tolist(), geometry, crop
        )
        if rejects:
            say(
                f"crop: {len(rejects)} images refused, listed in {out / 'rejects.csv'}; the first: {rejects[0][0]}: {rejects[0][1]}"
            )
        labels = labels.iloc[kept]
        labels.to_csv(folder / "table.csv", index=False, lineterminator="\n")
        pd.DataFrame(rejects, columns=["name", "reason"]).to_csv(
            folder / "rejects.csv", index=False, lineterminator="\n"
        )
        write_json(folder / "geometry.json", geometry.model_dump(mode="json"))
        if (source / "counterfactuals.csv").is_file():
            pairs = pd.read_csv(source / "counterfactuals.csv")
            pairs = pairs[pairs["of"].isin(labels["name"])]
            kept, _ = write_faces(
                folder / "counterfactuals.npy",
                source / "counterfactuals.zip",
                pairs["name"].tolist(),
                geometry,
                crop,
            )
            pairs.iloc[kept].to_csv(folder / "counterfactuals.csv", index=False, lineterminator="\n")


def write_faces(
    path: Path, pictures: Path, names: list[str], geometry: Geometry, crop: Crop
) -> tuple[list[int], list[tuple[str, str]]]:
    """Cut the named members of the archive `pictures` into the array that begins at `path` (faces/data/sharded_array.py), in order.

    Returns which of `names` are in it, and name and reason of those that are not. Raises RawError where the latter are more than `crop.max_rejects`.
    """
    check_archive(pictures)
    bar = Progress(f"crop {pictures.name}", len(names), "faces")
    kept, rejects, done = [], [], 0
    workers = int(os.environ.get("FACES_WORKERS") or os.cpu_count() or 1)
    with Writer(path, (geometry.size, geometry.size, 3), np.uint8, crop.rows) as out:
        for faces, reasons in cut_all(pictures, names, geometry, workers):
            good = np.array([not reason for reason in reasons])
            out.append(faces[good])
            kept.extend((done + np.flatnonzero(good)).tolist())
            rejects.extend((names[done + place], reason) for place, reason in enumerate(reasons) if reason)
            done += len(reasons)
            bar.update(done)
            if len(rejects) > crop.max_rejects:
                raise annotations.RawError(
                    f"more than crop.max_rejects = {crop.max_rejects} images of {pictures} cannot be used; the first: "
                    f"{rejects[0][0]}: {rejects[0][1]}; mend or remove them, choose another crop.box, or raise crop.max_rejects"
                )
    bar.close()
    return kept, rejects


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
