"""Pictures that a code of a few numbers cannot tell."""

import torch


def strokes(count: int, generator: torch.Generator) -> torch.Tensor:
    """Plain pictures (B, 3, 32, 32), each in a colour of its own with three white strokes anywhere."""
    images = (torch.rand(count, 3, 1, 1, generator=generator) - 0.5).expand(-1, -1, 32, 32).clone()
    for image, places in zip(images, torch.randint(1, 26, (count, 3, 2), generator=generator), strict=True):
        for row, column in places:
            image[:, row : row + 5, column : column + 2] = 1.0
    return images
