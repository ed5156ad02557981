"""Projected critic: tells drawn faces from real ones by the features of a frozen network.

Sauer, Chitta, Mueller, Geiger, "Projected GANs Converge Faster", NeurIPS 2021: small heads over features of
EfficientNet-Lite0, here without their random projections. Spectral norm (Miyato et al. 2018), hinge loss
(Lim & Ye 2017).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from faces.nn import distributed

CHANNELS = (16, 24, 40)  # of the first stages of EfficientNet-Lite0
WIDTH = 48  # channels inside a head


class Critic(nn.Module):
    """Heads over the features of a frozen network: [(B, C, h, w)] -> scores (B, P), high for real faces."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels, WIDTH, 3, 1, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, 2, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, 1, 1)),
            )
            for channels in CHANNELS
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        scores = [head(x).flatten(1) for head, x in zip(self.heads, features, strict=True)]
        return torch.cat(scores, 1)

    def loss(self, real: list[Tensor], drawn: list[Tensor]) -> Tensor:
        """Hinge loss: scores of real faces should be above 1, of drawn ones below -1."""
        return F.relu(1 - self(real)).mean() + F.relu(1 + self(drawn)).mean()


def between(codes: Tensor) -> Tensor:
    """Codes between each face and the one before it in the batch: (B, D) -> (B, D)."""
    return torch.lerp(codes, distributed.rolled(codes), distributed.uniform(codes[:, :1]))


def with_critic(loss: Tensor, score: Tensor, pictures: Tensor, ratio: float) -> Tensor:
    """A loss on pictures (N, 3, H, W) whose gradient is that of `loss` less that of `score`.

    The score's gradient is scaled to `ratio` times the length of the loss's (as in VQGAN, Esser et al. 2021,
    who compare at the last layer). The value returned is that of `loss`. Without gradients, as on held-out
    faces, it is `loss`.
    """
    if not loss.requires_grad:
        return loss
    (pull,) = torch.autograd.grad(loss, pictures, retain_graph=True)
    (push,) = torch.autograd.grad(-score, pictures)
    scale = distributed.norm(pull) / distributed.norm(push).clamp_min(1e-12)
    along = (pictures * (pull + ratio * scale * push)).sum()
    return loss.detach() + along - along.detach()
