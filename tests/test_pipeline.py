"""The whole chain, as DVC runs it, on a handful of faces in a checkout of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.checkouts import DVC, ENVIRONMENT, checkout, run

STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


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
    for prior in ("diffusion", "flow"):  # an exam leaves out the one, and is given no flow here
        del expected["generation"][prior]
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


def killed_in_a_stage(process: subprocess.Popen) -> bool:
    """SIGKILL to the process group of `dvc repro`, where a stage's process is alive. Between two stages DVC
    writes dvc.lock, in place: whoever kills it then takes the file from version control.
    """
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGSTOP)  # so that what is seen is what is killed
    alive = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "stages." in " ".join(child.cmdline())
    ]
    os.killpg(process.pid, signal.SIGKILL if alive else signal.SIGCONT)
    return bool(alive)


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
        latest = time.monotonic() + 1.5  # for stages that show no progress: past the imports
        while f"\n{stage}: " not in log.read_text() and process.poll() is None and time.monotonic() < latest:
            time.sleep(0.01)
        if killed_in_a_stage(process):
            killed.append(stage)
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
