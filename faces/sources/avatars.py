"""Drawn faces: generated locally, labels true by construction, counterfactuals known.

Labels are sampled in a causal order (NEEDS). Each attribute is a coin whose log-odds are an intercept plus
the planted `correlations` with attributes before it, times `correlation_strength`. The intercept is solved
for so that the expected rate is the configured one at any strength. At strength 0 attributes are independent,
except where they exclude or need each other (NEEDS: a bald head has no long hair, hair has one colour, bangs
hide the brows).

`Male` is a hidden cause: it draws nothing, but shifts the rates of beards, hair and brows. Labels describe
the face that was drawn: the colour of short hair under a hat is true though unseen.

Beside the raw layout this source leaves, where the test split has faces and `counterfactuals` is not 0,

    counterfactuals.zip   JPEG members: faces of the test split drawn again with one attribute flipped, all
                          else equal to the pixel
    counterfactuals.csv   name (member), of (name of the face), attribute, value (its new label, 1 or -1),
                          also (the one label that had
                          to change with it, empty for most: a hair colour takes the place of another, a bald
                          head has none), variant, form (of what is drawn anew, as the style calls it)

and where `calibration` is not 0, calibration.zip and calibration.csv, the same of the valid split, as many
pairs of either new label as there are faces for, up to `calibration`, with no variants.

A counterfactual leaves open which glasses, which hat, which beard. Variant 0 is as the face's own chances
draw it. Behind all of these come, for the first `variants` pairs of each attribute, the other faces that are
as true, numbered from 1 (faces/ingest/drawing.py, `variants`). Last come pairs in which both
attributes of a row of `together` are flipped.
"""

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationInfo, field_validator, model_validator

from faces import sources
from faces.core import threads
from faces.core.console import Report
from faces.core.params import FILE, Group, ParamsError
from faces.data import annotations
from faces.ingest import avataaars, personas, writer
from faces.ingest.drawing import CHANCES, COLOURS, Nuisance, Style

# In causal order: attribute -> what must hold of earlier ones for it to be true.
NEEDS: dict[str, dict[str, bool]] = {
    "Male": {},
    "Pale_Skin": {},
    "Bald": {},
    "Gray_Hair": {"Bald": False},
    "Red_Hair": {"Bald": False, "Gray_Hair": False},
    "Blond_Hair": {"Bald": False, "Gray_Hair": False, "Red_Hair": False},
    "Black_Hair": {"Bald": False, "Gray_Hair": False, "Red_Hair": False, "Blond_Hair": False},
    "Brown_Hair": {
        "Bald": False,
        "Gray_Hair": False,
        "Red_Hair": False,
        "Blond_Hair": False,
        "Black_Hair": False,
    },
    "Long_Hair": {"Bald": False},
    "Wavy_Hair": {"Bald": False},
    "Bangs": {"Long_Hair": True, "Wavy_Hair": False},
    "Wearing_Hat": {"Bald": False, "Wavy_Hair": False, "Bangs": False},
    "No_Beard": {},
    "Mustache": {"No_Beard": True},
    "Bushy_Eyebrows": {"Bangs": False},
    "Arched_Eyebrows": {"Bangs": False},
    "Eyeglasses": {},
    "Smiling": {},
    "Mouth_Slightly_Open": {},
    "Eyes_Closed": {},
}
ATTRIBUTES = tuple(NEEDS)
REST = "Brown_Hair"  # the colour of all hair that has no other
HIDDEN = ("Male",)
POPULATION = (
    20_000  # faces over which intercepts are solved for, at least: a handful would set the rates by chance
)
MEANINGS = {
    "Male": "a hidden cause that draws nothing",
    "Pale_Skin": "the lightest of the skin tones",
    "Bald": "no hair on the head",
    "Gray_Hair": "gray or white hair",
    "Red_Hair": "red or orange hair (not a CelebA attribute)",
    "Blond_Hair": "blond hair",
    "Black_Hair": "black hair",
    "Brown_Hair": "brown hair; all hair that has no other colour",
    "Long_Hair": "hair that reaches below the chin (not a CelebA attribute)",
    "Wavy_Hair": "curls, locks or waves",
    "Bangs": "long straight hair that covers the forehead",
    "Wearing_Hat": "a hat or a woollen cap over straight hair",
    "No_Beard": "no beard; a moustache alone is no beard",
    "Mustache": "a moustache without a beard",
    "Bushy_Eyebrows": "thick brows, not hidden by bangs",
    "Arched_Eyebrows": "raised, curved brows, not hidden by bangs",
    "Eyeglasses": "clear glasses; there are no sunglasses",
    "Smiling": "corners of the mouth above its middle",
    "Mouth_Slightly_Open": "an open mouth, smiling or not",
    "Eyes_Closed": "both eyes closed (not a CelebA attribute)",
}

Visible = Literal[tuple(name for name in ATTRIBUTES if name not in HIDDEN)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Face = tuple[dict[str, bool], dict[str, float]]  # labels and chances, as faces/ingest/drawing.py draws them
STYLES: dict[str, Style] = {"avataaars": avataaars.STYLE, "personas": personas.STYLE}


class Rates(Group):
    """Rate of each attribute among all faces. Brown_Hair has none: it is what the other colours and Bald
    leave.
    """

    Male: Rate
    Pale_Skin: Rate
    Bald: Rate
    Gray_Hair: Rate
    Red_Hair: Rate
    Blond_Hair: Rate
    Black_Hair: Rate
    Long_Hair: Rate
    Wavy_Hair: Rate
    Bangs: Rate
    Wearing_Hat: Rate
    No_Beard: Rate
    Mustache: Rate
    Bushy_Eyebrows: Rate
    Arched_Eyebrows: Rate
    Eyeglasses: Rate
    Smiling: Rate
    Mouth_Slightly_Open: Rate
    Eyes_Closed: Rate


class Correlation(Group):
    """Where `given` is true, the log-odds of `then` are higher by `log_odds`."""

    given: Literal[ATTRIBUTES]
    then: Literal[tuple(Rates.model_fields)]
    log_odds: float

    @model_validator(mode="after")
    def _follows_the_causal_order(self) -> "Correlation":
        if ATTRIBUTES.index(self.given) >= ATTRIBUTES.index(self.then):
            raise ValueError(
                f"{self.then} is not decided after {self.given}; the order is {', '.join(ATTRIBUTES)}"
            )
        return self


class Config(Group):
    style: Literal[tuple(STYLES)]  # of drawing
    count: Annotated[int, Field(ge=1, le=999_999)]  # faces
    valid: Share  # share of the faces in the validation split
    test: Share  # and in the test split; the rest is train
    quality: Annotated[int, Field(ge=1, le=100)]  # of the JPEG files
    counterfactuals: Annotated[
        int, Field(ge=0)
    ]  # pairs of each attribute: the first test faces on which it can be flipped
    variants: Annotated[int, Field(ge=0)]  # of these, the pairs whose other true faces are drawn too
    calibration: Annotated[
        int, Field(ge=0)
    ]  # pairs of each attribute and new label: the first valid faces on which it can be flipped
    both: Annotated[int, Field(ge=0)]  # pairs of each row of `together`
    together: tuple[tuple[Visible, Visible], ...]  # attributes that are flipped at once
    nuisance: Nuisance
    rates: Rates
    correlation_strength: Annotated[float, Field(ge=0)]  # multiplies every log_odds; 0 plants no correlation
    correlations: tuple[Correlation, ...]

    @field_validator("together")
    @classmethod
    def _names_two(cls, together: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for first, second in together:
            if first == second:
                raise ValueError(f"[{first}, {second}] is one attribute; name two")
        return together

    @field_validator("test")
    @classmethod
    def _leaves_faces_to_train_on(cls, test: float, info: ValidationInfo) -> float:
        if (valid := info.data.get("valid", 0.0)) + test >= 1:
            raise ValueError(f"with valid = {valid} no face is left to train on; lower one of them")
        return test


class Source(sources.Source):
    config: Config

    def attributes(self) -> tuple[str, ...]:
        """The label columns, in causal order."""
        return ATTRIBUTES

    def fetch(self, seed: int, folder: Path, report: Report) -> None:
        """Draw all faces and pairs into `folder`: the same bytes for a seed, however many processes draw.

        FACES_WORKERS in the environment sets the number of processes; without it, one for each core.
        """
        config = self.config
        style = STYLES[config.style]
        labels, chances = sample(config, seed)
        names = [f"{number:06d}.jpg" for number in range(1, config.count + 1)]
        splits = [writer.split_of(name, config.valid, config.test) for name in names]
        table = pd.DataFrame({"name": names, "split": splits, "identity": range(1, config.count + 1)})
        points = pd.DataFrame(
            [style.landmarks(*face, config.nuisance) for face in _faces(labels, chances)],
            columns=annotations.LANDMARKS,
        )
        table = pd.concat([table, points.round(3), labels.astype("int8") * 2 - 1], axis=1)

        flips, flipped = _counterfactuals(config, table, labels, chances)
        render = partial(_jpegs, style=config.style, nuisance=config.nuisance, quality=config.quality)
        drawn = {
            "counterfactuals": (flips, flipped),
            "calibration": _calibration(config, table, labels, chances),
        }
        faces = chain(_faces(labels, chances), *(some for _, some in drawn.values()))
        total = config.count + sum(len(pairs) for pairs, _ in drawn.values())
        pictures = _reported(_in_order(render, faces), total, report)
        writer.write_images(folder / "images.zip", zip(names, islice(pictures, config.count), strict=True))
        for name, (pairs, _) in drawn.items():
            if len(pairs):
                members = zip(pairs["name"], islice(pictures, len(pairs)), strict=True)
                writer.write_images(folder / f"{name}.zip", members)
                pairs.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        writer.write_labels(folder / annotations.LABELS, table)
        writer.write_source(folder / "source.json", _about(config, seed, flips), table, folder / "images.zip")


def sample(config: Config, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels, bool (N, A), and chances, float64 (N, K) in [0, 1), which together determine the faces.

    The first 20,000 faces do not depend on `count`. Raises ParamsError where a rate cannot be reached because
    too few faces have what the attribute needs.
    """
    size = max(config.count, POPULATION)
    draws = np.random.default_rng(seed).random((size, len(ATTRIBUTES) + len(CHANCES)))
    labels: dict[str, np.ndarray] = {}
    for name, coin in zip(ATTRIBUTES, draws.T, strict=False):
        possible = np.logical_and.reduce(
            [np.ones(size, bool), *(labels[need] == value for need, value in NEEDS[name].items())]
        )
        if name == REST:
            labels[name] = possible
            continue
        shifts = np.zeros(size)
        for correlation in config.correlations:
            if correlation.then == name:
                shifts += config.correlation_strength * correlation.log_odds * labels[correlation.given]
        rate = getattr(config.rates, name)
        ceiling = possible.mean()
        if rate >= ceiling:
            needs = ", ".join(f"{'' if value else 'no '}{need}" for need, value in NEEDS[name].items())
            raise ParamsError(
                f"{FILE}: sources.avatars.rates.{name} = {rate}; only {ceiling:.3f} of the faces "
                f"can have it, as it needs {needs}: "
                "lower it, or the rates that stand in its way"
            )
        labels[name] = possible & (coin < _sigmoid(intercept(shifts[possible], rate / ceiling) + shifts))
    chances = pd.DataFrame(draws[: config.count, len(ATTRIBUTES) :], columns=list(CHANCES))
    return pd.DataFrame(labels)[: config.count], chances


def intercept(shifts: np.ndarray, rate: float) -> float:
    """The b for which sigmoid(b + shifts) has the mean `rate`, by bisection; shifts (n,), rate in (0, 1)."""
    centre = np.log(rate / (1 - rate))
    # at these the mean is at most, and at least, `rate`
    low = centre - shifts.max()
    high = centre - shifts.min()
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(middle + shifts).mean() < rate else (low, middle)
    return float((low + high) / 2)


def flip(labels: dict[str, bool], name: str) -> tuple[dict[str, bool], str] | None:
    """The labels of the same face with `name` flipped, and the one other label that had to change with it, or
    "".

    Hair has exactly one colour: the old one gives way to a new one, brown takes the place of one that is
    taken away, and baldness takes the colour with it. None where there is no such face (NEEDS, or a hidden
    attribute), or where it would show elsewhere or not at all: hair colour under a hat, baldness above a
    beard, which has the colour of the hair.
    """
    bearded = labels["Mustache"] or not labels["No_Beard"]
    if name in HIDDEN or (name == "Bald" and bearded) or (name in COLOURS and labels["Wearing_Hat"]):
        return None
    new = {**labels, name: not labels[name]}
    if new[name] and name in ("Bald", *COLOURS):
        new.update({colour: False for colour in COLOURS if colour != name})
    new[REST] = all(new[need] == value for need, value in NEEDS[REST].items())
    changed = [attribute for attribute in ATTRIBUTES if new[attribute] != labels[attribute]]
    possible = all(
        new[need] == value
        for attribute in ATTRIBUTES
        if new[attribute]
        for need, value in NEEDS[attribute].items()
    )
    if name not in changed or not possible:
        return None
    (also,) = [attribute for attribute in changed if attribute != name] or [""]
    return new, also


def flip_both(labels: dict[str, bool], first: str, second: str) -> dict[str, bool] | None:
    """The labels of the same face with both attributes flipped, one after the other in the order that is
    possible (a hat comes off before hair beneath it changes colour); None where neither is.
    """
    for one, other in ((first, second), (second, first)):
        if (halfway := flip(labels, one)) and (pair := flip(halfway[0], other)):
            new, _ = pair
            if new[one] != labels[one]:
                return new
    return None


def _counterfactuals(
    config: Config, table: pd.DataFrame, labels: pd.DataFrame, chances: pd.DataFrame
) -> tuple[pd.DataFrame, list[Face]]:
    """counterfactuals.csv and the faces to draw: the pairs, behind them their other variants, and last the
    pairs of two attributes.
    """
    names = table["name"].tolist()
    tested = np.flatnonzero(table["split"] == "test")
    lines = []
    faces = []
    others = []
    joint = []
    pairs = Counter()
    for row, (truth, luck) in zip(tested, _faces(labels.iloc[tested], chances.iloc[tested]), strict=True):
        for name in ATTRIBUTES:
            if pairs[name] < config.counterfactuals and (pair := flip(truth, name)):
                new, also = pair
                pairs[name] += 1
                stem = f"{row + 1:06d}_{name}"
                of = (names[row], name, 1 if new[name] else -1, also)
                (form, _), *more = STYLES[config.style].variants(truth, new, luck)
                lines.append((f"{stem}.jpg", *of, 0, form, "", 0))
                faces.append((new, luck))
                if pairs[name] <= config.variants:
                    others += [
                        ((f"{stem}_{number}.jpg", *of, number, form, "", 0), (new, chance))
                        for number, (form, chance) in enumerate(more, 1)
                    ]
        for first, second in config.together:
            if pairs[first, second] < config.both and (new := flip_both(truth, first, second)):
                pairs[first, second] += 1
                name = f"{row + 1:06d}_{first}_and_{second}.jpg"
                of = (names[row], first, 1 if new[first] else -1, "")
                joint.append(((name, *of, 0, "", second, 1 if new[second] else -1), (new, luck)))
    lines += [line for line, _ in (*others, *joint)]
    faces += [face for _, face in (*others, *joint)]
    columns = ["name", "of", "attribute", "value", "also", "variant", "form", "second", "second_value"]
    return pd.DataFrame(lines, columns=columns), faces


def _calibration(
    config: Config, table: pd.DataFrame, labels: pd.DataFrame, chances: pd.DataFrame
) -> tuple[pd.DataFrame, list[Face]]:
    """calibration.csv and the faces to draw: pairs of the valid split, as many of either way."""
    names = table["name"].tolist()
    valid = np.flatnonzero(table["split"] == "valid")
    lines = []
    faces = []
    pairs = Counter()
    for row, (truth, luck) in zip(valid, _faces(labels.iloc[valid], chances.iloc[valid]), strict=True):
        for name in ATTRIBUTES:
            value = -1 if truth[name] else 1
            if pairs[name, value] < config.calibration and (pair := flip(truth, name)):
                new, also = pair
                pairs[name, value] += 1
                lines.append((f"{row + 1:06d}_{name}.jpg", names[row], name, value, also))
                faces.append((new, luck))
    return pd.DataFrame(lines, columns=["name", "of", "attribute", "value", "also"]), faces


def _about(config: Config, seed: int, flips: pd.DataFrame) -> dict[str, Any]:
    singles = flips[(flips["variant"] == 0) & (flips["second"] == "")]
    return {
        "source": "avatars",
        "description": (
            f"Faces drawn with {STYLES[config.style].name} and rasterised with resvg, framed like CelebA; "
            "labels are what was drawn"
        ),
        "licence": STYLES[config.style].licence,
        "redistributable": True,
        "drawn": True,
        "request": {"seed": seed, **config.model_dump(mode="json")},
        "visible": [name for name in ATTRIBUTES if name not in HIDDEN],
        "flippable": [name for name in ATTRIBUTES if name not in HIDDEN],
        "meanings": MEANINGS,
        "counterfactuals": dict(Counter(singles["attribute"])),
    }


def _faces(labels: pd.DataFrame, chances: pd.DataFrame) -> Iterator[Face]:
    for truth, luck in zip(
        labels.itertuples(index=False, name=None), chances.itertuples(index=False, name=None), strict=True
    ):
        yield dict(zip(labels.columns, truth, strict=True)), dict(zip(chances.columns, luck, strict=True))


def _jpegs(faces: Iterable[Face], style: str, nuisance: Nuisance, quality: int) -> list[bytes]:
    return [writer.encode_jpeg(STYLES[style].draw(*face, nuisance), quality) for face in faces]


def _in_order(work: Callable[[list[Face]], list[bytes]], faces: Iterator[Face]) -> Iterator[bytes]:
    """The results of `work` in the order of `faces`, from several processes where there are several, with a
    few batches under way at a time.
    """
    batches = iter(lambda: list(islice(faces, 16)), [])
    processes = threads.workers()
    if processes == 1:
        yield from chain.from_iterable(map(work, batches))
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[list[bytes]]] = deque()
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 4 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _reported(pictures: Iterable[bytes], total: int, report: Report) -> Iterator[bytes]:
    for done, picture in enumerate(pictures, 1):
        report(done, total, "faces")
        yield picture


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
