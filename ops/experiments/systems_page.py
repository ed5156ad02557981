"""The page that compares the systems, from what `python -m ops.experiments.systems SOURCE` left: one table,
and for each system a row of pictures.

    python -m ops.experiments.systems_page SOURCE PAGE.md     writes PAGE.md and the pictures PAGE/NAME.jpg

Every system shows the same random test faces: reconstructions, new faces from the prior with the lowest
distance to real faces, and an added smile, by a straight line and by the flow. Figures are those of each
experiment's reports/metrics.json.
"""

import json
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from faces import checkpoints
from faces.core.console import say, stop
from faces.core.files import new_file, new_folder
from faces.core.params import parse, pick, read
from faces.data.crops import Crops
from faces.edits.directions import Directions
from faces.edits.editor import LinearEditor
from faces.flow.editor import FlowEditor
from faces.ingest import writer
from faces.priors import Priors
from faces.viz import images
from faces.viz.images import sheet
from faces.viz.renderer import Studio
from ops.experiments.systems import Changes, Plan, System, clone_of, ledger_of, locked, written
from stages import score

FACES = 6  # columns of a block, two rows each
TILE = 56  # pixels a side
WIDTH = 110  # columns of the page's text
ATTRIBUTE = "Smiling"  # added by every editor to faces without it
SWITCH = np.array([1.0])  # the strength that changes the label
QUALITY = 88  # of the JPEG files
DISTANCE = "frechet_inf_lite1"  # of metrics.json, by which sets of faces are compared
PRIORS = {
    "standard": "its own",
    "gaussian": "Gaussian",
    "tempered": "tempered",
    "mixture": "mixture",
    "diffusion": "diffusion",
    "flow": "flow",
}


class Unfinished(ValueError):
    """A system has not been trained and measured. The message says which, and what to do."""


@dataclass(frozen=True)
class Entry:
    """A finished experiment."""

    name: str
    system: System
    clone: Path
    seconds: float  # of processor time in training
    device: str
    metrics: dict[str, Any]

    @classmethod
    def open(cls, source: str, name: str, system: System) -> "Entry":
        """Raises Unfinished unless the clone's figures are those of the model that it holds."""
        clone = clone_of(source, name)
        if ledger_of(clone).is_file():
            ledger = json.loads(ledger_of(clone).read_text(encoding="utf-8"))
            if (
                ledger["model"]
                == locked(clone, "train", "outs", "data/model")
                == locked(clone, "evaluate", "deps", "data/model")
            ):
                metrics = json.loads((clone / "reports/metrics.json").read_text(encoding="utf-8"))
                return cls(name, system, clone, ledger["seconds"], ledger["device"], metrics)
        raise Unfinished(f"{name} is not finished: python -m ops.experiments.systems {source} {name}")

    @property
    def best_prior(self) -> str:
        """The one of PRIORS whose samples are nearest to real faces."""
        told = self.metrics["generation"]
        return min((prior for prior in PRIORS if prior in told), key=lambda prior: told[prior][DISTANCE])


def picture(entry: Entry) -> np.ndarray:
    """Reconstructions, samples and smiles of one system, side by side: uint8 (H, W, 3)."""
    values = read(entry.clone / "params.yaml")
    data = entry.clone / "data"
    params = parse(score.Params, pick(score.Params, values))
    crops = Crops.open(data / "crops")
    model, _ = checkpoints.load(data / "model")
    codes = np.load(data / "latents/latents.npy", mmap_mode="r", allow_pickle=False)
    directions = Directions.open(data / "vectors", values["vectors"]["primary"])
    device = torch.device("cpu")
    lines = Studio(
        crops,
        codes,
        model,
        device,
        directions,
        LinearEditor.of(directions),
        Priors.open(data / "prior", device),
        params.detail,
        params.score.batch,
        1,
        params.seed,
    )
    flow = replace(lines, editor=FlowEditor.open(data / "flow", device))
    test = np.random.default_rng(params.seed).permutation(crops.rows("test"))
    rows = test[:FACES]
    kept = sheet(
        np.stack([crops.images[rows], lines.decode(codes[rows])]),
        TILE,
        title="test faces, and what it keeps",
    )
    with np.load(data / "scores/new_faces.npz", allow_pickle=False) as file:
        samples = file[entry.best_prior]
    across = min(len(samples) // 2, FACES)
    new = sheet(
        samples[: 2 * across].reshape(2, across, *samples.shape[1:]),
        TILE,
        title=f"new faces ({PRIORS[entry.best_prior]} prior)",
    )
    blocks = [kept, new]
    if ATTRIBUTE in directions.attributes:
        serious = test[crops.labels[test, crops.attributes.index(ATTRIBUTE)] == -1][:4]
        edited = [studio.decode(studio.switched(ATTRIBUTE, serious, SWITCH)) for studio in (lines, flow)]
        smiles = np.concatenate([lines.decode(codes[serious])[:, None], *edited], axis=1)  # (4, 3, H, W, 3)
        smiles = smiles.reshape(2, 6, *smiles.shape[2:])  # two faces a row
        blocks.append(sheet(smiles, TILE, ["as it is", "line", "flow"] * 2, title="a smile"))
    return images.beside(*blocks)


def pair(form: str, *values: float | None) -> str:
    """Two figures in one cell; a dash for one that is missing."""
    return " / ".join("-" if value is None else form.format(value) for value in values)


def figures(entry: Entry) -> list[str]:
    """The cells of the table's row."""
    metrics = entry.metrics
    values = read(entry.clone / "params.yaml")
    generation = metrics["generation"]
    line, flow = (metrics["edits"][editor]["plain"] for editor in ("partial", "flow"))
    model, geometry = checkpoints.load(entry.clone / "data/model")
    best = entry.best_prior
    cells = [
        f"{geometry.size}",
        f"{model.code_length:,}",
        f"{metrics['reconstruction']['psnr']:.2f}",
        f"{metrics['reconstruction']['ssim']:.3f}",
        f"{generation['reconstruction']['sharpness']:.2f}",
        f"{generation['reconstruction'][DISTANCE]:,.0f}",
        f"{generation['standard'][DISTANCE]:,.0f}",
        f"{generation[best][DISTANCE]:,.0f} ({PRIORS[best]})",
        f"{metrics['auroc_by_estimator']['mean_difference']:.3f} / "
        f"{metrics['auroc_by_estimator']['logistic']:.3f}",
        f"{line['reached']:.0%} / {flow['reached']:.0%}",
        pair("{:.2f}", line["error_reduction_nearest"], flow["error_reduction_nearest"]),
        pair("{:.1%}", line["unrelated"], flow["unrelated"]),
        f"{values['train']['images']:,}",
        f"{entry.seconds:,.0f}",
        f"{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f}",
    ]
    return [f"[{entry.name}](#{entry.name})", *cells]


HEADS = (
    *(
        "system",
        "pixels",
        "D",
        "PSNR, dB",
        "SSIM",
        "sharpness",
        "FD of reconstructions",
        "FD of samples",
        "FD from the best prior",
        "AUROC: means / logistic",
    ),
    *(
        "attributes flipped: line / flow",
        "error reduction: line / flow",
        "unrelated change: line / flow",
        "images seen",
        "core seconds",
        "parameters, M",
    ),
)


def command(name: str, changes: Changes) -> str:
    """What runs a system with these changes."""
    return " ".join(
        ["dvc exp run", f"-S model={name}", *(f"-S {key}={written(value)}" for key, value in changes.items())]
    )


def section(entry: Entry, picture_of: Path) -> str:
    """What the page says of one system."""
    lacks = f"\n\n{wrapped(entry.system.lacks)}" if entry.system.lacks else ""
    return (
        f"### {entry.name}\n\n{entry.system.paper}\n\n![{entry.name}]({picture_of.as_posix()}){lacks}\n\n"
        f"```sh\n{command(entry.name, entry.system.params)}\n"
        f"# on a GPU: {command(entry.name, entry.system.gpu)}\n```\n"
    )


def page(entries: list[Entry], absent: list[str], folder: str) -> str:
    """The whole page, in Markdown."""
    described = json.loads((entries[0].clone / "data/raw/source.json").read_text(encoding="utf-8"))[
        "description"
    ].rstrip(".")
    table = "\n".join(
        f"| {' | '.join(cells)} |" for cells in (HEADS, ["---"] * len(HEADS), *map(figures, entries))
    )
    missing = f"\nNot finished, and so without figures: {', '.join(absent)}.\n" if absent else ""
    devices = ", ".join(sorted({entry.device for entry in entries}))
    origin = f"""\
        Written by `make systems` (ops/experiments/systems.py, ops/experiments/systems_page.py) from figures
        and models of one experiment each, on one set of faces: {described}. Each system ran at its own
        settings on the budget that ops/experiments/systems.yaml gives it for two CPU cores: ten minutes or
        so (benchmarks/pace.py tells), not the days of the papers."""
    meaning = f"""\
        Test split. Reconstructions are compared at each system's own size, so PSNR and SSIM do not compare
        between sizes. FD: Frechet distance on EfficientNet-Lite1's features, extrapolated to sets without
        end, between pictures and real test faces, of this set and these sizes only; samples are from the
        model's own prior, the best prior is one of that and five fitted to the train codes. Sharpness:
        Laplacian energy of reconstructions over that of real faces. AUROC: held out, mean over the
        attributes, of mean differences and of logistic boundaries. Edits, decoded, are straight lines along
        `partial`'s directions and those of the flow, which is trained briefly (`flow.steps` there). Of the
        attributes that show, the share for which some strength flips 80% of the faces, as the classifier
        reads them; by how much the edit lowers the squared error to the nearest true picture; and how far
        attributes that have nothing to do with the edited one change, both means over the attributes that
        every editor of that system reaches. Reconstructions of Glow are exact. Core seconds are of the
        training alone, on shared cores: an upper bound. Trained on: {devices}."""
    sections = "\n".join(section(entry, Path(folder) / f"{entry.name}.jpg") for entry in entries)
    head = f"# The systems, side by side\n\n{wrapped(origin)}\n\n{table}\n"
    return f"{head}{missing}\n{wrapped(meaning)}\n\n{sections}"


def wrapped(text: str) -> str:
    """One paragraph of Markdown."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def main(source: str, target: str) -> None:
    path = Path(target)
    entries = []
    absent = []
    try:
        for name, system in Plan.read().systems.items():
            try:
                entries.append(Entry.open(source, name, system))
            except Unfinished as reason:
                absent.append(name)
                say(f"gallery: left out: {reason}")
    except ValueError as error:
        raise stop(error) from None
    if not entries:
        raise stop(Unfinished(f"no system is finished: python -m ops.experiments.systems {source}"))
    with new_folder(path.with_suffix("")) as folder:
        for entry in entries:
            content = writer.encode_jpeg(Image.fromarray(picture(entry)), QUALITY)
            (folder / f"{entry.name}.jpg").write_bytes(content)
            say(f"gallery: {entry.name}, {len(content) / 1000:.0f} kB")
    with new_file(path) as draft:
        draft.write_text(page(entries, absent, path.stem), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
