"""What would an editor score that knows all of a drawn face but what cannot be seen in it?

    python -m benchmarks.redrawn DATA [--pairs 32]

DATA is a folder of outputs (`data` after `dvc repro`) of the source avatars. A face's chances say also what
its picture does not show: which hat it would have, if it had one. Each of the first pairs of every attribute
is drawn once more, with these chances drawn anew and all others kept: a picture that is true, by an editor
without luck. It is held against the nearest of the true pictures as edits are (`error_reduction_nearest`), as
it is drawn (what their number, 8 at most, leaves out), and after the model has encoded and decoded it (the
best that edits of this model can do). Both are 1 at most.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.flow_settings import context_of
from faces import sources
from faces.core.params import FILE, read
from faces.data.crops import Crops
from faces.ingest import decode, writer
from faces.ingest.drawing import Nuisance, Style
from faces.scoring.counterfactuals import Counterfactuals, Truths
from faces.sources import avatars

OTHERS = (0.31, 0.64)  # how far from its own, round the circle, a chance is tried for whether it shows


def unseen(style: Style, labels: dict[str, bool], chances: dict[str, float], nuisance: Nuisance) -> list[str]:
    """Names of the chances that do not show in the drawing of a face."""
    picture = style.draw(labels, chances, nuisance)
    found = []
    for name, chance in chances.items():
        others = ({**chances, name: (chance + step) % 1} for step in OTHERS)
        if all(np.array_equal(picture, style.draw(labels, other, nuisance)) for other in others):
            found.append(name)
    return found


def measure(data: Path, pairs: int) -> pd.DataFrame:
    """A row for each attribute: drawn, and decoded."""
    values = read(Path(FILE))
    config = sources.config("avatars", values["sources"])
    style = avatars.STYLES[config.style]
    labels, chances = avatars.sample(config, values["seed"])
    context = context_of(data, pairs)
    codec = context.codec
    crops = Crops.open(data / "crops")
    true = Counterfactuals.open(data / "crops", crops.column("name"))
    if true is None:
        raise SystemExit(f"error: {data / 'crops'} has no pairs: the data source draws no counterfactuals")
    rng = np.random.default_rng(values["seed"])
    lines = []
    for attribute in dict.fromkeys(true.attribute):
        chosen = true.of(attribute, pairs)
        rows = true.rows[chosen]
        pictures = []
        for row in rows:
            before = {name: bool(value) for name, value in labels.iloc[row].items()}
            luck = chances.iloc[row].to_dict()
            after, _ = avatars.flip(before, attribute)
            anew = {name: rng.random() for name in unseen(style, before, luck, config.nuisance)}
            drawn = style.draw(after, luck | anew, config.nuisance)
            pictures.append(decode.face(writer.encode_jpeg(drawn, config.quality), crops.geometry))
        original = codec.pictures(crops.images[rows])
        truths = Truths.of(context, true, chosen, original)
        images = codec.pictures(np.array(pictures))
        line = {"attribute": attribute, "pairs": len(chosen)}
        for name, image in (("drawn", images), ("decoded", codec.decode(codec.encode(images)))):
            line[name] = truths.scores(image, original)[0]["error_reduction_nearest"]
        lines.append(line)
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=32, help="of each attribute")
    asked = parser.parse_args()
    table = measure(asked.data, asked.pairs)
    print(table.round(3).to_string(index=False))
    print(f"mean: drawn {table['drawn'].mean():.3f}, decoded {table['decoded'].mean():.3f}")


if __name__ == "__main__":
    main()
