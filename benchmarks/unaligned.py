"""Whether a set of unaligned pictures gives the edits that the same faces give when they are aligned.

    python -m benchmarks.unaligned FACES LABELS --work FOLDER --count 300 --set train.images=2400

FACES is a folder or an archive of faces in CelebA's frame, LABELS CelebA's list of their attributes. The
faces are written to FOLDER twice: pasted into larger scenes as `benchmarks.alignment` does it, and as they
are, both with a labels.csv of names that nobody foresaw. In a clone of this checkout for each, the preset
`quick` goes the whole chain by `dvc repro`, with the changes that `--set` asks for; a chain that has ended is
not repeated. Then both exports are compared on the test faces: PSNR of the reconstruction, AUROC of the
directions, and the correlation over pixels of what an edit changes on average. That of another attribute's
edit says what faces have in common anyway. FOLDER/edits.png shows both side by side.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.alignment import compose
from facemorph.export import Export, levels
from faces.data.crops import FRAME, Crops
from faces.ingest import archives, decode

ROOT = Path(__file__).parents[1]
NAMES = {"Smiling": "lacht", "Eyeglasses": "Brille/Sonnenbrille", "Male": "mean"}  # of one's own
SETS = ("unaligned", "aligned")
SHOWN = 8  # faces of the sheet


def attributes(path: Path) -> pd.DataFrame:
    """CelebA's list of attributes as 1 and -1 by name of the picture, of NAMES alone and so renamed."""
    table = pd.read_csv(path, sep=r"\s+", skiprows=1)
    return table[list(NAMES)].rename(columns=NAMES)


def write(faces: Path, labels: pd.DataFrame, work: Path, count: int, seed: int) -> None:
    """Both folders of pictures, `count` faces spread evenly over those of `labels`."""
    rng = np.random.default_rng(seed)
    eyes = np.zeros((2, 2))  # where they are is not asked here
    kept = []
    for one in SETS:
        (work / one).mkdir(parents=True, exist_ok=True)
    with archives.open_files(faces) as files:
        members = [name for name in files.names if Path(name).name in labels.index]
        picked = np.unique(np.linspace(0, len(members) - 1, min(count, len(members))).astype(int))
        for member in (members[place] for place in picked):
            content = files.read(member)
            face = np.asarray(decode.read(content)[0])
            if face.shape[1::-1] != FRAME:
                continue
            name = Path(member).name
            (work / "unaligned" / name).write_bytes(compose(face, eyes, eyes, rng).content)
            (work / "aligned" / name).write_bytes(content)
            kept.append(name)
    for one in SETS:
        labels.loc[kept].to_csv(work / one / "labels.csv", index_label="name")


def chain(pictures: Path, clone: Path, changes: list[str]) -> None:
    """The whole chain on a folder of pictures, in a clone of this checkout. Raises CalledProcessError."""
    if (clone / "reports/index.html").exists():
        return
    source = ["data.source=folder", f"sources.folder.path={pictures.resolve()}"]
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run([sys.executable, "-m", "ops.preset", "quick", *source, *changes], cwd=clone, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=clone, check=True)


def held_out(clone: Path) -> pd.Series:
    """Rows of the crops of a chain that are test faces, by name of the picture."""
    table = Crops.open(clone / "data/crops").columns("name", "split")
    rows = pd.Series(np.arange(len(table)), index=table["name"])
    return rows[(table["split"] == "test").to_numpy()]


def edits(export: Export, faces: np.ndarray) -> np.ndarray:
    """What the edit of each attribute changes: (attributes, faces, S, S, 3), with less without."""
    codes = [export.encode(face) for face in faces]
    ways = [
        [
            np.subtract(*export.decode(np.stack([export.edit(code, {name: way}) for way in (1.0, -1.0)])))
            for code in codes
        ]
        for name in export.names
    ]
    return np.array(ways)


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(A, A) correlation over pixels of the mean change of attribute i in one with j in the other."""
    count = len(first)
    means = [changes.mean(1).reshape(count, -1) for changes in (first, second)]
    return np.corrcoef(*means)[:count, count:]


def sheet(export: Export, faces: np.ndarray) -> np.ndarray:
    """Row by row a face, its reconstruction, and with and without each attribute."""
    rows = []
    for face in faces:
        code = export.encode(face)
        moved = [export.edit(code, {name: way}) for name in export.names for way in (1.0, -1.0)]
        rows.append(np.hstack([face, *levels(export.decode(np.stack([code, *moved])))]))
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Unaligned pictures against aligned ones, to the edits.")
    parser.add_argument("faces", type=Path, help="a folder or an archive of faces in CelebA's frame")
    parser.add_argument("labels", type=Path, help="their list_attr_celeba.txt")
    parser.add_argument("--work", type=Path, required=True, help="a folder for pictures and clones")
    parser.add_argument("--count", type=int, default=300, help="faces")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the preset")
    chosen = parser.parse_args()
    write(chosen.faces, attributes(chosen.labels), chosen.work, chosen.count, chosen.seed)
    clones = [chosen.work / f"{one}-chain" for one in SETS]
    for one, clone in zip(SETS, clones, strict=True):
        chain(chosen.work / one, clone, chosen.set)
        metrics = json.loads((clone / "reports/metrics.json").read_text(encoding="utf-8"))
        print(f"{one}: PSNR {metrics['reconstruction']['psnr']}, AUROC {metrics['auroc']}")
    found = [held_out(clone) for clone in clones]
    names = found[0].index.intersection(found[1].index)
    exports = [Export(clone / "data/export") for clone in clones]
    faces = [
        np.asarray(Crops.open(clone / "data/crops").images[rows[names].to_numpy()])
        for clone, rows in zip(clones, found, strict=True)
    ]
    print(f"{len(names)} test faces; attributes {', '.join(exports[0].names)}; correlation of the edits:")
    print(correlations(*(edits(*pair) for pair in zip(exports, faces, strict=True))).round(2))
    shown = [sheet(export, some[:SHOWN]) for export, some in zip(exports, faces, strict=True)]
    gap = np.full((len(shown[0]), 16, 3), 255, np.uint8)
    Image.fromarray(np.hstack([shown[0], gap, shown[1]])).save(chosen.work / "edits.png")


if __name__ == "__main__":
    main()
