"""Draftbit's Personas as a style of drawn faces (faces/ingest/drawing.py): flat shapes, a second look for
claims that should not hang on one.

The style's own coordinates are a square of 64 units. It has no eyebrows, one pair of clear glasses, which
brings its own eyes, and a mouth in one of its beards. Brows and frames are drawn here, and the beard closes.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from faces.ingest.drawing import Style, pick

INK = "#1b0640"  # of the style's own eyes and mouths
OFFSETS = {  # of each component on the square
    "eyes": (20, 24),
    "hair": (9.5, 4.5),
    "clothes": (11, 46.2),
    "mouth": (27, 37.46),
    "nose": (25, 32.25),
    "facialHair": (18, 28.7),
}

HAIR = {  # (Long_Hair, Wavy_Hair, Bangs) -> drawings; bangs are drawn on long straight hair only
    (False, False, False): ("shortCombover", "shortComboverChops", "fade"),
    (False, True, False): ("curlyHighTop",),
    (True, False, False): ("long", "extraLong", "bobCut"),
    (True, True, False): ("curly",),
    (True, False, True): ("bobBangs",),
}
MOUTH_CORNERS = {
    "bigSmile": (29 + 39.4j, 35 + 39.4j),
    "smile": (27.5 + 41j, 36.5 + 41j),
    "smirk": (29.8 + 41j, 37.2 + 40j),
    "surprise": (30 + 41j, 34 + 41j),
    "frown": (27.5 + 41j, 36.5 + 41j),
}
MOUTHS = {  # (Smiling, Mouth_Slightly_Open)
    (True, True): ("bigSmile",),
    (True, False): ("smile", "smirk"),
    (False, True): ("surprise",),
    (False, False): ("frown",),
}
EYELIDS = {False: ("open",), True: ("sleep", "happy")}  # Eyes_Closed
BEARDS = ("beardMustache", "goatee")
MOUSTACHES = ("pyramid", "walrus")
LIFT = {"beanie": 0.0, "cap": 4.0}  # by how much each hat sits higher than in the style: brows stay seen
HATS = tuple(LIFT)
CLOTHES = ("checkered", "rounded", "small", "squared")
NOSES = ("mediumRound", "smallRound")
HAT_COLOURS = ("#E15C66", "#F29C65")  # of the hats as the style draws them
TEETH = "#FFFEFD"  # of the mouth within a beard
BRIM = 22.5  # height on the square above which a hat hides the hair

BROWS = {  # (Bushy_Eyebrows, Arched_Eyebrows) -> left brow and its stroke's width; the right one mirrors it
    (False, False): ("M21.6 23.9Q25.4 22.9 28.9 23.7", 1.1),
    (False, True): ("M21.4 24.2Q24.4 19.9 28.9 22.6", 1.1),
    (True, False): ("M21.4 23.6Q25.4 22.6 29.1 23.5", 2.3),
    (True, True): ("M21.2 24.0Q24.4 19.7 29.1 22.6", 2.3),
}
RIMS = {  # left rim; the right one mirrors it
    "square": "M20.8 25.4H29.4V30.2Q29.4 32.6 27 32.6H23.2Q20.8 32.6 20.8 30.2Z",
    "round": "M20.9 28.7A4.3 4.3 0 1 0 29.5 28.7A4.3 4.3 0 1 0 20.9 28.7Z",
    "narrow": "M20.4 26.6H29.4L28.8 30.6H21.6Z",
}
MIRROR = "matrix(-1 0 0 1 64 0)"


class Personas(Style):
    name = "DiceBear personas"
    licence = (
        "Personas by Draftbit (https://personas.draftbit.com/), changed: CC BY 4.0 "
        "(https://creativecommons.org/licenses/by/4.0/); DiceBear: MIT"
    )
    eyes = (25.5 + 28.5j, 38.5 + 28.5j)
    nose = 32 + 35.5j
    mouth_corners = MOUTH_CORNERS
    eyelids = EYELIDS
    mouths = MOUTHS
    hair = HAIR
    hats = HATS
    beards = BEARDS
    moustaches = MOUSTACHES
    glasses = tuple(RIMS)

    def layers(self, labels: Mapping[str, bool], chances: Mapping[str, float]) -> Iterator[str]:
        """The drawings from back to front. Hats take the place of the hair above their brim; only bangs hide
        the brows, and no moustache hides the mouth.
        """
        drawn = {name: pick(options, chances[name]) for name, options in self.forms(labels).items()}
        yield _body()
        yield _drawing("eyes", drawn["eyes"])
        path, width = BROWS[labels["Bushy_Eyebrows"], labels["Arched_Eyebrows"]]
        brows = _twice(path, f'fill="none" stroke="{INK}" stroke-width="{width}" stroke-linecap="round"')
        if labels["Bangs"]:
            yield brows
        if "hair" in drawn:
            hair = _drawing("hair", drawn["hair"])
            yield f'<g clip-path="url(#brim)">{_CLIP}{hair}</g>' if "hat" in drawn else hair
        if "hat" in drawn:
            yield _drawing("hair", drawn["hat"])
        if not labels["Bangs"]:
            yield brows
        yield _drawing("clothes", pick(CLOTHES, chances["clothes"]))
        yield _drawing("nose", pick(NOSES, chances["clothes"] * len(CLOTHES) % 1))
        if "beard" in drawn:
            yield _drawing("facialHair", drawn["beard"])
        yield _drawing("mouth", drawn["mouth"])
        if "glasses" in drawn:
            stroke = 'stroke="{accessories}" stroke-width="1.3"'
            yield _twice(RIMS[drawn["glasses"]], f'fill="white" fill-opacity="0.25" {stroke}')
            yield f'<path d="M29.3 27.6Q32 26.2 34.7 27.6" fill="none" {stroke}/>'


STYLE = Personas()
_CLIP = f'<clipPath id="brim"><rect x="-40" y="{BRIM}" width="144" height="120"/></clipPath>'


@functools.cache
def _definition() -> dict[str, Any]:
    """The style as DiceBear has it: canvas and components, as trees of SVG elements."""
    return json.loads((resources.files("dicebear_styles") / "personas.json").read_text(encoding="utf-8"))


@functools.cache
def _body() -> str:
    """Head and neck."""
    parts = _definition()["canvas"]["elements"]
    return _svg([part for part in parts if part["type"] == "element"])


@functools.cache
def _drawing(component: str, variant: str) -> str:
    """One drawing of the style in its place on the square, with {skin}, {hair} and so on for colours."""
    svg = _svg(_definition()["components"][component]["variants"][variant]["elements"])
    if component == "hair" and variant in HATS:
        for colour in HAT_COLOURS:
            svg = svg.replace(colour, "{hat}")
        return (
            f'<g transform="translate({OFFSETS["hair"][0]} {OFFSETS["hair"][1] - LIFT[variant]})">{svg}</g>'
        )
    if variant == "bigSmile":  # the style's own is white alone, which pale skin would swallow
        svg = svg.replace('fill="white"', f'fill="white" stroke="{INK}" stroke-width="0.8"')
    if component == "facialHair":
        svg = svg.replace(TEETH, "{facialHair}")
    x, y = OFFSETS[component]
    return f'<g transform="translate({x} {y})">{svg}</g>'


def _svg(elements: Sequence[Mapping[str, Any]]) -> str:
    """DiceBear's tree of elements as text."""
    text = ""
    for element in elements:
        attributes = "".join(
            f' {key}="{_colour(value)}"' for key, value in element.get("attributes", {}).items()
        )
        text += f"<{element['name']}{attributes}>{_svg(element.get('children', ()))}</{element['name']}>"
    return text


def _colour(value: str | Mapping[str, str]) -> str:
    """An attribute's value; a colour that a face chooses becomes {its name}."""
    if isinstance(value, str):
        return value
    return "{" + value["name"].replace("clothing", "clothes") + "}"


def _twice(path: str, look: str) -> str:
    """A path and its mirror image about the middle of the face."""
    return f'<path d="{path}" {look}/><path d="{path}" {look} transform="{MIRROR}"/>'
