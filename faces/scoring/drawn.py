"""Edits of drawn faces against the truth, pixel by pixel: the same face drawn again with the attribute flipped."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from faces.core.batches import batches
from faces.core.console import Progress
from faces.data.crops import Crops
from faces.edits.detail import Detail, keep_detail
from faces.edits.directions import Directions
from faces.nn.device import to_device
from faces.scoring.counterfactuals import Counterfactuals, changed_region, squared_error

KINDS = ("nothing", "edit", "detail", "rebuilt")


@torch.no_grad()
def compare(
    model: torch.nn.Module,
    crops: Crops,
    pairs: Counterfactuals,
    codes: np.ndarray,
    directions: Directions,
    detail: Detail,
    threshold: float,
    batch: int,
) -> pd.DataFrame:
    """One line per pair: squared errors against the true counterfactual, inside and outside the region that truly changed by more than `threshold`.

    `nothing` leaves the original as it is, `edit` decodes z + v (v at native length, towards the flipped label), `detail` adds the change that the
    edit makes to the original, and `rebuilt` is the truth itself through the model: no edit of this model can be nearer on average.
    """
    device, rows = next(model.parameters()).device, []
    usable = np.flatnonzero(np.isin(pairs.attribute, directions.attributes))
    labels = directions.arranged(crops.attributes, crops.labels)
    bar = Progress("evaluate counterfactuals", len(usable), "pairs")

    def decode(z: np.ndarray) -> Tensor:
        return model.decode(torch.from_numpy(np.ascontiguousarray(z, np.float32)).to(device)).clamp(-1, 1)

    for where in batches(len(usable), batch):
        chosen = usable[where]
        faces, values = pairs.rows[chosen], pairs.value[chosen]
        steps = np.concatenate(
            [
                directions.edit(name, values[[k]], labels[faces[[k]]])
                for k, name in enumerate(pairs.attribute[chosen])
            ]
        )
        original, truth = to_device(crops.images[faces], device), to_device(pairs.images[chosen], device)
        before, after = decode(codes[faces]), decode(codes[faces] + steps)
        rebuilt = model.decode(model.encode(truth)).clamp(-1, 1)
        region = changed_region(unit(original), unit(truth), threshold)
        table = {
            "attribute": pairs.attribute[chosen],
            "value": values,
            "pixels": region.sum((1, 2, 3)).cpu().numpy(),
        }
        for name, image in zip(
            KINDS, (original, after, keep_detail(original, before, after, detail), rebuilt), strict=True
        ):
            inside, outside = squared_error(unit(image), unit(truth), region)
            table[f"{name}_inside"], table[f"{name}_outside"] = inside.cpu().numpy(), outside.cpu().numpy()
        rows.append(pd.DataFrame(table))
        bar.update(where.stop)
    bar.close()
    return pd.concat(rows, ignore_index=True)


def unit(images: Tensor) -> Tensor:
    """Images in [-1, 1] -> [0, 1], the range in which errors are told."""
    return images.add(1).div(2)


def summarise(pairs: pd.DataFrame, pixels: int) -> pd.DataFrame:
    """Per attribute: PSNR in dB inside and outside the changed region for each kind of edit, and by how much the error fell below doing nothing.

    `pixels` is the number of pixels of a picture. Errors are pooled over the attribute's pairs before the logarithm.
    """
    sums = pairs.groupby("attribute").sum(numeric_only=True)
    sums.insert(0, "pairs", pairs.groupby("attribute").size())
    outside = sums["pairs"] * pixels - sums["pixels"]
    table = {"pairs": sums["pairs"], "region": sums["pixels"] / (sums["pairs"] * pixels)}
    for kind in KINDS:
        table[f"psnr_inside_{kind}"] = -10 * np.log10(
            np.maximum(sums[f"{kind}_inside"] / sums["pixels"], 1e-10)
        )
        table[f"psnr_outside_{kind}"] = -10 * np.log10(np.maximum(sums[f"{kind}_outside"] / outside, 1e-10))
    for kind in ("edit", "detail"):
        table[f"error_reduction_{kind}"] = 1 - sums[f"{kind}_inside"] / sums["nothing_inside"]
    return pd.DataFrame(table).reset_index()
