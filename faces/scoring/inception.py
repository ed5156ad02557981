"""The features that published FID and KID are computed from: Inception-v3 as torch-fidelity ships it, with
the weights of 2015-12-05.

Optional twice over: the package torch-fidelity is imported only when asked for, and its weights are a file
that the user fetches and names by path.
"""

import hashlib
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor, nn

from faces.core.batches import batches
from faces.nn.device import to_uint8

SHA256 = "6726825d"  # first digits of the weights' digest, as the name of the published file says
WEIGHTS = f"weights-inception-2015-12-05-{SHA256}.pth"


class InceptionError(ValueError):
    """The network cannot be had. The message says what is missing and how to get it."""


def load(path: Path, device: torch.device) -> nn.Module:
    """The network with the weights in `path`. Raises InceptionError where the package or the file is missing,
    or the file is another.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # noqa: PLC0415 - optional
            FeatureExtractorInceptionV3,
        )
    except ImportError:
        raise InceptionError(
            "score.inception needs the package torch-fidelity: pip install torch-fidelity"
        ) from None
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InceptionError(
            f"score.inception: {path}: {error.strerror}; fetch {WEIGHTS} of torch-fidelity's release v0.2.0"
        ) from None
    if not digest.startswith(SHA256):
        raise InceptionError(
            f"score.inception: {path}: SHA-256 begins with {digest[:8]}, expected {SHA256}: not {WEIGHTS}"
        )
    try:
        torch.load(
            path, map_location="cpu", weights_only=True
        )  # the package unpickles without this guard; what passes here holds no code
    except UnpicklingError as error:
        raise InceptionError(
            f"score.inception: {path}: not a file of weights: {str(error).splitlines()[0]}"
        ) from None
    return FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path)).to(
        device
    )


@torch.no_grad()
def features(network: nn.Module, images: Tensor, *, batch: int) -> np.ndarray:
    """images (n, 3, H, W) in [-1, 1] -> pooled features (n, 2048), rounded to whole pixel values first, as
    the published figures are.
    """
    found = []
    for where in batches(len(images), batch):
        pixels = torch.from_numpy(to_uint8(images[where])).permute(0, 3, 1, 2).to(images.device)
        found.append(network(pixels)[0].flatten(1).cpu())
    return torch.cat(found).numpy()
