"""Fitting the flow of codes: the regression in closed form, then the velocity by flow matching, as it was
when held-out faces spoke best for it.
"""

import copy
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from faces.core.batches import batches
from faces.core.params import Group
from faces.flow.editing import abduct
from faces.flow.network import Flow
from faces.latents.codes import Codes
from faces.latents.moments import Moments
from faces.latents.pca import principal_components
from faces.nn.device import fast_arithmetic
from faces.nn.optim import learning_rate, update_average

HELD_OUT_DRAWS = 4  # noises and times at which each held-out code is looked at
WARMUP = 0.05  # share of the steps in which the learning rate rises
RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3)  # tried for what labels say together, as shares of the faces
ENOUGH = 0.95  # share of the best ridge's gain on held-out faces that a stronger one must keep
BLOCK = 8192  # faces at once in sums over all of them
APART = 4  # times the variance of the others' noise that tells kinds of a label
ASSUMED = 100  # faces' worth of all labels' covariance in that of one


class FlowSettings(Group):
    steps: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=2)]
    width: Annotated[int, Field(ge=8)]
    blocks: Annotated[int, Field(ge=1)]
    axes: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    averaging: Annotated[float, Field(ge=0, lt=1)]
    leading: Annotated[int, Field(ge=0)]
    kinds: Annotated[int, Field(ge=0)]
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


def interactions(flow: Flow, codes: Tensor, labels: Tensor, held_codes: Tensor, held_labels: Tensor) -> None:
    """Set what pairs of labels and labels with leading coordinates say, by two ridge regressions on train
    codes (N, D) and labels (N, A), after `linear_map`; the held-out ones choose the ridges.
    """
    seen = flow.visible.double().square()
    y = flow.centred(labels)
    known = (labels != 0).float()
    flow.pair_mean.copy_(((y.T @ y) / (known.T @ known).clamp_min(1))[flow.first, flow.second])
    flow.pairs.copy_(
        ridge(
            lambda z, y: (flow.products(y), flow.along_axes(z, y)),
            (codes, labels),
            (held_codes, held_labels),
            seen,
        )
    )
    if flow.leading:
        beyond = seen.clone()
        beyond[: flow.leading] = 0

        def parts(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            x = flow.along_axes(z, y) - flow.together(y)
            return flow.with_leading(y, x), x

        found = ridge(parts, (codes, labels), (held_codes, held_labels), beyond)
        found[:, : flow.leading] = 0
        flow.interplay.copy_(found)
    flow.variance.copy_(rests(flow, codes, labels).square().mean(0).clamp_min(1e-6))


def rests(flow: Flow, codes: Tensor, labels: Tensor) -> Tensor:
    """`flow.rest` of any number of faces, some at a time."""
    return torch.cat([flow.rest(codes[rows], labels[rows]) for rows in batches(len(codes), BLOCK)])


Parts = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def ridge(parts: Parts, train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor], weight: Tensor) -> Tensor:
    """Ridge regression (F, K) of targets (n, K) on features (n, F), which `parts` makes of codes and labels.

    Features are not scaled: what seldom occurs, as a moustache with long hair, is shrunk most. Of RIDGES, as
    shares of the faces, the largest is taken that keeps ENOUGH of the best one's gain on held-out faces, each
    axis counting by `weight` (K,).
    """
    features, targets = parts(train[0][:1], train[1][:1])
    gram = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=weight.device)
    right = torch.zeros(features.shape[1], targets.shape[1], dtype=torch.float64, device=weight.device)
    for rows in batches(len(train[0]), BLOCK):
        features, targets = (part.double() for part in parts(train[0][rows], train[1][rows]))
        gram += features.T @ features
        right += features.T @ targets
    features, targets = (part.double() for part in parts(*held))
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    found = [torch.linalg.solve(gram + share * len(train[0]) * identity, right) for share in RIDGES]
    before = (targets.square() * weight).mean()
    gains = torch.stack([before - ((targets - features @ each).square() * weight).mean() for each in found])
    enough = gains >= torch.minimum(gains.max() * ENOUGH, gains.max())
    return found[int(torch.nonzero(enough).max())].float()


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
    any step, is that of the regression alone.
    """
    rest = rests(flow, codes, labels)
    held_rest = rests(flow, *held)
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
def noise_of(flow: Flow, codes: Tensor, labels: Tensor, steps: int) -> Tensor:
    """(N, K) the noise of train codes (N, D) with labels (N, A), by `steps` of the solver, after `train`."""
    found = [abduct(flow, codes[rows], labels[rows], steps)[0] for rows in batches(len(codes), BLOCK)]
    return torch.cat(found)


@torch.no_grad()
def find_kinds(flow: Flow, noise: Tensor, labels: Tensor, sided: int) -> None:
    """Set `flow.kinds` of the first `sided` labels from the noise (N, K) of train faces with labels (N, A).

    Kinds lie along the eigenvectors of C+ - C-, the covariance of the noise of faces with the label less that
    of those without, where the variance v+ is more than APART times v-. There the noise shrinks by
    sqrt(v- / v+), as the optimal map between two Gaussians has it. The same the other way for labels that
    come. Where the other axes go with the leading ones is no kind, but what the regression's ridge has left.
    Measured labels, numbers without a side, have no kinds, nor have forms.
    """
    labels = labels.to(noise.device)
    pooled = scatter(noise) / len(noise)
    flow.kinds.zero_()
    for number in range(sided):
        with_label, without = (
            (scatter(some) + ASSUMED * pooled) / (len(some) + ASSUMED)
            for some in (noise[labels[:, number] > 0], noise[labels[:, number] < 0])
        )
        for place, (before, after) in enumerate(((with_label, without), (without, with_label))):
            apart = before - after
            apart[: flow.leading, flow.leading :] = 0
            apart[flow.leading :, : flow.leading] = 0
            _, axes = torch.linalg.eigh(apart)
            axes = axes.flip(1)[:, : flow.kinds.shape[2]].T  # (R, K), those that differ most first
            ratio = (axes @ after * axes).sum(1) / (axes @ before * axes).sum(1)
            shrunk = torch.where(ratio < 1 / APART, 1 - ratio.sqrt(), 0.0).sqrt()
            flow.kinds[place, number] = (shrunk[:, None] * axes).float()


def scatter(points: Tensor) -> Tensor:
    """(K, K) sum of the squares of points (n, K) about their mean; zero where there are none."""
    centred = points - points.sum(0) / max(len(points), 1)
    return centred.T @ centred


@torch.no_grad()
def held_out(flow: Flow, rest: Tensor, labels: Tensor, weight: Tensor) -> float:
    """The loss on held-out codes, with the same noises and times at every call."""
    draws = [
        loss(flow, rest, labels, weight, torch.Generator().manual_seed(number))
        for number in range(HELD_OUT_DRAWS)
    ]
    return float(torch.stack(draws).mean())
