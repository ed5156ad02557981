"""Params changed by dotted keys, as values and without a file."""

import copy
from collections.abc import Mapping
from typing import Any


def changed(params: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of params with {dotted key: value} set, all of which are there."""
    values = copy.deepcopy(dict(params))
    for key, value in changes.items():
        *groups, last = key.split(".")
        group = values
        for name in groups:
            group = group[name]
        assert last in group, f"{key} is not in params.yaml"
        group[last] = value
    return values
