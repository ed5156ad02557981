"""Grids of faces with captions, uint8 (H, W, 3)."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from facemorph.labels import having
from faces.core.batches import batches
from faces.edits.directions import absolute, relative
from faces.flow.editor import FlowEditor
from faces.viz import images
from faces.viz.config import Pair, Render
from faces.viz.images import sheet, words
from faces.viz.renderer import Studio
from faces.viz.selection import Absent, conditions

CHUNK = (
    2048  # images summed at once: 255 * 2048 < 2^24, so that sums of pixels are exact in float32 in any order
)
POOL = 1024  # new faces among which those with labels are looked for
MODEL = "model: D(z')"
DETAIL = "detail kept: x where D(z') = D(z)"


def every(
    studio: Studio, show: Render, attributes: tuple[str, ...], components: np.ndarray
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """All sheets: file name, and function that draws it. `components` (K, D) are steps of one sigma."""
    directions = studio.directions
    yield "data_faces", partial(data_faces, studio, show)
    yield "reconstructions", partial(reconstructions, studio, show)
    yield "samples", partial(samples, studio, show)
    if isinstance(studio.editor, FlowEditor) and show.asked:
        yield "asked", partial(asked_for, studio, show, studio.editor)
    editable = tuple(name for name in attributes if name in studio.editor.attributes)
    if attributes:
        yield "means", partial(means, studio, show, attributes)
        native = show.native * np.array([directions.native(name) for name in attributes])
        yield "features_native", partial(features, studio, show, attributes, native, f"z + {show.native:g} v")
    if editable:
        yield "features_edited", partial(edited_features, studio, show, editable)
    for attribute in editable:
        yield f"edit_{attribute}", partial(strengths, studio, show, attribute)
    if isinstance(studio.editor, FlowEditor) and len(studio.editor.forms):
        yield "forms", partial(forms, studio, show, studio.editor)
    for number, step in enumerate(components, 1):
        yield f"component_{number}", partial(component, studio, show, number, step)
    for pair in show.interpolations:
        yield f"between_{pair.name}", partial(interpolation, studio, show, pair)


def data_faces(studio: Studio, show: Render) -> np.ndarray:
    """Train faces, in order."""
    rows = studio.crops.rows("train")[: 4 * 2 * show.faces]
    return sheet(
        _in_rows(studio.crops.images[rows], 2 * show.faces), show.tile, title="Faces of the train split"
    )


def reconstructions(studio: Studio, show: Render) -> np.ndarray:
    """Random test faces above their reconstructions."""
    rows = np.random.default_rng(studio.seed).permutation(studio.crops.rows("test"))[: 4 * show.faces]
    originals, rebuilt = (
        _in_rows(faces, 2 * show.faces)
        for faces in (studio.crops.images[rows], studio.decode(studio.codes[rows]))
    )
    faces = np.stack((originals, rebuilt), axis=1).reshape(
        -1, *originals.shape[1:]
    )  # a row of originals, a row of reconstructions, ...
    return sheet(
        faces,
        show.tile,
        rows=("original", "reconstruction") * len(originals),
        title="Test faces, not chosen, and what the model keeps",
    )


def samples(studio: Studio, show: Render) -> np.ndarray:
    """New faces, not chosen: from the best prior, and below from the model's own where that is another."""
    blocks = []
    for prior in dict.fromkeys((studio.priors.best, "standard")):
        faces = studio.sample(prior, show.samples)
        title = f"New faces from the prior '{prior}', none chosen"
        blocks.append(sheet(_in_rows(faces, 2 * show.faces), show.tile, title=title))
    return images.below(*blocks)


def asked_for(studio: Studio, show: Render, editor: FlowEditor) -> np.ndarray:
    """New faces from the best prior that were asked for by labels, a row each: the first that the readouts
    say have them, edited only by what they lack.
    """
    codes = studio.new_codes(studio.priors.best, POOL)
    sees = editor.readouts.labels(codes)
    width = 2 * show.faces
    rows = []
    captions = []
    for wanted in show.asked:
        try:
            signs = conditions("render.asked", wanted, editor.attributes)
        except Absent:
            continue
        asked = np.array([signs.get(name, 0) for name in editor.attributes], np.float32)
        fit = having(sees, asked, width)[:width]
        lacks = np.where(sees[fit] * asked > 0, 0, asked)
        rows.append(studio.decode(editor.edit(codes[fit], sees[fit], lacks, 1.0)))
        captions.append(", ".join(f"{'no ' if signs[name] < 0 else ''}{words(name)}" for name in signs))
    if not rows:
        raise Absent("the data have none of the labels of render.asked")
    return sheet(np.stack(rows), show.tile, rows=captions, title="New faces that were asked for, none chosen")


def means(studio: Studio, show: Render, attributes: tuple[str, ...]) -> np.ndarray:
    """Mean faces without and with each attribute and their difference: of pixels, and decoded from mean
    codes.
    """
    train = studio.crops.rows("train")
    labels = studio.crops.labels[np.ix_(train, [studio.crops.attributes.index(name) for name in attributes])]
    pixels = class_means(studio.crops.images, train, labels)
    decoded = [studio.decode(codes) for codes in class_means(studio.codes, train, labels)]
    columns = [
        face
        for without, with_it in (pixels, decoded)
        for face in (without, with_it, images.difference(without, with_it, show.gain))
    ]
    heads = [
        f"{head} {of}"
        for of in ("(pixels)", "(codes)")
        for head in ("mean without", "mean with", f"difference x {show.gain:g}")
    ]
    faces = np.stack([np.rint(column).astype(np.uint8) for column in columns], axis=1)
    return sheet(
        faces, show.tile, heads, [words(name) for name in attributes], "Mean faces of the train split"
    )


def forms(studio: Studio, show: Render, editor: FlowEditor) -> np.ndarray:
    """Train faces, not chosen, by the forms of labels that are read off their codes: a row for each form."""
    crops = studio.crops
    rows = np.sort(np.random.default_rng(studio.seed).permutation(crops.rows("train"))[:CHUNK])
    labels = editor.arranged(crops.attributes, crops.labels[rows])
    shown = editor.conditions(studio.codes[rows], labels)[:, len(editor.attributes) :] > 0
    names = editor.forms.names(editor.attributes)
    pictures = np.full((len(names), 2 * show.faces, *crops.images.shape[1:]), images.PAPER, np.uint8)
    captions = []
    for number, name in enumerate(names):
        found = rows[shown[:, number]][: 2 * show.faces]
        pictures[number, : len(found)] = crops.images[found]
        place = names[: number + 1].count(name)
        captions.append(
            f"{'no ' if name.startswith('-') else ''}{words(name.removeprefix('-'))}, form {place}"
        )
    title = "Train faces by forms that no label tells apart, not chosen"
    return sheet(pictures, show.tile, rows=captions, title=title)


def features(
    studio: Studio, show: Render, attributes: tuple[str, ...], steps: np.ndarray, formula: str
) -> np.ndarray:
    """The feature grid: faces x attributes, each moved by the attribute's step (A, D)."""
    rows = studio.cast("features", {}, show.faces)
    titles = (f"model: D({formula})", f"detail kept: x where D({formula}) = D(z)")
    return feature_grid(studio, show, rows, attributes, studio.edit(rows, steps), titles)


def edited_features(studio: Studio, show: Render, attributes: tuple[str, ...]) -> np.ndarray:
    """The feature grid of the editor: faces x attributes; each attribute is added, or removed where the face
    has it.
    """
    rows = studio.cast("features", {}, show.faces)
    labels = studio.crops.labels[np.ix_(rows, [studio.crops.attributes.index(name) for name in attributes])]
    columns = []
    for name, own in zip(attributes, labels.T, strict=True):
        both = studio.switched(name, rows, np.array([1.0, -1.0]))  # (R, 2, D)
        columns.append(np.where((own == 1)[:, None], both[:, 1], both[:, 0]))
    edited = studio.pictures(rows, np.stack(columns, axis=1))
    titles = ("Each label the other way round: model", "Each label the other way round: detail kept")
    return feature_grid(studio, show, rows, attributes, edited, titles)


def feature_grid(
    studio: Studio,
    show: Render,
    rows: np.ndarray,
    attributes: tuple[str, ...],
    edited: tuple[np.ndarray, np.ndarray],
    titles: tuple[str, str],
) -> np.ndarray:
    """Originals (R,) beside their edits (R, A, H, W, 3), decoded above detail kept."""
    originals = studio.crops.images[rows][:, None]
    heads = ["original", *map(words, attributes)]
    return images.below(
        *(
            sheet(np.concatenate((originals, faces), 1), show.tile, heads, title=title)
            for title, faces in zip(titles, edited, strict=True)
        )
    )


def strengths(studio: Studio, show: Render, attribute: str) -> np.ndarray:
    """One attribute: faces without it, to which it is given, then faces with it, from which it is taken."""
    rows = []
    labels = []
    moved = []
    for sign, label in ((-1, "given"), (1, "taken")):
        chosen = studio.cast(
            f"edit_{attribute} {label}", {attribute: sign}, show.faces // 2, edited=attribute
        )
        rows.extend(chosen)
        labels.extend([label] * len(chosen))
        moved.append(studio.switched(attribute, chosen, -sign * np.array(show.strengths)))
    chosen = np.array(rows)
    edited = studio.pictures(chosen, np.concatenate(moved))
    title = f"{words(attribute)}: 1 changes the label"
    return strip(
        studio, show, chosen, labels, edited, [f"{strength:g}" for strength in show.strengths], title
    )


def component(studio: Studio, show: Render, number: int, step: np.ndarray) -> np.ndarray:
    """Faces moved both ways along a principal component (D,) of the codes, which no label defines."""
    rows = studio.cast("components", {}, show.faces)
    return swept(studio, show, rows, (), np.tile(step, (len(rows), 1)), f"Principal component {number}")


def swept(
    studio: Studio, show: Render, rows: np.ndarray, labels: Sequence[str], steps: np.ndarray, name: str
) -> np.ndarray:
    """Faces (R,) at every strength, each along its own step (R, D) of one sigma, counted from the face or
    from the mean code.
    """
    codes = studio.codes[rows][:, None]  # (R, 1, D)
    moved = []
    for code, step in zip(codes, steps, strict=True):
        sigma = np.linalg.norm(step)
        distances = np.array(show.sigmas) * sigma
        if show.stepping == "absolute":
            moved.append(absolute(code, step / sigma, distances, studio.directions.mean))
        else:
            moved.append(relative(code, step / sigma, distances))
    place = "sigmas from the mean" if show.stepping == "absolute" else "sigmas"
    edited = studio.edit(rows, np.stack(moved) - codes)
    heads = [f"{sigma:+g}" for sigma in show.sigmas]
    return strip(studio, show, rows, labels, edited, heads, f"{name}, {place}")


def strip(
    studio: Studio,
    show: Render,
    rows: np.ndarray,
    labels: Sequence[str],
    edited: tuple[np.ndarray, np.ndarray],
    heads: Sequence[str],
    name: str,
) -> np.ndarray:
    """Originals (R,) and their edits (R, S, H, W, 3) under their heads (S,), decoded beside detail kept."""
    originals = studio.crops.images[rows][:, None]
    blocks = [
        sheet(
            np.concatenate((originals, faces), axis=1),
            show.tile,
            ["original", *heads],
            labels,
            f"{name}. {kind}",
        )
        for kind, faces in zip((MODEL, DETAIL), edited, strict=True)
    ]
    return images.beside(*blocks)


def interpolation(studio: Studio, show: Render, pair: Pair) -> np.ndarray:
    """From one person to another, in equal steps."""
    both = couple(studio, "interpolations", pair)
    positions = np.linspace(0, 1, show.steps)
    first, second = studio.crops.images[both]
    rows = np.stack([[first, *faces, second] for faces in studio.between(both, positions, show.way)])
    heads = ["original", *(f"{position:.0%}" for position in positions), "original"]
    return sheet(rows, show.tile, heads, ("model", "detail kept"), words(pair.name))


def couple(studio: Studio, key: str, pair: Pair) -> np.ndarray:
    """Rows (2,) of the two faces. Raises Absent."""
    first, second = (
        conditions(f"render.{key}.{pair.name}", labels, studio.crops.attributes)
        for labels in (pair.first, pair.second)
    )
    return studio.couple(pair.name, first, second)


def _in_rows(faces: np.ndarray, columns: int) -> np.ndarray:
    """Faces (N, H, W, 3) in rows of `columns`; what does not fill a row is left out: (R, columns,
    H, W, 3).
    """
    columns = min(columns, len(faces))
    return faces[: len(faces) // columns * columns].reshape(-1, columns, *faces.shape[1:])


def class_means(values: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The means of `values` (N, ...) over `rows` (M,), without and with each attribute of those rows'
    `labels` (M, A).

    Two float64 (A, ...), NaN for an empty class. One pass over `values`, which may be a memory map.
    """
    classes = np.concatenate((labels == -1, labels == 1), axis=1).T.astype(np.float32)  # (2A, M)
    sums = np.zeros((len(classes), int(np.prod(values.shape[1:]))))
    for some in batches(len(rows), CHUNK):
        sums += classes[:, some] @ values[rows[some]].reshape(-1, sums.shape[1]).astype(np.float32)
    counts = classes.sum(axis=1, dtype=np.float64)[:, None]
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0).reshape(
        2, labels.shape[1], *values.shape[1:]
    )
    return means[0], means[1]
