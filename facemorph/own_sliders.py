"""A slider of one's own: a direction of codes from a few pictures with and a few without something.

Mean differences of few pictures are full of what else the two sides differ in: beards among the men, light,
background. So where a flow edits, what its regression says of a face by its labels (faces/flow/network.py) is
taken out of each picture's code first, and no label gets into the slider; the labels are read off the code.
What the pictures are about stays: a label in which the two sides differ nearly whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facemorph.code_editors import BadValue, CodeEditor, Custom
from facemorph.flow_editor import FlowEditor
from facemorph.gaussian import LowRankGaussian

MEANT = 1.5  # mean difference of a label, of 2 at most, from which it is what the pictures are about,
MEANT_FROM = 4  # with so many pictures on a side: fewer have a label in common by chance


@dataclass(frozen=True)
class OwnSlider:
    """A direction from a few pictures, and how far it can be trusted."""

    direction: np.ndarray  # (D,) of length one
    sigma: float  # standard deviation of the train codes along it
    measured: float  # sigmas between the means of the two sides
    kept: float  # share of that which is more than chance (`shrinkage`)
    auroc: float | None  # of pairs told apart that were held out; None with one picture on a side

    def at(self, strength: float) -> Custom:
        """The slider at a strength: 0 is the face as it is, 1 as far as the sides lie apart beyond chance."""
        return Custom(self.direction, self.sigma, strength * self.measured * self.kept, False)


def own_slider(
    editor: CodeEditor,
    law: LowRankGaussian,
    std: np.ndarray,
    with_it: Sequence[np.ndarray],
    without: Sequence[np.ndarray],
) -> OwnSlider:
    """The slider from codes (D,) of pictures `without` something to those `with_it`.

    law, std: Gaussian and deviations (D,) of the train codes. Raises BadValue where a side is empty or the
    two do not differ.
    """
    if not len(with_it) or not len(without):
        raise BadValue("a slider needs at least one picture with and one without")
    sides = (np.array(with_it, np.float64), np.array(without, np.float64))
    whole = np.linalg.norm(sides[0].mean(0) - sides[1].mean(0))
    first, second = untold(editor, *sides) if isinstance(editor, FlowEditor) else sides
    vector = first.mean(0) - second.mean(0)
    length = float(np.linalg.norm(vector))
    if not length > 1e-6 * whole:
        raise BadValue("the two sets of pictures do not differ")
    unit = vector / length
    sigma = float(np.hypot(np.linalg.norm(law.factor @ unit), np.linalg.norm(law.residual * unit)))
    kept = shrinkage(vector, std, len(first), len(second))
    return OwnSlider(unit, sigma, length / sigma, kept, leave_pair_out(first, second))


def untold(editor: FlowEditor, *sides: np.ndarray) -> list[np.ndarray]:
    """Two sides of codes, (n1, D) and (n0, D), without what labels say of them, along the flow's axes; labels
    that are meant are not known.
    """
    labels = [np.array([editor.labels.read(code) for code in side]) for side in sides]
    apart = labels[0].mean(0) - labels[1].mean(0)
    meant = (np.abs(apart) > MEANT) & (min(map(len, sides)) >= MEANT_FROM)
    return [
        np.array([editor.untold(code, np.where(meant, 0.0, y)) for code, y in zip(side, own, strict=True)])
        for side, own in zip(sides, labels, strict=True)
    ]


def shrinkage(vector: np.ndarray, std: np.ndarray, with_it: int, without: int) -> float:
    """How much of a mean difference (D,) of few pictures is more than chance: the positive-part James-Stein
    factor (James and Stein 1961; Baranchik 1964), max(0, 1 - (K - 2) m / sum_j (d_j / s_j)^2), with
    m = 1 / n1 + 1 / n0 and K the dimensions in use, whose std (D,) is above a thousandth of the largest.
    """
    used = std > 1e-3 * std.max()
    energy = float(np.square(vector[used] / std[used]).sum())
    if not energy:
        return 0.0
    return max(0.0, 1 - max(int(used.sum()) - 2, 0) * (1 / with_it + 1 / without) / energy)


def leave_pair_out(with_it: np.ndarray, without: np.ndarray) -> float | None:
    """AUROC of telling the sides (n1, D) and (n0, D) apart: the share of pairs, one of each, put in order by
    the mean difference of all others; ties count half, None with fewer than two on a side (Airola et al.,
    "An experimental comparison of cross-validation techniques for estimating the area under the ROC curve",
    2011).
    """
    n1, n0 = len(with_it), len(without)
    if min(n1, n0) < 2:
        return None
    positives = (with_it.mean(0) * n1 - with_it) / (n1 - 1)  # (n1, D) means of the others
    negatives = (without.mean(0) * n0 - without) / (n0 - 1)
    wins = 0.0
    for one, others in zip(with_it, positives, strict=True):
        ahead = ((one - without) * (others - negatives)).sum(1)  # (n0,)
        wins += float((ahead > 0).sum() + 0.5 * (ahead == 0).sum())
    return wins / (n1 * n0)
