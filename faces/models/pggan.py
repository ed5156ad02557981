"""Progressively grown GAN, with an inverter network that encodes real faces.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018.

    codes (B, D) on a sphere -> 4x4 -> 8x8 -> ... -> size   generator: upsample, conv, conv; toRGB per level
    images -> size -> ... -> 8x8 -> 4x4 -> score (B)        critic: conv, conv, pool; fromRGB per level
    images -> size -> ... -> 8x8 -> 4x4 -> codes (B, D)     inverter: conv, conv, pool; full size only

The budget has three parts. The GAN grows (`schedule`). Then it is frozen and teaches the inverter on pairs
(z, G(z)) of its own. Then the inverter is tuned on real faces to reproduce the picture, with pairs beside
them so that codes stay where the generator knows them (Zhu et al., "In-Domain GAN Inversion", ECCV 2020).
Pictures are compared in pixels and in the features of the frozen critic (Larsen et al., "Autoencoding beyond
pixels using a learned similarity metric", ICML 2016), so no weights from outside are needed.

Pictures come from `smooth`, the running average of the generator's weights (section A.1 of the paper). It is
part of the model because the inverter learns to invert it, long before the training ends.

The generator normalises codes, so only their direction counts: `sample` and `encode` give codes of norm
sqrt(D), `decode` takes any norm.

`pretrained` loads a generator trained elsewhere: a PyTorch state dict in the layout of InterFaceGAN's
converter, for one size R.

    layer1.conv.weight (C0, D, 4, 4)             4x4 from the code: a convolution with padding 3, hence
                                                 flipped
    layer2.conv.weight (C0, C0, 3, 3)            4x4
    layer{2k+1}.conv.weight (Ck, Ck-1, 3, 3)     level k, side 4 x 2^k
    layer{2k+2}.conv.weight (Ck, Ck, 3, 3)       level k
    output_{R}x{R}.conv.weight (3, CK, 1, 1)     toRGB of the last level K; the others' are not kept
    {any of these}.wscale.bias

Its weights are unscaled (the equalised factor multiplies at run time), as here; pixel norm stands there
before each convolution and here after each activation, which is the same network. The whole budget is then
the inverter's. The critic stays untrained, and its features are random projections: lower `feature_weight`.
"""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from faces import models
from faces.core.params import FILE, ParamsError
from faces.nn import distributed

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Config(models.Config):
    latent: Count  # D
    maps: Count  # feature maps of a layer, at most
    maps_by_side: Count  # and at most this number divided by the layer's side in pixels
    group: Count  # images over which the critic sees a standard deviation
    penalty: float  # weight of the gradient penalty
    drift: float  # weight of the critic's squared score of real images
    smoothing: float  # share that the average generator keeps at each step
    # share of the GAN's budget at full size after the last fade; the rest is even stretches of stabilising
    # and fading
    final_share: Share
    inverter_share: Share  # share of the whole budget for the inverter, at the end
    real_share: Share  # share of the inverter's budget on real images, at the end
    feature_weight: float  # of the critic's features against pixels, where pictures are compared
    code_weight: float  # of the pairs (z, G(z)) against pictures, while the inverter is tuned on real images
    pretrained: str  # path of a generator's state dict; empty: train one


def schedule(progress: float, top: int, final: float) -> tuple[int, float]:
    """The level in training (0 is 4x4, `top` the full size) and the weight alpha of its picture against that
    of the level below.

    `progress` is the share of the GAN's budget. Stabilise, fade to the next level, stabilise, ...: 2 `top`
    stretches of equal length, then the share `final` at full size. The published run of 12 million images at
    128x128, 600 thousand a stretch, is top = 5, final = 0.5.
    """
    growing = 1 - final
    if progress >= growing:
        return top, 1.0
    level, stretch = divmod(progress / growing * 2 * top, 2)
    return (int(level), 1.0) if stretch < 1 else (int(level) + 1, stretch - 1)


def upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def faded(images: Tensor, level: int, alpha: float) -> Tensor:
    """Real images (B, 3, H, W) as the critic sees them: (B, 3, S, S), S = 4 x 2^level, blurred by the fade as
    the generator's are.
    """
    images = F.adaptive_avg_pool2d(images, 4 * 2**level)
    return images if alpha == 1 else upsample(pool(images)).lerp(images, alpha)


def pixel_norm(x: Tensor) -> Tensor:
    """Feature vectors (axis 1) scaled to a mean square of 1 (section 4.2)."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def group_size(count: int, most: int) -> int:
    """The greatest divisor of `count` up to `most`."""
    return max(size for size in range(1, most + 1) if count % size == 0)


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Minibatch standard deviation (section 3): (B, C, H, W) -> (B, C + 1, H, W), one more constant map.

    Its value is the standard deviation of each feature over the images of a group, averaged over features and
    places. Image i belongs to group i mod (B / group). Where B is no multiple of `group`, the greatest
    divisor of B below it is taken. A batch dealt over processes keeps its groups, whole on one process each,
    or else a ValueError is raised.
    """
    count, channels, height, width = x.shape
    asked = group_size(count * distributed.shares(), group)
    group = group_size(count, group)
    if group != asked:
        raise ValueError(
            f"{FILE}: models.pggan.batch leaves {count} images per process; "
            f"groups of {asked} need a multiple, so start fewer"
        )
    grouped = x.reshape(group, count // group, channels, height, width)
    deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # (B / group)
    return torch.cat([x, deviation.repeat(group).reshape(count, 1, 1, 1).expand(-1, 1, height, width)], 1)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Scalar: mean (|grad D| - 1)^2 at random points between `real` and `fake` (B, 3, H, W) (Gulrajani et
    al., NIPS 2017, eq. 3).
    """
    between = (
        real.lerp(fake, distributed.uniform(real.new_empty(len(real), 1, 1, 1))).detach().requires_grad_()
    )
    with torch.enable_grad():  # also where a loss is only being read, as on valid faces
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Context in which gradients flow through `module` but not to its weights."""
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


class EqualConv2d(nn.Conv2d):
    """Weights from N(0, 1), scaled by He's constant at run time, so that Adam moves all layers at one
    relative speed (section 4.1).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int, gain: float = math.sqrt(2)):
        super().__init__(inputs, outputs, kernel, padding=padding)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(inputs * kernel * kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class Generator(nn.Module):
    """maps[k] feature maps at level k, side 4 x 2^k."""

    def __init__(self, latent: int, maps: list[int]):
        super().__init__()
        levels = [(EqualConv2d(latent, maps[0], 4, 3), EqualConv2d(maps[0], maps[0], 3, 1))]
        levels += [
            (EqualConv2d(below, here, 3, 1), EqualConv2d(here, here, 3, 1)) for below, here in pairwise(maps)
        ]
        self.levels = nn.ModuleList(map(nn.ModuleList, levels))
        self.to_rgb = nn.ModuleList(EqualConv2d(here, 3, 1, 0, gain=1) for here in maps)

    def features(self, codes: Tensor) -> Iterator[Tensor]:
        """codes (B, D) -> the last layer of each level in turn, (B, maps[k], 4 x 2^k, 4 x 2^k)."""
        x = pixel_norm(codes)[:, :, None, None]  # (B, D, 1, 1)
        for level, (first, second) in enumerate(self.levels):
            x = pixel_norm(leaky(first(upsample(x) if level else x)))
            x = pixel_norm(leaky(second(x)))
            yield x

    def forward(self, codes: Tensor, level: int, alpha: float) -> Tensor:
        """(B, D) -> (B, 3, S, S), S = 4 x 2^level: the picture of `level`, of weight alpha against the one
        below.
        """
        *_, below, here = (None, *islice(self.features(codes), level + 1))
        images = self.to_rgb[level](here).float()
        return images if alpha == 1 else upsample(self.to_rgb[level - 1](below).float()).lerp(images, alpha)

    def at(self, codes: Tensor, growth: Tensor) -> Tensor:
        """(B, D) -> (B, 3, size, size), whatever the growth: a scalar, level - 1 + alpha.

        Equal to `forward`, upsampled. The levels' pictures are summed with weights max(0, 1 - |growth -
        level|): no branch, so that a tracer sees one graph.
        """
        images = codes.new_zeros(codes.shape[0], 3, 2, 2)
        for level, (x, to_rgb) in enumerate(zip(self.features(codes), self.to_rgb, strict=True)):
            images = upsample(images) + (1 - (growth - level).abs()).clamp(min=0) * to_rgb(x).float()
        return images


class Critic(nn.Module):
    """The generator's mirror image: (B, 3, S, S) -> (B), higher for real."""

    def __init__(self, maps: list[int], group: int):
        super().__init__()
        self.group = group
        self.from_rgb = nn.ModuleList(EqualConv2d(3, here, 1, 0) for here in maps)
        levels = [(EqualConv2d(maps[0] + 1, maps[0], 3, 1), EqualConv2d(maps[0], maps[0], 4, 0))]
        levels += [
            (EqualConv2d(here, here, 3, 1), EqualConv2d(here, below, 3, 1)) for below, here in pairwise(maps)
        ]
        self.levels = nn.ModuleList(map(nn.ModuleList, levels))
        self.score = EqualConv2d(maps[0], 1, 1, 0, gain=1)

    def features(self, images: Tensor, level: int, alpha: float) -> list[Tensor]:
        """The input of each level in turn, from `level` down to 0, each image for itself."""
        x = leaky(self.from_rgb[level](images))
        inputs = [x]
        for first, second in reversed(self.levels[1 : level + 1]):
            x = pool(leaky(second(leaky(first(x)))))
            if len(inputs) == 1 and alpha < 1:
                x = leaky(self.from_rgb[level - 1](pool(images))).lerp(x, alpha)
            inputs.append(x)
        return inputs

    def forward(self, images: Tensor, level: int, alpha: float) -> Tensor:
        x = minibatch_deviation(self.features(images, level, alpha)[-1], self.group)
        first, second = self.levels[0]
        return self.score(leaky(second(leaky(first(x))))).flatten().float()


class Inverter(nn.Module):
    """(B, 3, size, size) -> (B, D) of norm sqrt(D). The critic's layers with the generator's pixel norm, and
    no look at other images.
    """

    def __init__(self, latent: int, maps: list[int]):
        super().__init__()
        self.from_rgb = EqualConv2d(3, maps[-1], 1, 0)
        levels = [(EqualConv2d(maps[0], maps[0], 3, 1), EqualConv2d(maps[0], latent, 4, 0, gain=1))]
        levels += [
            (EqualConv2d(here, here, 3, 1), EqualConv2d(here, below, 3, 1)) for below, here in pairwise(maps)
        ]
        self.levels = nn.ModuleList(map(nn.ModuleList, levels))

    def forward(self, images: Tensor) -> Tensor:
        x = leaky(self.from_rgb(images))
        for first, second in reversed(self.levels[1:]):
            x = pixel_norm(leaky(first(x)))
            x = pool(pixel_norm(leaky(second(x))))
        first, second = self.levels[0]
        return pixel_norm(second(pixel_norm(leaky(first(x)))).flatten(1).float())


def with_buffers(module: nn.Module) -> nn.Module:
    """A copy of `module` whose weights are buffers: part of a checkpoint, but nothing that an optimiser or
    another average touches.
    """
    module = copy.deepcopy(module)
    for child in module.modules():
        for name, weight in list(child.named_parameters(recurse=False)):
            delattr(child, name)
            child.register_buffer(name, weight.detach())
    return module


class Model(models.Model):
    second_order = True  # the critic pays for its gradient

    def __init__(self, config: Config, size: int):
        """Raises ValueError where `size` is not 4 doubled once or more."""
        super().__init__()
        self.config = config
        self.top = round(math.log2(size / 4))
        if self.top < 1 or size != 4 * 2**self.top:
            raise ValueError(
                f"pggan grows from 4x4 by doubling: the image size must be 8, 16, 32, 64, ..., got {size}"
            )
        maps = [min(config.maps, config.maps_by_side // (4 * 2**level)) for level in range(self.top + 1)]
        if min(maps) < 1:
            raise ValueError(
                f"models.pggan.maps_by_side = {config.maps_by_side} leaves no feature map at {size}x{size}; "
                f"give {size} or more"
            )
        self.generator = Generator(config.latent, maps)
        self.critic = Critic(maps, config.group)
        self.inverter = Inverter(config.latent, maps)
        self.smooth = with_buffers(self.generator)
        self.register_buffer(
            "growth", torch.zeros(())
        )  # level - 1 + alpha, so that a checkpoint knows how far it has grown

    @property
    def code_length(self) -> int:
        return self.config.latent

    @property
    def gan_share(self) -> float:
        """Of the whole budget."""
        return 0.0 if self.config.pretrained else 1 - self.config.inverter_share

    def parts(self) -> dict[str, nn.Module]:
        return {"critic": self.critic, "generator": self.generator, "inverter": self.inverter}

    def prepare(self, images: Tensor) -> None:
        """Load the pretrained generator, if params name one."""
        if self.config.pretrained:
            load_generator(self.smooth, Path(self.config.pretrained))
            self.growth.fill_(self.top)

    def phase(self, progress: float) -> int:
        """The level while the GAN grows; then one number for the inverter on pairs, and one for the inverter
        on real images.
        """
        if progress < self.gan_share:
            return schedule(progress / self.gan_share, self.top, self.config.final_share)[0]
        return self.top + 1 + (progress >= 1 - (1 - self.gan_share) * self.config.real_share)

    def encode(self, images: Tensor) -> Tensor:
        return self.inverter(images)

    def decode(self, codes: Tensor) -> Tensor:
        """(B, D), any norm -> (B, 3, size, size) at the growth reached so far. Not clamped: the last layer is
        linear.
        """
        return self.smooth.at(codes, self.growth)

    def sample(self, count: int, generator: torch.Generator, temperature: float) -> Tensor:
        """Codes (count, D), even over the sphere of radius sqrt(D). `temperature` would change the radius
        alone, so it has no effect.
        """
        return pixel_norm(
            torch.randn(count, self.config.latent, generator=generator, device=generator.device)
        )

    def losses(self, images: Tensor, progress: float, labels: Tensor | None = None) -> models.Losses:
        """Growth and average generator are updated in training mode only."""
        phase = self.phase(progress)
        if phase > self.top:
            level = self.top
            alpha = 1.0
        else:
            level, alpha = schedule(progress / self.gan_share, self.top, self.config.final_share)
        if self.training:
            self.growth.fill_(level - 1 + alpha)
        if phase > self.top:
            yield "inverter", *(self.pair_loss(images) if phase == self.top + 1 else self.real_loss(images))
            return
        real = faded(images, level, alpha)
        yield "critic", *self.critic_loss(real, level, alpha)
        yield "generator", *self.generator_loss(real, level, alpha)
        if self.training:
            with torch.no_grad():
                for average, weight in zip(self.smooth.buffers(), self.generator.parameters(), strict=True):
                    average.lerp_(weight, 1 - self.config.smoothing)

    def normal(self, images: Tensor) -> Tensor:
        """As many random codes as images, (B, D), from the global random state."""
        return distributed.normal(images.new_empty(len(images), self.config.latent))

    def critic_loss(self, real: Tensor, level: int, alpha: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Gulrajani et al., NIPS 2017, eq. 3, with the drift term of section A.1. In single precision,
        whatever the caller casts to.
        """
        with torch.autocast(real.device.type, enabled=False):
            with torch.no_grad():
                fake = self.generator(self.normal(real), level, alpha)
            score = self.critic(real, level, alpha)
            distance = score.mean() - self.critic(fake, level, alpha).mean()
            penalty = gradient_penalty(lambda images: self.critic(images, level, alpha), real, fake)
            loss = -distance + self.config.penalty * penalty + self.config.drift * score.square().mean()
        return loss, {"wasserstein": distance.detach(), "penalty": penalty.detach()}

    def generator_loss(self, real: Tensor, level: int, alpha: float) -> tuple[Tensor, dict[str, Tensor]]:
        with frozen(self.critic):
            score = self.critic(self.generator(self.normal(real), level, alpha), level, alpha).mean()
        return -score, {"fake_score": score.detach()}

    def pair_loss(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean square of E(G(z)) - z; as both lie on the sphere, 2 - 2 cos of the angle between them."""
        codes = pixel_norm(self.normal(images))
        with torch.no_grad():
            fake = self.smooth(codes, self.top, 1.0).clamp(-1, 1)
        code = (self.inverter(fake) - codes).square().mean()
        return code, {"code": code.detach()}

    def real_loss(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with frozen(self.critic):
            pixels, features = (
                part.mean()
                for part in self.compare(self.smooth(self.inverter(images), self.top, 1.0), images)
            )
        pairs, log = self.pair_loss(images)
        loss = pixels + self.config.feature_weight * features + self.config.code_weight * pairs
        return loss, {"pixels": pixels.detach(), "features": features.detach(), **log}

    def compare(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (B,) between pictures (B, 3, size, size), in pixels and in the critic's features.

        Mean squares, averaged over the sides size, size / 2, ..., 4. A feature vector is scaled to a mean
        square of 1 first, so that no layer dominates.
        """
        inside = zip(
            self.critic.features(images, self.top, 1.0),
            self.critic.features(targets, self.top, 1.0),
            strict=True,
        )
        features = torch.stack(
            [(pixel_norm(a.float()) - pixel_norm(b.float())).square().flatten(1).mean(1) for a, b in inside]
        )
        difference = images - targets
        pixels = [difference.square().flatten(1).mean(1)]
        for _ in range(self.top):
            difference = pool(difference)
            pixels.append(difference.square().flatten(1).mean(1))
        return torch.stack(pixels).mean(0), features.mean(0)


def load_generator(generator: Generator, path: Path) -> None:
    """Fill `generator` from a state dict in the layout at the head of this file. Raises ParamsError in one
    line.
    """
    where = f"models.pggan.pretrained: {path}"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ParamsError(f"{where}: no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise ParamsError(
            f"{where}: not a PyTorch file of plain tensors; "
            "write one with torch.save(model.state_dict(), path)"
        ) from None
    if not isinstance(found, dict):
        raise ParamsError(
            f"{where}: expected a state dict, found {type(found).__name__}; "
            "write one with torch.save(model.state_dict(), path)"
        )
    side = 4 * 2 ** (len(generator.levels) - 1)
    convs = (conv for level in generator.levels for conv in level)
    layers = {f"layer{number}": conv for number, conv in enumerate(convs, 1)} | {
        f"output_{side}x{side}": generator.to_rgb[-1]
    }
    wanted = {f"{name}.conv.weight": conv.weight for name, conv in layers.items()}
    wanted |= {f"{name}.wscale.bias": conv.bias for name, conv in layers.items()}
    for name in sorted(wanted.keys() ^ found.keys()):
        fault = "lacks" if name in wanted else "has an unknown"
        raise ParamsError(
            f"{where} {fault} {name}; a generator of {side}x{side} has layer1 to layer{len(layers) - 1}, "
            f"output_{side}x{side}"
        )
    for name, weight in wanted.items():
        if found[name].shape != weight.shape:
            shapes = f"is {tuple(found[name].shape)}, expected {tuple(weight.shape)}"
            raise ParamsError(
                f"{where}: {name} {shapes}; set models.pggan.latent, maps and maps_by_side as it was trained"
            )
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(found[name])
