"""Params changed by dotted keys, as values and without a file."""

import copy
from collections.abc import Mapping
from typing import Any


def changed(params: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of params with {dotted key: value} set; KeyError where a group is not there."""
    values = copy.deepcopy(dict(params))
    for key, value in changes.items():
        *groups, last = key.split(".")
        group = values
        for name in groups:
            group = group[name]
        group[last] = value
    return values
