"""New faces by the settings of their priors, against valid faces.

    python -m benchmarks.new_faces DATA [KEY=VALUE,KEY=VALUE ...] [--priors flow diffusion]

DATA is a folder of outputs (`data` after `dvc repro`), whose fitted priors draw. For each argument they do so
by params.yaml with other keys of the group `prior` that count in drawing, such as
prior.flow.temperature=1,prior.flow.guidance=1; without any, by params.yaml. As many faces are drawn as there
are valid ones, at most `score.samples`.

The table has, on EfficientNet-Lite1's features, kernel and Frechet distance, recall and coverage; variance
of the codes over the train codes', sharpness over that of the valid faces, and `bursts`, the share of the
faces with more than 15% of their values beyond the range of a picture.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.flow_settings import changed, context_of
from faces.core.files import open_npy
from faces.core.params import FILE, read
from faces.data.crops import Crops
from faces.priors import Priors, Settings
from faces.scoring.context import Codec
from faces.scoring.samples import FaceSet, score_sets

BURST = 0.15  # share of the values of a picture
FIGURES = {
    "kernel_lite1": "KID",
    "frechet_lite1": "FD",
    "recall_lite1": "recall",
    "coverage_lite1": "coverage",
    "variance": "variance",
    "sharpness": "sharpness",
    "bursts": "bursts",
}


@torch.no_grad()
def bursts(codec: Codec, codes: np.ndarray) -> float:
    """The share of codes (n, D) that are drawn with more than BURST of the values beyond -1 to 1."""
    drawn: Tensor = codec.model.decode(torch.from_numpy(codes.astype(np.float32)).to(codec.device))
    return float(((drawn.abs() > 1).float().mean((1, 2, 3)) > BURST).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", nargs="*", default=[""])
    parser.add_argument("--priors", nargs="+", default=["diffusion", "flow"])
    asked = parser.parse_args()
    values = read(Path(FILE))
    context = context_of(asked.data, 1)
    crops = Crops.open(asked.data / "crops")
    codes = open_npy(asked.data / "latents/latents.npy")
    valid = crops.rows("valid")[: context.params.samples]
    real = context.codec.pictures(crops.images[valid])
    train = codes[np.sort(np.random.default_rng(values["seed"]).permutation(crops.rows("train"))[:20_000])]
    lines = []
    for changes in asked.settings:
        settings = Settings.model_validate(changed(values, changes)["prior"])
        priors = replace(Priors.open(asked.data / "prior", context.codec.device), settings=settings)
        draws = priors.samplers(context.codec.model, values["seed"])
        faces = {}
        for name in asked.priors:
            found = draws[name](len(valid), np.random.default_rng(values["seed"]))
            faces[name] = FaceSet(context.codec.decode(found), found)
        rows = score_sets(faces, real, codes[valid], train, {"lite1": context.features}, context.params)
        for row in rows:
            row["bursts"] = bursts(context.codec, faces[row["set"]].codes)
            lines.append({"settings": changes or FILE, "prior": row["set"]} | row)
    table = pd.DataFrame(lines).set_index(["settings", "prior"])[list(FIGURES)].rename(columns=FIGURES)
    with pd.option_context("display.width", 200):
        print(table.round(3).to_string())


if __name__ == "__main__":
    main()
