"""Checkouts of the project in which DVC runs the whole chain on a handful of faces."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT
from tests.helpers.dotted import changed

DVC = [sys.executable, "-m", "dvc"]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
    "FACES_DEVICE": "cpu",
    "DVC_NO_ANALYTICS": "1",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
}
SMALL = {  # what makes a run short: key -> value
    "sources.avatars.count": 120,
    "sources.avatars.valid": 0.07,
    "sources.avatars.test": 0.1,
    "sources.avatars.counterfactuals": 3,
    "sources.avatars.calibration": 3,
    "crop.rows": 50,
    "models.vae.code_length": 16,
    "models.vae.width": 4,
    "models.vae.linear_in": 16,
    "models.vae.linear_out": 16,
    "models.vae.batch": 16,
    "models.vae.critic": 0.0,
    "train.images": 480,
    "train.reports": 2,
    "train.valid_images": 8,
    "train.snapshots": 2,
    "train.averaging": 64,
    "vectors.min_faces": 4,
    "vectors.bootstrap": 10,
    "flow.steps": 8,
    "flow.width": 16,
    "flow.readouts.min_faces": 4,
    "classifier.widths": [4],
    "classifier.images": 640,
    "classifier.min_auroc": 0.0,
    "score.faces": 8,
    "score.min_faces": 2,
    "score.strengths": [2.0, 8.0],
    "score.switches": [1.0, 3.0],
    "score.samples": 12,
    "prior.axes": 8,
    "prior.components": 2,
    "prior.diffusion": 4,
    "score.groups": 3,
    "evaluate.resamples": 10,
    "render.tile": 32,
    "render.animation.tile": 32,
    "render.animation.frames": 3,
}


def run(place: Path, *command: str) -> str:
    done = subprocess.run([*command], cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def checkout(place: Path) -> Path:
    """A fresh Git checkout of the project as it stands here, with params for a run of seconds; no output, no
    cache.
    """
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in files:
        if not name.startswith(("tests/", "docs/", "web/", "dvc.lock")) and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    values = yaml.safe_load((place / "params.yaml").read_text(encoding="utf-8"))
    values = changed(values, SMALL)
    (place / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a checkout"]):
        run(place, "git", *command)
    return place
