"""Write the page and the model card that say what was trained, how good it is and where it fails, from what
the other stages found.

in    data/raw/       source.json
      data/model/     model.json, history.csv, the shapes in model.safetensors
      data/vectors/   vectors.csv, phi.csv
      data/flow/      what flow.safetensors hashes to
      data/measures/  units and scales of measured labels
      reports/        metrics.json, plots/, grids/, gifs/
out   reports/index.html      one page without scripts; its pictures lie beside it in plots, grids and gifs
      reports/model_card.md   the same numbers in the format of Hugging Face's model cards
      reports/quality.json    the few that the website shows, and which model they are about
"""

import math
import sys
from pathlib import Path

import pandas as pd
from PIL import Image
from pydantic import Field
from safetensors import safe_open

from faces.core.console import stop
from faces.core.files import new_file, read_json, write_json
from faces.core.params import Group, load
from faces.data.measured import read_scales
from faces.export import bundle
from faces.report.view import Evidence, card, page


class Params(Group):
    seed: int
    primary: str = Field(alias="vectors.primary")
    images: int = Field(alias="train.images")
    editor: str = Field(alias="edits.primary")


def read_table(path: Path) -> pd.DataFrame:
    """The table at `path`, or one without rows and columns where the run left none."""
    return pd.read_csv(path) if path.is_file() else pd.DataFrame()


def weights_of(path: Path) -> int:
    """How many numbers a safetensors file holds; only its header is read."""
    with safe_open(path, "np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Width and height of every picture of a folder, by the name by which a page beside the
    folder finds it.
    """
    found = {}
    for path in sorted(path for path in folder.glob("*") if path.suffix in (".png", ".gif")):
        with Image.open(path) as picture:
            found[f"{folder.name}/{path.name}"] = picture.size
    return found


def run(
    params: Params,
    raw: Path,
    weights: Path,
    vectors: Path,
    flow: Path,
    measures: Path,
    metrics: Path,
    plots: Path,
    grids: Path,
    gifs: Path,
    page_file: Path,
    card_file: Path,
    quality_file: Path,
) -> None:
    """The stage with these params."""
    evidence = Evidence(
        seed=params.seed,
        images_seen=params.images,
        primary=params.primary,
        source=read_json(raw / "source.json"),
        model=read_json(weights / "model.json"),
        weights=weights_of(weights / "model.safetensors"),
        metrics=read_json(metrics),
        vectors=read_table(vectors / "vectors.csv"),
        phi=read_table(vectors / "phi.csv"),
        pictures=sizes(plots) | sizes(grids) | sizes(gifs),
        scales=read_scales(measures),
        measured=read_table(vectors / "measured.csv"),
        **{
            name: read_table(plots / f"{name}.csv")
            for name in ("classifier", "levels", "identity", "priors", "missing")
        },
    )
    for path, text in ((page_file, page(evidence)), (card_file, card(evidence))):
        with new_file(path) as draft:
            draft.write_text(text, encoding="utf-8")
    quality = bundle.quality(
        evidence.metrics.get("reconstruction", {}),
        read_table(plots / "counterfactuals.csv"),
        params.primary if params.editor == "directions" else params.editor,
        bundle.made_from(weights, vectors, flow),
        evidence.metrics.get("guarantee", {}),
    )
    write_json(quality_file, quality)


def main(*paths: Path) -> None:
    """As dvc.yaml calls it."""
    try:
        run(load(Params), *paths)
    except ValueError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
