"""The velocity network of a conditional flow of codes, and the regression around it.

Codes z (D,) of faces with labels y (A,), forms of labels among them (faces/flow/forms.py), are taken apart
into what the labels say of them by regression, and the rest x (K,), along the first K principal axes:

    r = P (z - mean - B^T y~),   y~ = y - y_mean
    x = r - C^T (y~_i y~_j - mean, i < j) - E^T (y~ (x) l)

B says what each label does alone, C what pairs of labels do together, E what a label does to a face with
leading coordinates l, the first L of r less the pairs' part: where a head is turned, a mouth lies elsewhere.
E is zero on the leading coordinates, so that l is told by x as by r, and the way back is as short.

The network models x given y by flow matching (Lipman et al., "Flow Matching for Generative Modeling", ICLR
2023; Liu et al., "Flow Straight and Fast", ICLR 2023): on the straight path x_t = t x + (1 - t) e from noise
e, it learns the velocity x - e from x_t, t and y. Its last layer starts at zero, where the flow is that of a
Gaussian x that no label tells anything of, and an edit is the regression's.

**Kinds** are what the faces with a label differ in and those without it do not: which glasses. The network
smooths over them, so such faces lie further apart in its noise than the others along a few axes W_a (R, K),
found once it is trained. Where the label goes they are drawn together, noise e becoming e - W_a^T W_a e, so
that no rim is left; where it comes nothing is spread, and the edit draws a middling kind.

Long codes are described along their K first principal axes alone; what lies beyond them is never touched.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAVES = 16  # frequencies by which the network is told the time, from half a period in [0, 1] upwards


class Block(nn.Module):
    """A residual block of two layers, scaled and shifted by a modulation (FiLM, Perez et al. 2018), which
    `modulate` makes of the condition.

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

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        scale, shift = modulation.chunk(2, -1)
        return x + self.leave(F.silu(self.enter(self.norm(x) * (1 + scale) + shift)))


class Velocity(nn.Module):
    """x (..., K), and the modulation (..., M) of the blocks by time and labels -> what dx/dt (..., K) is
    beyond a Gaussian's, in deviations.

    The modulation does not depend on x: who walks one way again and again computes it once.
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

    def modulation(self, t: Tensor, labels: Tensor) -> Tensor:
        """(..., M) of times t (...) in [0, 1] and labels (..., A) in [-1, 1], 0 for unknown."""
        angles = t[..., None] * self.waves
        condition = self.tell(torch.cat([angles.cos(), angles.sin(), labels], -1))
        return torch.cat([block.modulate(condition) for block in self.blocks], -1)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        hidden = self.enter(x)
        for block, part in zip(self.blocks, modulation.chunk(len(self.blocks), -1), strict=True):
            hidden = block(hidden, part)
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
    """The regression and the velocity of what it leaves. Everything an edit needs."""

    def __init__(
        self, code_length: int, axes: int, attributes: int, width: int, blocks: int, leading: int, kinds: int
    ) -> None:
        super().__init__()
        self.leading = leading
        self.network = Velocity(axes, attributes, width, blocks)
        first, second = torch.triu_indices(attributes, attributes, 1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        shapes = {
            "mean": (code_length,),
            "label_mean": (attributes,),
            "slopes": (attributes, code_length),  # B, per unit of a label; a full change is 2
            "inward": (axes, code_length),  # P
            "outward": (axes, code_length),  # Q: P Q^T is the identity
            "pair_mean": (len(first),),  # of y~_i y~_j over the train faces
            "pairs": (len(first), axes),  # C
            "interplay": (attributes * leading, axes),  # E, by labels, then leading coordinates
            "kinds": (
                2,
                attributes,
                kinds,
                axes,
            ),  # W of labels that go [0] and that come [1]; rows may be zero
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("compensation", None)  # (A, A) faces/flow/compensation.py, where it is measured
        self.register_buffer("variance", torch.ones(axes))  # of x along each axis, over the train faces
        self.register_buffer("visible", torch.ones(axes))  # RMS change of the pictures per unit of x

    @classmethod
    def of(cls, weights: dict[str, Tensor]) -> "Flow":
        """The flow that has this state. Raises KeyError, or RuntimeError where weights do not fit."""
        attributes, code_length = weights["slopes"].shape
        flow = cls(
            code_length,
            len(weights["inward"]),
            attributes,
            len(weights["network.enter.weight"]),
            sum(name.endswith("modulate.weight") for name in weights),
            len(weights["interplay"]) // max(attributes, 1),
            weights["kinds"].shape[2],
        )
        flow.load(weights)
        return flow

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take this state. Raises RuntimeError where weights do not fit."""
        if "compensation" in weights:
            self.compensation = torch.zeros_like(weights["compensation"])
        self.load_state_dict(weights, strict=True)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """dx/dt (..., K) of x (..., K) at times t (...) under labels (..., A)."""
        return self.modulated(x, t, self.network.modulation(t, labels))

    def modulated(self, x: Tensor, t: Tensor, modulation: Tensor) -> Tensor:
        """The same with the modulation (..., M) of times and labels known."""
        spread = torch.sqrt(t[..., None].square() * self.variance + (1 - t[..., None]).square())
        beyond = self.network(x / spread, modulation).float()
        return gaussian_velocity(t, self.variance) * x + beyond * self.variance.sqrt() / spread

    def centred(self, labels: Tensor) -> Tensor:
        """y~: labels (B, A) less their means. An unknown label, 0, says nothing."""
        return torch.where(labels == 0, 0.0, labels - self.label_mean)

    def told(self, labels: Tensor) -> Tensor:
        """(B, D) what labels (B, A) say of a code each alone, beyond the mean."""
        return self.centred(labels) @ self.slopes

    def compensated(self, labels: Tensor, end: Tensor) -> Tensor:
        """Labels `end` (B, A) that an edit leads to, or starts from, of faces with `labels` (B, A): with what
        other known labels do so that the way there brings nothing along.
        """
        if self.compensation is None:
            return end
        count = len(self.compensation)
        shift = (end - labels)[:, :count] @ self.compensation * (labels[:, :count] != 0)
        return torch.cat([end[:, :count] + shift, end[:, count:]], 1)

    def along_axes(self, codes: Tensor, labels: Tensor) -> Tensor:
        """r (B, K): codes (B, D) less what labels (B, A) say each alone, along the axes."""
        return (codes - self.mean - self.told(labels)) @ self.inward.T

    def together(self, labels: Tensor) -> Tensor:
        """(B, K) what pairs of labels (B, A) say together."""
        return self.products(labels) @ self.pairs

    def products(self, labels: Tensor) -> Tensor:
        """(B, A (A - 1) / 2) y~_i y~_j less their means, 0 where either label is unknown."""
        y = self.centred(labels)
        known = (labels[:, self.first] != 0) & (labels[:, self.second] != 0)
        return torch.where(known, y[:, self.first] * y[:, self.second] - self.pair_mean, 0.0)

    def with_leading(self, labels: Tensor, x: Tensor) -> Tensor:
        """(B, A L) y~ times the leading coordinates of x (B, K)."""
        return (self.centred(labels)[:, :, None] * x[:, None, : self.leading]).flatten(1)

    def interactions(self, labels: Tensor, x: Tensor) -> Tensor:
        """(B, K) what labels (B, A) say together, and of a face with the leading coordinates of x (B, K)."""
        return self.together(labels) + self.with_leading(labels, x) @ self.interplay

    def without_kinds(self, noise: Tensor, change: Tensor) -> Tensor:
        """Noise (..., B, K) of faces whose labels change by `change` (B, A), 1 for a label that comes and -1
        for one that goes: without what only faces of the label before differ in. One label after another.
        """
        for number in torch.nonzero(change.any(0)).flatten().tolist():
            for sign, axes in zip((-1, 1), self.kinds[:, number].to(noise), strict=True):
                share = (sign * change[:, number]).clamp(0, 1)
                noise = noise - share[:, None] * (noise @ axes.T @ axes)
        return noise

    def rest(self, codes: Tensor, labels: Tensor) -> Tensor:
        """x (B, K): what no label says of codes (B, D) by regression."""
        x = self.along_axes(codes, labels) - self.together(labels)
        return x - self.with_leading(labels, x) @ self.interplay
