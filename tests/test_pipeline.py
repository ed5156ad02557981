"""The whole chain, as DVC runs it, on a handful of faces in a checkout of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.dotted import changed

DVC = [sys.executable, "-m", "dvc"]
STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
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


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Path:
    """A checkout in which `dvc repro` has run to the end."""
    place = checkout(tmp_path_factory.mktemp("undisturbed"))
    run(place, *DVC, "repro")
    return place


def outputs(place: Path) -> dict[str, str]:
    """The checksum of every output, from dvc.lock."""
    lock = yaml.safe_load((place / "dvc.lock").read_text(encoding="utf-8"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


@pytest.mark.slow
def test_a_folder_of_pictures_without_labels_makes_sliders(tmp_path):
    """The preset, and the whole chain: mouths that open with the light have a slider in its unit."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from tests.helpers import face_api, measures  # noqa: PLC0415

    place = checkout(tmp_path / "checkout")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for i in range(120):
        grey = (60 + i + rng.integers(-25, 26, (218, 178, 3))).astype(np.uint8)
        grey[100:130, 60:120] = 30
        Image.fromarray(grey).save(pictures / f"{i:03}.png")
    face_api.write(tmp_path / "weights", "face_landmark_68_model", measures.opening_mouths())
    small = {key: value for key, value in SMALL.items() if not key.startswith("sources.")}
    changes = small | {
        "sources.folder.path": str(pictures),
        "witness.enabled": False,
        "witness.weights": str(tmp_path / "weights"),
        "prior.guidance": 1.0,
    }
    words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    run(place, sys.executable, "-m", "ops.preset", "unlabelled", *words)
    run(place, *DVC, "repro")
    about = json.loads((place / "data/export/bundle.json").read_text())
    found = {one["name"]: one for one in about["attributes"]}
    assert "mouth_open" in found and found["mouth_open"]["measure"]["unit"] == "%"
    assert about["groups"][0] == "Expression and pose"
    assert (place / "reports/grids/edit_mouth_open.png").is_file()
    assert "Mouth opening" in (place / "reports/index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_second_run_runs_nothing(undisturbed):
    said = run(undisturbed, *DVC, "repro")
    assert said.count("Running stage") == said.count("Running stage 'inputs'") == 1
    assert json.loads(run(undisturbed, *DVC, "status", "--json")) == {"inputs": ["always changed"]}


@pytest.mark.slow
def test_what_the_stages_leave(undisturbed):
    """Row i is face i at every door, and the metrics are numbers that a person can compare."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    from faces.data.sharded_array import open_parts  # noqa: PLC0415

    images = open_parts(undisturbed / "data/crops/images.npy")
    codes = np.load(undisturbed / "data/latents/latents.npy", mmap_mode="r")
    table = pd.read_parquet(undisturbed / "data/crops/table.parquet")
    assert len(images) == len(codes) == len(table) == 120
    metrics = json.loads((undisturbed / "reports/metrics.json").read_text())
    assert {"reconstruction", "code", "auroc", "counterfactual", "classifier", "edits", "generation"} <= set(
        metrics
    )
    assert 5 < metrics["reconstruction"]["psnr"] < 60


@pytest.mark.slow
def test_the_page_of_the_systems_is_drawn_from_what_a_run_left(undisturbed, tmp_path, monkeypatch):
    from ops.experiments import systems, systems_page  # noqa: PLC0415

    monkeypatch.setattr(systems, "CLONES", tmp_path)
    (tmp_path / "avatars").mkdir()
    (tmp_path / "avatars/vae").symlink_to(undisturbed)
    ledger = {
        "model": systems.locked(undisturbed, "train", "outs", "data/model"),
        "seconds": 12.0,
        "device": "an abacus",
    }
    systems.ledger_of(systems.clone_of("avatars", "vae")).write_text(json.dumps(ledger))
    systems_page.main("avatars", str(tmp_path / "page.md"))
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "![vae](page/vae.jpg)" in page and (tmp_path / "page/vae.jpg").stat().st_size > 1000
    assert (
        "Trained on: an abacus." in page
        and "Not finished, and so without figures: ladder, diffae, dcae, " in page
    )


@pytest.mark.slow
def test_the_exam_of_a_retraining_repeats_what_the_pipeline_measured(undisturbed, tmp_path):
    """On its own test split, by the same stages: the same figures, to the last digit.

    The exam scores one editor, so means are over all that this one reaches; the pipeline's own table of
    levels gives the same means. Intervals and ratios depend on the other editors.
    """
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    from faces.evaluation import summary  # noqa: PLC0415
    from faces.metrics import confounding  # noqa: PLC0415

    primary = yaml.safe_load((undisturbed / "params.yaml").read_text(encoding="utf-8"))["vectors"]["primary"]
    run(
        undisturbed,
        sys.executable,
        "-m",
        "ops.retrain.exam",
        "build",
        "data/crops",
        "data/classifier",
        "1000",
        str(tmp_path / "exam"),
    )
    out = tmp_path / "figures.json"
    run(
        undisturbed,
        sys.executable,
        "-m",
        "ops.retrain.exam",
        "score",
        str(tmp_path / "exam"),
        "data/model",
        "data/vectors",
        "-",
        primary,
        str(out),
    )
    found, expected = (
        json.loads(path.read_text(encoding="utf-8")) for path in (out, undisturbed / "reports/metrics.json")
    )
    assert found["edits"] == {"primary": found["edits"]["primary"]}
    tables = {
        name: pd.read_csv(undisturbed / f"reports/plots/{name}.csv")
        for name in ("levels", "identity", "counterfactuals")
    }
    visible = set(tables["counterfactuals"]["attribute"])
    levels = tables["levels"][tables["levels"]["estimator"] == primary]
    levels = levels.assign(common=np.isfinite(levels["strength"]) & levels["attribute"].isin(visible))
    carried = pd.DataFrame(columns=confounding.COLUMNS)
    theirs = summary.compare(levels, carried, tables["identity"], visible)[primary]
    for kind, figures in found.pop("edits")["primary"].items():
        own = [key for key in figures if key not in (*confounding.COLUMNS, "leakage")]
        assert {key: figures[key] for key in own} == pytest.approx({key: theirs[kind][key] for key in own})
    assert {"reconstruction", "auroc", "counterfactual", "code", "generation"} <= set(found)
    assert found.pop("edits_by_attribute")
    cosines = found.pop("truth_cosine")
    assert cosines["by_attribute"] == expected["truth_cosine"]["by_attribute"]
    together = found.pop("counterfactual_joint")
    for name, rows in together.items():
        del rows["mean"]  # over the pairs that all editors reach
        assert rows == {
            key: value for key, value in expected["counterfactual_joint"][name].items() if key in rows
        }
    del expected["generation"]["diffusion"]  # which an exam leaves out
    assert found == {group: expected[group] for group in found}


@pytest.mark.slow
def test_a_rendering_param_reruns_render_alone(undisturbed, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(undisturbed, place, symlinks=True)
    text = (place / "params.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    values["render"]["animation"]["fps"] += 1
    (place / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    said = run(place, *DVC, "repro", "--dry")
    assert [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")] == [
        "inputs",
        "check",
        "render",
    ]


@pytest.mark.slow
def test_twice_from_nothing_is_the_same_bytes_though_killed_everywhere(undisturbed, tmp_path):
    """SIGKILL to the whole process group while each stage runs, in turn; then to the end: every output equals
    that of the undisturbed run.
    """
    place = checkout(tmp_path / "killed")
    killed = []
    for stage in STAGES:
        log = place / f"{stage}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*DVC, "repro", stage],
                cwd=place,
                env=ENVIRONMENT | {"FACES_LOG_SECONDS": "0"},  # a line as soon as there is progress
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        while f"Running stage '{stage}'" not in log.read_text() and process.poll() is None:
            time.sleep(0.05)
        latest = time.monotonic() + 2.5  # for stages that show no progress: past the imports
        while f"\n{stage}: " not in log.read_text() and process.poll() is None and time.monotonic() < latest:
            time.sleep(0.01)
        if process.poll() is None:
            killed.append(stage)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.unlink()
    assert len(killed) >= len(STAGES) // 2, f"most stages were over before they could be killed: {killed}"
    run(place, *DVC, "repro")
    assert outputs(place) == outputs(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "filter: lanczos",
            "filter: lancoz",
            "params.yaml: crop.filter = 'lancoz'; allowed: 'bilinear', 'bicubic', 'lanczos'",
        ),
        ("source: avatars", "source: avatar", "params.yaml: data.source = 'avatar', did you mean 'avatars'?"),
        (
            "primary: ",
            "primary: mean_diference #",
            "params.yaml: vectors.primary = 'mean_diference', did you mean 'mean_difference'?",
        ),
    ],
)
def test_a_typo_fails_before_any_work(undisturbed, tmp_path, old, new, message):
    place = tmp_path / "copy"
    shutil.copytree(undisturbed, place, symlinks=True)
    text = (place / "params.yaml").read_text(encoding="utf-8")
    assert old in text
    (place / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    done = subprocess.run(
        [*DVC, "repro"], cwd=place, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"error: {message}" in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("Running stage") <= 2
