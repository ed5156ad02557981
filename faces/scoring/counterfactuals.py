"""Scoring edits against the truth, where there is one: the same face drawn again with one attribute flipped.

data/crops/counterfactuals.npy   uint8 (M, H, W, 3)
data/crops/counterfactuals.csv   row m: name, of (the face in table.csv it was drawn from), attribute, value (its new label, 1 or -1)
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch.nn.functional as F
from torch import Tensor

from faces.data.sharded_array import Parts, open_parts


@dataclass(frozen=True)
class Counterfactuals:
    """Opened pairs. `images[m]` is the truth; `rows[m]` is the row in Crops of the face it was drawn from."""

    images: np.ndarray | Parts  # uint8 (M, H, W, 3)
    rows: np.ndarray  # (M,)
    attribute: np.ndarray  # (M,) names
    value: np.ndarray  # (M,) 1 or -1

    @classmethod
    def open(cls, folder: Path, names: pd.Series) -> "Counterfactuals | None":
        """The pairs beside the crops whose table has these `names`; None where the data source draws none."""
        if not (folder / "counterfactuals.csv").is_file():
            return None
        table = pd.read_csv(folder / "counterfactuals.csv")
        images = open_parts(folder / "counterfactuals.npy")
        rows = table["of"].map(pd.Series(names.index, index=names.to_numpy()))
        return cls(
            images,
            rows.to_numpy(np.int64),
            table["attribute"].to_numpy(str),
            table["value"].to_numpy(np.int64),
        )


def changed_region(original: Tensor, truth: Tensor, threshold: float) -> Tensor:
    """Where the truth differs from the original: bool (B, 1, H, W), any channel by more than `threshold` of the range, grown by one pixel.

    Images are float (B, 3, H, W) in [0, 1].
    """
    differs = ((original - truth).abs().amax(1, keepdim=True) > threshold).float()
    return F.max_pool2d(differs, 3, 1, 1) > 0


def squared_error(image: Tensor, truth: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of squared errors inside and outside `region` (B, 1, H, W), each (B,)."""
    error = (image - truth).square().mean(1, keepdim=True)
    return (error * region).sum((1, 2, 3)), (error * ~region).sum((1, 2, 3))
