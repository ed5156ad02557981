"""The website in Firefox: the way of a newcomer, as Chromium goes it in test_browser.py."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skimage.data
from PIL import Image

from facemorph.export import Export
from tests.helpers import standin
from tests.helpers.file_server import file_server, free_port
from web import npm, site

FIREFOX = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
if FIREFOX is None:
    pytest.skip("no Firefox: apt-get install firefox-esr, or name one in FIREFOX", allow_module_level=True)

pytestmark = pytest.mark.browser


@pytest.fixture
def address(tmp_path):
    """Where a fresh Firefox listens."""
    port = free_port()
    profile = tmp_path / "profile"
    profile.mkdir()
    command = [
        FIREFOX,
        "--headless",
        "--no-remote",
        "--profile",
        profile,
        "--remote-debugging-port",
        str(port),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "BiDi listening on" in line:
            yield line.split()[-1]
            break
    else:
        pytest.skip("this Firefox did not start")
    process.terminate()
    process.wait(20)


def test_a_newcomer_comes_to_a_saved_edit(address, tmp_path):
    """A face, a slider, a photograph, a slider, four kinds of file: faces are those of Python, nothing fails
    and nothing is asked of another host.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is missing: install Node.js 20 or newer to drive Firefox")
    export = tmp_path / "export"
    standin.write_export(export, *standin.faces(120, 3), standin.ATTRIBUTES, 24)
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.jpg")
    try:
        site.build(export, tmp_path / "site")
    except npm.NoPackages as error:
        pytest.skip(str(error))
    with file_server(tmp_path / "site") as (url, _):
        script = [
            node,
            "--experimental-websocket",
            Path(__file__).with_name("firefox.mjs"),
            address,
            url,
            tmp_path / "photo.jpg",
        ]
        done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["complaints"] == []
    model = Export(export)
    decoder = onnxruntime.InferenceSession(str(export / "decoder.onnx"))
    code = model.sample(7)
    for name, strengths in (("face", {}), ("edited", {"Wearing_Hat": found["strength"]})):
        (image,) = decoder.run(None, {"codes": model.edit(code, strengths)[None]})
        small = Image.fromarray(np.rint(image[0]).clip(0, 255).astype(np.uint8))
        wanted = np.asarray(small.resize((256, 256), Image.Resampling.LANCZOS))[96:160, 96:160]
        shown = np.array(found[name]).reshape(64, 64, 4)[..., :3]
        assert np.abs(shown - wanted.astype(int)).mean() < 1, name
    names = {kind: name for kind, (name, _) in found["saved"].items()}
    assert names["png"] == "facemorph-photo.png" and names["jpeg"] == "facemorph-photo.jpg"
    assert names["gif"] == "facemorph-photo.gif" and names["video"].startswith("facemorph-photo.")
    sizes = {kind: size for kind, (_, size) in found["saved"].items()}
    assert min(sizes.values()) > 5000 and sizes["gif"] <= 500_000 and sizes["jpeg"] < sizes["png"] / 2
