"""What every style of drawn faces shares: chances, colours, CelebA's frame, and the drawing itself.

A face is `labels` (attribute -> bool: what is true of it) and `chances` (CHANCES -> [0, 1): what the labels
leave open: pose, colours, which of several equal drawings). Labels choose the drawings that may be used, and
chances pick one of them, so that flipping a label leaves the rest of the face the same, to the pixel.

A style has coordinates of its own. One similarity transform, the least-squares fit of its eyes and mouth to
CelebA's template, brings it into the 178 x 218 picture. No similarity fits all three points: drawn eyes
stand wider than CelebA's and drawn mouths higher, so that each point is off by some pixels, always the same
way; the landmarks say where the points truly are.

Landmarks and template are in pixels, (0, 0) being the centre of the first pixel, as in CelebA's files.
"""

import cmath
import colorsys
import functools
import io
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
import resvg_py
from PIL import Image
from pydantic import Field

from faces.core.params import Group

WIDTH = 178
HEIGHT = 218
COLOURS = ("Gray_Hair", "Red_Hair", "Blond_Hair", "Black_Hair", "Brown_Hair")

CHANCES = (
    *("rotation", "shift_x", "shift_y", "scale"),
    *(
        "background_hue",
        "background_saturation",
        "background_value",
        "gradient",
        "gradient_angle",
        "gradient_value",
    ),
    *(
        "skin",
        "hair",
        "hair_shade",
        "eyes",
        "mouth",
        "beard",
        "glasses",
        "frame",
        "hat",
        "hat_hue",
        "hat_value",
    ),
    *("clothes", "clothes_hue", "clothes_saturation", "clothes_value"),
)

# Where CelebA puts left eye, right eye and the middle of the mouth: align_face_celeba.m, less one, as MATLAB
# counts from 1.
TEMPLATE = (69.745 + 111j, 107.237 + 111j, 88.432 + 152.514j)

HAIR_COLOURS = {  # from, to: the shades of one colour, apart enough to be told from the next at 64 pixels
    "Gray_Hair": ("#b4b4b8", "#dededf"),
    "Red_Hair": ("#c93305", "#d8622a"),
    "Blond_Hair": ("#d6b370", "#ecd593"),
    "Black_Hair": ("#0e0a09", "#201815"),
    "Brown_Hair": ("#553320", "#6e4426"),
}
BLOND_BEARD = ("#ad7d22", "#c99a3a")  # darker than the hair, which would be lost on light skin
SKIN = {
    True: ("#fbdccb", "#ffece2"),
    False: ("#f0c096", "#d99b6c", "#b97f54", "#9c6844"),
}  # Pale_Skin; brown hair is seen on all
FRAMES = ("#262e33", "#16181a", "#4a1d1d", "#1f3f63")
PLACES = {"skin": 4, "hair_shade": 2, "frame": 2, "hat_hue": 4}  # of each colour, in `variants`


class Nuisance(Group):
    """Nuisance variation: pose, scale, background. Each amount is a maximum; values are uniform up to it."""

    rotation: Annotated[float, Field(ge=0, le=30)]  # degrees, either way
    shift: Annotated[float, Field(ge=0, le=30)]  # pixels, either way, in x and in y
    scale: Annotated[float, Field(ge=0, le=0.5)]  # share of the size, either way
    gradient: Annotated[float, Field(ge=0, le=1)]  # share of backgrounds that shade off; the others are plain


class Style(ABC):
    """A style of drawing, in coordinates of its own: x + iy in its units."""

    name: ClassVar[str]
    licence: ClassVar[str]
    eyes: ClassVar[tuple[complex, complex]]
    nose: ClassVar[complex]
    mouth_corners: ClassVar[dict[str, tuple[complex, complex]]]  # of each mouth that is drawn

    # The drawings of the style, of which a face's chances pick one.
    eyelids: ClassVar[dict[bool, Sequence[str]]]  # Eyes_Closed
    mouths: ClassVar[dict[tuple[bool, bool], Sequence[str]]]  # (Smiling, Mouth_Slightly_Open)
    hair: ClassVar[dict[tuple[bool, bool, bool], Sequence[str]]]  # (Long_Hair, Wavy_Hair, Bangs)
    hats: ClassVar[Sequence[str]]
    beards: ClassVar[Sequence[str]]
    moustaches: ClassVar[Sequence[str]]
    glasses: ClassVar[Sequence[str]]

    @abstractmethod
    def layers(self, labels: Mapping[str, bool], chances: Mapping[str, float]) -> Iterator[str]:
        """The drawings from back to front, as SVG, with {skin}, {hair} and so on in the place of colours."""

    def draw(
        self, labels: Mapping[str, bool], chances: Mapping[str, float], nuisance: Nuisance
    ) -> Image.Image:
        """The face as an RGB picture, 178 x 218."""
        colours = self._colours(labels, chances)
        layers = "".join(self.layers(labels, chances))
        turn, move = self.pose(chances, nuisance)
        move += 0.5 + 0.5j  # in SVG the centre of the first pixel is (0.5, 0.5)
        numbers = (turn.real, turn.imag, -turn.imag, turn.real, move.real, move.imag)
        matrix = " ".join(f"{number:.6f}" for number in numbers)
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
            f'<g transform="matrix({matrix})">{layers}</g></svg>'
        )
        face = Image.open(
            io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg.format(**colours), skip_system_fonts=True))
        )
        picture = _background(chances, nuisance)
        picture.paste(face, mask=face)
        return picture

    def forms(self, labels: Mapping[str, bool]) -> dict[str, Sequence[str]]:
        """Chance -> the drawings of the style among which it picks, for a face with these labels."""
        found = {
            "eyes": self.eyelids[labels["Eyes_Closed"]],
            "mouth": self.mouths[labels["Smiling"], labels["Mouth_Slightly_Open"]],
        }
        if not labels["Bald"]:
            found["hair"] = self.hair[labels["Long_Hair"], labels["Wavy_Hair"], labels["Bangs"]]
        if labels["Wearing_Hat"]:
            found["hat"] = self.hats
        if not labels["No_Beard"] or labels["Mustache"]:
            found["beard"] = self.moustaches if labels["No_Beard"] else self.beards
        if labels["Eyeglasses"]:
            found["glasses"] = self.glasses
        return found

    def tints(self, labels: Mapping[str, bool]) -> dict[str, Sequence[str] | str]:
        """Chance -> the colours among which it picks, for a face with these labels."""
        found: dict[str, Sequence[str] | str] = {"skin": SKIN[labels["Pale_Skin"]]}
        if not labels["Bald"] or not labels["No_Beard"] or labels["Mustache"]:
            found["hair_shade"] = _hair_colour(labels)
        if labels["Wearing_Hat"]:
            found["hat_hue"] = "any hue"
        if labels["Eyeglasses"]:
            found["frame"] = FRAMES
        return found

    def variants(
        self, before: Mapping[str, bool], after: Mapping[str, bool], chances: Mapping[str, float]
    ) -> list[tuple[str, dict[str, float]]]:
        """Every face that a face with labels `before` may become when these change to `after`: the form, and
        the chances that draw it. The first is the one that the face's own chances draw.

        What the change leaves open is drawn in every form that the labels allow (which glasses, hat, beard,
        mouth, hair) and in PLACES colours spread evenly from its own. The rest stays. There are 8 at most.
        """
        forms_before = self.forms(before)
        tints_before = self.tints(before)
        open_forms = {
            name: options for name, options in self.forms(after).items() if forms_before.get(name) != options
        }
        open_tints = [
            name for name, options in self.tints(after).items() if tints_before.get(name) != options
        ]
        ways = []
        for name, options in open_forms.items():
            own = int(chances[name] * len(options))
            numbers = [(own + step) % len(options) for step in range(len(options))]
            ways.append(
                [(options[k], name, chances[name] if k == own else (k + 0.5) / len(options)) for k in numbers]
            )
        for name in open_tints:
            turns = [step / PLACES[name] for step in range(PLACES[name])]
            ways.append([("", name, (chances[name] + turn) % 1) for turn in turns])
        return [
            (
                " ".join(form for form, _, _ in way if form),
                {**chances, **{name: value for _, name, value in way}},
            )
            for way in itertools.product(*ways)
        ]

    def landmarks(
        self, labels: Mapping[str, bool], chances: Mapping[str, float], nuisance: Nuisance
    ) -> list[float]:
        """x and y of left eye, right eye, nose, left and right corner of the mouth as drawn, in pixels, in
        the order of faces.data.annotations.LANDMARKS.
        """
        turn, move = self.pose(chances, nuisance)
        points = (*self.eyes, self.nose, *self.mouth_corners[self.mouth(labels, chances)])
        return [
            float(value)
            for point in points
            for value in ((turn * point + move).real, (turn * point + move).imag)
        ]

    def pose(self, chances: Mapping[str, float], nuisance: Nuisance) -> tuple[complex, complex]:
        """(turn, move) that take a point p of the style, x + iy, to the pixel turn * p + move.

        The fit to the template, then a rotation and scaling about the template's middle and a shift, within
        what `nuisance` allows.
        """
        turn, move = self.fit
        angle = math.radians(nuisance.rotation * (2 * chances["rotation"] - 1))
        extra = cmath.rect(1 + nuisance.scale * (2 * chances["scale"] - 1), angle)
        shift = nuisance.shift * complex(2 * chances["shift_x"] - 1, 2 * chances["shift_y"] - 1)
        middle = sum(TEMPLATE) / len(TEMPLATE)
        return turn * extra, (move - middle) * extra + middle + shift

    def mouth(self, labels: Mapping[str, bool], chances: Mapping[str, float]) -> str:
        """The style's name of the mouth that is drawn."""
        return pick(self.forms(labels)["mouth"], chances["mouth"])

    @functools.cached_property
    def fit(self) -> tuple[complex, complex]:
        """The least-squares similarity from the style's eyes p and mean mouth to the template q: least sum
        |turn p + move - q|^2.
        """
        middle_of_mouths = sum(sum(corners) / 2 for corners in self.mouth_corners.values()) / len(
            self.mouth_corners
        )
        points = np.array([*self.eyes, middle_of_mouths])
        goals = np.array(TEMPLATE)
        centred = points - points.mean()
        turn = (centred.conj() * goals).sum() / (centred.conj() * centred).sum().real
        return complex(turn), complex(goals.mean() - turn * points.mean())

    def _colours(self, labels: Mapping[str, bool], chances: Mapping[str, float]) -> dict[str, str]:
        """The style's name of each colour -> hex."""
        colour = _hair_colour(labels)
        return {
            "skin": _ramp(SKIN[labels["Pale_Skin"]], chances["skin"]),
            "hair": _ramp(HAIR_COLOURS[colour], chances["hair_shade"]),
            "facialHair": _ramp(
                BLOND_BEARD if colour == "Blond_Hair" else HAIR_COLOURS[colour], chances["hair_shade"]
            ),
            "hat": _hex(_rgb(chances["hat_hue"], 0.6, 0.25 + 0.6 * chances["hat_value"])),
            "clothes": _hex(
                _rgb(
                    chances["clothes_hue"],
                    0.7 * chances["clothes_saturation"],
                    0.3 + 0.6 * chances["clothes_value"],
                )
            ),
            "accessories": pick(FRAMES, chances["frame"]),
        }


def _hair_colour(labels: Mapping[str, bool]) -> str:
    return next((name for name in COLOURS if labels[name]), "Brown_Hair")  # a bald man's beard is brown


def _background(chances: Mapping[str, float], nuisance: Nuisance) -> Image.Image:
    """One soft colour, or a straight transition to a lighter or darker one in any direction."""
    hue = chances["background_hue"]
    saturation = 0.05 + 0.4 * chances["background_saturation"]
    near, far = (
        np.array(_rgb(hue, saturation, 0.5 + 0.45 * chances[name]))
        for name in ("background_value", "gradient_value")
    )
    if chances["gradient"] >= nuisance.gradient:
        return Image.new("RGB", (WIDTH, HEIGHT), tuple(np.rint(near).astype(int)))
    direction = cmath.rect(1, 2 * math.pi * chances["gradient_angle"])
    way = (
        np.linspace(-0.5, 0.5, WIDTH) * direction.real
        + np.linspace(-0.5, 0.5, HEIGHT)[:, None] * direction.imag
    )  # (H, W)
    share = (0.5 + way / (abs(direction.real) + abs(direction.imag)))[
        ..., None
    ]  # (H, W, 1), 0 in one corner, 1 in the opposite one
    return Image.fromarray(np.rint(near + share * (far - near)).astype(np.uint8))


def pick(options: Sequence[str], chance: float) -> str:
    """The one of equally likely options that a chance in [0, 1) stands for."""
    return options[int(chance * len(options))]


def _ramp(colours: Sequence[str], place: float) -> str:
    """The colour at `place` in [0, 1) along a chain of colours, straight lines between them in RGB."""
    start = int(place * (len(colours) - 1))
    weight = place * (len(colours) - 1) - start
    one, two = (bytes.fromhex(colour[1:]) for colour in colours[start : start + 2])
    return _hex([a + weight * (b - a) for a, b in zip(one, two, strict=True)])


def _rgb(hue: float, saturation: float, value: float) -> list[float]:
    return [255 * part for part in colorsys.hsv_to_rgb(hue, saturation, value)]


def _hex(rgb: Sequence[float]) -> str:
    return "#" + bytes(map(round, rgb)).hex()
