"""The edit that keeps what a decoder loses: the original plus the change that the model makes, where it makes
one.

    x + w d    with d = D(z + s v) - D(z)

Without w, what the model means to leave alone still moves a little everywhere, since no direction is free of
all else. Those small changes carry no edit, and across a whole picture they add up. So d is weighed by how
large it is round about: its strength a, the mean over a small square of the change of the channel that
changes most. Where a is at most half of `noise` the picture stays as it is to the last bit; from three halves
of it d counts in full; between them the weight rises smoothly (Hermite's 3 t^2 - 2 t^3), so that no edge
appears. Wavelet shrinkage does likewise (Donoho & Johnstone 1994), with a firm threshold between hard and
soft (Gao & Bruce 1997); here each place is told by its neighbourhood.
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
    """original + w (after - before), images (B, 3, H, W) in [-1, 1] that broadcast against each other."""
    return (original + shrunk(after - before, settings)).clamp(-1, 1)


def shrunk(change: Tensor, settings: Detail) -> Tensor:
    """w d for changes d (B, 3, H, W) of images in [-1, 1]. With noise 0 it is d."""
    if settings.noise == 0:
        return change
    strength = change.abs().amax(1, keepdim=True) / 2  # (B, 1, H, W), shares of the range
    strength = F.avg_pool2d(
        F.pad(strength, (settings.reach,) * 4, mode="replicate"), 2 * settings.reach + 1, 1
    )
    t = (strength / settings.noise - 0.5).clamp(0, 1)
    return change * (t * t * (3 - 2 * t))
