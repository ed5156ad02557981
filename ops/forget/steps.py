"""Steps of a forgetting, in order. Each may be cut off anywhere and done again: what is done is passed
over.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from faces.core import parquet
from faces.core.files import write_json
from faces.core.params import FILE, read
from faces.data.annotations import TABLE
from faces.ingest import forgotten
from faces.ingest.forgotten import Forgotten
from faces.ingest.http import cache_folder
from ops.forget import certificate, exports, scrub, store, sums
from ops.forget.journal import ELSEWHERE, Journal, shown
from ops.forget.needles import files
from ops.forget.store import Places
from ops.retrain.ledger import Ledger, read_json
from ops.retrain.repository import GitError, Repository


def carry_out(journal: Journal, project: Repository, ledger: Ledger) -> dict[str, Any]:
    """Do what the plan says, write the certificate and close the journal. Returns the certificate."""
    for step in STEPS:
        step(journal, project, ledger)
    written = certificate.write(journal, ledger, leftovers(journal, project, ledger))
    (journal.folder / "plan.json").unlink()
    shutil.rmtree(journal.folder)
    return written


def withhold(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """First of all: they shall not come back. forgotten.json is committed, alone."""
    path = project.folder / forgotten.FILE
    known = forgotten.read(path) or Forgotten(journal.plan["salt"], frozenset(), frozenset())
    faces = journal.plan["faces"]
    names = known.names | {face["name"] for face in faces}
    contents = known.contents | {content for face in faces for content in face["contents"]}
    write_json(path, Forgotten(known.salt, names, contents).values())
    project.git("add", "--force", path.name)
    if project.git("status", "--porcelain", "--", path.name):
        project.git("commit", "--quiet", "--only", "-m", f"Forget {len(faces)} pictures", "--", path.name)


def mark(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """Say which released versions saw them; ops.retrain asks for a challenger as long as one serves."""
    asked = read_json(ledger.forgotten) or {}
    write_json(ledger.forgotten, asked | {journal.plan["id"]: journal.plan["versions"]})


def home(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """The retraining job's folder: the clone goes whole, exams and lists of snapshots lose the faces."""
    scrub.remove(journal, ledger.work, "the clone of challengers, made again by the next run")
    for exam in sorted(ledger.exams.glob("*")):
        scrub.data_folder(journal, exam / "crops")
    for release in ledger.versions():
        exports.clean(journal, ledger.release(release) / "export")
        scrub.progress(journal, ledger.release(release) / "model/snapshots.npy")
    exports.serve_again(ledger.home)
    for folder in (ledger.snapshots, ledger.runs):
        scrub.reports(journal, folder)
    for run in sorted(ledger.runs.glob("*")):
        scrub.remove(journal, run / "samples.png", "a sheet")
    if ledger.status.is_file() and journal.needles.within(ledger.status):
        scrub.document(ledger.status, journal.needles)


def codes(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """data/latents loses rows and its moments are downdated; data/vectors gets the closed-form directions."""
    root = project.folder / "data"
    latents = root / "latents"
    rows = np.array(journal.plan["rows"], int)
    scrub.mend(latents)
    if len(rows) and (latents / "latents.npy").is_file():
        count = len(np.load(latents / "latents.npy", mmap_mode="r"))
        if count == journal.plan["count"]:
            draft = scrub.draft_of(latents)
            downdate(draft, root / "crops", rows)
            for path in draft.glob("*.npy"):
                scrub.array(path, count, rows)
            scrub.put(journal, latents, draft, "codes of the faces, and their part in moments")
        elif count != journal.plan["count"] - len(rows):
            scrub.remove(journal, latents, "codes that fit no table")
    vectors = root / "vectors"
    scrub.mend(vectors)
    found = journal.folder / "directions.npz"
    if found.is_file() and (vectors / "vectors.npz").is_file():
        with np.load(vectors / "vectors.npz") as file:
            arrays = dict(file)
        with np.load(found) as closed:
            fits = all(closed[name].shape == arrays["vectors"].shape[1:] for name in closed)
            for number, name in enumerate(arrays["estimators"]):
                if name in closed and fits:
                    arrays["vectors"][number] = closed[name]
        if not fits:
            scrub.remove(journal, vectors, "directions of measured labels too; `dvc repro` makes them again")
            return
        draft = scrub.draft_of(vectors)
        np.savez(draft / "vectors.npz", **arrays)
        scrub.put(journal, vectors, draft, "their part in closed-form directions")


def downdate(latents: Path, crops: Path, rows: np.ndarray) -> None:
    """moments.npz in `latents` without the train faces among `rows`, whose codes are still there."""
    path = latents / "moments.npz"
    if not path.is_file():
        return
    splits = parquet.read(crops / TABLE, ["split"])["split"]
    train = [row for row in rows if splits[row] == "train"]
    if not train:
        return
    with np.load(path) as file:
        moments = sums.stored(dict(file))
    gone = np.load(latents / "latents.npy", mmap_mode="r")[train]
    left = sums.without(moments, sums.about(gone, moments.centre, moments.products is not None))
    np.savez(path, **left.arrays())


def data(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """Crops, pictures and what was drawn of them, in the working copy."""
    root = project.folder
    exports.clean(journal, root / "data/export")
    scrub.progress(journal, root / "data/model/snapshots.npy")
    kept = ("data/latents", "data/vectors", "data/export")
    for path in (*(path for path in store.DRAWN if path not in kept), ".ckpt", ".dvc/tmp/exps"):
        scrub.remove(journal, root / path, "drawn from faces; `dvc repro` makes it again")
    for path in ("data/crops", "data/raw"):
        scrub.data_folder(journal, root / path)
    for path in sorted((root / "snapshots").glob("*.zip")):
        if journal.needles.within(path):
            scrub.remove(journal, path, "a snapshot")


def objects(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """DVC's cache and remotes; those elsewhere first, as long as this machine has the objects to look at."""
    places = Places.of(project.folder, journal.untouched)
    also = set(journal.plan["drawn"])
    scratch = journal.folder / ELSEWHERE
    fetched = [scratch / remote.name for remote in places.elsewhere]
    for remote in places.elsewhere:
        found = store.objects_elsewhere(remote, [*places.folders, *fetched], scratch / remote.name)
        store.clean(journal, found, also)
    for folder in places.folders:
        store.clean(journal, store.objects_here(folder), also)


def originals(journal: Journal, project: Repository, ledger: Ledger) -> None:
    """The user's own pictures, only where that was asked for."""
    if not journal.plan["take_originals"]:
        return
    for place in map(Path, journal.plan["originals"]):
        if not place.is_dir():
            continue
        for name in sorted(journal.names):
            scrub.remove(journal, place / name, "an original, as --originals asks")
        scrub.reports(journal, place)


Step = Callable[[Journal, Repository, Ledger], None]
STEPS: tuple[Step, ...] = (withhold, mark, home, codes, data, objects, originals)


def leftovers(journal: Journal, project: Repository, ledger: Ledger) -> list[dict[str, str]]:
    """What still holds a face after all steps, and what cannot be reached, in words."""
    root = project.folder
    places = Places.of(root, journal.untouched)
    own = [Path(place) for place in journal.plan["originals"]]
    left = []
    roots = {root, ledger.home, *places.folders}
    top = [place for place in roots if not any(place.is_relative_to(other) for other in roots - {place})]
    out = (root / ".git", journal.folder, ledger.home / "certificates", *own)
    for place in sorted(top):
        for path in files(place, out):
            if (what := journal.needles.within(path)) is not None:
                why = "this file still has the name of one" if what == "name" else "this file still holds one"
                left.append({"where": shown(path, root), "why": f"{why}: remove it by hand"})
    for place in own:
        there = [name for name in journal.names if (place / name).exists()]
        if there or place.is_file():
            why = "your own files, not touched; the next run leaves them out. --originals deletes them"
            if place.is_file():
                why = "your own archive, not touched; the next run leaves them out"
            left.append({"where": str(place), "why": why})
    if read(root / FILE)["data"]["source"] == "celeba" and (downloads := cache_folder()).is_dir():
        left.append({"where": str(downloads), "why": "downloads of face sets, for all projects: not touched"})
    left += [{"where": f"DVC remote {name}", "why": why} for name, why in places.untouched.items()]
    return left + in_git(journal, project)


def in_git(journal: Journal, project: Repository) -> list[dict[str, str]]:
    """What Git's history holds: the pictures themselves, looked up by content, and what is always so."""
    found = []
    for path in sorted((journal.folder / "needles").iterdir()):
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        try:
            project.git("cat-file", "-e", blob)
        except GitError:
            continue
        found.append({"where": f"Git object {blob}", "why": "a committed picture; rewrite the history"})
    found.append(
        {
            "where": "Git history",
            "why": "earlier commits keep hashes and metrics; names in committed texts were not searched",
        }
    )
    found.append(
        {
            "where": "elsewhere",
            "why": "clones, backups, downloads and published models that others have cannot be reached",
        }
    )
    return found
