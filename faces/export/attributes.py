"""How attributes are shown to people: label, group, meaning, and whether it is a judgement, shown on request.

CelebA's annotators judged looks (Attractive, Chubby, Big_Nose) and guessed who people are (Male, Young). Such
labels train useful directions, but a page shows them behind a fold. A name that is not in the table is shown
as it is written, in the last group.
"""

from dataclasses import dataclass

OTHER = "Other"
MEASURED = "Expression and pose"  # measured labels (faces/data/measured.py)
GROUPS = (
    MEASURED,
    "Expression",
    "Eyes",
    "Hair",
    "Facial hair",
    "Accessories",
    "Face",
    "Make-up",
    "Picture",
    OTHER,
)


@dataclass(frozen=True)
class Attribute:
    """How an attribute is shown. `rank` orders the telling ones, shown first; 0: not one of them."""

    label: str
    group: str
    judgemental: bool
    rank: int = 0
    meaning: str = ""


def _fair(label: str, group: str, rank: int = 0, meaning: str = "") -> Attribute:
    return Attribute(label, group, False, rank, meaning)


def _judgement(label: str, group: str, meaning: str = "") -> Attribute:
    return Attribute(label, group, True, 0, meaning)


TABLE = {
    "smile": _fair("Smile", MEASURED, meaning="how wide the mouth is and how high its corners lie, measured"),
    "mouth_open": _fair("Mouth opening", MEASURED, meaning="the gap between the lips, measured"),
    "eye_open": _fair("Eye opening", MEASURED, meaning="height of the eyes over their width, measured"),
    "brow_height": _fair("Brow height", MEASURED, meaning="how high the brows lie above the eyes, measured"),
    "yaw": _fair("Turn of the head", MEASURED, meaning="to the right of the picture, measured"),
    "pitch": _fair("Nod of the head", MEASURED, meaning="upwards, measured"),
    "roll": _fair("Tilt of the head", MEASURED, meaning="clockwise, measured"),
    "light": _fair("Light on the face", "Picture", meaning="how light the middle of the face is, measured"),
    "light_side": _fair("Light from the side", "Picture", meaning="from the right of the picture, measured"),
    "Smiling": _fair("Smile", "Expression", 1),
    "Mouth_Slightly_Open": _fair("Open mouth", "Expression", 6),
    "High_Cheekbones": _fair("High cheekbones", "Expression", meaning="mostly a smile, as annotators saw it"),
    "Eyeglasses": _fair("Glasses", "Eyes", 2),
    "Eyes_Closed": _fair("Closed eyes", "Eyes", 9),
    "Narrow_Eyes": _fair("Narrow eyes", "Eyes", 11),
    "Arched_Eyebrows": _fair("Arched brows", "Eyes"),
    "Bushy_Eyebrows": _fair("Bushy brows", "Eyes"),
    "Bags_Under_Eyes": _judgement("Bags under eyes", "Eyes"),
    "Black_Hair": _fair("Black hair", "Hair", 7),
    "Brown_Hair": _fair("Brown hair", "Hair"),
    "Blond_Hair": _fair("Blond hair", "Hair", 5),
    "Red_Hair": _fair("Red hair", "Hair", 12),
    "Gray_Hair": _fair("Gray hair", "Hair", 10),
    "Long_Hair": _fair("Long hair", "Hair", 8),
    "Wavy_Hair": _fair("Wavy hair", "Hair"),
    "Straight_Hair": _fair("Straight hair", "Hair"),
    "Bangs": _fair("Bangs", "Hair", 4),
    "Bald": _fair("Bald", "Hair"),
    "Receding_Hairline": _judgement("Receding hairline", "Hair"),
    "No_Beard": _fair("No beard", "Facial hair", 3),
    "Mustache": _fair("Moustache", "Facial hair"),
    "Goatee": _fair("Goatee", "Facial hair"),
    "Sideburns": _fair("Sideburns", "Facial hair"),
    "5_o_Clock_Shadow": _fair("Stubble", "Facial hair"),
    "Wearing_Hat": _fair("Hat", "Accessories", 13),
    "Wearing_Earrings": _fair("Earrings", "Accessories"),
    "Wearing_Necklace": _fair("Necklace", "Accessories"),
    "Wearing_Necktie": _fair("Necktie", "Accessories"),
    "Wearing_Lipstick": _fair("Lipstick", "Make-up"),
    "Heavy_Makeup": _fair("Make-up", "Make-up"),
    "Rosy_Cheeks": _fair("Rosy cheeks", "Make-up"),
    "Blurry": _fair("Blurry", "Picture"),
    "Attractive": _judgement("Attractive", "Face", "the annotators' taste, and nothing else"),
    "Big_Lips": _judgement("Big lips", "Face"),
    "Big_Nose": _judgement("Big nose", "Face"),
    "Pointy_Nose": _judgement("Pointy nose", "Face"),
    "Oval_Face": _judgement("Oval face", "Face"),
    "Chubby": _judgement("Chubby", "Face"),
    "Double_Chin": _judgement("Double chin", "Face"),
    "Pale_Skin": _judgement("Pale skin", "Face"),
    "Male": _judgement("Male", "Face", "how annotators read a face, not who a person is"),
    "Young": _judgement("Young", "Face", "how annotators read a face"),
    "Old": _judgement("Old", "Face", "how annotators read a face"),
    "White": _judgement("White", "Face", "how annotators read a face, not who a person is"),
    "Black": _judgement("Black", "Face", "how annotators read a face, not who a person is"),
    "Asian": _judgement("Asian", "Face", "how annotators read a face, not who a person is"),
    "Indian": _judgement("Indian", "Face", "how annotators read a face, not who a person is"),
    "Other_Race": _judgement("Other race", "Face", "how annotators read a face, not who a person is"),
}


def describe(name: str) -> Attribute:
    """How the attribute called `name` in the data is shown."""
    return TABLE.get(name) or Attribute(name.replace("_", " ").capitalize(), OTHER, False)
