"""Fingerprint of what the source reads outside of the project, so that `dvc repro` sees pictures added and
labels corrected there.

in    the path that the source reads, where it has one
      forgotten.json      pictures that must not come back, where there are any (python -m ops.forget)
out   data/inputs.json    number of files and a checksum over their names, sizes and times, and over the
      contents of tables; and the list of what is forgotten, whole

It runs at every `dvc repro`, since DVC does not watch the path. So it reads no picture and loads no source:
200,000 files take a second and a half. A change of times alone costs no more than a download that gives the
same faces.
"""

import sys
from pathlib import Path
from typing import Any

from faces import sources
from faces.core import params
from faces.core.console import stop
from faces.core.files import write_json
from faces.ingest import fingerprints, forgotten


class Data(params.Group):
    source: str


class Params(params.Group):
    data: Data
    sources: dict[str, Any]


def run(found: Params, out: Path) -> None:
    """Write the fingerprints of what the source reads. Raises ParamsError."""
    inputs = [fingerprints.of(path) for path in sources.paths(found.data.source, found.sources)]
    values = {"source": found.data.source, "inputs": inputs}
    if withheld := forgotten.read():
        values["forgotten"] = withheld.values()
    write_json(out, values)


def main(out: Path) -> None:
    try:
        run(params.load(Params), out)
    except params.ParamsError as error:
        raise stop(error) from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
