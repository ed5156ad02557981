"""New faces, prior by prior: how far sets of them are from real ones, and how evenly the way from one face to another runs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from faces.core.console import Progress
from faces.latents import mixture
from faces.latents.diffusion import Diffusion
from faces.latents.pca import gaussian_of_codes
from faces.metrics.frechet import frechet, grams, kernel, polynomial, with_interval
from faces.scoring.context import EPSILON, Bench, Scales, Score
from faces.viz.images import sheet

SHOWN = 12  # faces of each set that are kept for pictures

Features = Callable[[Tensor], np.ndarray]
Draw = Callable[[int, np.random.Generator], np.ndarray]  # how many codes, and by which chance


def drawers(
    model: Any, codes: np.ndarray, held: np.ndarray, params: Score, seed: int, device: torch.device
) -> dict[str, Draw]:
    """What draws codes (count, D) from each prior; where a prior is fitted, to train codes (N, D), that is done when it is called.

    The `held` codes (M, D), of other faces, keep the diffusion model from learning the train codes by heart.
    """
    axes = gaussian_of_codes(codes, params.axes, seed)
    fitted_mixture = partial(mixture.mixture, axes, codes, params.components, params.ridge, seed)
    found: dict[str, Draw] = {
        "standard": lambda count, rng: (
            model.sample(count, torch.Generator().manual_seed(seed), 1.0).cpu().numpy()
        ),
        "gaussian": lambda count, rng: axes.draw(count, rng, 1.0),
        "tempered": lambda count, rng: axes.draw(count, rng, params.temperature),
        "mixture": lambda count, rng: mixture.sample_mixture(axes, fitted_mixture(), count, rng),
    }
    if params.diffusion:
        fitted = partial(Diffusion.fit, axes, codes, held, params.diffusion, seed, device)
        found["diffusion"] = lambda count, rng: fitted().sample(count, rng, params.guidance)
    return found


def sets(
    bench: Bench,
    images: np.ndarray,
    codes: np.ndarray,
    splits: dict[str, np.ndarray],
    rows: np.ndarray,
    seed: int,
) -> dict[str, Tensor]:
    """As many faces of each kind as there are `rows` of the test split: real ones of the train split, those rows rebuilt, and samples of each prior.

    images (N, H, W, 3) uint8 and codes (N, D) are all faces; `splits` holds the rows of the train and of the valid split.
    """
    params, count, rng, train = bench.params, len(rows), np.random.default_rng(seed), splits["train"]
    fitted_to = codes[np.sort(rng.permutation(train)[: params.fit])]
    held = codes[splits["valid"][: params.fit // 10]] if params.diffusion else codes[:0]
    faces = {
        "train_faces": bench.pictures(images[np.sort(rng.permutation(train)[:count])]),
        "reconstruction": bench.decode(codes[rows]),
    }
    draws = drawers(bench.model, fitted_to, held, params, seed, bench.device)
    return faces | {name: bench.decode(draw(count, rng)) for name, draw in draws.items()}


def score_sets(
    bench: Bench, faces: dict[str, Tensor], real: Tensor, networks: dict[str, Features]
) -> list[dict[str, Any]]:
    """Rows of priors.csv: Frechet and kernel distance of each set to `real` faces, by each network's features, with 95% intervals."""
    wanted, rows = {name: features(real) for name, features in networks.items()}, []
    bar = Progress("score priors", len(faces), "sets")
    for name, images in faces.items():
        row: dict[str, Any] = {"set": name, "faces": len(images)}
        for network, features in networks.items():
            found = features(images)
            for formula, products in ((frechet, grams), (kernel, polynomial)):
                figures = with_interval(formula, products(found, wanted[network]), bench.params.groups)
                key = f"{formula.__name__}_{network}"
                row |= dict(zip((key, f"{key}_low", f"{key}_high"), figures, strict=True))
        rows.append(row)
        bar.update(len(rows))
    bar.close()
    return rows


def score_interpolation(bench: Bench, codes: np.ndarray, scales: Scales) -> dict[str, Any]:
    """Row of priors.csv: path length of the straight lines from each of codes (n, D) to the one before it."""
    ends, places = (codes, np.roll(codes, 1, 0)), np.linspace(0, 1, len(codes) + 2)[1:-1, None]
    moves = [
        bench.features(bench.decode(ends[0] + (places + move) * (ends[1] - ends[0])))
        for move in (-EPSILON / 2, EPSILON / 2)
    ]
    return {"set": "interpolation", "faces": len(codes), "path_length": scales.path_length(*moves)}


def score_priors(
    bench: Bench,
    faces: dict[str, Tensor],
    real: Tensor,
    codes: np.ndarray,
    networks: dict[str, Features],
    scales: Scales,
) -> pd.DataFrame:
    """priors.csv: every set of `faces` against `real` ones, and the ways between these, whose codes are (n, D)."""
    return pd.DataFrame(
        [*score_sets(bench, faces, real, networks), score_interpolation(bench, codes, scales)]
    )


def portraits(faces: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The first SHOWN faces of each set, uint8 (n, H, W, 3)."""
    return {
        name: images[:SHOWN].permute(0, 2, 3, 1).add(1).mul(127.5).round().clamp(0, 255).byte().cpu().numpy()
        for name, images in faces.items()
    }


def gallery(portraits: dict[str, np.ndarray], side: int) -> np.ndarray:
    """A row of them for each set: uint8 (H, W, 3)."""
    return sheet(
        np.stack(list(portraits.values())), side, rows=[name.replace("_", " ") for name in portraits]
    )
