"""The velocity network of a conditional flow of codes, and the linear map around it.

Codes z (D,) of faces with labels y (A,) are taken apart into what the labels say linearly, and the rest r
(K,):

    z = mean + B^T (y - y_mean) + Q^T r

B is the regression of the codes on all labels at once; r is uncorrelated over the train faces. The network
models r given y by flow matching (Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023; Liu et
al., "Flow Straight and Fast", ICLR 2023): on the straight path x_t = t r + (1 - t) e from noise e to a code's
rest r, it learns the velocity r - e from x_t, t and y. Its last layer starts at zero, where the flow is that
of a Gaussian r that no label tells anything of, and an edit is the regression's: z + B^T (y' - y).

Long codes are described along their K first principal axes alone; what lies beyond them is never touched.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAVES = 16  # frequencies by which the network is told the time, from half a period in [0, 1] upwards


class Block(nn.Module):
    """A residual block of two layers, scaled and shifted by the condition (FiLM).

    It starts as the identity.
    """

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(condition, 2 * width)
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition).chunk(2, -1)
        return x + self.leave(F.silu(self.enter(self.norm(x) * (1 + scale) + shift)))


class Velocity(nn.Module):
    """x (..., K), t (...) in [0, 1] and labels (..., A) in [-1, 1], 0 for unknown -> what dx/dt (..., K) is
    beyond a Gaussian's, in deviations.
    """

    def __init__(self, length: int, attributes: int, width: int, blocks: int) -> None:
        super().__init__()
        condition = max(width // 2, 8)
        self.register_buffer(
            "waves", math.pi * torch.arange(1, WAVES + 1, dtype=torch.float32), persistent=False
        )
        self.tell = nn.Sequential(
            nn.Linear(2 * WAVES + attributes, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )
        self.enter = nn.Linear(length, width)
        self.blocks = nn.ModuleList(Block(width, condition) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, length)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        angles = t[..., None] * self.waves
        condition = self.tell(torch.cat([angles.cos(), angles.sin(), labels], -1))
        hidden = self.enter(x)
        for block in self.blocks:
            hidden = block(hidden, condition)
        return self.leave(F.silu(self.norm(hidden)))


def gaussian_velocity(t: Tensor, variance: Tensor) -> Tensor:
    """The factors c (..., K) of the velocity c x_t that carries a standard Gaussian to one of `variance` (K,)
    along straight paths, at times t (...).

    E[r - e | x_t] = cov(r - e, x_t) / var(x_t) x_t = (t variance - (1 - t)) / (t^2 variance + (1 - t)^2) x_t.
    """
    t = t[..., None]
    left = 1 - t
    return (t * variance - left) / (t.square() * variance + left.square())


class Flow(nn.Module):
    """The linear map and the velocity of what it leaves. Everything an edit needs."""

    def __init__(self, code_length: int, axes: int, attributes: int, width: int, blocks: int) -> None:
        super().__init__()
        self.network = Velocity(axes, attributes, width, blocks)
        self.register_buffer("mean", torch.zeros(code_length))
        self.register_buffer("label_mean", torch.zeros(attributes))
        self.register_buffer(
            "slopes", torch.zeros(attributes, code_length)
        )  # B, per unit of a label; a full change is 2
        self.register_buffer(
            "inward", torch.zeros(axes, code_length)
        )  # P: r = P (z - mean - B^T (y - y_mean))
        self.register_buffer("variance", torch.ones(axes))  # of r along each axis, over the train faces
        self.register_buffer(
            "visible", torch.ones(axes)
        )  # root mean square change of the pictures per unit of r
        self.register_buffer("outward", torch.zeros(axes, code_length))  # Q: P Q^T is the identity

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """dx/dt (..., K) of x (..., K) at times t (...) under labels (..., A)."""
        spread = torch.sqrt(t[..., None].square() * self.variance + (1 - t[..., None]).square())
        beyond = self.network(x / spread, t, labels).float()
        return gaussian_velocity(t, self.variance) * x + beyond * self.variance.sqrt() / spread

    def told(self, labels: Tensor) -> Tensor:
        """(B, D) what labels (B, A) say linearly of a code, beyond the mean.

        An unknown label, 0, says nothing.
        """
        return torch.where(labels == 0, 0.0, labels - self.label_mean) @ self.slopes

    def rest(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) what the labels do not say linearly, along the axes, of unit variance."""
        return (codes - self.mean - self.told(labels)) @ self.inward.T
