"""The loop: order, schedule, averages, and above all that a run killed at any moment ends in the same bytes
as one never killed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from faces.core.console import UNFIT
from faces.core.files import read_json
from tests.conftest import ROOT
from tests.helpers.training import SMALL, bytes_of, steps_done, write_crops


@pytest.fixture
def place(tmp_path, rng, params):
    """A folder with crops and params.yaml in which `python -m stages.train data/crops data/model` runs."""
    write_crops(tmp_path / "data" / "crops", 64, rng)
    values = dict(params)
    values["models"] = {**params["models"], "vae": {**params["models"]["vae"], **SMALL, "labels": 5.0}}
    values["model"] = "vae"
    values["train"] = {
        **params["train"],
        "images": 1600,
        "reports": 4,
        "valid_images": 8,
        "snapshots": 3,
        "prepare": 40,
        "averaging": 100,
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def start(place, out: str = "data/model", **environment) -> subprocess.Popen:
    command = [sys.executable, "-m", "stages.train", "data/crops", out]
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "FACES_DEVICE": "cpu",
        **environment,
    }
    return subprocess.Popen(command, cwd=place, env=variables, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_ends_in_the_same_bytes(place):
    """SIGKILL twice, at moments that differ, with a checkpoint after every step; then to the end."""
    undisturbed = start(place, "data/undisturbed")
    assert undisturbed.wait() == 0, undisturbed.stderr.read()
    assert not list((place / ".ckpt").glob("*")), "the checkpoint is removed on success"
    for at_least in (20, 90):
        run = start(place, FACES_CHECKPOINT_SECONDS="0")
        while not any(steps_done(path) >= at_least for path in (place / ".ckpt").glob("*/state.pt")):
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not (place / "data" / "model").exists(), "a killed stage leaves no output"
    last = start(place)
    assert last.wait() == 0
    assert "continuing at image" in last.stderr.read()
    assert bytes_of(place / "data" / "model") == bytes_of(place / "data" / "undisturbed")
    assert read_json(place / "data" / "model" / "model.json")["labels"] == ["A"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_run_is_the_same_run_but_for_rounding(place):
    """And its weights have the same names."""
    values = yaml.safe_load((place / "params.yaml").read_text())
    values["train"] |= {"images": 96, "reports": 2}
    (place / "params.yaml").write_text(yaml.safe_dump(values))
    for out, compiled in {"data/plain": "", "data/compiled": "1"}.items():
        run = start(place, out, FACES_COMPILE=compiled)
        assert run.wait() == 0, run.stderr.read()
    plain, compiled = (
        load_file(place / "data" / name / "model.safetensors") for name in ("plain", "compiled")
    )
    assert plain.keys() == compiled.keys()
    for name, weights in plain.items():
        torch.testing.assert_close(compiled[name], weights, rtol=0.02, atol=0.005, msg=name)
    histories = [pd.read_csv(place / "data" / name / "history.csv") for name in ("plain", "compiled")]
    np.testing.assert_allclose(*(history[["train_loss", "valid_psnr"]] for history in histories), rtol=0.02)
    assert (place / "data/plain/model.safetensors").read_bytes() != (
        place / "data/compiled/model.safetensors"
    ).read_bytes(), "not compiled"


def test_another_param_does_not_continue_the_checkpoint(place):
    run = start(place, FACES_CHECKPOINT_SECONDS="0")
    while not list((place / ".ckpt").glob("*/state.pt")):
        assert run.poll() is None
        time.sleep(0.02)
    run.kill()
    run.wait()
    values = yaml.safe_load((place / "params.yaml").read_text())
    values["seed"] += 1
    (place / "params.yaml").write_text(yaml.safe_dump(values))
    run = start(place)
    assert run.wait() == 0
    assert "continuing" not in run.stderr.read()


def test_a_wrong_param_is_one_line(place):
    values = yaml.safe_load((place / "params.yaml").read_text())
    values["train"]["imagess"] = values["train"].pop("images")
    (place / "params.yaml").write_text(yaml.safe_dump(values))
    run = start(place)
    assert run.wait() == 1
    assert run.stderr.read() == "error: params.yaml: train.images is missing\n"


def test_a_diverging_run_says_so(place):
    values = yaml.safe_load((place / "params.yaml").read_text())
    values["models"]["vae"]["learning_rate"] = 1.0e6
    (place / "params.yaml").write_text(yaml.safe_dump(values))
    run = start(place)
    assert run.wait() == UNFIT
    assert "lower models.vae.learning_rate" in run.stderr.read()
    assert not (place / "data" / "model").exists()
    shutil.rmtree(place / ".ckpt", ignore_errors=True)
