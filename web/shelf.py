"""The export being served, and its exchange for the next while serving."""

import contextlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

from facemorph.export import BadExport, Export, located, open_export, quality

log = logging.getLogger("facemorph.web")


class Shelf:
    """The export being served, and the one before it. `refresh` changes over to a new one only when it works.

    `place` is an export folder, or a JSON file that points to one (facemorph/export.py). `quality_file` has
    figures of it, where none lie beside the export.
    """

    def __init__(self, place: Path, quality_file: Path | None = None) -> None:
        """Raises BadExport."""
        self.place = place
        self.quality_file = quality_file
        self.previous: Export | None = None
        self.lock = threading.Lock()
        self.seen = self.signature()
        self.current = open_export(place)

    def news(self) -> dict[str, str | None]:
        """How fresh the export is, from the pointer and the retraining job's status.json.

        version, since: who serves; checked: the job's last success; due: when the next is expected. ISO
        times; None where it is not said.
        """
        told: dict[str, str | None] = dict.fromkeys(("version", "since", "checked", "due"))
        if self.place.suffix == ".json":
            for path, names in (
                (self.place, ("version", "since")),
                (self.place.with_name("status.json"), ("succeeded", "due")),
            ):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    values = json.loads(path.read_text(encoding="utf-8"))
                    told |= {
                        name.replace("succeeded", "checked"): str(values[name])
                        for name in names
                        if values.get(name)
                    }
        return told

    def quality(self, export: Export) -> dict[str, Any]:
        """The measured quality of an export; {} where it is not known."""
        beside = export.folder / "quality.json"
        return quality(export, beside, *([self.quality_file] if self.quality_file else []))

    def signature(self) -> tuple[Any, ...]:
        """What changes when there is a new export; cheap enough to ask for every second."""
        try:
            folder, expected = located(self.place)
            stats = [path.stat() for path in (self.place, folder, folder / "bundle.json")]
        except (BadExport, OSError):
            return ()
        return (folder, expected, *((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats))

    def refresh(self) -> bool:
        """Change over to a new export if there is one that loads. Returns whether it changed."""
        with self.lock:
            signature = self.signature()
            if signature in ((), self.seen):
                return False
            self.seen = signature
            try:
                export = open_export(self.place)
            except BadExport as error:
                log.warning("a new export was refused, still serving %s: %s", self.current.id, error)
                return False
            if export.id == self.current.id:
                return False
            self.previous = self.current
            self.current = export
            log.warning("now serving %s, was %s", self.current.id, self.previous.id)
            return True

    def get(self, wanted: str | None) -> Export | None:
        """The export called `wanted`, the current one for None; None where it is neither of the two."""
        current = self.current
        previous = self.previous
        if wanted is None or wanted == current.id:
            return current
        return previous if previous is not None and wanted == previous.id else None
