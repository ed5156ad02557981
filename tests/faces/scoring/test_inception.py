"""Inception's features, by a stand-in for the package: what is asked of it, and what is said where something
is missing.
"""

import hashlib
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from faces.scoring import inception

CPU = torch.device("cpu")


@pytest.fixture
def package(monkeypatch):
    """torch_fidelity with an extractor whose features are the mean of each channel, times a weight from the
    file.
    """

    class Extractor(torch.nn.Module):
        def __init__(self, name, features_list, feature_extractor_weights_path):
            super().__init__()
            assert features_list == ["2048"]
            self.weight = torch.load(feature_extractor_weights_path, weights_only=True)["weight"]

        def forward(self, pixels):
            assert pixels.dtype == torch.uint8 and pixels.shape[1] == 3
            return (pixels.float().mean((2, 3)) * self.weight,)

    module = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.tensor([1.0, 2.0, 3.0])}, path)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    return path


def test_features_are_of_whole_pixel_values_batch_by_batch(package, weights):
    levels = torch.tensor([-1.0, 0.001, 1.0]).view(3, 1, 1, 1).expand(3, 3, 4, 4)  # 0, 127.6 -> 128, 255
    found = inception.features(inception.load(weights, CPU), levels, batch=2)
    np.testing.assert_allclose(found, np.outer([0, 128, 255], [1, 2, 3]))


def test_another_file_is_refused(package, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(b"not the weights")
    with pytest.raises(
        inception.InceptionError,
        match=r"other\.pth: SHA-256 begins with [0-9a-f]{8}, expected 6726825d: not weights-inception",
    ):
        inception.load(path, CPU)


def test_a_missing_file_is_named(package, tmp_path):
    with pytest.raises(
        inception.InceptionError,
        match=r"none\.pth: No such file or directory; fetch weights-inception-2015-12-05-6726825d\.pth",
    ):
        inception.load(tmp_path / "none.pth", CPU)


def test_a_missing_package_is_named(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(
        inception.InceptionError, match="needs the package torch-fidelity: pip install torch-fidelity"
    ):
        inception.load(weights, CPU)


def test_a_file_that_holds_code_is_not_read(package, tmp_path, monkeypatch):
    path = tmp_path / "code.pth"
    torch.save({"weight": print}, path)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    with pytest.raises(inception.InceptionError, match=r"code\.pth: not a file of weights"):
        inception.load(path, CPU)
