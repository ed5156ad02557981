"""Data-parallel training under torchrun: ops that make a sharded batch give the full-batch result.

The number of processes (faces/core/ranks.py) is environment, not params: results do not depend on it, except
for rounding in sums of gradients.

Inside `dealt(rank, size)` every process holds an equal share of a batch: rows rank, rank + size, ... Whatever
depends on the whole batch uses the functions of this file: means in which a loss is not linear, batch norm,
random draws, gradients. Outside, and with one process, each function is the ordinary one, bit for bit. Every
process must call the same ones in the same order.

Gradients flow through `mean` both ways, so that what `backward` leaves on rank r is the gradient of the sum
of all ranks' losses by r's share; `agree` divides by their number. A loss built of means (plain ones where it
is linear in them) thus has the gradient of the whole batch, exactly but for rounding.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from faces.core.ranks import rank, size

_RANK_AND_SIZE: ContextVar[tuple[int, int]] = ContextVar("rank and size", default=(0, 1))


def broadcast(value: Any) -> Any:
    """Rank 0's value on every rank: plain values and tensors; these arrive on the CPU."""
    if size() == 1:
        return value
    letter: list[bytes | None] = [None]
    if rank() == 0:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        letter = [buffer.getvalue()]
    dist.broadcast_object_list(letter, device=torch.device("cpu"))
    return torch.load(io.BytesIO(letter[0]), map_location="cpu", weights_only=True)


@contextmanager
def dealt(rank: int, size: int) -> Iterator[None]:
    """Context in which a batch is this process's share of one that `size` processes hold."""
    token = _RANK_AND_SIZE.set((rank, size))
    try:
        yield
    finally:
        _RANK_AND_SIZE.reset(token)


def shares() -> int:
    """Number of processes over which a batch is currently dealt."""
    return _RANK_AND_SIZE.get()[1]


class _Sum(torch.autograd.Function):
    """Differentiable all-reduce (sum)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def mean(x: Tensor) -> Tensor:
    """Mean of x (any shape) over ranks: the mean over the batch, where x is one over a share."""
    return x if shares() == 1 else _Sum.apply(x) / shares()


def norm(x: Tensor) -> Tensor:
    """Norm of a gradient of the whole batch, where x is that of a share; up to a factor that depends on the
    number of shares alone, so for ratios of norms.
    """
    return x.norm() if shares() == 1 else mean(x.norm().square()).sqrt()


def rolled(x: Tensor) -> Tensor:
    """Each row of x (B, ...) replaced by the one before it in the batch; no gradient flows."""
    if shares() == 1:
        return x.roll(1, 0)
    parts = [torch.empty_like(x) for _ in range(shares())]
    dist.all_gather(parts, x.detach().contiguous())
    return _own(torch.stack(parts, 1).flatten(0, 1).roll(1, 0))


def normal(like: Tensor) -> Tensor:
    """N(0, 1) in the shape of `like` (B, ...), from the global random state: the same draw for a row however
    many processes there are.
    """
    return torch.randn_like(like) if shares() == 1 else _own(_whole(like).normal_())


def uniform(like: Tensor) -> Tensor:
    """U[0, 1) in the shape of `like` (B, ...); otherwise as `normal`."""
    return torch.rand_like(like) if shares() == 1 else _own(_whole(like).uniform_())


def _whole(like: Tensor) -> Tensor:
    """Empty tensor for the whole batch, in the memory format of a share, which decides the order of random
    numbers.
    """
    last = like.dim() == 4 and like.stride(1) == 1
    shape = (len(like) * shares(), *like.shape[1:])
    return torch.empty(
        shape,
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )


def _own(whole: Tensor) -> Tensor:
    rank, size = _RANK_AND_SIZE.get()
    return whole[rank::size]


def agree(parameters: Iterable[nn.Parameter], log: dict[str, Tensor]) -> dict[str, Tensor]:
    """Set the gradients of all ranks to their mean, in one message, and return the mean of their logs, which
    are scalars.
    """
    if shares() == 1:
        return log
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    scalars = [value.detach().reshape(1).to(gradients[0]) for value in log.values()]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), *scalars])
    dist.all_reduce(flat)
    *pieces, means = flat.div_(shares()).split([*(gradient.numel() for gradient in gradients), len(scalars)])
    torch._foreach_copy_(
        gradients, [piece.view_as(gradient) for piece, gradient in zip(pieces, gradients, strict=True)]
    )
    return dict(zip(log, means, strict=True))


class Dropout(nn.Dropout):
    """Dropout whose mask is that of the whole of a dealt batch, whatever the number of processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or shares() == 1:
            return super().forward(x)
        return x * _own(nn.functional.dropout(_whole(x).fill_(1), self.p))


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the whole of a dealt batch, on any device; torch's own SyncBatchNorm refuses the CPU.
    In training, statistics are float32.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or shares() == 1:
            return super().forward(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            average = mean(values.mean(axes))  # (C,)
            centred = values - average.view(shape)
            variance = mean(centred.square().mean(axes))
            self._keep(average.detach(), variance.detach(), x.numel() // x.shape[1] * shares())
            y = centred * (variance + self.eps).rsqrt().view(shape)
            y = y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y
        return y.to(x.dtype)

    def _keep(self, average: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of `count` values per channel; the variance is the
        unbiased one, as torch's own.
        """
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(average, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` with every batch norm replaced by one over the whole of a dealt batch; names and weights stay.
    On CUDA that is torch's own.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in list(model.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                ours = BatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine)
                ours._parameters = norm._parameters
                ours._buffers = norm._buffers
                setattr(module, name, ours)
    return model
