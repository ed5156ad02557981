"""Editing of params.yaml in place: some keys get new values, comments and other lines stay."""

import json
from pathlib import Path
from typing import Any

import yaml

from faces.core.files import new_file

Changes = dict[
    str, Any
]  # new values by key of params.yaml, dots between levels, as `dvc exp run -S` takes them


def set_params(file: Path, changes: Changes) -> None:
    """Write `changes` into the file, all or none. Raises KeyError where a key is not there yet, ValueError at
    an anchor or alias.
    """
    text = file.read_text(encoding="utf-8")
    for name, value in changes.items():
        try:
            text = _replaced(text, name, _flow(value))
        except (KeyError, ValueError) as error:
            raise type(error)(f"{file}: {error.args[0]}") from None
    with new_file(file) as draft:
        draft.write_text(text, encoding="utf-8")


def _replaced(text: str, name: str, new: str) -> str:
    """`text` with `new` for the value of the key `name`, on one line. The comment of the key's line stays, in
    its column where there is room; those between the lines of the old value go with them.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in name.split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = [(key, value) for key, value in pairs if key.value == part]
        if not found:
            raise KeyError(f"{name} is not there")
        key, node = found[-1]
    colon = text.index(":", key.end_mark.index) + 1
    start = node.start_mark.index
    if start < colon or text[start : start + 1] == "&":
        raise ValueError(f"{name} shares its value with another key (& or *): change it by hand")
    end = len(text[: _end(node)].rstrip())
    below = "\n" in text[colon:start]  # as the lines of a list are
    behind = _line_end(text, end)
    comment_end = _line_end(text, colon) if below else behind
    rest = text[colon if below else end : comment_end].lstrip()
    line_start = text.rfind("\n", 0, colon) + 1
    line = f"{text[line_start:colon]} {new}"
    if rest.startswith("#"):
        column = comment_end - len(rest) - text.rfind("\n", 0, comment_end) - 1
        line = f"{line:<{column - 1}} "
    return text[:line_start] + line + rest + text[behind:]


def _end(node: yaml.Node) -> int:
    """Where a value ends, without the comments and empty lines behind it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    return node.end_mark.index


def _line_end(text: str, place: int) -> int:
    """The end of the line in which `place` is, before its line break."""
    found = text.find("\n", place)
    return len(text) if found < 0 else found


def _flow(value: Any) -> str:
    """A value on one line, floats and texts as YAML 1.1 and 1.2 read them."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, float) and "." not in repr(value):
        return repr(value).replace("e", ".0e")
    if isinstance(value, str) and _plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


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
