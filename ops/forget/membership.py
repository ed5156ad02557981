"""python -m ops.forget.membership: membership inference, how far model and codes betray who was trained on.

Two attacks, each an AUROC of members against strangers with a bootstrap interval; 0.5 betrays nothing:

loss     loss threshold (Yeom et al. 2018): members are reconstructed better by the export
shadow   shadow Gaussians (likelihood ratio against references, Carlini et al. 2022): the density of a code
         under the Gaussian of the members' codes, less its mean under Gaussians of random halves without it

Members are the train faces; with --pictures those of a folder, such as forgotten ones that somebody still
has, once a challenger without them is trained.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from facemorph.export import BadExport, Export
from faces.core.files import open_npy
from faces.data.annotations import RawError
from faces.data.crops import Crops, Geometry
from faces.ingest import decode
from faces.ingest.archives import is_picture
from faces.metrics.auroc import auroc, resamples

RESAMPLES = 1000
SHADOWS = 32
SHRINKAGE = 0.05  # of a Gaussian's covariance towards its diagonal
FEWEST = 10  # faces of a side that an interval takes
MOST = 1000  # faces of a side that are looked at


def area(members: np.ndarray, strangers: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """AUROC of scores (M,) against (S,) with its 95% interval, drawn anew within each side; a side of fewer
    than FEWEST has no interval.
    """
    scores = np.concatenate([members, strangers])
    positive = np.arange(len(scores)) < len(members)
    sides = [resamples(len(side), RESAMPLES, rng) for side in (members, strangers)]
    low, high = np.percentile(auroc(scores, positive, np.concatenate(sides, 1)), [2.5, 97.5])
    enough = min(len(members), len(strangers)) >= FEWEST
    return {
        "auroc": round(float(auroc(scores, positive)[0]), 4),
        "low": round(float(low), 4) if enough else None,
        "high": round(float(high), 4) if enough else None,
        "members": len(members),
        "strangers": len(strangers),
    }


def density(codes: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Log density (N,) of codes (N, D) under the shrunk Gaussian of `sample` (M, D), less a constant."""
    centred = sample - sample.mean(0)
    covariance = centred.T @ centred / len(sample)
    diagonal = np.diag(np.diag(covariance) + 1e-6 * np.trace(covariance) / len(covariance))
    factor = np.linalg.cholesky((1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal)
    distances = np.square(np.linalg.solve(factor, (codes - sample.mean(0)).T)).sum(0)
    return -0.5 * distances - np.log(np.diag(factor)).sum()


def shadow(
    target: np.ndarray, members: np.ndarray, strangers: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """The shadow attack: `target` (T, D) are the codes that the attacked Gaussian was made of. The attacker
    has a pool of faces like them: here members and strangers themselves, in random halves.
    """
    pool = np.concatenate([members, strangers]).astype(np.float64)
    scores = density(pool, target.astype(np.float64))
    outside = np.zeros(len(pool))
    times = np.zeros(len(pool))
    reference = np.concatenate([target, strangers]).astype(np.float64)
    for _ in range(SHADOWS):
        inside = rng.permutation(len(reference))[: len(reference) // 2]
        out = ~np.isin(pool[:, 0], reference[inside, 0])
        outside[out] += density(pool[out], reference[inside])
        times[out] += 1
    scores = scores - outside / np.maximum(times, 1)
    return area(scores[: len(members)], scores[len(members) :], rng)


def losses(export: Export, faces: np.ndarray) -> np.ndarray:
    """Mean squared errors (N,) of the reconstructions of faces uint8 (N, S, S, 3)."""
    codes = [export.encode(np.ascontiguousarray(face)) for face in faces]
    errors = [
        np.square(export.decode(code[None])[0] - face).mean() for code, face in zip(codes, faces, strict=True)
    ]
    return np.array(errors)


def cropped(folder: Path, geometry: Geometry) -> np.ndarray:
    """The pictures of a folder as the data's were cut: uint8 (N, S, S, 3), by name. Raises ValueError,
    BadPicture.
    """
    if geometry.box == "auto":
        raise ValueError("--pictures: these data were aligned face by face, which is not done here")
    paths = [path for path in sorted(folder.iterdir()) if is_picture(path.name)]
    if not paths:
        raise ValueError(f"--pictures {folder}: no picture is there")
    return np.stack([decode.face(path.read_bytes(), geometry) for path in paths])


def some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most MOST of `rows`, ascending."""
    return np.sort(rng.permutation(rows)[:MOST])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m ops.forget.membership", description="How far does a model betray its train faces?"
    )
    parser.add_argument("--export", type=Path, default=Path("data/export"))
    parser.add_argument("--crops", type=Path, default=Path("data/crops"))
    parser.add_argument("--latents", type=Path, default=Path("data/latents"))
    parser.add_argument("--pictures", type=Path, help="folder of pictures to attack, not the train faces")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    rng = np.random.default_rng(chosen.seed)
    try:
        export = Export(chosen.export)
        crops = Crops.open(chosen.crops)
        codes = open_npy(chosen.latents / "latents.npy")
        train = crops.rows("train")
        members, strangers = (some(crops.rows(split), rng) for split in ("train", "test"))
        if chosen.pictures is None:
            faces = crops.images[members]
            theirs = codes[members]
        else:
            faces = cropped(chosen.pictures, crops.geometry)
            theirs = np.stack([export.encode(face) for face in faces])
        own, foreign = (losses(export, some_faces) for some_faces in (faces, crops.images[strangers]))
        found = {
            "loss": area(-own, -foreign, rng),
            "shadow": shadow(codes[train], theirs, codes[strangers], rng),
        }
    except (BadExport, RawError, decode.BadPicture, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
