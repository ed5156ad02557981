"""What a file holds, for a search."""

from pathlib import Path

import pandas as pd

from faces.core.parquet import MAGIC


def content_of(path: Path) -> bytes:
    """The bytes of a file, and of a Parquet table its cells as text too."""
    content = path.read_bytes()
    return content + pd.read_parquet(path).to_csv().encode() if content.startswith(MAGIC) else content
