"""Changes of attributes by each edit of each face, as each classifier reads them; leakage and confounding are
computed from these.

changes.npz   attributes (A,), and row by row: classifier, editor, kind, attribute (the edited one), row (of
              the face in the data), change (N, A) float32 in standard deviations. Rows of editor and kind
              "truth" are those of true counterfactuals.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

TRUTH = "truth"

Key = tuple[int, str, str, str]  # classifier, editor, kind, edited attribute


@dataclass(frozen=True)
class Changes:
    """By edit: the faces' row numbers (F,) and their changes (F, A)."""

    attributes: tuple[str, ...]
    edits: dict[Key, tuple[np.ndarray, np.ndarray]]

    def save(self, path: Path) -> None:
        """Write what `open` reads."""
        keys = [key for key, (rows, _) in self.edits.items() for _ in rows]
        columns = zip(*keys, strict=True) if keys else ((), (), (), ())
        names = ("classifier", "editor", "kind", "attribute")
        empty = np.zeros((0, len(self.attributes)), np.float32)
        np.savez(
            path,
            attributes=np.array(self.attributes),
            row=np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in self.edits.values())]),
            change=np.concatenate([empty, *(change for _, change in self.edits.values())]).astype(np.float32),
            **{
                name: np.array(column, np.int64 if name == "classifier" else str)
                for name, column in zip(names, columns, strict=True)
            },
        )

    @classmethod
    def open(cls, path: Path) -> "Changes":
        """Read changes.npz."""
        with np.load(path, allow_pickle=False) as file:
            rows = file["row"]
            change = file["change"].astype(np.float64)
            columns = [file[name].tolist() for name in ("classifier", "editor", "kind", "attribute")]
            attributes = tuple(file["attributes"].tolist())
        places: dict[Key, list[int]] = {}
        for place, key in enumerate(zip(*columns, strict=True)):
            places.setdefault(key, []).append(place)
        return cls(attributes, {key: (rows[some], change[some]) for key, some in places.items()})

    def editors(self, classifier: int) -> list[tuple[str, str]]:
        """Editor and kind of every edit, in order, without the truth."""
        return list(dict.fromkeys(key[1:3] for key in self.edits if key[0] == classifier and key[1] != TRUTH))

    def of(self, classifier: int, editor: str, kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Rows (F,) and changes (F, A) of one editor and kind, by edited attribute."""
        return {key[3]: found for key, found in self.edits.items() if key[:3] == (classifier, editor, kind)}

    def truth(self, classifier: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The same of the true counterfactuals; empty where there are none."""
        return self.of(classifier, TRUTH, TRUTH)
