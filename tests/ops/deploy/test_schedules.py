"""The files of ops/deploy/schedules, as far as they can be checked where they are not installed: by the tools
and schemas of those who will read them.
"""

import json
import re
import shutil
import subprocess
import sys
from importlib import resources

import jsonschema
import kubernetes_validate
import pytest
import yaml

from ops.retrain.lock import exclusive
from ops.retrain.settings import load
from tests.conftest import ROOT

SCHEDULES = ROOT / "ops/deploy/schedules"
HOME = "/srv/facemorph"
DAYS = {"17 3 * * 0"}


def here(text: str) -> str:
    """The file as someone copies it: with the place of this checkout and of this Python."""
    return text.replace(f"{HOME}/.venv/bin/python", sys.executable).replace(HOME, str(ROOT))


def workflow() -> dict:
    return yaml.safe_load((SCHEDULES / "github-actions.yaml").read_text(encoding="utf-8"))


def cron_job() -> dict:
    return yaml.safe_load((SCHEDULES / "kubernetes.yaml").read_text(encoding="utf-8"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_takes_the_units(tmp_path):
    units = sorted(SCHEDULES.glob("*.service")) + sorted(SCHEDULES.glob("*.timer"))
    for unit in units:
        (tmp_path / unit.name).write_text(here(unit.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in units)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "facemorph" in line]
    assert len(units) == 2 and complaints == [], done.stderr


def test_systemd_makes_up_for_missed_runs_and_kills_all_it_started():
    service, timer = (
        (SCHEDULES / f"facemorph-retrain.{kind}").read_text(encoding="utf-8") for kind in ("service", "timer")
    )
    assert (
        "\nPersistent=true\n" in timer
        and "\nKillMode=control-group\n" in service
        and "\nType=oneshot\n" in service
    )
    assert re.search(r"^SuccessExitStatus=(.*)$", service, re.M)[1].split() == ["10", "11", "75"]


def cron_line() -> list[str]:
    """Five fields of time, the user, the command."""
    (line,) = [
        line
        for line in (SCHEDULES / "facemorph-retrain.cron").read_text().splitlines()
        if re.match(r"[\d*]", line)
    ]
    return line.split(None, 6)


def test_cron_runs_its_command(tmp_path):
    """For real, in a copy: and refuses, with the code that says so, while another holds the lock."""
    *times, _, command = cron_line()
    assert " ".join(times) in DAYS and "%" not in command, "cron takes a percent sign for a line's end"
    command = command.replace(f"cd {HOME}", f"cd {tmp_path}").replace(
        "python -m ops.retrain", f"env PYTHONPATH={ROOT} {sys.executable} -m ops.retrain --help"
    )
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 0
    assert "--new-exam" in (tmp_path / ".retrain/cron.log").read_text()
    with exclusive(tmp_path / ".retrain/cron.lock", 0.0):
        assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 75


def test_github_accepts_the_workflow():
    schema = json.loads(
        resources.files("check_jsonschema")
        .joinpath("builtin_schemas/vendor/github-workflows.json")
        .read_text(encoding="utf-8")
    )
    document = workflow()
    document["on"] = document.pop(True)  # YAML 1.1 reads the key `on` as a truth value
    jsonschema.Draft7Validator(schema).validate(document)
    assert [entry["cron"] for entry in document["on"]["schedule"]] == list(DAYS)
    assert document["concurrency"] == {"group": "retrain", "cancel-in-progress": False}
    job = document["jobs"]["retrain"]
    assert job["timeout-minutes"] <= 360 and job["steps"][0]["with"]["fetch-depth"] == 0


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not here")
def test_actionlint_finds_nothing(tmp_path):
    place = tmp_path / ".github/workflows"
    place.mkdir(parents=True)
    shutil.copy(SCHEDULES / "github-actions.yaml", place / "retrain.yaml")
    done = subprocess.run(["actionlint", place / "retrain.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "step",
    [step for step in workflow()["jobs"]["retrain"]["steps"] if "run" in step],
    ids=lambda step: step["run"][:20],
)
def test_the_shell_of_each_step_parses(step):
    script = re.sub(r"\$\{\{.*?\}\}", "x", step["run"])
    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


def test_the_workflow_points_the_job_at_its_remote(tmp_path):
    """The line that turns ops/retrain/retrain.yaml into the workflow's settings does what it says."""
    (line,) = [
        line
        for step in workflow()["jobs"]["retrain"]["steps"]
        for line in step.get("run", "").splitlines()
        if line.startswith("sed ")
    ]
    subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env={"RUNNER_TEMP": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=True,
    )
    changed = load(tmp_path / "retrain.yaml")
    before = load()
    assert changed.git.remote == "origin" and changed.model_copy(update={"git": before.git}) == before


def test_kubernetes_accepts_the_job():
    document = cron_job()
    kubernetes_validate.validate(document, "1.32", strict=True)
    assert document["spec"]["schedule"] in DAYS and document["spec"]["concurrencyPolicy"] == "Forbid"
    broken = json.loads(json.dumps(document))
    broken["spec"]["jobTemplate"]["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.32", strict=True)


def test_every_schedule_runs_the_same_command():
    assert re.search(r"^ExecStart=(.*)$", (SCHEDULES / "facemorph-retrain.service").read_text(), re.M)[
        1
    ].endswith("python -m ops.retrain")
    assert " python -m ops.retrain " in cron_line()[-1]
    assert any(
        "python -m ops.retrain" in step.get("run", "") for step in workflow()["jobs"]["retrain"]["steps"]
    )
    (container,) = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "ops.retrain"]


def test_what_is_copied_needs_only_its_place_changed():
    for file in SCHEDULES.iterdir():
        places = set(re.findall(r"/srv/\w+", file.read_text(encoding="utf-8")))
        assert places <= {HOME}, f"{file.name}: {places}"
