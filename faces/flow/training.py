"""Fitting the flow of codes: the linear map in closed form, then the velocity by flow matching, as it was
when held-out faces spoke best for it.
"""

import copy
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faces.core.params import Group
from faces.flow.network import Flow
from faces.latents.codes import Codes
from faces.latents.moments import Moments
from faces.latents.pca import principal_components
from faces.nn.device import fast_arithmetic
from faces.nn.optim import learning_rate, update_average

HELD_OUT_DRAWS = 4  # noises and times at which each held-out code is looked at
WARMUP = 0.05  # share of the steps in which the learning rate rises


class FlowSettings(Group):
    steps: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=2)]
    width: Annotated[int, Field(ge=8)]
    blocks: Annotated[int, Field(ge=1)]
    axes: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    averaging: Annotated[float, Field(ge=0, lt=1)]
    whitening: Annotated[float, Field(ge=0, le=1)]
    weighting: Annotated[float, Field(ge=0)]
    unknown: Annotated[float, Field(ge=0, lt=1)]
    reports: Annotated[int, Field(ge=1)]


Report = Callable[[int, float], None]


def linear_map(
    flow: Flow,
    codes: np.ndarray,
    labels: np.ndarray,
    seen: np.ndarray,
    pictures: np.ndarray,
    whitening: float,
) -> None:
    """Set the linear map of `flow` from train codes (N, D), labels (N, A) and the pictures (M, P) of rows
    `seen` (M,), flattened, of any size.

    B is the least-squares regression on all labels at once, of least norm where labels add up, as colours of
    hair do. An unknown label counts as the mean of the known ones. The rest is described along the axes that
    change the pictures most, by a linear regression of pictures on codes. Noise and codes are measured there:
    with `whitening` 1 every axis has unit variance, with 0 the variance that it has in the pictures. The less
    whitening, the more does the flow keep what is seen most (background, hair) where labels change, since
    straight paths then lead to codes that look alike.
    """
    known = labels != 0
    label_mean = (labels * known).sum(0) / np.maximum(known.sum(0), 1)
    design = np.where(known, labels - label_mean, 0.0)
    mean = codes.mean(0, dtype=np.float64)
    centred = codes - mean.astype(np.float32)
    slopes = np.linalg.pinv(design.T @ design, rcond=1e-6, hermitian=True) @ (
        design.T.astype(np.float32) @ centred
    )
    rest = centred - (design @ slopes).astype(np.float32)
    moments = Moments.of(rest, np.arange(len(rest)))
    axes, deviation = principal_components(
        Codes.all(rest), moments.mean(), moments.covariance(), len(flow.inward), np.random.default_rng(0)
    )
    deviation = np.maximum(deviation, 1e-3 * max(deviation.max(), 1e-12))
    white = rest @ (axes / deviation[:, None]).T.astype(np.float32)  # (N, K)
    visible, turn = visible_axes(white[seen], pictures)
    scale = (visible / np.sqrt(np.square(visible).mean())) ** (1 - whitening)
    arrays = {
        "mean": mean,
        "label_mean": label_mean,
        "slopes": slopes,
        "inward": scale[:, None] * (turn @ (axes / deviation[:, None])),
        "outward": (turn / scale[:, None]) @ (axes * deviation[:, None]),
        "variance": np.square(scale),
        "visible": visible / scale,
    }
    for name, array in arrays.items():
        getattr(flow, name).copy_(torch.from_numpy(np.asarray(array, np.float32)))


def visible_axes(white: np.ndarray, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much pictures (M, P) change along codes white (M, K) of unit covariance: root mean squares (K,) and
    orthonormal axes (K, K), falling.

    By linear regression. What changes nothing counts as a hundredth of the mean.
    """
    seen = white.T @ (pictures - pictures.mean(0)) / len(white)  # (K, P)
    squares, vectors = np.linalg.eigh((seen @ seen.T).astype(np.float64))
    squares = np.maximum(squares[::-1], 1e-4 * max(squares.mean(), 1e-12))
    return np.sqrt(squares), vectors[:, ::-1].T


def loss(flow: Flow, rest: Tensor, labels: Tensor, weight: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of the velocity at a random time and noise of each code: rest (B, K) and labels (B,
    A) -> scalar.

    Each axis counts by `weight` (K,). Times are the logistic function of a standard normal, so that the
    middle of the path is seen most (Esser et al. 2024). Noise and times are drawn on the CPU.
    """
    t = torch.sigmoid(torch.randn(len(rest), generator=generator)).to(rest.device)
    noise = torch.randn(rest.shape, generator=generator).to(rest.device)
    x = torch.lerp(noise, rest, t[:, None])
    with fast_arithmetic(rest.device):
        velocity = flow.velocity(x, t, labels)
    return ((velocity.float() - (rest - noise)).square() * weight).mean()


def train(
    flow: Flow,
    codes: Tensor,
    labels: Tensor,
    held: tuple[Tensor, Tensor],
    settings: FlowSettings,
    seed: int,
    report: Report,
) -> list[dict[str, float]]:
    """Train the velocity on codes (N, D) and labels (N, A); leave the averaged weights that had the least
    loss on the `held` codes and labels.

    Returns step, mean train loss since the last report and held-out loss at each report; the first, before
    any step, is that of the linear map alone.
    """
    rest = flow.rest(codes, labels)
    held_rest = flow.rest(*held)
    weight = (flow.visible * flow.variance.sqrt()) ** settings.weighting / flow.variance
    weight = weight / (weight * flow.variance).mean()
    generator = torch.Generator().manual_seed(seed)
    average = copy.deepcopy(flow)
    adam = torch.optim.AdamW(
        flow.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    history = []
    best = None
    total = 0.0
    since = 0
    every = max(1, settings.steps // settings.reports)
    for step in range(settings.steps + 1):
        if step % every == 0 or step == settings.steps:
            found = held_out(average, held_rest, held[1], weight)
            history.append(
                {"step": step, "loss": total / max(since, 1) if since else found, "held_out": found}
            )
            report(step, found)
            if best is None or found < best[0]:
                best = (found, copy.deepcopy(average.network.state_dict()))
            total = 0.0
            since = 0
        if step == settings.steps:
            break
        for group in adam.param_groups:
            group["lr"] = learning_rate(step / settings.steps, settings.learning_rate, WARMUP, "cosine")
        rows = torch.randint(len(rest), (settings.batch,), generator=generator)
        shown = torch.rand(labels[rows].shape, generator=generator) >= settings.unknown
        value = loss(flow, rest[rows], labels[rows] * shown.to(labels.device), weight, generator)
        adam.zero_grad(set_to_none=True)
        value.backward()
        adam.step()
        total += value.item()
        since += 1
        update_average(average.network, flow.network, settings.averaging, step + 1)
    flow.network.load_state_dict(best[1])
    return history


@torch.no_grad()
def held_out(flow: Flow, rest: Tensor, labels: Tensor, weight: Tensor) -> float:
    """The loss on held-out codes, with the same noises and times at every call."""
    draws = [
        loss(flow, rest, labels, weight, torch.Generator().manual_seed(number))
        for number in range(HELD_OUT_DRAWS)
    ]
    return float(torch.stack(draws).mean())
