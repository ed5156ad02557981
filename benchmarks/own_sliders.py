"""Sliders of one's own from a handful of pictures, against true pairs of valid faces.

    python -m benchmarks.own_sliders data [--pictures 5 10 20 50] [--repeats 2] [--pairs 12]

One attribute after another is hidden from the flow: its label counts as unknown, so that it stands for
something that no label names. From that many train faces with it and without it three directions are made:

    difference  the mean difference of codes
    regressed   the same of codes without what their labels say (facemorph/own_sliders.py)
    noise       the mean difference of the flow's noise, along which a face's noise moves, its labels held

Valid faces that have a true counterfactual are moved by each, `pairs` of those to gain the attribute and as
many to lose it. The error is the squared distance to the code of the truth, each axis counting by what it
changes in the pictures; told is the share of it that goes at the best of STRENGTHS times the difference, 0
among them: a person moves the slider until it looks right. Means over the draws of pictures.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faces import checkpoints
from faces.data.crops import Crops
from faces.flow.editing import abduct, velocity, walked
from faces.flow.editor import FlowEditor
from faces.nn.device import to_device
from faces.scoring.counterfactuals import Counterfactuals

ATTRIBUTES = ("Eyeglasses", "Smiling", "Wearing_Hat", "Eyes_Closed", "Bangs")
WAYS = ("difference", "regressed", "noise")
STRENGTHS = (0.0, 0.125, 0.25, 0.5, 1.0, 1.5)


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def read(editor: FlowEditor, codes: np.ndarray, hidden: str) -> tuple[Tensor, Tensor]:
    """Codes (n, D), and the labels read off them, but for the hidden one, with their forms (n, C)."""
    labels = editor.readouts.labels(codes)
    labels[:, editor.attributes.index(hidden)] = 0
    return tensor(codes), tensor(editor.conditions(codes, labels))


def pushed(editor: FlowEditor, codes: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
    """Codes (n, D) whose noise has become `noise` (2, n, K), under their own conditions (n, C)."""
    flow = editor.flow
    end = walked(noise, lambda x, time: velocity(flow, x, time, labels), editor.steps).float()
    x = flow.rest(codes, labels)
    gained = end + flow.interactions(labels, end) - x - flow.interactions(labels, x)
    return codes + gained @ flow.outward


def gains(
    editor: FlowEditor,
    hidden: str,
    sides: tuple[np.ndarray, np.ndarray],
    faces: np.ndarray,
    truth: Tensor,
    towards: Tensor,
) -> list[float]:
    """The share of the error that goes by each of WAYS, made of two sides of codes, on faces (n, D) whose
    truths have codes (n, D) and lie `towards` (n, 1) with, 1, or without, -1.
    """
    flow = editor.flow
    (z1, y1), (z0, y0), (z, y) = (read(editor, codes, hidden) for codes in (*sides, faces))
    difference = z1.mean(0) - z0.mean(0)
    regressed = (flow.rest(z1, y1).mean(0) - flow.rest(z0, y0).mean(0)) @ flow.outward
    noises = [abduct(flow, codes, labels, editor.steps) for codes, labels in ((z1, y1), (z0, y0))]
    step = noises[0][0].mean(0) - noises[1][0].mean(0)
    own = abduct(flow, z, y, editor.steps)

    def error(codes: Tensor) -> float:
        return float(((codes - truth) @ flow.inward.T * flow.visible).square().sum())

    moved = {
        "difference": [z + s * towards * difference for s in STRENGTHS],
        "regressed": [z + s * towards * regressed for s in STRENGTHS],
        "noise": [pushed(editor, z, y, own + s * towards * step) if s else z for s in STRENGTHS],
    }
    return [1 - min(error(codes) for codes in moved[way]) / error(z) for way in WAYS]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, nargs="+", default=(5, 10, 20, 50), help="a side")
    parser.add_argument("--repeats", type=int, default=2, help="draws of pictures")
    parser.add_argument("--pairs", type=int, default=12, help="true pairs, either way")
    parser.add_argument("--attributes", nargs="+", default=ATTRIBUTES)
    asked = parser.parse_args()
    crops = Crops.open(asked.data / "crops")
    pairs = Counterfactuals.open(asked.data / "crops", crops.column("name"), "calibration")
    if pairs is None:
        raise SystemExit(f"{asked.data / 'crops'}: these data have no pairs of valid faces")
    codes = np.load(asked.data / "latents/latents.npy", mmap_mode="r", allow_pickle=False)
    model = checkpoints.load(asked.data / "model")[0].eval()
    editor = FlowEditor.open(asked.data / "flow", torch.device("cpu"))
    train = crops.rows("train")
    rng = np.random.default_rng(0)
    print("| attribute | pictures a side | " + " | ".join(WAYS) + " |")
    print("|---|---|" + "---|" * len(WAYS))
    found: dict[int, list[np.ndarray]] = {count: [] for count in asked.pictures}
    for name in asked.attributes:
        places = pairs.of(name)
        ways = [places[pairs.value[places] == value][: asked.pairs] for value in (1, -1)]
        chosen = np.concatenate(ways)
        truth = model.encode(to_device(pairs.images[chosen], torch.device("cpu")))
        towards = tensor(pairs.value[chosen])[:, None]
        labels = crops.labels[train, crops.attributes.index(name)]
        for count in asked.pictures:
            rows = []
            for _ in range(asked.repeats):
                drawn = (rng.choice(train[labels == sign], count, replace=False) for sign in (1, -1))
                sides = tuple(codes[np.sort(some)] for some in drawn)
                rows.append(gains(editor, name, sides, codes[pairs.rows[chosen]], truth, towards))
            found[count].append(np.mean(rows, 0))
            told = " | ".join(f"{value:.3f}" for value in found[count][-1])
            print(f"| {name} | {count} | {told} |", flush=True)
    for count, rows in found.items():
        print(f"| mean | {count} | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, 0)) + " |")


if __name__ == "__main__":
    main()
