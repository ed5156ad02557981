"""The networks of face-api, with weights by name as its package holds them (faces/witnesses/weights.py).

Expression and landmarks share a trunk: four dense blocks of depthwise separable convolutions (Huang et al.
2017; Howard et al. 2017) at 112 pixels, then one linear layer. Identity is dlib's residual network at 150
pixels: 128 numbers, in which two pictures of one person are near each other.

Images are float (B, 3, H, W) in [-1, 1], as everywhere; each network resizes them to its own side.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (122.782, 117.001, 104.298)  # of red, green, blue, that the networks subtract from bytes
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")


def prepared(images: Tensor, side: int, range_: float) -> Tensor:
    """Images resized to `side` pixels, as bytes less MEAN, over `range_`."""
    if images.shape[-1] != side:
        images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    return ((images + 1) * 127.5 - mean) / range_


class Network(nn.Module):
    """Weights by name, in torch's order of axes."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        for name, values in weights.items():
            tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
            if name.endswith("depthwise_filter"):
                tensor = tensor.permute(2, 3, 0, 1)  # (H, W, C, 1) -> (C, 1, H, W)
            elif tensor.dim() == 4:
                tensor = tensor.permute(3, 2, 0, 1)  # (H, W, in, out) -> (out, in, H, W)
            self.register_buffer(name.replace("/", "_"), tensor.contiguous())

    def weight(self, name: str) -> Tensor:
        """A tensor by its name in the package."""
        return self.get_buffer(name.replace("/", "_"))


class Trunk(Network):
    """Four dense blocks and a linear layer: images -> (B, K)."""

    SIDE = 112
    BLOCKS = 4
    LAYERS = ("conv1", "conv2", "conv3")  # of a block, after the first

    def separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        """A depthwise 3 x 3 convolution, then one of 1 x 1."""
        depthwise = self.weight(f"{name}/depthwise_filter")
        x = F.conv2d(same(x, stride), depthwise, stride=stride, groups=len(depthwise))
        return F.conv2d(x, self.weight(f"{name}/pointwise_filter"), self.weight(f"{name}/bias"))

    def block(self, x: Tensor, name: str) -> Tensor:
        """A dense block at half the size: each convolution sees the sum of those before it."""
        if name == "dense0":
            first = F.conv2d(
                same(x, 2), self.weight(f"{name}/conv0/filters"), self.weight(f"{name}/conv0/bias"), 2
            )
        else:
            first = self.separable(x, f"{name}/conv0", 2)
        total = first.relu()
        for layer in self.LAYERS:
            total = total + self.separable(total.relu(), f"{name}/{layer}", 1)
        return total.relu()

    def forward(self, images: Tensor) -> Tensor:
        x = prepared(images, self.SIDE, 255.0)
        for number in range(self.BLOCKS):
            x = self.block(x, f"dense{number}")
        return x.mean((2, 3)) @ self.weight("fc/weights") + self.weight("fc/bias")


class Expression(Trunk):
    """images -> (B, 7), chances of EXPRESSIONS."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).softmax(1)


class Landmarks(Trunk):
    """images -> (B, 68, 2), x and y of iBUG's 68 points as shares of the picture's side."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).view(-1, 68, 2)


class TinyLandmarks(Landmarks):
    """The same by a network of its own with fewer layers, trained apart."""

    BLOCKS = 3
    LAYERS = ("conv1", "conv2")


class Identity(Network):
    """images -> (B, 128)."""

    SIDE = 150
    BLOCKS = (("conv32", 3), ("conv64", 3), ("conv128", 2), ("conv256", 2))  # residual blocks of one size

    def convolution(self, x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        """A convolution, then a scale and a shift of each channel."""
        x = F.conv2d(
            x, self.weight(f"{name}/conv/filters"), self.weight(f"{name}/conv/bias"), stride, padding
        )
        scale = self.weight(f"{name}/scale/weights").view(-1, 1, 1)
        return x * scale + self.weight(f"{name}/scale/biases").view(-1, 1, 1)

    def same_size(self, x: Tensor, name: str) -> Tensor:
        """A residual block."""
        branch = self.convolution(x, f"{name}/conv1", 1, 1).relu()
        return (self.convolution(branch, f"{name}/conv2", 1, 1) + x).relu()

    def halved(self, x: Tensor, name: str) -> Tensor:
        """A residual block at half the size: the branch without padding is a pixel smaller where the size is
        even, and missing pixels and channels are zero.
        """
        branch = self.convolution(x, f"{name}/conv1", 2, 0).relu()
        branch = self.convolution(branch, f"{name}/conv2", 1, 1)
        pooled = F.avg_pool2d(x, 2)
        missing = pooled.shape[-1] - branch.shape[-1]
        branch = F.pad(branch, (0, missing, 0, missing))
        pooled = F.pad(pooled, (0, 0, 0, 0, 0, branch.shape[1] - pooled.shape[1]))
        return (branch + pooled).relu()

    def forward(self, images: Tensor) -> Tensor:
        x = prepared(images, self.SIDE, 256.0)
        x = self.convolution(x, "conv32_down", 2, 0).relu()
        x = F.max_pool2d(x, 3, 2)
        for name, blocks in self.BLOCKS:
            if name != "conv32":
                x = self.halved(x, f"{name}_down")
            for number in range(1, blocks + 1):
                x = self.same_size(x, f"{name}_{number}")
        x = self.halved(x, "conv256_down_out")
        return x.mean((2, 3)) @ self.weight("fc")


def same(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's "same" padding of a 3 x 3 convolution: with stride 2 and even sizes one pixel right and
    below, with stride 1 one on each side.
    """
    if stride == 1:
        return F.pad(x, (1, 1, 1, 1))
    odd = [size % 2 for size in x.shape[-2:]]
    return F.pad(x, (odd[1], 1, odd[0], 1))
