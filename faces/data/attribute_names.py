"""Attribute names, which are people's own words, as names of files and as keys of metrics."""

import re
import zlib

LONGEST = 60  # characters of a file name that come from the attribute's
RESERVED = ("mean",)  # keys of metrics.json that stand beside the attributes


def file_name(attribute: str) -> str:
    """The attribute as part of a file name: itself where it is letters, digits, _ and -, otherwise cleaned, with a checksum behind.

    >>> file_name("Wearing_Hat"), file_name("hat/cap")
    ('Wearing_Hat', 'hat_cap-74eca6c7')
    """
    if re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}", attribute):
        return attribute
    clean = re.sub(r"[^A-Za-z0-9_-]+", "_", attribute).strip("_")[:LONGEST]
    return f"{clean or 'attribute'}-{zlib.crc32(attribute.encode()):08x}"


def metric_key(attribute: str) -> str:
    """The attribute as a key of metrics.json: itself, but without dots, which DVC and the gates read as a step down, and never reserved.

    >>> metric_key("Smiling"), metric_key("mean")
    ('Smiling', 'mean (attribute)')
    """
    key = attribute.replace(".", "\N{ONE DOT LEADER}")
    return f"{key} (attribute)" if key in RESERVED else key
