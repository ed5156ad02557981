"""What GitHub reads, workflows of .github and the citation, by the schemas that GitHub publishes."""

import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def schema(name: str) -> jsonschema.protocols.Validator:
    """One of the schemas that check-jsonschema carries."""
    text = (resources.files("check_jsonschema") / "builtin_schemas/vendor" / name).read_text(encoding="utf-8")
    return jsonschema.validators.validator_for(json.loads(text))(json.loads(text))


def read(path: Path) -> dict:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["on"] = document.pop(True)  # YAML 1.1 reads the key `on` as a truth value
    return document


def steps(document: dict) -> list[dict]:
    return [step for job in document["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_github_accepts_the_workflow(path):
    document = read(path)
    schema("github-workflows.json").validate(document)
    assert document["permissions"]["contents"] == "read"
    assert all(job["timeout-minutes"] <= 60 for job in document["jobs"].values())


def test_the_schema_sees_a_wrong_workflow():
    document = read(WORKFLOWS[0])
    next(iter(document["jobs"].values()))["step"] = []
    with pytest.raises(jsonschema.ValidationError):
        schema("github-workflows.json").validate(document)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_shell_parses_and_takes_nothing_from_outside_by_paste(path):
    """A title or branch name of a pull request is pasted into no script: expressions stay in `env`, `with`
    and `if`.
    """
    for step in steps(read(path)):
        if script := step.get("run"):
            assert "${{" not in script
            assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not here")
def test_actionlint_finds_nothing():
    done = subprocess.run(["actionlint", *WORKFLOWS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_modules_that_workflows_run_exist():
    scripts = "\n".join(step.get("run", "") for path in WORKFLOWS for step in steps(read(path)))
    modules = set(re.findall(r"python -m ([\w.]+)", scripts))
    assert modules == {"ops.preset", "ops.experiments.compare"}
    assert all((ROOT / f"{module.replace('.', '/')}.py").is_file() for module in modules)


def test_the_figures_are_compared_whenever_they_change():
    document = read(ROOT / ".github/workflows/metrics.yml")
    assert document["on"] == {"pull_request": {"paths": ["params.yaml", "dvc.lock", "reports/metrics.json"]}}
    assert all((ROOT / path).is_file() for path in document["on"]["pull_request"]["paths"])
    assert document["jobs"]["metrics"]["steps"][0]["with"]["fetch-depth"] == 0


def test_the_citation_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    citation["date-released"] = citation["date-released"].isoformat()
    schema("citation-file-format.json").validate(citation)
    project = (ROOT / "facemorph/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{citation["version"]}"' in project and citation["license"] == "MIT"
    assert f"## [{citation['version']}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text(
        encoding="utf-8"
    )
