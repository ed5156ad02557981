"""Many processes, one run: what two compute is what one computes, and a run changes hands between them.

Processes talk by gloo on this machine's CPU; two of them stand for two devices, and two network namespaces
for two hosts.
"""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from faces import checkpoints, models
from faces.core.params import parse
from faces.data.crops import Crops
from faces.data.sharded_array import Writer
from faces.models.pggan import minibatch_deviation
from faces.nn import distributed
from faces.nn.device import to_device
from stages import train
from tests.helpers.processes import TORCHRUN, TWO, finish, kill_when, start
from tests.helpers.training import SMALL, bytes_of, steps_done, write_crops

TRAIN = ["stages.train", "data/crops", "data/model"]
NARROW = {
    name: {"width": 4, "code_length": 8}
    for name in ("vanilla_vae", "beta_vae", "msssim_vae", "dfc_vae", "face_generator_vae", "dcae", "pgae")
} | {
    "vae": SMALL,
    "ladder": SMALL | {"detail": 2, "detail_width": 4},
    "diffae": {"code_length": 8, "encoder_width": 4, "channels": 2, "grid_width": 4, "width": 4, "levels": 2},
    "glow": {"width": 16, "steps": 2},
    "pggan": {"latent": 16, "maps": 8},
}


def prepare(place: Path, params: dict, faces: int) -> Path:
    """A folder with crops, whose pictures have no two equal pixels for a pooling to choose from, and params
    of narrow models.
    """
    rng = np.random.default_rng(0)
    write_crops(place / "data" / "crops", faces, rng)
    images = np.load(place / "data" / "crops" / "images.npy")
    np.save(
        place / "data" / "crops" / "images.npy",
        (images * 0.7 + rng.integers(0, 70, images.shape)).astype(np.uint8),
    )
    values = dict(params)
    values["models"] = {
        name: {**group, **NARROW[name], "batch": 8} for name, group in params["models"].items()
    }
    values["model"] = "vae"
    values["train"] = {
        **params["train"],
        "images": 800,
        "flip": True,  # which faces are mirrored is drawn for all processes alike
        "reports": 4,
        "valid_images": 8,
        "snapshots": 3,
        "prepare": 40,
        "averaging": 100,
    }
    values["encode"] = {"batch": 1, "mirror": True}
    (place / "params.yaml").write_text(yaml.safe_dump(values))
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory, params) -> Path:
    """A folder with 64 faces in which one process has trained, in data/alone."""
    place = prepare(tmp_path_factory.mktemp("place"), params, 64)
    finish(start(place, [sys.executable, "-m"], [*TRAIN[:2], "data/alone"]))
    return place


def apart(folder: Path, other: Path) -> float:
    """Distance of two models' weights and running statistics, as a share of their length."""
    ours = load_file(folder / "model.safetensors")
    theirs = load_file(other / "model.safetensors")
    assert ours.keys() == theirs.keys()
    a, b = (
        np.concatenate([weights[key].ravel().astype(np.float64) for key in ours])
        for weights in (ours, theirs)
    )
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


def test_a_step_is_the_same_on_two_processes(tmp_path, params):
    """Of every model, at six moments of its budget: gradients, running statistics and logs agree to 1e-9 in
    float64 (measured: 1e-13).
    """
    prepare(tmp_path, params, 64)
    program = ["-m", "tests.helpers.dealt_steps", str(tmp_path)]
    for process in [start(tmp_path, launcher, program) for launcher in ([sys.executable], TWO)]:
        finish(process)
    alone, dealt = (torch.load(tmp_path / f"steps{size}.pt", weights_only=True) for size in (1, 2))
    assert {name.split()[0] for name in alone} == set(models.names())
    for name, step in alone.items():
        assert step.keys() == dealt[name].keys(), name
        for kind in ("gradient", "buffer", "log"):
            keys = [key for key in step if key.startswith(kind)]
            a, b = (
                torch.cat([found[name][key].flatten() for key in keys] or [torch.zeros(1)])
                for found in (alone, dealt)
            )
            assert (a - b).norm() <= 1e-9 * a.norm(), f"{name}: {kind}"


def test_a_run_changes_hands(place):
    """Two processes, killed; one goes on, killed; two finish: the weights are those of one undisturbed
    process to 1e-3 (measured: 5e-5).
    """
    for launcher, at_least in ((TWO, 25), ([sys.executable], 60)):
        run = start(place, launcher, ["-m", *TRAIN], FACES_CHECKPOINT_SECONDS="0")
        kill_when(
            run,
            lambda least=at_least: any(
                steps_done(path) >= least for path in (place / ".ckpt").glob("*/state.pt")
            ),
        )
        assert not (place / "data" / "model").exists()
    said = finish(
        start(place, [sys.executable, "-m"], TRAIN, FACES_LAUNCH=" ".join(TWO), FACES_LOG_SECONDS="0")
    )
    assert said.count("continuing at image") == 1, "rank 0 alone talks"
    assert said.count("800 of 800 images") == 1
    assert apart(place / "data" / "alone", place / "data" / "model") < 1e-3
    assert (place / "data" / "model" / "history.csv").read_text().count("\n") == 5
    assert not list((place / ".ckpt").glob("*/state.pt"))


def test_shards_are_encoded_once_each_though_killed(place, tmp_path, params):
    """Killed after some shards, continued by two processes: those shards are not done again, and the bytes
    are those of one undisturbed process.

    That one has all faces in one file, the others in several.
    """
    prepare(tmp_path, params, 400)
    shutil.copytree(place / "data" / "alone", tmp_path / "data" / "model")
    command = ["stages.encode", "data/crops", "data/model"]
    finish(start(tmp_path, [sys.executable, "-m"], [*command, "data/alone"]))
    images = np.load(tmp_path / "data/crops/images.npy")
    with Writer(tmp_path / "data/crops/images.npy", images.shape[1:], np.uint8, 90) as out:
        out.append(images)
    run = start(tmp_path, TWO, ["-m", *command, "data/latents"])
    kill_when(run, lambda: len(list(tmp_path.glob(".ckpt/*/*.npz"))) >= 30)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob(".ckpt/*/*.npz")}
    assert 30 <= len(kept) < 400 and not (tmp_path / "data" / "latents").exists()
    said = finish(
        start(tmp_path, [sys.executable, "-m"], [*command, "data/latents"], FACES_LAUNCH=" ".join(TWO))
    )
    assert f"continuing, {len(kept)} of 400 shards are there" in said
    assert bytes_of(tmp_path / "data" / "latents") == bytes_of(tmp_path / "data" / "alone")
    assert not list(tmp_path.glob(".ckpt/*"))
    model, _ = checkpoints.load(tmp_path / "data/model")
    with torch.no_grad():
        expected = model.encode(
            to_device(np.ascontiguousarray(images[:, :, ::-1]), torch.device("cpu"))
        ).numpy()
    mirrored, plain = (np.load(tmp_path / f"data/latents/{name}.npy") for name in ("mirrored", "latents"))
    np.testing.assert_allclose(mirrored, expected, atol=1e-4)
    assert np.abs(mirrored - plain).max() > 1e-2


@pytest.fixture
def hosts():
    """Two network namespaces joined by a cable: name, address and interface of each."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("two hosts need root and the program ip (package iproute2) to make network namespaces")
    mark = uuid.uuid4().hex[:6]
    names = [f"faces-{mark}-{side}" for side in "ab"]
    if subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let network namespaces be made")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        ip("netns", "add", names[1])
        ip(
            "link",
            "add",
            f"v{mark}a",
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            f"v{mark}b",
            "netns",
            names[1],
        )
        found = []
        for name, side, address in zip(names, "ab", ("10.213.7.1", "10.213.7.2"), strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"v{mark}{side}")
            ip("-n", name, "link", "set", f"v{mark}{side}", "up")
            ip("-n", name, "link", "set", "lo", "up")
            found.append((name, address, f"v{mark}{side}"))
        yield found
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_two_hosts_meet_by_rendezvous(hosts, place):
    """A host each in a network of its own, torchrun on both with one endpoint: they train one model, the one
    that one process trains.
    """
    runs = []
    for name, address, interface in hosts:
        join = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "faces"]
        join += ["--rdzv-endpoint", f"{hosts[0][1]}:29500", "--local-addr", address]
        join += [
            "--rdzv-conf",
            f"is_host={int(address == hosts[0][1])}",
        ]  # both have this machine's name, by which torchrun would tell
        command = ["-m", *TRAIN[:2], "data/hosts"]
        runs.append(
            start(
                place,
                ["ip", "netns", "exec", name, *TORCHRUN, *join],
                command,
                GLOO_SOCKET_IFNAME=interface,
                FACES_LOG_SECONDS="0",
            )
        )
    said = [finish(run) for run in runs]
    assert sorted("800 of 800 images" in lines for lines in said) == [False, True], (
        "one of the hosts has rank 0"
    )
    assert apart(place / "data" / "alone", place / "data" / "hosts") < 1e-3


def test_a_batch_that_cannot_be_dealt_is_refused(place, params, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    group = {**params["models"]["vae"], **SMALL}
    values = parse(
        train.Params,
        {"seed": 1, "model": "vae", "models": {"vae": group}, "train": params["train"]},
        "params",
    )
    with pytest.raises(
        ValueError, match=r"params\.yaml: models\.vae\.batch = 8 cannot be dealt evenly to 3 processes"
    ):
        train.Run(
            values,
            models.config("vae", values.models),
            Crops.open(place / "data" / "crops"),
            torch.device("cpu"),
        )


def test_groups_that_would_be_torn_apart_are_refused():
    """Groups of 4 in a batch of 8: two processes hold one each, four hold halves."""
    x = torch.randn(8, 2, 4, 4)
    whole = minibatch_deviation(x, 4)
    for rank in range(2):
        with distributed.dealt(rank, 2):
            torch.testing.assert_close(minibatch_deviation(x[rank::2], 4), whole[rank::2])
    with (
        distributed.dealt(0, 4),
        pytest.raises(ValueError, match=r"models\.pggan\.batch leaves 2 images per process; groups of 4"),
    ):
        minibatch_deviation(x[::4], 4)


@pytest.mark.parametrize(
    "like", [torch.empty(4, 6), torch.empty(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)]
)
@pytest.mark.parametrize("draw", [distributed.normal, distributed.uniform])
def test_a_row_gets_the_same_draw_however_many_processes(like, draw):
    torch.manual_seed(3)
    whole = draw(like)
    after = draw(like)
    for rank in range(2):
        torch.manual_seed(3)
        with distributed.dealt(rank, 2):
            assert torch.equal(draw(like[rank::2]), whole[rank::2])
            assert torch.equal(draw(like[rank::2]), after[rank::2])
