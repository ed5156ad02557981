"""Draw what a person looks at.

in    data/crops/      the faces and their labels
      data/model/      the trained model, and its reconstructions as training advanced
      data/latents/    the code of every face
      data/prior/      the priors that new faces are drawn from
      data/vectors/    the directions
      data/flow/       the flow of codes, which edits where edits.primary says so
      data/measures/   labels that were measured: a strip of each, in its own unit
out   reports/grids/*.png   statistics of the data, reconstructions, samples, mean faces, edits by attribute
                            and along principal components of the codes, feature grids, interpolations
      reports/gifs/*.gif    edits there and back, one face becoming another, walks through the code space,
                            the training

Faces come from the test split, drawn by the seed among those with the labels asked for. Every edit stands
beside its detail-keeping form, the original where the model changes nothing. What the data lack (an
attribute, a face with such labels) is left out, with a line that says so.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from faces import checkpoints
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, open_npy
from faces.core.params import Group, load, present
from faces.data.annotations import SPLITS
from faces.data.crops import Crops
from faces.data.measured import Measures
from faces.edits.detail import Detail
from faces.edits.directions import Directions, components
from faces.flow.choice import Edits, open_editor
from faces.flow.editor import FlowEditor
from faces.metrics.label_stats import phi, rates
from faces.nn.device import pick_device
from faces.priors import Priors
from faces.scoring.served import Served
from faces.viz import animations, charts, defaults, grids, images, measured
from faces.viz.config import Labels, Render
from faces.viz.renderer import Studio
from faces.viz.selection import Absent, unsigned


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    primary: str = Field(alias="vectors.primary")
    edits: Edits
    detail: Detail
    render: Render


def wanted_attributes(params: Params) -> Iterator[tuple[str, Labels]]:
    """Every key that names attributes, and the names, for the check before any work."""
    yield "render.attributes", params.render.attributes
    for edit in params.render.edits:
        yield f"render.edits.{edit.name}", (edit.attribute, *unsigned(edit.where))
    yield "render.asked", unsigned([name for wanted in params.render.asked for name in wanted])
    for key in ("interpolations", "journeys"):
        for pair in getattr(params.render, key):
            yield f"render.{key}.{pair.name}", unsigned(pair.first + pair.second)


def statistics(folder: Path, crops: Crops) -> None:
    """Charts of the data's labels, where there are any."""
    if not crops.attributes:
        return
    shares = {split: rates(crops.labels[crops.rows(split)]) for split in SPLITS}
    charts.rates(shares, crops.attributes, folder / "data_rates.png")
    charts.correlation(phi(crops.labels), crops.attributes, folder / "data_correlation.png")


def run(
    params: Params,
    crops_folder: Path,
    weights: Path,
    latents: Path,
    prior: Path,
    vectors: Path,
    flow: Path,
    measures_folder: Path,
    grids_out: Path,
    gifs_out: Path,
) -> None:
    """The stage with these params. Raises ValueError where an input is missing or does not fit."""
    crops = Crops.open(crops_folder)
    device = pick_device()
    model, _ = checkpoints.load(weights)
    directions = Directions.open(vectors, params.primary)
    editor = open_editor(params.edits, directions, flow, device)
    attributes = present("render.attributes", params.render.attributes, crops.attributes)
    measures = Measures.open(measures_folder, len(crops.labels))
    codes = open_npy(latents / "latents.npy")
    snapshots = np.load(weights / "snapshots.npy", allow_pickle=False)
    show = params.render
    studio = Studio(
        crops,
        codes,
        model.to(device),
        device,
        directions,
        editor,
        Priors.open(prior, device),
        params.detail,
        show.batch,
        show.rivals,
        params.seed,
    )
    table = pd.read_csv(vectors / "vectors.csv")
    best = defaults.by_auroc(table[table["attribute"].isin(crops.attributes)], params.primary)
    show, unknown = defaults.fitted(show, crops.attributes, best)
    if unknown:
        attributes = attributes or present("render.attributes", show.attributes, crops.attributes)
        say(
            f"render: {', '.join(unknown)}: no such attribute in the data; "
            f"drawn instead: {', '.join(attributes) or 'nothing'}"
        )
    attributes = tuple(name for name in attributes if name in directions.attributes)
    stills = grids.every(studio, show, attributes, components(vectors)[: show.components])
    sliders = []
    if measures.scales:
        served = Served(FlowEditor.open(flow, device), None if params.edits.primary == "flow" else directions)
        sliders = measured.every(studio, show, served, measures)
    jobs = [*stills, *sliders, *animations.every(studio, show, snapshots)]
    bar = Progress("render", len(jobs), "pictures")
    with new_folder(grids_out) as still, new_folder(gifs_out) as moving:
        statistics(still, crops)
        for done, (name, draw) in enumerate(jobs, 1):
            try:
                drawn = draw()
                if isinstance(drawn, animations.Film):
                    images.write_gif(moving / f"{name}.gif", drawn.frames, drawn.order, drawn.durations)
                else:
                    images.write_png(still / f"{name}.png", drawn)
            except Absent as reason:
                say(f"render: {name} is left out: {reason}")
            bar.update(done)
    bar.close()


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
