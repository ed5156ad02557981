"""The pipeline as DVC sees it: what dvc.yaml says must be what the code does.

DVC does not follow imports, so a file that is imported but not listed can change without anything being run
again.
"""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from faces import models, sources
from faces.core import params
from stages.check import groups
from tests.conftest import ROOT

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = PIPELINE["stages"]
DATA = ("data/", "reports/")
# Nothing in them runs that an output could depend on; the last loads what it is asked for.
BARE = {"faces/__init__.py", "stages/__init__.py", "facemorph/__init__.py"}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def paths(entries: list) -> list[str]:
    """The paths of a list of deps or outs, some of which carry options."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def imports(file: Path) -> set[Path]:
    """The first-party files that `file` imports, at any depth of the code, functions included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] in ("faces", "stages", "facemorph"):
                stem = ROOT / name.replace(".", "/")
                found |= {path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()}
    return found


def closure(file: Path) -> set[str]:
    """`file` and all that it imports, directly or not, relative to the root; empty package files are left
    out.
    """
    seen = set()
    waiting = {file}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        if str(path.relative_to(ROOT)) not in BARE:
            waiting |= imports(path) - seen
    return {
        str(path.relative_to(ROOT))
        for path in seen
        if path.name != "__init__.py" or path.read_text(encoding="utf-8").strip()
    } - BARE


def covered(path: str, deps: set[str]) -> bool:
    """Whether `path` is among `deps`, or in a folder that is."""
    return path in deps or any(str(parent) in deps for parent in Path(path).parents)


def test_every_stage_is_a_file_and_every_file_a_stage():
    assert sorted(STAGES) == sorted(
        path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__"
    )


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_imports(stage):
    """Every first-party file that a stage reaches is among its deps, whatever the model and source."""
    deps = set(paths(STAGES[stage]["deps"]))
    reached = closure(ROOT / "stages" / f"{stage}.py")
    for registry, key in ((models, "model"), (sources, "data.source")):
        package = registry.__name__.split(".")[-1]
        if f"faces/{package}/${{{key}}}.py" in deps:
            for name in registry.names():
                reached |= closure(ROOT / "faces" / package / f"{name}.py") - {f"faces/{package}/{name}.py"}
        elif f"faces/{package}" in deps:
            for name in registry.names():
                reached |= closure(ROOT / "faces" / package / f"{name}.py")
        elif stage not in ("check", "inputs"):  # check asks them all, inputs loads none (test_inputs.py)
            assert f"faces/{package}/__init__.py" not in reached, (
                f"{stage} can build any of {package}: list faces/{package}/${{{key}}}.py"
            )
    missing = sorted(path for path in reached if not covered(path, deps))
    assert not missing, f"missing in the deps of {stage}: {missing}"


@pytest.mark.parametrize("stage", STAGES)
def test_deps_exist_and_are_needed(stage):
    """No dep that the code does not reach: an edit there would rerun the stage for nothing."""
    code = {
        path
        for path in paths(STAGES[stage]["deps"])
        if path.startswith(("faces/", "stages/")) and "${" not in path
    }
    reached = closure(ROOT / "stages" / f"{stage}.py")
    for registry in (models, sources):
        for name in registry.names():
            reached |= closure(ROOT / registry.__name__.replace(".", "/") / f"{name}.py")
    idle = sorted(path for path in code if not any(covered(file, {path}) for file in reached))
    assert not idle, f"listed for {stage} but never imported: {idle}"


@pytest.mark.parametrize("stage", STAGES)
def test_cmd_says_inputs_then_outputs(stage):
    """`cmd` names each data dep and each out once, and nothing else: paths stand in dvc.yaml alone."""
    words = shlex.split(STAGES[stage]["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    deps = [path for path in paths(STAGES[stage]["deps"]) if path.startswith(DATA) or path == "params.yaml"]
    assert words[3:] == deps + [path for path in words[3:] if path in paths(STAGES[stage]["outs"])]
    assert sorted(words[3:]) == sorted(deps + paths(STAGES[stage]["outs"]))


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "check"])
def test_params_are_those_that_the_stage_reads(stage):
    """dvc.yaml lists the keys of the stage's `Params`, narrowed to the chosen model and source; check reads
    the whole file as a dep.
    """
    listed = {
        entry.replace(".${model}", "").replace(".${data.source}", "")
        for entry in STAGES[stage].get("params", [])
    }
    assert leaves(listed) == leaves(params.keys(groups()[stage]))


def leaves(keys: Iterable[str]) -> set[str]:
    """Groups taken apart into their keys: a group may be listed whole, or key by key."""
    found = set()
    for key in keys:
        value = PARAMS
        for part in key.split("."):
            value = value[part]
        found |= {f"{key}.{part}" for part in value} if isinstance(value, dict) else {key}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_the_run_cache_sees_every_param(stage):
    """DVC leaves keys called `size` and `nfiles` out of the hash under which it keeps runs, in params too:
    two sizes would count as one run.
    """
    for entry in STAGES[stage].get("params", []):
        value = PARAMS
        for key in entry.replace(".${model}", "").replace(".${data.source}", "").split("."):
            value = value[key]
        assert not isinstance(value, dict) or not re.search(r"'(size|nfiles)':", str(value)), (
            f"list the keys of {entry} one by one"
        )


def test_directions_need_a_classifier_only_where_they_come_from_imagined_faces(tmp_path):
    """`dvc repro vectors`, commands replaced: from the data's labels, from imagined faces, and back."""
    dvc = [sys.executable, "-m", "dvc"]
    pipeline = {"stages": {}}
    for name, stage in STAGES.items():
        outs = paths(stage["outs"])
        folders = " ".join(out if "." not in out else "data reports" for out in outs)
        files = " ".join(out if "." in out else f"{out}/table.parquet" for out in outs)
        pipeline["stages"][name] = {
            "cmd": f"mkdir -p {folders} && echo {name} | tee {files} >> ran",
            "deps": [dep for dep in paths(stage["deps"]) if dep.startswith(DATA)],
            "params": stage.get("params", []),
            "outs": outs,
        }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)

    def ran(labels: str) -> set[str]:
        values = PARAMS | {"vectors": PARAMS["vectors"] | {"labels": labels}}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
        (tmp_path / "ran").write_text("")
        subprocess.run([*dvc, "repro", "-q", "vectors"], cwd=tmp_path, check=True)
        return set((tmp_path / "ran").read_text().split())

    assert ran("crops/table.parquet") == {
        *("inputs", "check", "download", "crop", "measure", "train", "encode", "vectors")
    }
    assert ran("imagined") == {"classifier", "imagine", "vectors"}
    assert ran("crops/table.parquet") == set()  # from the run cache


def test_every_stage_says_what_it_does():
    assert all(STAGES[stage].get("desc") for stage in STAGES)


def test_every_key_of_params_is_read(params):
    read = {
        key.split(".")[0]
        for group in groups().values()
        for key in importlib.import_module("faces.core.params").keys(group)
    }
    assert set(params) == read


def test_every_key_of_params_has_a_comment():
    """A leaf says its meaning or unit in its line; a list of records says it in the list's own line."""
    bare = []
    record = None  # indent of the fields of the record that the line is in
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        indent = len(line) - len(line.lstrip())
        if re.match(r"^\s*- \w+:", line):
            record = indent + 2
        elif indent != record:
            record = None
        if record is None and re.match(r"^\s*\w+: +[^#\s]", line) and "#" not in line:
            bare.append(line)
    assert not bare


@pytest.mark.parametrize("name", models.names())
def test_params_hold_every_model(name, params):
    models.config(name, params["models"])


@pytest.mark.parametrize("name", sources.names())
def test_params_hold_every_source(name, params):
    assert isinstance(sources.build(name, params["sources"]), sources.Source)


@pytest.mark.parametrize("stage", STAGES)
def test_costly_stages_keep_the_run_cache(stage):
    """`cache: false`, `persist` and `always_changed` switch it off; only the stages of small metrics and of
    the inputs' fingerprint may.
    """
    options = [
        option
        for out in STAGES[stage]["outs"]
        if isinstance(out, dict)
        for option in next(iter(out.values()))
    ]
    assert "persist" not in options
    assert not STAGES[stage].get("always_changed") or stage == "inputs"
    assert "cache" not in options or stage == "evaluate"
