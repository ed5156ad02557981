"""data/measures of a run without measured labels."""

from pathlib import Path

from faces.core.files import write_json


def none(folder: Path) -> Path:
    """The folder, as the stage leaves it where it is off."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "measures.json", {"enabled": False})
    return folder
