"""Fetch or draw the faces of the chosen source, in the CelebA layout.

in    data/checked.json   params.yaml has been checked
      data/inputs.json    what lies outside of the project is as it was, or else this stage runs again; and
                          what is forgotten, which is left out
out   data/raw/           images.zip, labels.parquet, source.json (faces/data/annotations.py), and what else
                          the source knows
"""

import json
import sys
from pathlib import Path
from typing import Any

from faces import sources
from faces.core.console import Progress, say, stop
from faces.core.files import new_folder, read_json
from faces.core.params import Group, ParamsError, load
from faces.data.annotations import RawError
from faces.ingest.forgotten import Forgotten
from faces.ingest.removal import withhold


class Data(Group):
    source: str


class Params(Group):
    seed: int
    data: Data
    sources: dict[str, Any]


def run(params: Params, out: Path, forgotten: Forgotten | None = None) -> None:
    """Fetch the faces of the source into `out`, all but the forgotten. Raises ParamsError, SourceError,
    RawError.
    """
    bar: Progress | None = None

    def report(done: int, total: int, unit: str) -> None:
        nonlocal bar
        # a source may fetch several files, then store the images
        if bar is None or (bar.total, bar.unit) != (total, unit):
            if bar is not None:
                bar.close()
            bar = Progress("download", total, unit)
        bar.update(done)

    source = sources.build(params.data.source, params.sources)
    with new_folder(out) as folder:
        source.fetch(params.seed, folder, report)
        if forgotten is not None and (count := withhold(folder, forgotten)):
            say(f"download: {count} pictures are forgotten and left out")
    for line in remarks(json.loads((out / "source.json").read_text(encoding="utf-8"))):
        say(f"download: {line}")
    say(f"download: {params.data.source} is in {out}")


def remarks(about: dict[str, Any]) -> list[str]:
    """Remarks on the data, from source.json: assumptions, rows without pictures, pictures without rows."""
    lines = list(about.get("assumed", []))
    rows = about["counts"]["images"]
    if missing := about.get("rows_without_image"):
        lines.append(f"{missing} of {rows} rows name a picture that is not there; they are left out")
    if spare := about.get("images_without_row"):
        lines.append(f"{spare} pictures have no row and are left out")
    if malformed := about.get("malformed_names"):
        count = len(malformed)
        lines.append(f"{count} pictures have names without labels and are left out; first {malformed[0]!r}")
    return lines


def main(checked: Path, inputs: Path, out: Path) -> None:
    """As dvc.yaml calls it; the first is there to be waited for."""
    withheld = read_json(inputs).get("forgotten")
    try:
        run(load(Params), out, Forgotten.of(withheld) if withheld else None)
    except (ParamsError, sources.SourceError, RawError) as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
