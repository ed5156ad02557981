"""Plan of a forgetting: everything that has to be known before the first file is touched."""

import json
import secrets
import shutil
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from faces.core import parquet
from faces.core.files import new_folder, write_json
from faces.core.params import FILE, read
from faces.data import sharded_array
from faces.data.annotations import LABELS, TABLE, RawError
from faces.data.shard_cache import SUFFIX
from faces.ingest import forgotten
from faces.ingest.forgotten import Forgotten
from ops.forget import figures, store
from ops.forget.journal import ELSEWHERE, Journal
from ops.forget.needles import Needles, files
from ops.forget.remotes import RemoteError
from ops.forget.store import Places
from ops.retrain.ledger import Ledger, now, read_json
from ops.retrain.repository import Repository
from ops.retrain.settings import Settings


class ForgetError(RuntimeError):
    """Nothing can be forgotten as asked. The message names the way out."""


def tables(project: Path, home: Path) -> list[Path]:
    """Tables with a row per face."""
    fixed = [project / "data/crops" / TABLE, project / "data/raw" / LABELS]
    fixed += [home / "work" / path.relative_to(project) for path in fixed]
    return [path for path in (*fixed, *sorted(home.glob(f"exams/*/crops/{TABLE}"))) if path.is_file()]


def of_identity(identity: int, project: Path, home: Path) -> set[str]:
    """The pictures of one person. Raises ForgetError where no table knows the person."""
    found = set()
    for path in tables(project, home):
        if "identity" in parquet.columns(path):
            table = parquet.read(path, ["name", "identity"])
            found |= set(table["name"][table["identity"] == identity])
    if identity < 0 or not found:
        raise ForgetError(f"--identity {identity}: no picture of that person; name the pictures instead")
    return found


def originals(project: Path, settings: Settings) -> list[Path]:
    """Folders and archives of the user's that pictures come from."""
    values = read(project / FILE)
    chosen = values.get("sources", {}).get(values["data"]["source"], {}).get("path")
    found = [Path(place).expanduser() for place in (settings.source.folder, chosen) if place]
    return list(dict.fromkeys(project / place for place in found))


def archives(project: Path, home: Path, folders: Collection[Path]) -> Iterator[zipfile.ZipFile]:
    """Every zip archive of pictures: data/raw, snapshots, and objects of DVC's."""
    places = [project / "data/raw", project / "snapshots", home / "work/data/raw", home / "work/snapshots"]
    for path in (path for folder in (*places, *folders) for path in files(folder)):
        with path.open("rb") as file:
            if file.read(4) != b"PK\3\4":
                continue
        try:
            with zipfile.ZipFile(path) as archive:
                yield archive
        except zipfile.BadZipFile:
            continue


def contents(
    names: Collection[str], project: Path, home: Path, folders: Collection[Path], own: list[Path]
) -> dict[str, set[bytes]]:
    """Each picture's encoded bytes, in as many versions as there are."""
    found: dict[str, set[bytes]] = {name: set() for name in names}
    for archive in archives(project, home, folders):
        for name in set(archive.namelist()) & set(names):
            found[name].add(archive.read(name))
    for place in own:
        for name in names:
            if (place / name).is_file():
                found[name].add((place / name).read_bytes())
    return found


def rows_of(table: Path, names: Collection[str]) -> tuple[int, np.ndarray]:
    """Number of rows of a table, and which are of `names`."""
    column = parquet.read(table, ["name"])["name"]
    return len(column), np.flatnonzero(column.isin(set(names)))


def arrays_of(crops: Path, names: Collection[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Crops uint8 (S, S, 3) and codes (D,) of the faces, as folders beside `crops` hold them."""
    count, rows = rows_of(crops / TABLE, names)
    pixels: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    for path, found in (
        (crops / "images.npy", pixels),
        (crops.with_name("latents") / "latents.npy", codes),
        (crops.with_name("latents") / "mirrored.npy", codes),
    ):
        if path.is_file() and len(array := sharded_array.open_parts(path)) == count:
            found += [np.array(array[row]) for row in rows]
    return pixels, codes


def seen_by(names: Collection[str], project: Path, ledger: Ledger) -> tuple[list[str], list[str]]:
    """Released versions that were trained on one of them or may have been, and models in data/."""
    versions = []
    for version in ledger.versions():
        snapshot = (read_json(ledger.release(version) / "release.json") or {}).get("snapshot")
        known = read_json(ledger.snapshots / f"{snapshot}.json") if snapshot else None
        if known is None or set(names) & set(known["pictures"]):
            versions.append(version)
    return versions, [path for path in store.MODELS if (project / path).exists()]


def measured(project: Path, rows: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """The certificate's figures of directions, the directions without the faces, and membership attacks; all
    empty where there are no rows, or no data set that the stages could read.
    """
    if not len(rows):
        return {}, {}, {}
    try:
        report, vectors = figures.directions(project, rows)
        return report, vectors, figures.betrayal(project, rows)
    except (RawError, FileNotFoundError) as error:
        print(f"not measured: {error}")
        return {}, {}, {}


def make(
    names: Collection[str],
    project: Repository,
    ledger: Ledger,
    settings: Settings,
    take_originals: bool,
    leave: Collection[str],
) -> Journal:
    """Write the plan, whole or not at all; DVC's remotes to `leave` are not touched. Raises ForgetError."""
    root = project.folder
    if away := sorted((root / "data/crops").glob(f"*{SUFFIX}")):
        raise ForgetError(
            f"{away[0]}: these faces lie elsewhere; bring them here by python -m ops.shards pull, remove them"
            " there, and forget then"
        )
    if ledger.journal.is_file():
        raise ForgetError(f"{ledger.journal}: a promotion is not carried out yet; run python -m ops.retrain")
    mark = f"{now()[:10]}-{secrets.token_hex(4)}"
    with new_folder(ledger.forgetting / mark) as draft:
        try:
            places = Places.of(root, leave)
            if unknown := set(leave) - places.remotes:
                known = ", ".join(sorted(places.remotes)) or "none"
                raise ForgetError(f"--leave {min(unknown)}: DVC has no remote of that name; it has {known}")
            folders = [*places.folders, *places.fetch(draft / ELSEWHERE)]
        except RemoteError as error:
            raise ForgetError(
                f"{error}; nothing was changed. Mend it, or leave that remote as it is by --leave NAME"
            ) from None
        asked = {"take_originals": take_originals, "leave": sorted(leave), "id": mark}
        write(draft, names, project, ledger, originals(root, settings), folders, asked)
    return Journal(ledger.forgetting / mark, root)


def looked_up(
    names: Collection[str], root: Path, ledger: Ledger, folders: Collection[Path], own: list[Path]
) -> tuple[dict[str, set[bytes]], list[np.ndarray], list[np.ndarray]]:
    """Each picture's encoded bytes, and crops and codes of them, wherever they are. Raises ForgetError for a
    name that nothing here knows.
    """
    found = contents(names, root, ledger.home, folders, own)
    pixels: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    known = {name for name, versions in found.items() if versions}
    for table in tables(root, ledger.home):
        known |= set(parquet.read(table, ["name"])["name"]) & set(names)
        if table.name == TABLE:
            more, further = arrays_of(table.parent, names)
            pixels += more
            codes += further
    for described in ledger.snapshots.glob("*.json"):
        known |= set(names) & set(json.loads(described.read_text(encoding="utf-8"))["pictures"])
    if missing := sorted(set(names) - known):
        listed = forgotten.read(root / forgotten.FILE)
        gone = [name for name in missing if listed is not None and listed.knows(name)]
        raise ForgetError(
            f"{missing[0]}: {'is forgotten already' if missing[0] in gone else 'no picture of that name'}; "
            f"nothing was changed ({len(missing)} of {len(names)} names are not here)"
        )
    return found, pixels, codes


def write(
    draft: Path,
    names: Collection[str],
    project: Repository,
    ledger: Ledger,
    own: list[Path],
    folders: list[Path],
    asked: dict[str, Any],
) -> None:
    """The plan's files into `draft`. `own`: where the user's pictures are; `folders`: those of DVC's objects;
    `asked`: further keys of plan.json. Raises ForgetError.
    """
    root = project.folder
    found, pixels, codes = looked_up(names, root, ledger, folders, own)
    versions, models = seen_by(names, root, ledger)
    table = root / "data/crops" / TABLE
    count, rows = rows_of(table, names) if table.is_file() else (0, np.array([], int))
    report, vectors, attacks = measured(root, rows)
    salt = (
        forgotten.read(root / forgotten.FILE) or Forgotten(secrets.token_hex(16), *[frozenset()] * 2)
    ).salt
    plan: dict[str, Any] = {
        **asked,
        "at": now(),
        "names": sorted(names),
        "salt": salt,
        "rows": [int(row) for row in rows],
        "count": count,
        "versions": versions,
        "models": models,
        "drawn": sorted(store.drawn(store.outputs(project), folders, Needles([], names))),
        "originals": [str(path) for path in own],
        "directions": report,
        "membership": attacks,
        "faces": [],
    }
    hashes = Forgotten(salt, frozenset(), frozenset())
    for name in sorted(names):
        plan["faces"].append(
            {
                "name": hashes.hash(name.encode()),
                "contents": sorted(hashes.hash(content) for content in found[name]),
            }
        )
    (draft / "needles").mkdir()
    every = {content for versions in found.values() for content in versions}
    every |= {array.tobytes() for array in (*pixels, *codes)}
    for number, content in enumerate(sorted(every)):
        (draft / f"needles/{number:05d}.bin").write_bytes(content)
    same = [crop for crop in pixels if crop.shape == pixels[0].shape]
    if same:
        np.save(draft / "crops.npy", np.stack(same))
    if vectors:
        np.savez(draft / "directions.npz", **vectors)
    write_json(draft / "plan.json", plan)


def unfinished(ledger: Ledger, project: Path) -> Journal | None:
    """The forgetting that was stopped, if one was; what is left of finished ones is removed."""
    for folder in sorted(ledger.forgetting.glob("*")):
        if (folder / "plan.json").is_file() and not folder.name.startswith("."):
            return Journal(folder, project)
        shutil.rmtree(folder)
    return None
