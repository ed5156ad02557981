"""Lists of packages and imports of files, read."""

import ast
import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement

from tests.conftest import ROOT


def pins(name: str) -> dict[str, str]:
    """Package -> its line, of a list of packages."""
    lines = [
        line
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    return {canonical(line.split("==")[0]): line for line in lines}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def modules(path: Path) -> set[str]:
    """What a file imports, by dotted name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def distributions(names: set[str]) -> set[str]:
    """Packages and all that they need on this machine, by canonical name."""
    seen = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        needs = [Requirement(line) for line in importlib.metadata.requires(name) or ()]
        waiting |= {
            canonical(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": ""})
        } - seen
    return seen
