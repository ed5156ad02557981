"""One test over every model of faces/models: the contract. A new file there is tested the moment it exists.

Models are built from the project's own params, at narrow widths where a group offers them, so that the test
is about the code and not about patience.
"""

import copy
import sys

import numpy as np
import pytest
import torch

from faces import checkpoints, models
from faces.data.crops import Geometry

SIZES = (32, 64, 128)
PROGRESS = tuple(step / 24 for step in range(25))  # a growing model uses each parameter at some of these


def build(name: str, size: int, params: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.find(name).Model(models.config(name, params["models"]), size)


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    """Eight smooth pictures (8, 3, 128, 128) in [-1, 1] that differ."""
    torch.manual_seed(1)
    coarse = torch.rand(8, 3, 6, 6) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (128, 128), mode="bicubic").clamp(-1, 1)


def at(faces: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(faces, 128 // size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", models.names())
def test_shapes_and_determinism(name, size, params, faces):
    model = build(name, size, params).eval()
    images = at(faces, size)
    with torch.no_grad():
        codes = model.encode(images)
        assert codes.shape == (8, model.code_length) and codes.dtype == torch.float32
        assert torch.equal(codes, model.encode(images)), "encode is not deterministic"
        assert model.decode(codes).shape == images.shape
        samples = model.sample(5, torch.Generator().manual_seed(3), 1.0)
        assert samples.shape == (5, model.code_length)
        assert torch.equal(samples, model.sample(5, torch.Generator().manual_seed(3), 1.0))
        assert torch.isfinite(model.decode(samples)).all()


@pytest.mark.parametrize("name", models.names())
def test_a_face_is_encoded_alike_alone_and_in_company(name, params, faces):
    model = build(name, 32, params).eval()
    images = at(faces, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(images[:1]), model.encode(images)[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", models.names())
def test_every_parameter_learns(name, params, faces):
    """At some point of the budget each parameter gets a gradient, every loss is finite, and each part named
    exists.
    """
    model = build(name, 32, params).train()
    images = at(faces, 32)
    model.prepare(images)
    touched = set()
    for progress in PROGRESS:
        model.phase(progress)
        for part, loss, log in model.losses(images, progress):
            assert part in model.parts()
            assert torch.isfinite(loss) and all(torch.isfinite(value).all() for value in log.values())
            model.zero_grad(set_to_none=True)
            loss.backward()
            touched |= {
                key
                for key, value in model.parts()[part].named_parameters(prefix=part)
                if value.grad is not None
            }
    everything = {
        key
        for part, module in model.parts().items()
        for key, value in module.named_parameters(prefix=part)
        if value.requires_grad
    }
    assert everything == touched, f"never reached by a gradient: {sorted(everything - touched)[:5]}"


@pytest.mark.parametrize("name", models.names())
def test_saved_and_loaded_is_the_same_model(name, params, faces, tmp_path):
    model = build(name, 32, params)
    images = at(faces, 32)
    model.prepare(images)
    model.train()
    for _ in model.losses(images, 0.5):  # flags and running statistics move too, and have to be kept
        pass
    model.eval()
    geometry = Geometry(box="square", size=32, filter="lanczos")
    checkpoints.save(tmp_path, name, models.config(name, params["models"]), geometry, model)
    loaded, kept = checkpoints.load(tmp_path)
    assert kept == geometry
    with torch.no_grad():
        codes = model.encode(images)
        assert torch.equal(loaded.encode(images), codes)
        assert torch.equal(loaded.decode(codes), model.decode(codes))


@pytest.mark.parametrize("name", models.names())
def test_eight_faces_can_be_learnt(name, params, faces):
    """A few steps of the training loop's own kind, on the same noise, lower the loss of the part that makes
    pictures.
    """
    config = models.config(name, params["models"])
    model = build(name, 32, params).train()
    images = at(faces, 32)
    model.prepare(images)
    progress = 0.999
    model.phase(progress)
    optimisers = {
        part: torch.optim.Adam(module.parameters(), lr=1e-3, betas=config.betas)
        for part, module in model.parts().items()
    }
    seen: dict[str, list[float]] = {}
    for _ in range(25):
        torch.manual_seed(7)
        for part, loss, _log in model.losses(images, progress):
            optimisers[part].zero_grad(set_to_none=True)
            loss.backward()
            optimisers[part].step()
            seen.setdefault(part, []).append(loss.item())
    last = list(seen)[-1]
    assert np.isfinite(seen[last]).all()
    assert np.mean(seen[last][-3:]) < seen[last][0]


def test_a_new_file_is_a_model(tmp_path, monkeypatch):
    (tmp_path / "second.py").write_text("")
    (tmp_path / "first.py").write_text("from faces.models import Config")
    (tmp_path / "notes.md").write_text("")
    monkeypatch.setattr(models, "__path__", [str(tmp_path)])
    assert models.names() == ["first", "second"]
    assert models.find("first").Config is models.Config
    for name in ("first", "second"):
        sys.modules.pop(f"faces.models.{name}", None)


def test_an_unknown_model_is_named(params):
    with pytest.raises(ValueError, match=r"model = 'vea', did you mean 'vae'\?; allowed: "):
        models.find("vea")


def test_a_foreign_checkpoint_is_refused(tmp_path, params):
    with pytest.raises(checkpoints.CheckpointError, match=r"model\.json is missing; run `dvc repro train`"):
        checkpoints.load(tmp_path)
    (tmp_path / "model.json").write_text('{"model": "vae"}')
    with pytest.raises(checkpoints.CheckpointError, match="not a checkpoint of this version"):
        checkpoints.load(tmp_path)
    model = build("vae", 32, params)
    checkpoints.save(
        tmp_path,
        "vae",
        models.config("vae", params["models"]),
        Geometry(box="square", size=32, filter="lanczos"),
        model,
    )
    description = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(description.replace('"size": 32', '"size": 64'))
    with pytest.raises(checkpoints.CheckpointError, match=r"not a checkpoint of this version"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("name", models.names())
def test_a_copy_made_in_training_stays_as_it_is(name, params, faces):
    """The training loop averages the weights in a deep copy."""
    model = build(name, 32, params).train()
    images = at(faces, 32)
    model.prepare(images)
    for _ in model.losses(images, 0.5):
        pass
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        codes = model.eval().encode(images)
        for parameter in model.parameters():
            parameter.add_(0.1)
        assert torch.equal(copied.encode(images), codes)
        assert not torch.equal(model.encode(images), codes)
