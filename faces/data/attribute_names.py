"""Safe attribute names: valid in file names, as keys of metrics.json and in params.yaml.

Names are made safe once, where a table is read.
"""

import re
import unicodedata
import zlib
from collections.abc import Sequence

from faces.data.annotations import FIXED

LONGEST = 60  # characters
LONGEST_BYTES = 180  # in UTF-8: with what stands before and behind, a file system takes 255
RESERVED = (
    "mean",  # a key of metrics.json that stands beside the attributes
    *("na", "null", "none", "true", "false"),  # what pandas reads as something else than a word
    *("__proto__", "constructor", "prototype", "tostring", "tolocalestring", "valueof", "hasownproperty"),
    *("isprototypeof", "propertyisenumerable"),  # what every object of the page's language has
)
UNSAFE = (
    r"""[\s/\\:*?"<>|.,;%#&=$'`~(){}\[\]]+"""  # to file systems, DVC's keys, spreadsheets or a page's address
)


def safe_names(names: Sequence[str]) -> list[str]:
    """`names` with `_` for unsafe characters, without leading `-`, short, not reserved, distinct without
    regard to case.

    >>> safe_names(["Wearing_Hat", "hat/cap", "Hat.cap", "mean", "old?", "\N{GRINNING FACE}"])
    ['Wearing_Hat', 'hat_cap', 'Hat_cap_2', 'mean_attribute', 'old', '\N{GRINNING FACE}']
    """
    found: list[str] = []
    for name in names:
        seen = _visible(name)
        safe = re.sub(UNSAFE, "_", seen).strip("_-") if re.search(UNSAFE + "|^-", seen) else seen
        if len(safe) > LONGEST or len(safe.encode()) > LONGEST_BYTES:
            start = safe[: LONGEST - 9].encode()[: LONGEST_BYTES - 9].decode(errors="ignore")
            safe = f"{start}_{zlib.crc32(name.encode()):08x}"
        if not safe or safe.casefold() in RESERVED or _is_number(safe) or (safe != name and safe in FIXED):
            safe = f"{safe}_attribute".lstrip("_")
        taken = {other.casefold() for other in found}
        count = 2
        unique = safe
        while unique.casefold() in taken:
            unique = f"{safe}_{count}"
            count += 1
        found.append(unique)
    return found


def _visible(name: str) -> str:
    """`name` composed, without characters that nobody sees or that turn the direction of writing; what joins
    an emoji or a letter to the next stays.
    """
    composed = unicodedata.normalize("NFC", name)
    return "".join(
        letter
        for letter in composed
        if letter.isspace() or letter in "\u200c\u200d" or unicodedata.category(letter) not in ("Cc", "Cf")
    )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
