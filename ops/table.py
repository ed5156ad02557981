"""A table of faces as CSV, for a person or a program that wants one.

    python -m ops.table data/crops faces.csv       the labels of the crops
    python -m ops.table data/raw faces.csv         those of the pictures, refused ones included
    python -m ops.table data/measures faces.csv    what was measured of each face

The first may also be a Parquet file. It is read a block at a time, so its size does not matter.
"""

import argparse
from pathlib import Path

import pandas as pd

from faces.core import parquet
from faces.core.console import stop
from faces.core.files import new_file
from faces.data import annotations, measured

TABLES = (annotations.TABLE, annotations.LABELS, measured.TABLE)


def table_of(place: Path) -> Path:
    """The table in a folder, or `place` itself. Raises FileNotFoundError where there is none."""
    found = next((place / name for name in TABLES if (place / name).is_file()), place)
    if not found.is_file():
        raise FileNotFoundError(f"{place}: no table of faces; give data/crops, data/raw or data/measures")
    return found


def write(place: Path, out: Path) -> None:
    """The whole table as CSV. Raises FileNotFoundError, or ValueError where it is no Parquet file."""
    table = table_of(place)
    with new_file(out) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        pd.DataFrame(columns=parquet.columns(table)).to_csv(file, index=False, lineterminator="\n")
        for block in parquet.blocks(table):
            block.to_pandas().to_csv(file, index=False, header=False, lineterminator="\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ops.table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("place", type=Path, help="folder of the table, or a Parquet file")
    parser.add_argument("out", type=Path, help="CSV to write")
    asked = parser.parse_args(arguments)
    try:
        write(asked.place, asked.out)
    except (FileNotFoundError, ValueError) as error:
        raise stop(error) from None


if __name__ == "__main__":
    main()
