"""Pablo Stanley's Avataaars as a style of drawn faces (faces/ingest/drawing.py).

The style's own coordinates are a square of 280 units.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources

from dicebear import Avatar
from dicebear import Style as Dicebear

from faces.ingest.drawing import Style, pick

# The style's own coordinates, x + iy in its units.
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
    (True, True): "raisedThick",
}
# Ours, along the style's raised brows: its raised natural ones are no thicker than those.
RAISED_THICK = (
    '<g transform="translate(91.86 82)" fill="none" stroke="black" stroke-opacity=".6" stroke-width="7.5" '
    'stroke-linecap="round"><path d="M6.2 16.8C8 6.2 21.8-1.2 32.1 3.5"/>'
    '<path d="M90.1 16.8C88.3 6.2 74.5-1.2 64.2 3.5"/></g>'
)
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


class Avataaars(Style):
    name = "DiceBear avataaars"
    licence = (
        "Avataaars by Pablo Stanley (https://avataaars.com/): free for personal and commercial use; "
        "DiceBear: MIT"
    )
    eyes = (114 + 112j, 166 + 112j)
    nose = 140 + 138j
    mouth_corners = MOUTH_CORNERS
    eyelids = EYELIDS
    mouths = MOUTHS
    hair = HAIR
    hats = HATS
    beards = BEARDS
    moustaches = MOUSTACHES
    glasses = GLASSES

    def layers(self, labels: Mapping[str, bool], chances: Mapping[str, float]) -> Iterator[str]:
        """The drawings from back to front. Unlike in the style itself, hats sit on the hair, and no moustache
        hides the mouth.
        """
        drawn = {name: pick(options, chances[name]) for name, options in self.forms(labels).items()}
        yield _layer("", "")
        yield _layer("clothes", pick(CLOTHES, chances["clothes"]))
        yield _layer("nose", "default")
        yield _layer("eyes", drawn["eyes"])
        brows = BROWS[labels["Bushy_Eyebrows"], labels["Arched_Eyebrows"]]
        yield RAISED_THICK if brows == "raisedThick" else _layer("eyebrows", brows)
        components = {"hair": "top", "hat": "top", "beard": "facialHair"}
        for name, component in components.items():
            if name in drawn:
                yield _layer(component, drawn[name])
        yield _layer("mouth", drawn["mouth"])
        if "glasses" in drawn:
            yield _layer("accessories", drawn["glasses"])


STYLE = Avataaars()


@functools.cache
def _style() -> Dicebear:
    return Dicebear(
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
