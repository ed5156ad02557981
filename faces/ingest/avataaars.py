"""Renderer of drawn faces from labels: Pablo Stanley's Avataaars, in CelebA's frame.

A face is `labels` (attribute -> bool: what is true of it) and `chances` (CHANCES -> [0, 1): what the labels
leave open: pose, colours, which of several equal drawings). Labels choose the drawings that may be used, and
chances pick one of them, so that flipping a label leaves the rest of the face the same, to the pixel.

The style's own coordinates are a square of 280 units. One similarity transform, the least-squares fit of its
eyes and mouth to CelebA's template, brings it into the 178 x 218 picture. No similarity fits all three
points: the drawn eyes stand wider than CelebA's and the drawn mouth higher, so that each point is off by 3 to
4 pixels, always the same way; the landmarks say where the points truly are.

Landmarks and template are in pixels, (0, 0) being the centre of the first pixel, as in CelebA's files.
"""

import cmath
import colorsys
import functools
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Annotated

import numpy as np
import resvg_py
from dicebear import Avatar, Style
from PIL import Image
from pydantic import Field

from faces.core.params import Group

LICENCE = (
    "Avataaars by Pablo Stanley (https://avataaars.com/): free for personal and commercial use; DiceBear: MIT"
)
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

# The style's own coordinates, x + iy in its units.
EYES = (114 + 112j, 166 + 112j)
NOSE = 140 + 138j
MOUTH_CORNERS = {
    "smile": (121.1 + 148.5j, 158.9 + 148.5j),
    "default": (126 + 149j, 154 + 149j),
    "twinkle": (126 + 149.5j, 154 + 149.5j),
    "serious": (128 + 155j, 152 + 155j),
    "concerned": (121.1 + 165j, 158.9 + 165j),
    "disbelief": (126 + 163j, 154 + 163j),
}

HAIR = {  # (Long_Hair, Wavy_Hair, Bangs) -> drawings; bangs are drawn on long straight hair only
    (False, False, False): ("shortFlat", "shortRound", "theCaesar", "theCaesarAndSidePart"),
    (False, True, False): ("shortCurly", "dreads01"),
    (True, False, False): ("straight01", "straight02"),
    (True, True, False): ("curly", "fro", "dreads"),
    (True, False, True): ("miaWallace", "straightAndStrand"),
}
MOUTHS = {  # (Smiling, Mouth_Slightly_Open)
    (True, True): ("smile", "default"),
    (True, False): ("twinkle",),
    (False, True): ("concerned", "disbelief"),
    (False, False): ("serious",),
}
BROWS = {  # (Bushy_Eyebrows, Arched_Eyebrows)
    (False, False): "default",
    (False, True): "raisedExcited",
    (True, False): "flatNatural",
    (True, True): "raisedExcitedNatural",
}
EYELIDS = {False: ("default",), True: ("closed", "happy")}  # Eyes_Closed
BEARDS = ("beardLight", "beardMedium", "beardMajestic")
MOUSTACHES = ("moustacheFancy", "moustacheMagnum")
GLASSES = ("prescription01", "prescription02", "round")  # the clear ones: behind the others the eyes are gone
HATS = ("hat", "winterHat03")  # the ones under which every straight hair fits
CLOTHES = (
    "blazerAndShirt",
    "blazerAndSweater",
    "collarAndSweater",
    "hoodie",
    "shirtCrewNeck",
    "shirtScoopNeck",
    "shirtVNeck",
)

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


def draw(labels: Mapping[str, bool], chances: Mapping[str, float], nuisance: Nuisance) -> Image.Image:
    """The face as an RGB picture, 178 x 218."""
    colours = _colours(labels, chances)
    layers = "".join(_layer(component, variant) for component, variant in _layers(labels, chances))
    turn, move = pose(chances, nuisance)
    move += 0.5 + 0.5j  # in SVG the centre of the first pixel is (0.5, 0.5)
    matrix = (
        f"{turn.real:.6f} {turn.imag:.6f} {-turn.imag:.6f} {turn.real:.6f} {move.real:.6f} {move.imag:.6f}"
    )
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


def forms(labels: Mapping[str, bool]) -> dict[str, Sequence[str]]:
    """Chance -> the drawings of the style among which it picks, for a face with these labels."""
    found = {
        "eyes": EYELIDS[labels["Eyes_Closed"]],
        "mouth": MOUTHS[labels["Smiling"], labels["Mouth_Slightly_Open"]],
    }
    if not labels["Bald"]:
        found["hair"] = HAIR[labels["Long_Hair"], labels["Wavy_Hair"], labels["Bangs"]]
    if labels["Wearing_Hat"]:
        found["hat"] = HATS
    if not labels["No_Beard"] or labels["Mustache"]:
        found["beard"] = MOUSTACHES if labels["No_Beard"] else BEARDS
    if labels["Eyeglasses"]:
        found["glasses"] = GLASSES
    return found


def tints(labels: Mapping[str, bool]) -> dict[str, Sequence[str] | str]:
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
    before: Mapping[str, bool], after: Mapping[str, bool], chances: Mapping[str, float]
) -> list[tuple[str, dict[str, float]]]:
    """Every face that a face with labels `before` may become when these change to `after`: the form, and the
    chances that draw it. The first is the one that the face's own chances draw.

    What the change leaves open is drawn in every form that the labels allow (which glasses, hat, beard,
    mouth, hair) and in PLACES colours spread evenly from its own. The rest stays. There are 8 at most.
    """
    forms_before = forms(before)
    tints_before = tints(before)
    open_forms = {
        name: options for name, options in forms(after).items() if forms_before.get(name) != options
    }
    open_tints = [name for name, options in tints(after).items() if tints_before.get(name) != options]
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
        (" ".join(form for form, _, _ in way if form), {**chances, **{name: value for _, name, value in way}})
        for way in itertools.product(*ways)
    ]


def landmarks(labels: Mapping[str, bool], chances: Mapping[str, float], nuisance: Nuisance) -> list[float]:
    """x and y of left eye, right eye, nose, left and right corner of the mouth as drawn, in pixels, in the
    order of faces.data.annotations.LANDMARKS.
    """
    turn, move = pose(chances, nuisance)
    points = (*EYES, NOSE, *MOUTH_CORNERS[mouth(labels, chances)])
    return [
        float(value) for point in points for value in ((turn * point + move).real, (turn * point + move).imag)
    ]


def pose(chances: Mapping[str, float], nuisance: Nuisance) -> tuple[complex, complex]:
    """(turn, move) that take a point p of the style, x + iy, to the pixel turn * p + move.

    The fit to the template, then a rotation and scaling about the template's middle and a shift, within what
    `nuisance` allows.
    """
    turn, move = _fit()
    angle = math.radians(nuisance.rotation * (2 * chances["rotation"] - 1))
    extra = cmath.rect(1 + nuisance.scale * (2 * chances["scale"] - 1), angle)
    shift = nuisance.shift * complex(2 * chances["shift_x"] - 1, 2 * chances["shift_y"] - 1)
    middle = sum(TEMPLATE) / len(TEMPLATE)
    return turn * extra, (move - middle) * extra + middle + shift


def mouth(labels: Mapping[str, bool], chances: Mapping[str, float]) -> str:
    """The style's name of the mouth that is drawn."""
    return _pick(forms(labels)["mouth"], chances["mouth"])


@functools.cache
def _fit() -> tuple[complex, complex]:
    """The least-squares similarity from the style's eyes p and mean mouth to the template q: least sum |turn
    p + move - q|^2.
    """
    middle_of_mouths = sum(sum(corners) / 2 for corners in MOUTH_CORNERS.values()) / len(MOUTH_CORNERS)
    points = np.array([*EYES, middle_of_mouths])
    goals = np.array(TEMPLATE)
    centred = points - points.mean()
    turn = (centred.conj() * goals).sum() / (centred.conj() * centred).sum().real
    return complex(turn), complex(goals.mean() - turn * points.mean())


@functools.cache
def _style() -> Style:
    return Style(
        json.loads((resources.files("dicebear_styles") / "avataaars.json").read_text(encoding="utf-8"))
    )


@functools.cache
def _layer(component: str, variant: str) -> str:
    """One drawing of the style, as SVG in the style's coordinates, with {skin}, {hair} and so on in the place
    of colours.

    DiceBear draws it once in each process, alone on the body; the body itself, with head and neck, is the
    component "".
    """
    components = ("clothes", "mouth", "nose", "eyes", "eyebrows", "top", "facialHair", "accessories")
    marks = {
        f"#00000{number}": name
        for number, name in enumerate(("skin", "clothes", "hair", "hat", "facialHair", "accessories"))
    }
    options = {f"{name}Probability": 100 if name == component else 0 for name in components}
    options |= {f"{name}Color": [mark] for mark, name in marks.items()}
    svg = str(
        Avatar(
            _style(), {**options, "seed": "face", **({f"{component}Variant": [variant]} if component else {})}
        )
    )
    defs, body = re.search(r"<defs>(.*)<clipPath.*</clipPath></defs><g [^>]*>(.*)</g></svg>", svg).groups()
    drawing = f"<defs>{defs}</defs>{body[body.index('<use') :]}" if component else body
    return re.sub("#00000[0-5]", lambda mark: f"{{{marks[mark.group()]}}}", drawing)


def _layers(labels: Mapping[str, bool], chances: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """(component, variant) from back to front. Unlike in the style itself, hats sit on the hair, and no
    moustache hides the mouth.
    """
    drawn = {name: _pick(options, chances[name]) for name, options in forms(labels).items()}
    yield "", ""
    yield "clothes", _pick(CLOTHES, chances["clothes"])
    yield "nose", "default"
    yield "eyes", drawn["eyes"]
    yield "eyebrows", BROWS[labels["Bushy_Eyebrows"], labels["Arched_Eyebrows"]]
    components = {"hair": "top", "hat": "top", "beard": "facialHair"}
    yield from ((component, drawn[name]) for name, component in components.items() if name in drawn)
    yield "mouth", drawn["mouth"]
    if "glasses" in drawn:
        yield "accessories", drawn["glasses"]


def _hair_colour(labels: Mapping[str, bool]) -> str:
    return next((name for name in COLOURS if labels[name]), "Brown_Hair")  # a bald man's beard is brown


def _colours(labels: Mapping[str, bool], chances: Mapping[str, float]) -> dict[str, str]:
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
        "accessories": _pick(FRAMES, chances["frame"]),
    }


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


def _pick(options: Sequence[str], chance: float) -> str:
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
