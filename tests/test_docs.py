"""README and docs say what is so: links, commands, paths, the diagram, the stages, the five figures."""

import ast
import itertools
import json
import re
import shlex
from pathlib import Path

import networkx
import pytest
import yaml

import facemorph
from facemorph import cli
from faces import models
from ops import preset
from stages.check import check
from tests.conftest import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(path), re.M | re.S)


def commands(path: Path) -> list[str]:
    """Lines of shell, in blocks and between backticks; comments left out."""
    lines = [line for block in blocks(path, "sh") for line in block.splitlines()]
    return [*lines, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text(path), flags=re.M | re.S))]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", text(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", text(path)):
        if link.startswith("http"):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_document
def test_commands_name_what_exists(path):
    targets = set(re.findall(r"^(\w+):", text(ROOT / "Makefile"), re.M))
    for command in commands(path):
        for module in re.findall(r"python -m ([\w.]+)", command):
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), command
        for target in re.findall(r"(?:^|&& )make (\w+)", command):
            assert target in targets, command


@each_document
def test_paths_exist(path):
    """Those of code and configuration; what stages write is not here before they ran."""
    for name in re.findall(
        r"`((?:faces|stages|ops|web|tests|presets|docs|benchmarks)/[\w./-]*)`", text(path)
    ):
        assert "NAME" in name or (ROOT / name).exists(), name


@each_document
def test_presets_are_applied_as_written(path, params):
    for command in commands(path):
        if command.startswith("python -m ops.preset ") and "--list" not in command:
            words = shlex.split(command.split("&&")[0], comments=True)[3:]
            name, *more = [word for word in words if word != "--exp"]
            if name == "NAME":
                continue
            changes = preset.read(name).params | preset.words(more)
            preset.check_keys(preset.changed(params, changes, command))


@each_document
def test_experiments_set_keys_that_exist_to_good_values(path, params):
    """Several values after a comma are a queue. What a source that is not here offers is asked of the drawn
    faces.
    """
    for command in commands(path):
        words = shlex.split(command.partition("dvc exp run ")[2], comments=True)
        changes = dict(word.split("=", 1) for word in words if "=" in word)
        if "--queue" in words:
            changes = {key: value.split(",")[0] for key, value in changes.items()}
        if changes:
            values = preset.changed(
                params, {key: yaml.safe_load(value) for key, value in changes.items()}, command
            )
            check(values | {"data": {"source": "avatars"}})
            preset.check_keys(values)


def test_no_row_of_a_table_is_kept_twice():
    rows = []
    for path in DOCUMENTS:
        lines = text(path).splitlines()
        heads = {line for line, rule in itertools.pairwise(lines) if rule.startswith("|---")}
        rows += [line for line in lines if line.startswith("| ") and line not in heads]
    assert [row for row in set(rows) if rows.count(row) > 1] == []


def test_the_diagram_has_the_edges_of_the_pipeline():
    """Each edge that is not implied by others, and no other."""
    makers = {
        out if isinstance(out, str) else next(iter(out)): name
        for name, stage in STAGES.items()
        for out in stage["outs"]
    }
    true = networkx.DiGraph(
        (makers[dep], name) for name, stage in STAGES.items() for dep in stage["deps"] if dep in makers
    )
    (diagram,) = blocks(ROOT / "README.md", "mermaid")
    chains = [re.split(r"\s*-->\s*", line.strip()) for line in diagram.splitlines() if "-->" in line]
    drawn = {edge for chain in chains for edge in itertools.pairwise(chain)}
    assert drawn == set(networkx.transitive_reduction(true).edges)


def test_the_table_has_the_stages_in_order_and_what_they_leave():
    rows = re.findall(r"^\| (\w+) \| (`(?:data|reports)/.*?`) \|", text(ROOT / "README.md"), re.M)
    left = {
        name: [(out if isinstance(out, str) else next(iter(out))) for out in stage["outs"]]
        for name, stage in STAGES.items()
    }
    assert [name for name, _ in rows] == list(STAGES)
    for name, outs in rows:
        assert sorted(out.rstrip("/") for out in re.findall(r"`(.*?)`", outs)) == sorted(left[name])


def test_the_five_figures_are_those_of_the_committed_run():
    metrics = json.loads(text(ROOT / "reports/metrics.json"))
    rows = re.findall(r"^\| .* \| `([\w.]+)` \| ([\d.,]+) \|$", text(ROOT / "README.md"), re.M)
    assert len(rows) == 5
    for key, shown in rows:
        value = metrics
        for part in key.split("."):
            value = value[part]
        places = len(shown.partition(".")[2])
        assert f"{value:,.{places}f}" == shown, key


def test_the_map_has_every_folder_of_the_library():
    (drawn,) = blocks(ROOT / "README.md", "text")
    for place in ("faces", "ops"):
        folders = {
            path.name for path in (ROOT / place).iterdir() if path.is_dir() and not path.name.startswith("_")
        }
        assert folders <= set(re.findall(r"(\w+)/", drawn)), place


def test_the_runtime_is_called_as_it_is_written():
    """Names that the example imports, and every command as its parser reads it."""
    page = ROOT / "docs/python.md"
    (example,) = blocks(page, "python")
    imported = [
        name.name
        for node in ast.parse(example).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    assert set(imported) <= set(facemorph.__all__) and imported
    written = [line.removeprefix("python -m ") for path in DOCUMENTS for line in commands(path)]
    lines = [line for line in written if line.startswith("facemorph ")]
    assert len(lines) >= 6
    for line in lines:
        cli.parser().parse_args(shlex.split(line, comments=True)[1:])


def test_a_model_of_ones_own_has_the_methods_that_the_contract_asks_for():
    (example,) = blocks(ROOT / "docs/experiments.md", "python")
    (model,) = [
        node for node in ast.parse(example).body if isinstance(node, ast.ClassDef) and node.name == "Model"
    ]
    methods = {node.name for node in model.body if isinstance(node, ast.FunctionDef)}
    assert models.Model.__abstractmethods__ <= methods


def test_the_introduction_is_short():
    assert len(text(ROOT / "README.md").splitlines()) <= 150


def test_every_estimator_is_described():
    """By the table ESTIMATORS, read without importing what it needs."""
    tree = ast.parse(text(ROOT / "faces/estimators/estimators.py"))
    (table,) = [
        node for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id == "ESTIMATORS"
    ]
    described = re.findall(r"^\| ([a-z_, ]+) \|", text(ROOT / "docs/directions.md"), re.M)
    names = {name for cell in described for name in cell.split(", ")}
    assert {key.value for key in table.value.keys} <= names
