"""python -m ops.retrain.smoke EXPORT: load an export as the website does and render one edit.

Prints its id; fails with one line where anything is wrong.
"""

import sys
from pathlib import Path

import numpy as np

from facemorph.code_editors import BadValue
from facemorph.export import BadExport, Export, levels


def smoke(folder: Path) -> str:
    """The id of an export that works. Raises BadExport or BadValue."""
    export = Export(folder)
    code = export.sample(1)
    plain = levels(export.decode(code[None]))
    edited = levels(export.decode(export.edit(code, {export.names[0]: 1.0})[None]))
    if np.array_equal(plain, edited):
        raise BadExport(f"{folder}: an edit of {export.names[0]} by a change of its label changes no pixel")
    if not np.isfinite(export.encode(plain[0])).all():
        raise BadExport(f"{folder}: its own picture is encoded to NaN or infinity")
    return export.id


def main(folder: Path) -> None:
    try:
        print(smoke(folder))
    except (BadExport, BadValue) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
