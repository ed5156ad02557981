"""The edit that keeps what a decoder loses: the original where the model changes nothing, the model's drawing
where it changes something.

    x + w (D(z') - x)    with w from d = D(z') - D(z)

The plain form of it, x + d, keeps everywhere what the decoder loses of the original, x - D(z): also the sharp
outline of glasses that are gone. And since no edit is free of all else, what the model means to leave alone
still moves a little everywhere. Those small changes carry no edit, and across a whole picture they add up.

So w tells by how large d is round about: its strength a, the mean over a small square of the change of the
channel that changes most. Where a is at most half of `noise` the picture stays as it is to the last bit; from
three halves of it the drawing stands; between them the weight rises smoothly (Hermite's 3 t^2 - 2 t^3), so
that no edge appears. Wavelet shrinkage does likewise (Donoho & Johnstone 1994), with a firm threshold between
hard and soft (Gao & Bruce 1997); here each place is told by its neighbourhood.

On valid pairs of drawn faces the error falls by .668 of it, by .666 with x + w d, by .608 with x + d: most
where something is taken away, whose halo and outline go.
"""

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from faces.core.params import Group


class Detail(Group):
    """The group `detail`."""

    noise: Annotated[float, Field(ge=0, lt=1)]
    reach: Annotated[int, Field(ge=0)]


def keep_detail(original: Tensor, before: Tensor, after: Tensor, settings: Detail) -> Tensor:
    """original + w (after - original), images (B, 3, H, W) in [-1, 1] that broadcast against each other."""
    return original + weight(after - before, settings) * (after - original)


def weight(change: Tensor, settings: Detail) -> Tensor:
    """w (B, 1, H, W) of changes d (B, 3, H, W) of images in [-1, 1]. With noise 0 it is 1 at every change."""
    strength = change.abs().amax(1, keepdim=True) / 2  # (B, 1, H, W), shares of the range
    if settings.noise == 0:
        return (strength > 0).to(change.dtype)
    strength = F.avg_pool2d(
        F.pad(strength, (settings.reach,) * 4, mode="replicate"), 2 * settings.reach + 1, 1
    )
    t = (strength / settings.noise - 0.5).clamp(0, 1)
    return t * t * (3 - 2 * t)
