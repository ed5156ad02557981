"""Safe attribute names: valid in file names, as keys of metrics.json and in params.yaml.

Names are made safe once, where a table is read.
"""

import re
import zlib
from collections.abc import Sequence

from faces.data.annotations import FIXED

LONGEST = 60  # characters
RESERVED = ("mean",)  # keys of metrics.json that stand beside the attributes
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
        safe = re.sub(UNSAFE, "_", name).strip("_-") if re.search(UNSAFE + "|^-", name) else name
        if len(safe) > LONGEST:
            safe = f"{safe[: LONGEST - 9]}_{zlib.crc32(name.encode()):08x}"
        if not safe or safe.casefold() in RESERVED or (safe != name and safe in FIXED):
            safe = f"{safe}_attribute".lstrip("_")
        taken = {other.casefold() for other in found}
        count = 2
        unique = safe
        while unique.casefold() in taken:
            unique = f"{safe}_{count}"
            count += 1
        found.append(unique)
    return found
