"""Start faces of an export that are forgotten: taken out of the list and of the arrays, the networks kept."""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from facemorph.export import BadExport, Export
from faces.core.files import write_json
from ops.forget import scrub
from ops.forget.journal import Journal

NEAR = 1e-2  # distance, in lengths of a code's step from the mean, below which two codes are of one picture


def theirs(export: Export, crops: np.ndarray) -> np.ndarray:
    """Which start faces are among `crops` (n, S, S, 3) uint8: (P,) of True and False, by code."""
    starts = export.arrays["presets"]
    found = np.zeros(len(starts), bool)
    for crop in crops:
        code = export.encode(np.ascontiguousarray(crop))
        scale = max(float(np.linalg.norm(code - export.arrays["mean"])), 1e-9)
        found |= np.linalg.norm(starts - code, axis=1) < NEAR * scale
    return found


def clean(journal: Journal, folder: Path) -> str | None:
    """Take forgotten start faces out of the export. Returns why it could not be looked at, or None."""
    scrub.mend(folder)
    if not (folder / "bundle.json").is_file():
        return None
    try:
        export = Export(folder)
    except BadExport as error:
        return str(error)
    crops = journal.crops
    if crops is None or crops.shape[1] != export.size:
        return "no crop of the faces at its size: its start faces could not be compared"
    gone = theirs(export, crops)
    if not gone.any():
        return None
    draft = scrub.draft_of(folder)
    arrays = load_file(draft / "arrays.safetensors")
    arrays["presets"] = np.ascontiguousarray(arrays["presets"][~gone])
    save_file(arrays, draft / "arrays.safetensors")
    about = json.loads((draft / "bundle.json").read_text(encoding="utf-8"))
    about["presets"] = [start for start, out in zip(about["presets"], gone, strict=True) if not out]
    content = (draft / "arrays.safetensors").read_bytes()
    about["files"]["arrays.safetensors"] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    write_json(draft / "bundle.json", about)
    scrub.put(journal, folder, draft, f"{int(gone.sum())} start faces")
    return None


def serve_again(home: Path) -> None:
    """Let release.json and champion.json name the exports as they are now, so that the website follows."""
    for described in (*sorted(home.glob("releases/*/release.json")), home / "champion.json"):
        if not described.is_file():
            continue
        about = json.loads(described.read_text(encoding="utf-8"))
        export = home / about["export"] if "export" in about else described.parent / "export"
        bundle = export / "bundle.json"
        if not bundle.is_file():
            continue
        now = hashlib.sha256(bundle.read_bytes()).hexdigest()[:16]
        if about["id"] != now:
            write_json(described, about | {"id": now})
