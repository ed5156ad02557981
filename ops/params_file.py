"""Editing of params.yaml in place: some keys get new values, comments and other lines stay."""

from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

Changes = dict[
    str, Any
]  # new values by key of params.yaml, dots between levels, as `dvc exp run -S` takes them


def set_params(file: Path, changes: Changes) -> None:
    """Write `changes` into the file. Raises KeyError where a key is not there yet."""
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    params = editor.load(file.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *above, last = name.split(".")
        group = params
        for part in above:
            group = group[part]
        if last not in group:
            raise KeyError(f"{file}: {name} is not there")
        group[last] = _node(value)
    with file.open("w", encoding="utf-8") as out:
        editor.dump(params, out)


def _node(value: Any) -> Any:
    """A value as ruamel.yaml should write it: lists on one line, floats and texts as YAML 1.1 and 1.2 read
    them.
    """
    if isinstance(value, list | tuple):
        row = CommentedSeq(map(_node, value))
        row.fa.set_flow_style()
        return row
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return YAML().load(repr(value).replace("e", ".0e"))
    if isinstance(value, str) and not _plain(value):
        return DoubleQuotedScalarString(value)
    return value


def _plain(text: str) -> bool:
    """Whether a text in a list is read as it is without quotation marks: Smiling, but not Smiling? or yes."""
    try:
        return yaml.safe_load(f"[{text}]") == [text]
    except yaml.YAMLError:
        return False


def written(value: Any) -> str:
    """A value as `dvc exp run -S` reads it."""
    if not isinstance(value, list | tuple):
        return str(value)
    items = (f"'{item}'" if isinstance(item, str) and not _plain(item) else written(item) for item in value)
    return f"[{','.join(items)}]"
