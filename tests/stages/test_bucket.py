"""Two hosts that share no disk encode together: crops on a bucket, shards exchanged there, a folder each."""

import shutil
import socket

import pytest
import s3fs
import torch
import yaml

from faces import checkpoints, models
from faces.core.params import load
from faces.data.crops import read_geometry
from ops import shards
from ops.params_file import set_params
from stages import crop, encode
from tests.helpers.bucket import bucket
from tests.helpers.checkouts import SMALL
from tests.helpers.processes import TORCHRUN, finish, start
from tests.helpers.training import bytes_of
from tests.stages.test_crop import jpeg, ruler, write_raw

FACES = 60


@pytest.mark.slow
def test_two_hosts_encode_what_one_encodes(tmp_path, monkeypatch, params):
    monkeypatch.setenv("FACES_DEVICE", "cpu")
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.chdir(first)
    (first / "params.yaml").write_text(yaml.safe_dump(params))
    set_params(first / "params.yaml", SMALL | {"crop.size": 32, "crop.rows": 25, "encode.batch": 8})
    members = {f"{n}.jpg": jpeg(ruler().rotate(n)) for n in range(FACES)}
    write_raw(first / "raw", members, list(members))
    crop.run(load(crop.Params), first / "raw", first / "crops")
    config = models.config("vae", yaml.safe_load((first / "params.yaml").read_text())["models"])
    torch.manual_seed(0)
    (first / "model").mkdir()
    model = models.find("vae").Model(config, 32)
    checkpoints.save(first / "model", "vae", config, read_geometry(first / "crops/geometry.json"), model)
    encode.run(load(encode.Params), first / "crops", first / "model", first / "alone")
    with bucket(monkeypatch) as place:
        shards.main(["push", str(first / "crops/images.npy"), place])
        second = tmp_path / "second"
        shutil.copytree(first, second)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        runs = []
        for number, host in enumerate((first, second)):
            words = ["--nnodes", "2", "--node-rank", str(number), "--nproc-per-node", "1"]
            words += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
            own = {"FACES_SHARDS": str(host / "cache"), "FACES_EXCHANGE": f"{place}/work"}
            command = ["-m", "stages.encode", "crops", "model", "latents"]
            runs.append(start(host, [*TORCHRUN, *words], command, **own))
        for run in runs:
            finish(run)
        left = s3fs.S3FileSystem(skip_instance_cache=True).find(f"{place}/work")
    assert bytes_of(first / "latents") == bytes_of(first / "alone")
    assert not (second / "latents").exists() and left == []
    assert not list(tmp_path.glob("*/.ckpt/*"))
    for host in (first, second):
        assert list((host / "cache").iterdir()), "each has fetched what it read"
