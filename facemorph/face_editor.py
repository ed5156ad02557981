"""The Python interface: `open_editor` -> FaceEditor -> Face. NumPy arrays and Pillow images in and out."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from facemorph import detail, fetch, photos
from facemorph.align import Detector
from facemorph.code_editors import BadValue, straight
from facemorph.export import Export, levels, open_export
from facemorph.finding import find
from facemorph.own_sliders import OwnSlider, own_slider
from facemorph.photos import BadPhoto, Photo

Picture = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Attribute:
    """What can be changed about a face."""

    name: str  # the key of changes
    label: str  # for people
    auroc: float | None  # of its direction on test faces; None where unknown
    judgemental: bool  # a judgement of looks, or a guess about who a person is


@dataclass(frozen=True, eq=False)
class Face:
    """A face: its code, and the photograph that it was found in, if any. Drawn when it is asked for."""

    code: np.ndarray  # float32 (D,)
    export: Export = field(repr=False)
    origin: np.ndarray = field(repr=False)  # float32 (D,) the code before all edits
    photo: np.ndarray | None = field(default=None, repr=False)  # uint8 (h, w, 3)
    matrix: np.ndarray | None = field(default=None, repr=False)  # (2, 3) photograph -> face pixels
    notices: tuple[
        str, ...
    ] = ()  # none, several, turned, small: what finding the face had to say, and unlike
    likeness: float | None = None  # share of training-like faces that are as strange; None where not known

    @cached_property
    def image(self) -> Image.Image:
        """The face as the model draws it, S x S pixels."""
        return Image.fromarray(levels(self.export.decode(self.code[None])[0]))

    @cached_property
    def photograph(self) -> Image.Image:
        """The photograph with the edit in it, at full size. Raises BadValue where there is none."""
        if self.photo is None or self.matrix is None:
            raise BadValue("this face comes from no photograph; take its `image`")
        before, after = self.export.decode(np.stack([self.origin, self.code]))
        change = detail.weighed(after - before, **self.export.detail)
        return Image.fromarray(detail.add_change(self.photo, change, self.matrix))

    @property
    def labels(self) -> dict[str, float]:
        """What the model sees in the face, by attribute: 1 with, -1 without, 0 unknown."""
        return self.export.labels(self.code)


class FaceEditor:
    """An opened export: finds faces in photographs, draws new ones, and edits both."""

    def __init__(self, export: Export) -> None:
        self.export = export
        self.attributes = tuple(
            Attribute(one["name"], one["label"], one["auroc"], one["judgemental"])
            for one in export.about["attributes"]
        )
        self._lock = threading.Lock()
        self._detector: Detector | None = None

    @property
    def detector(self) -> Detector:
        """The face detector, loaded at the first photograph. Raises DetectorMissing."""
        with self._lock:
            if self._detector is None:
                self._detector = Detector()
            return self._detector

    def encode(self, picture: Picture, face: int | None = None) -> Face:
        """The face in a photograph: a path, a Pillow image, or an array uint8 (h, w, 3), RGB.

        The largest, or the one with index `face` by size. Where none is seen the middle of the picture is
        taken and `notices` has "none". A picture too unlike the faces that the model knows is refused in
        words: `notices` has "unlike". Raises BadPhoto, BadValue, DetectorMissing.
        """
        photo = opened(picture)
        found = find(self.export.geometry, self.detector, photo, face)
        code = self.export.encode(found.crop)
        p = self.export.p_value(found.crop, code)
        notices = (*found.notices, "unlike") if self.export.refuses(p) else found.notices
        return Face(code, self.export, code, photo.pixels, found.matrix, notices, p)

    def sample(
        self, seed: int, temperature: float | None = None, labels: Mapping[str, float] | None = None
    ) -> Face:
        """A new face: one seed, 0 to 2^32 - 1, is one face, on the website too; low temperatures: plain.

        `labels` are those that it is to have: 1 with, -1 without, by attribute name. Raises BadValue.
        """
        if not 0 <= seed < 2**32:
            raise BadValue(f"seed: {seed}; 0 to {2**32 - 1} are allowed")
        code = self.export.sample(seed, temperature, labels)
        return Face(code, self.export, code)

    def edit(
        self,
        face: Face,
        changes: Mapping[str, float],
        locked: Collection[str] = (),
        own: Sequence[tuple[OwnSlider, float]] = (),
    ) -> Face:
        """`face` after changes by attribute name, counted in changes of the label; `locked` attributes stay.

        1 turns a face without the attribute into one with it, -1 takes it away; what a face has already is
        exaggerated. `own` are sliders of `own_slider` and their strengths. Raises BadValue.
        """
        custom = [slider.at(strength) for slider, strength in own]
        return replace(face, code=self.export.edit(face.code, changes, locked, custom))

    def own_slider(self, with_it: Sequence[Face], without: Sequence[Face]) -> OwnSlider:
        """A slider for something that no label names, from a few faces with it and a few without.

        Strength 1 leads from the mean of the latter to that of the former, as far as it is more than chance.
        Raises BadValue.
        """
        sides = ([face.code for face in side] for side in (with_it, without))
        return own_slider(self.export.editor, self.export.codes, self.export.arrays["std"], *sides)

    def between(self, first: Face, second: Face, t: float) -> Face:
        """The face at `t` in [0, 1] between two: straight between edits of one face, otherwise on an arc."""
        if np.array_equal(first.origin, second.origin):
            return replace(first, code=straight(first.code, second.code, t))
        return replace(first, code=self.export.morph(first.code, second.code, t))


def opened(picture: Picture) -> Photo:
    """A photograph at full size. Raises BadPhoto naming the file."""
    if not isinstance(picture, str | Path):
        return photos.of_picture(picture)
    try:
        return photos.read(Path(picture).read_bytes(), longest=photos.MAX_PIXELS)
    except OSError as error:
        raise BadPhoto(404, f"{picture}: {error.strerror or error}") from None
    except BadPhoto as error:
        raise BadPhoto(error.status, f"{picture}: {error}") from None


def open_editor(place: str | Path = "data/export", rev: str | None = None) -> FaceEditor:
    """Open an export: a folder, a JSON file that points to one, or "hf://OWNER/NAME" on the Hugging Face hub.

    `rev` takes it from that Git revision of the DVC project around the folder, or from that revision of the
    hub's model.

        >>> editor = open_editor("data/export")
        >>> [attribute.name for attribute in editor.attributes]
        ['Smiling', 'Eyeglasses', 'Male']
        >>> face = editor.sample(7)
        >>> smiling = editor.edit(face, {"Smiling": 1.0}, locked=["Male"])
        >>> smiling.labels["Smiling"] > face.labels["Smiling"]
        True
        >>> smiling.image.size
        (32, 32)
        >>> editor.encode("me.jpg").photograph.size
        (512, 512)

    Raises BadExport.
    """
    name = str(place)
    if name.startswith(fetch.HUB):
        return FaceEditor(open_export(fetch.from_hub(name.removeprefix(fetch.HUB), rev)))
    if rev is not None:
        with fetch.of_revision(Path(place), rev) as folder:
            return FaceEditor(open_export(folder))
    return FaceEditor(open_export(Path(place)))
