"""Measured labels: numbers that networks read off each cropped face, beside the labels of the data.

measures.json      whether faces were measured, and if so what: an entry for each measure (`Scale`)
measures.parquet   row i is face i: each measure in its own unit, null where the face could not be measured

As a label a measure is a number in [-1, 1], like all labels: -1 at the low end of its scale and 1 at the high
one, beyond which it is clipped. 0 is unknown, so what lies exactly between the ends counts as a hair above.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from faces.core import parquet
from faces.core.files import read_json, write_json

TABLE = "measures.parquet"
MIDDLE = 1e-6  # the label of a value exactly between the ends
THIRD = 1 / 3  # of the label: beyond it on either side lie the faces that count as with and without


class MeasuresError(ValueError):
    """data/measures does not fit the crops. The message says what to run."""


@dataclass(frozen=True)
class Scale:
    """What the labels -1 and 1 of a measure stand for."""

    name: str
    unit: str
    low: float
    high: float
    mirrored: int  # sign of the measure in the mirror image: -1 where it changes sides

    def values(self, labels: np.ndarray) -> np.ndarray:
        """The values that labels stand for, in the measure's unit."""
        return self.low + (np.asarray(labels) + 1) / 2 * (self.high - self.low)

    def worded(self, value: float) -> str:
        """A known value with its unit, to whole units: 62%, -12°."""
        return f"{round(value)}{self.unit}"


@dataclass(frozen=True)
class Measures:
    """Measures of N faces; none where the stage is off."""

    scales: tuple[Scale, ...]
    values: np.ndarray  # (N, M) in the measures' units, NaN where unknown

    @classmethod
    def open(cls, folder: Path, faces: int) -> "Measures":
        """The measures of `faces` faces. Raises MeasuresError where there are those of another number."""
        scales = read_scales(folder)
        if not scales:
            return cls((), np.zeros((faces, 0)))
        if not (folder / TABLE).is_file():
            raise MeasuresError(f"{folder / TABLE} is missing; run `dvc repro -f measure`")
        values = parquet.read(folder / TABLE, [scale.name for scale in scales]).to_numpy(float)
        if len(values) != faces:
            raise MeasuresError(
                f"{folder} has {len(values)} rows for {faces} faces; run `dvc repro -f measure`"
            )
        return cls(scales, values)

    def save(self, folder: Path, about: dict[str, object]) -> None:
        """Write what `open` reads; `about` goes into measures.json too."""
        entries = [asdict(scale) for scale in self.scales]
        write_json(folder / "measures.json", about | {"measures": entries})
        table = pd.DataFrame(self.values, columns=list(self.names))
        parquet.write(folder / TABLE, table, pa.schema(dict.fromkeys(self.names, pa.float64())))

    @property
    def names(self) -> tuple[str, ...]:
        """The measures, in order."""
        return tuple(scale.name for scale in self.scales)

    @property
    def signs(self) -> np.ndarray:
        """(M,) int8: the sign of each label in a mirror image."""
        return np.array([scale.mirrored for scale in self.scales], np.int8)

    @property
    def labels(self) -> np.ndarray:
        """(N, M) float32 labels in [-1, 1], 0 for unknown."""
        low = np.array([scale.low for scale in self.scales])
        high = np.array([scale.high for scale in self.scales])
        found = np.clip((2 * self.values - low - high) / (high - low), -1, 1)
        found = np.where(found == 0, MIDDLE, found)
        return np.nan_to_num(found).astype(np.float32)

    @property
    def sides(self) -> np.ndarray:
        """(N, M) int8: 1 in the upper third of the scale, -1 in the lower one, 0 between and for unknown."""
        labels = self.labels
        return (np.sign(labels) * (np.abs(labels) >= THIRD)).astype(np.int8)


def read_scales(folder: Path) -> tuple[Scale, ...]:
    """The scales of what was measured; none where the stage is off."""
    return tuple(Scale(**entry) for entry in read_json(folder / "measures.json").get("measures", []))


def scale_of(name: str, unit: str, values: np.ndarray, mirrored: int, clip: float) -> Scale | None:
    """The scale of values (n,), NaN where unknown, from their `clip` quantile to the one as far from the top.

    A measure that changes sides has its zero in the middle. None where the values do not vary.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    if mirrored < 0:
        high = float(np.quantile(np.abs(known), 1 - 2 * clip))
        low = -high
    else:
        low, high = (float(end) for end in np.quantile(known, [clip, 1 - clip]))
    return Scale(name, unit, round(low, 4), round(high, 4), mirrored) if round(high - low, 4) > 0 else None
