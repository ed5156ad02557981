"""Draw what a person looks at.

in    data/crops/      the faces and their labels
      data/model/      the trained model, and its reconstructions as training advanced
      data/latents/    the code of every face
      data/vectors/    the directions
out   reports/grids/*.png   statistics of the data, reconstructions, samples, mean faces, edits by attribute, feature grids, interpolations
      reports/gifs/*.gif    edits there and back, one face becoming another, walks through the code space, the training

Faces come from the test split, drawn by the seed among those with the labels asked for. Every edit stands beside its detail-keeping form,
x + D(z + s v) - D(z). What the data lack (an attribute, a face with such labels) is left out, with a line that says so.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from faces import charts, checkpoints, pictures
from faces.casting import Absent, conditions, unsigned
from faces.crops import Crops
from faces.devices import pick_device
from faces.directions import Directions
from faces.editing import closed_walk, eased, there_and_back
from faces.files import new_folder
from faces.params import Group, load, present
from faces.pictures import sheet, words
from faces.raw import SPLITS
from faces.statistics import class_means, phi, rates
from faces.studio import Studio
from faces.terminal import Progress, say, stop

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]  # of a file
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=16, le=1024)]
Labels = tuple[str, ...]  # of a face: `Smiling`, `-Male`; with "?" behind: only where the data have it


class Samples(Group):
    """New faces from the prior."""

    count: Count
    temperatures: tuple[float, ...]


class Animation(Group):
    """How animations move."""

    tile: Pixels
    frames: Annotated[int, Field(ge=2)]
    fps: Annotated[int, Field(ge=1, le=50)]
    hold: Annotated[int, Field(ge=0)]


class Edit(Group):
    """One face, edited there and back."""

    name: Name
    attribute: str
    where: Labels
    path: tuple[float, float]


class Pair(Group):
    """Two faces of different people."""

    name: Name
    first: Labels
    second: Labels


class Morphs(Group):
    """Closed walks through the codes of test faces."""

    count: Annotated[int, Field(ge=0)]
    anchors: Annotated[int, Field(ge=3)]
    frames: Count


class Render(Group):
    """The group `render`."""

    batch: Count
    rivals: Count
    tile: Pixels
    faces: Annotated[int, Field(ge=2)]
    attributes: tuple[str, ...]
    strengths: tuple[float, ...]
    native: float
    calibrated: float
    gain: float
    samples: Samples
    way: Literal["line", "arc"]
    steps: Annotated[int, Field(ge=2)]
    interpolations: tuple[Pair, ...]
    animation: Animation
    edits: tuple[Edit, ...]
    journeys: tuple[Pair, ...]
    morphs: Morphs


class Params(Group):
    """The keys that this stage reads."""

    seed: int
    primary: str = Field(alias="vectors.primary")
    render: Render


def wanted_attributes(params: Params) -> Iterator[tuple[str, Labels]]:
    """Every key that names attributes, and the names, for the check before any work."""
    yield "render.attributes", params.render.attributes
    for edit in params.render.edits:
        yield f"render.edits.{edit.name}", (edit.attribute, *unsigned(edit.where))
    for key in ("interpolations", "journeys"):
        for pair in getattr(params.render, key):
            yield f"render.{key}.{pair.name}", unsigned(pair.first + pair.second)


class Film(NamedTuple):
    """An animation: which of the frames (F, h, w, 3) are shown one after the other, and for how many milliseconds each."""

    frames: np.ndarray
    order: np.ndarray
    durations: list[int]


MODEL, DETAIL = "model: D(z + s v)", "detail kept: x + D(z + s v) - D(z)"


def sheets(studio: Studio, show: Render, attributes: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Every sheet: the name of its file, and how to draw it."""
    directions = studio.directions
    yield "data_faces", partial(data_faces, studio, show)
    yield "reconstructions", partial(reconstructions, studio, show)
    yield "samples", partial(samples, studio, show)
    yield "means", partial(means, studio, show, attributes)
    native = show.native * np.array([directions.native(name) for name in attributes])
    yield "features_native", partial(features, studio, show, attributes, native, f"z + {show.native:g} v")
    calibrated = show.calibrated * np.array([directions.one_sigma(name) for name in attributes])
    yield "features_calibrated", partial(features, studio, show, attributes, calibrated, f"z + {show.calibrated:g} sigma")
    for attribute in attributes:
        yield f"edit_{attribute}", partial(strengths, studio, show, attribute)
    for pair in show.interpolations:
        yield f"between_{pair.name}", partial(interpolation, studio, show, pair)


def films(studio: Studio, show: Render, snapshots: np.ndarray) -> Iterator[tuple[str, Callable[[], Film]]]:
    """Every animation: the name of its file, and how to draw it."""
    for edit in show.edits:
        yield edit.name, partial(edit_film, studio, show, edit)
    for pair in show.journeys:
        yield pair.name, partial(journey_film, studio, show, pair)
    for number in range(1, show.morphs.count + 1):
        yield f"morph_{number}", partial(morph_film, studio, show, f"morph_{number}")
    yield "training", partial(training_film, show, snapshots)


def data_faces(studio: Studio, show: Render) -> np.ndarray:
    """Training faces as they come."""
    rows = studio.crops.rows("train")[: 4 * 2 * show.faces]
    return sheet(_in_rows(studio.crops.images[rows], 2 * show.faces), show.tile, title="Faces of the train split")


def reconstructions(studio: Studio, show: Render) -> np.ndarray:
    """Test faces drawn without any choice, above what the model makes of them."""
    rows = np.random.default_rng(studio.seed).permutation(studio.crops.rows("test"))[: 4 * show.faces]
    originals, rebuilt = (_in_rows(faces, 2 * show.faces) for faces in (studio.crops.images[rows], studio.decode(studio.codes[rows])))
    faces = np.stack((originals, rebuilt), axis=1).reshape(-1, *originals.shape[1:])  # a row of originals, a row of reconstructions, ...
    return sheet(
        faces, show.tile, rows=("original", "reconstruction") * len(originals), title="Test faces, not chosen, and what the model keeps"
    )


def samples(studio: Studio, show: Render) -> np.ndarray:
    """New faces, one block for each temperature."""
    blocks = []
    for temperature in show.samples.temperatures:
        faces = studio.sample(show.samples.count, temperature)
        blocks.append(sheet(_in_rows(faces, 2 * show.faces), show.tile, title=f"Samples from the prior at temperature {temperature:g}"))
    return pictures.below(*blocks)


def means(studio: Studio, show: Render, attributes: tuple[str, ...]) -> np.ndarray:
    """Mean faces without and with each attribute, and what the attribute adds: of pixels, and decoded from mean codes."""
    train = studio.crops.rows("train")
    labels = studio.crops.labels[np.ix_(train, [studio.crops.attributes.index(name) for name in attributes])]
    pixels = class_means(studio.crops.images, train, labels)
    decoded = [studio.decode(codes) for codes in class_means(studio.codes, train, labels)]
    columns = [
        face for without, with_it in (pixels, decoded) for face in (without, with_it, pictures.difference(without, with_it, show.gain))
    ]
    heads = [f"{head} {of}" for of in ("(pixels)", "(codes)") for head in ("mean without", "mean with", f"difference x {show.gain:g}")]
    faces = np.stack([np.rint(column).astype(np.uint8) for column in columns], axis=1)
    return sheet(faces, show.tile, heads, [words(name) for name in attributes], "Mean faces of the train split")


def features(studio: Studio, show: Render, attributes: tuple[str, ...], steps: np.ndarray, formula: str) -> np.ndarray:
    """The feature grid: faces x attributes, each moved by the attribute's step (A, D)."""
    rows = studio.cast("features", {}, show.faces)
    originals = studio.crops.images[rows][:, None]
    heads = ["original", *map(words, attributes)]
    kinds = zip((f"model: D({formula})", f"detail kept: x + D({formula}) - D(z)"), studio.edit(rows, steps), strict=True)
    return pictures.below(*(sheet(np.concatenate((originals, edited), 1), show.tile, heads, title=title) for title, edited in kinds))


def strengths(studio: Studio, show: Render, attribute: str) -> np.ndarray:
    """One attribute: faces without it, then faces with it, moved both ways."""
    rows, labels = [], []
    for sign, label in ((-1, "without"), (1, "with")):
        chosen = studio.cast(f"edit_{attribute} {label}", {attribute: sign}, show.faces // 2)
        rows.extend(chosen)
        labels.extend([label] * len(chosen))
    steps = np.multiply.outer(show.strengths, studio.directions.one_sigma(attribute)).astype(np.float32)
    originals = studio.crops.images[rows][:, None]
    heads = ["original", *(f"{strength:+g}" for strength in show.strengths)]
    blocks = [
        sheet(np.concatenate((originals, edited), axis=1), show.tile, heads, labels, f"{words(attribute)}, sigmas. {kind}")
        for kind, edited in zip((MODEL, DETAIL), studio.edit(np.array(rows), steps), strict=True)
    ]
    return pictures.beside(*blocks)


def interpolation(studio: Studio, show: Render, pair: Pair) -> np.ndarray:
    """From one person to another, in equal steps."""
    both = _couple(studio, "interpolations", pair)
    positions = np.linspace(0, 1, show.steps)
    first, second = studio.crops.images[both]
    rows = np.stack([[first, *faces, second] for faces in studio.between(both, positions, show.way)])
    heads = ["original", *(f"{position:.0%}" for position in positions), "original"]
    return sheet(rows, show.tile, heads, ("model", "detail kept"), words(pair.name))


def edit_film(studio: Studio, show: Render, edit: Edit) -> Film:
    """One face with an attribute added or removed, there and back."""
    key, known = f"render.edits.{edit.name}", studio.crops.attributes
    (attribute,) = conditions(key, (edit.attribute,), known)
    if attribute not in studio.directions.attributes:
        raise Absent(f"{attribute} has no direction: too few faces on one side")
    row = studio.cast(edit.name, conditions(key, edit.where, known), 1)
    start, end = edit.path
    strengths = start + (end - start) * eased(show.animation.frames)
    model, detail = studio.edit(row, np.multiply.outer(strengths, studio.directions.one_sigma(attribute)))
    captions = [f"{words(attribute)} {strength:+.1f} sigma" for strength in strengths]
    return _returning(show.animation, pictures.film({"model": model[0], "detail kept": detail[0]}, show.animation.tile, captions))


def journey_film(studio: Studio, show: Render, pair: Pair) -> Film:
    """One person becoming another, there and back."""
    both = _couple(studio, "journeys", pair)
    positions = eased(show.animation.frames)
    model, detail = studio.between(both, positions, show.way)
    captions = [f"{words(pair.name)} {position:.0%}" for position in positions]
    return _returning(show.animation, pictures.film({"model": model, "detail kept": detail}, show.animation.tile, captions))


def morph_film(studio: Studio, show: Render, name: str) -> Film:
    """A walk from test face to test face that ends where it began."""
    rows = studio.cast(name, {}, show.morphs.anchors)
    if len(rows) < 3:
        raise Absent("a walk needs three test faces")
    count = len(rows) * show.morphs.frames
    walk = closed_walk(studio.codes[rows], count, studio.directions.mean)
    frames = pictures.film({"": studio.decode(walk)}, show.animation.tile, [""] * count)
    return Film(frames, np.arange(count), [_period(show.animation)] * count)


def training_film(show: Render, snapshots: np.ndarray) -> Film:
    """The same faces, reconstructed as training advanced; `snapshots` (T, K, H, W, 3) begin with the originals."""
    originals, *reports = snapshots[:, : 2 * show.faces]
    frames = [
        sheet(np.stack((originals, faces)), show.tile, rows=("original", "model"), title=f"Training: report {number} of {len(reports)}")
        for number, faces in enumerate(reports, 1)
    ]
    durations = [3 * _period(show.animation)] * (len(frames) - 1) + [3 * _period(show.animation) + show.animation.hold]
    return Film(np.stack(frames), np.arange(len(frames)), durations)


def _couple(studio: Studio, key: str, pair: Pair) -> np.ndarray:
    """Rows (2,) of the two faces. Raises Absent."""
    first, second = (conditions(f"render.{key}.{pair.name}", labels, studio.crops.attributes) for labels in (pair.first, pair.second))
    return studio.couple(pair.name, first, second)


def _in_rows(faces: np.ndarray, columns: int) -> np.ndarray:
    """Faces (N, H, W, 3) in rows of `columns`; what does not fill a row is left out: (R, columns, H, W, 3)."""
    columns = min(columns, len(faces))
    return faces[: len(faces) // columns * columns].reshape(-1, columns, *faces.shape[1:])


def _period(animation: Animation) -> int:
    """Milliseconds of a frame, a multiple of 10 as GIF counts."""
    return round(100 / animation.fps) * 10


def _returning(animation: Animation, frames: np.ndarray) -> Film:
    """`frames` played there and back, with a rest at both ends."""
    order = there_and_back(len(frames))
    rest = np.isin(order, (0, len(frames) - 1)) * animation.hold
    return Film(frames, order, [_period(animation) + round(int(extra), -1) for extra in rest])


def statistics(folder: Path, crops: Crops) -> None:
    """Charts of the data."""
    shares = {split: rates(crops.labels[crops.rows(split)]) for split in SPLITS}
    charts.rates(shares, crops.attributes, folder / "data_rates.png")
    charts.correlation(phi(crops.labels), crops.attributes, folder / "data_correlation.png")


def main(crops_folder: Path, weights: Path, latents: Path, vectors: Path, grids: Path, gifs: Path) -> None:
    try:
        params = load(Params)
        crops, device = Crops.open(crops_folder), pick_device()
        model, _ = checkpoints.load(weights)
        directions = Directions.open(vectors, params.primary)
        attributes = present("render.attributes", params.render.attributes, crops.attributes)
    except ValueError as error:
        raise stop(error) from None
    codes = np.load(latents / "latents.npy", mmap_mode="r", allow_pickle=False)
    snapshots = np.load(weights / "snapshots.npy", allow_pickle=False)
    show, studio = (
        params.render,
        Studio(crops, codes, model.to(device), device, directions, params.render.batch, params.render.rivals, params.seed),
    )
    attributes = tuple(name for name in attributes if name in directions.attributes)
    jobs = [*sheets(studio, show, attributes), *films(studio, show, snapshots)]
    bar = Progress("render", len(jobs), "pictures")
    with new_folder(grids) as stills, new_folder(gifs) as moving:
        statistics(stills, crops)
        for done, (name, draw) in enumerate(jobs, 1):
            try:
                drawn = draw()
                if isinstance(drawn, Film):
                    pictures.write_gif(moving / f"{name}.gif", drawn.frames, drawn.order, drawn.durations)
                else:
                    pictures.write_png(stills / f"{name}.png", drawn)
            except Absent as reason:
                say(f"render: {name} is left out: {reason}")
            bar.update(done)
    bar.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
