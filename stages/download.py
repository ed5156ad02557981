"""Bring in the faces, in the CelebA layout whatever they came from.

in    data/checked.json   params.yaml has been checked
out   data/raw/           images.zip, labels.csv, source.json (faces/data/annotations.py), and what else the source knows
"""

import sys
from pathlib import Path
from typing import Any

from faces import sources
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder
from faces.core.params import Group, ParamsError, load
from faces.data.annotations import RawError


class Data(Group):
    source: str


class Params(Group):
    seed: int
    data: Data
    sources: dict[str, Any]


def main(checked: Path, out: Path) -> None:
    params = load(Params)
    bar: Progress | None = None

    def report(done: int, total: int, unit: str) -> None:
        nonlocal bar
        if bar is None or (bar.total, bar.unit) != (
            total,
            unit,
        ):  # a source may fetch several files, then store the images
            if bar is not None:
                bar.close()
            bar = Progress("download", total, unit)
        bar.update(done)

    try:
        source = sources.find(params.data.source)
        with new_folder(out) as folder:
            source.fetch(sources.config(params.data.source, params.sources), params.seed, folder, report)
    except (ParamsError, sources.SourceError, RawError) as error:
        raise stop(error) from None
    say(f"download: {params.data.source} is in {out}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
