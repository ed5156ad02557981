"""Packages declared in pyproject.toml, against imports, the lock, and what the runtime may need."""

import importlib.metadata
import re
import sys
import tomllib

from packaging.requirements import Requirement

import facemorph
from tests.conftest import ROOT
from tests.helpers.packages import canonical, distributions, modules, pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"facemorph", "faces", "stages", "web", "ops"}
OPTIONAL = {
    "huggingface_hub",
    "kagglehub",
    "mlflow",
    "gdown",
    "torch_fidelity",
}  # where they are missing, a line says so
BROUGHT = {"starlette", "dvc-data"}  # FastAPI's and DVC's own, in the same versions
OWNERS = importlib.metadata.packages_distributions()


def declared(*extras: str) -> set[str]:
    """Canonical names of the runtime's packages and those of `extras`."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {canonical(Requirement(line).name) for line in lines}


def imported(*folders: str) -> set[str]:
    """Top-level names that the code of `folders` imports and that are neither ours nor Python's."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {name.split(".")[0] for path in paths for name in modules(path)}
    return found - OURS - OPTIONAL - sys.stdlib_module_names


def undeclared(names: set[str], packages: set[str]) -> set[str]:
    return {name for name in names if not {canonical(one) for one in OWNERS.get(name, [name])} & packages}


def test_every_import_is_declared():
    """The runtime alone, but for DVC, which it asks for other revisions; and everything."""
    assert undeclared(imported("facemorph") - {"dvc"}, declared()) == set()
    assert undeclared(imported(*OURS), declared("serve", "train") | BROUGHT) == set()


def test_the_lock_has_every_package_at_a_version_that_is_allowed():
    lock = pins("requirements.txt")
    for line in [
        *PROJECT["dependencies"],
        *(line for extra in ("serve", "train", "dev") for line in EXTRAS[extra]),
    ]:
        wanted = Requirement(line)
        version = re.split("==", lock[canonical(wanted.name)])[1]
        assert wanted.specifier.contains(version), line


def test_the_runtime_s_packages_bring_no_torch():
    behind = distributions(declared())
    assert not behind & {"torch", "dvc", "fastapi", "pandas"}


def test_the_version_is_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", facemorph.__version__)
    assert "version" in PROJECT["dynamic"]
