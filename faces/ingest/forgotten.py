"""Suppression list of forgotten pictures: salted hashes of names and contents, forgotten.json at the root.

No source brings such a picture back. Names are short: whoever has the list can test a guess.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path("forgotten.json")


@dataclass(frozen=True)
class Forgotten:
    """Hashes of forgotten names and contents, hexadecimal, all with one `salt`."""

    salt: str
    names: frozenset[str]
    contents: frozenset[str]

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Forgotten":
        """From the values of forgotten.json."""
        return cls(values["salt"], frozenset(values["names"]), frozenset(values["contents"]))

    def values(self) -> dict[str, Any]:
        """What forgotten.json holds."""
        return {"salt": self.salt, "names": sorted(self.names), "contents": sorted(self.contents)}

    def hash(self, content: bytes) -> str:
        """Salted hash of a name or a content."""
        return hashlib.sha256(bytes.fromhex(self.salt) + content).hexdigest()

    def knows(self, name: str, content: bytes | None = None) -> bool:
        """Whether a picture is forgotten, by its name or its content."""
        return self.hash(name.encode()) in self.names or (
            content is not None and self.hash(content) in self.contents
        )


def read(path: Path = FILE) -> Forgotten | None:
    """The list; None where nothing was ever forgotten."""
    return Forgotten.of(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
