"""The miniature's exam: PSNR of reconstructed test faces, AUROC of each direction."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from build import ATTRIBUTES


def build(crops: Path, _classifier: Path, _faces: str, out: Path) -> None:
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(crops, draft / "crops")
    draft.rename(out)


def test_rows(crops: Path) -> np.ndarray:
    return (pd.read_parquet(crops / "table.parquet")["split"] == "test").to_numpy()


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    return float((scores[positive][:, None] > scores[~positive]).mean())


def score(exam: Path, model: Path, vectors: Path, _flow: Path, _primary: Path, out: Path) -> None:
    test = test_rows(exam / "crops")
    images = np.load(exam / "crops/images.npy")[test]
    labels = np.load(exam / "crops/labels.npy")[test]
    weights = np.load(model / "model.npz")
    directions = np.load(vectors / "vectors.npy")
    codes = (images.reshape(len(images), -1) - weights["mean"]) @ weights["axes"].T
    if not np.isfinite(codes).all():
        raise SystemExit("error: the model encodes some of the images to NaN")
    rebuilt = codes @ weights["axes"] + weights["mean"]
    psnr = float(-10 * np.log10(np.square((rebuilt - images.reshape(len(images), -1)) / 255).mean()))
    areas = {
        name: auroc(codes @ directions[place], labels[:, place]) for place, name in enumerate(ATTRIBUTES)
    }
    out.write_text(
        json.dumps(
            {
                "reconstruction": {"psnr": psnr},
                "auroc": {**areas, "mean": float(np.mean(list(areas.values())))},
            }
        )
    )


if __name__ == "__main__":
    action, *arguments = sys.argv[1:]
    {"build": build, "score": score}[action](*(Path(word) for word in arguments))
