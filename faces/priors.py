"""Priors of codes, fitted after training, and the one that new faces are drawn from.

prior.safetensors   the Gaussian (mean, factor, residual), the mixture (weights, means, roots), the
                    diffusion model where one was trained (denoiser, early, scale), and the flow where there
                    is one (network, conditions, beyond)
prior.json          best: the prior whose faces are nearest to those of the valid split; distances: how far
                    each prior's are; settings: the group `prior`, as fitted with

A model's codes seldom match the prior that it was trained with; samples from a density fitted to them look
better (Ghosh et al., ICLR 2020). `standard` is the model's own prior.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file

from facemorph.gaussian import LowRankGaussian
from faces.core import ranks
from faces.core.files import write_json
from faces.core.params import Group
from faces.flow.prior import FlowPrior
from faces.latents.diffusion import Diffusion
from faces.latents.mixture import Mixture
from faces.latents.pca import gaussian_of_codes
from faces.models import Model

Draw = Callable[[int, np.random.Generator], np.ndarray]  # count, random state -> codes (count, D)
Distance = Callable[[Draw], float]  # of what a prior draws to faces of the valid split


class FlowDraws(Group):
    """The group `prior.flow`."""

    guidance: Annotated[float, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0)]


class Settings(Group):
    """The group `prior`."""

    fit: Annotated[int, Field(ge=2)]
    axes: Annotated[int, Field(ge=1)]
    components: Annotated[int, Field(ge=1)]
    ridge: Annotated[float, Field(gt=0)]
    temperature: Annotated[float, Field(gt=0)]
    diffusion: Annotated[int, Field(ge=0)]
    guidance: Annotated[float, Field(ge=1)]
    flow: FlowDraws


class PriorError(ValueError):
    """The folder holds no priors of this version. The message says which and what to do."""


@dataclass(frozen=True)
class Priors:
    """The fitted priors. `best` names the one that new faces come from."""

    gaussian: LowRankGaussian
    mixture: Mixture
    diffusion: Diffusion | None
    flow: FlowPrior | None
    settings: Settings
    best: str
    distances: dict[str, float]  # of each prior's faces to those of the valid split

    @classmethod
    def fit(
        cls,
        model: Model,
        codes: np.ndarray,
        held: np.ndarray,
        settings: Settings,
        seed: int,
        device: torch.device,
        distance: Distance | None = None,
        work: Path | None = None,
        flow: FlowPrior | None = None,
    ) -> "Priors":
        """Fit every prior to train codes (N, D); `held` codes (M, D) of the valid split stop the diffusion
        model's training early. The `flow` is fitted already.

        The best prior is the one of the least `distance`; the Gaussian where there is none. With `work` the
        processes (faces/core/ranks.py) share the priors, as shards in that folder.
        """
        gaussian = gaussian_of_codes(codes, settings.axes, seed)

        def fit(name: str) -> dict[str, np.ndarray]:
            if name == "mixture":
                fitted = Mixture.fit(gaussian, codes, settings.components, settings.ridge, seed)
                return {part: getattr(fitted, part) for part in PARTS["mixture"]}
            stop_on = held[: max(settings.fit // 10, 1)]
            return Diffusion.fit(gaussian, codes, stop_on, settings.diffusion, seed, device).arrays()

        names = ["mixture", *(["diffusion"] if settings.diffusion and len(held) else [])]
        shards = ranks.dealt_jobs("fit priors", "priors", work and work / "fitted", names, fit)
        fitted = dict(zip(names, shards, strict=True))
        mixture = Mixture(*(fitted["mixture"][part] for part in PARTS["mixture"]))
        diffusion = Diffusion.of(gaussian, fitted["diffusion"], device) if "diffusion" in fitted else None
        found = cls(gaussian, mixture, diffusion, flow, settings, "gaussian", {})
        if distance is None:
            return found
        draws = found.samplers(model, seed)
        shards = ranks.dealt_jobs(
            *("measure priors", "priors", work and work / "distances", list(draws)),
            lambda name: {"distance": np.array(distance(draws[name]))},
        )
        distances = {name: float(arrays["distance"]) for name, arrays in zip(draws, shards, strict=True)}
        best = min(distances, key=distances.__getitem__)
        return replace(found, best=best, distances=distances)

    def samplers(self, model: Model, seed: int) -> dict[str, Draw]:
        """Samplers by prior name; the `seed` is that of the model's own."""
        found: dict[str, Draw] = {
            "standard": lambda count, rng: (
                model.sample(count, torch.Generator().manual_seed(seed), 1.0).detach().cpu().numpy()
            ),
            "gaussian": lambda count, rng: self.gaussian.draw(count, rng, 1.0),
            "tempered": lambda count, rng: self.gaussian.draw(count, rng, self.settings.temperature),
            "mixture": lambda count, rng: self.mixture.sample(self.gaussian, count, rng),
        }
        if self.diffusion is not None:
            diffusion = self.diffusion
            found["diffusion"] = lambda count, rng: diffusion.sample(count, rng, self.settings.guidance)
        if self.flow is not None:
            flow = self.flow
            found["flow"] = lambda count, rng: flow.sample(count, rng, **self.settings.flow.model_dump())
        return found

    def save(self, folder: Path) -> None:
        """Write what `open` reads."""
        arrays = {
            f"{part}.{name}": torch.from_numpy(np.ascontiguousarray(getattr(getattr(self, part), name)))
            for part, names in PARTS.items()
            for name in names
        }
        for part in NETWORKS:
            fitted = getattr(self, part)
            if fitted is not None:
                arrays |= {
                    f"{part}.{name}": torch.from_numpy(value) for name, value in fitted.arrays().items()
                }
        save_file(arrays, folder / "prior.safetensors")
        rounded = {name: float(f"{value:.4g}") for name, value in self.distances.items()}
        write_json(
            folder / "prior.json",
            {"best": self.best, "settings": self.settings.model_dump(), "distances": rounded},
        )

    @classmethod
    def open(cls, folder: Path, device: torch.device) -> "Priors":
        """Raises PriorError."""
        try:
            about = json.loads((folder / "prior.json").read_text(encoding="utf-8"))
            arrays = load_file(folder / "prior.safetensors")
            parts = {
                part: [arrays[f"{part}.{name}"].numpy() for name in names] for part, names in PARTS.items()
            }
            gaussian = LowRankGaussian(*parts["gaussian"])
            diffusion, flow = (
                {
                    name.removeprefix(f"{part}."): array.numpy()
                    for name, array in arrays.items()
                    if name.startswith(f"{part}.")
                }
                for part in NETWORKS
            )
            return cls(
                gaussian,
                Mixture(*parts["mixture"]),
                Diffusion.of(gaussian, diffusion, device) if diffusion else None,
                FlowPrior.of(flow, device) if flow else None,
                Settings.model_validate(about["settings"]),
                about["best"],
                about["distances"],
            )
        except FileNotFoundError as error:
            raise PriorError(f"{error.filename} is missing; run `dvc repro prior`") from None
        except (KeyError, ValueError, RuntimeError) as error:
            raise PriorError(
                f"{folder}: no priors of this version: {str(error).splitlines()[0]}; run `dvc repro prior`"
            ) from None


PARTS = {"gaussian": ("mean", "factor", "residual"), "mixture": ("weights", "means", "roots")}
NETWORKS = ("diffusion", "flow")  # parts that may be missing
