"""Selection of example faces: random ones with the labels asked for, of a few candidates the most typical
one.

A condition is an attribute's name, with "-" in front where the face must lack it: `-Male`, `Eyeglasses`. A
name that ends in "?" is asked for only where the data have it.
"""

from collections.abc import Callable, Sequence

import numpy as np

from faces.core.params import present


class Absent(LookupError):
    """The data have no such faces. The message says what is missing."""


def unsigned(wanted: Sequence[str]) -> tuple[str, ...]:
    """The attributes that conditions are about."""
    return tuple(name.removeprefix("-") for name in wanted)


def conditions(key: str, wanted: Sequence[str], attributes: Sequence[str]) -> dict[str, int]:
    """`wanted` as {attribute: 1 or -1}.

    Raises Absent where the data lack a name that may be missing, and ParamsError, naming `key`, for any other
    that they lack.
    """
    signs = {name.removeprefix("-"): -1 if name.startswith("-") else 1 for name in wanted}
    found = present(key, signs, attributes)
    if missing := [name for name in signs if name.rstrip("?") not in found]:
        raise Absent(f"the data have no {', '.join(name.rstrip('?') for name in missing)}")
    return {name.rstrip("?"): sign for name, sign in signs.items()}


def matching(labels: np.ndarray, attributes: Sequence[str], wanted: dict[str, int]) -> np.ndarray:
    """(N,) bool: the rows of `labels` (N, A) that meet every condition. An unknown label meets none."""
    columns = [list(attributes).index(name) for name in wanted]
    return (labels[:, columns] == list(wanted.values())).all(axis=1)


def cast(
    rows: np.ndarray,
    count: int,
    rivals: int,
    error: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """At most `count` of `rows`, drawn at random; each is the one with the least `error(rows)` among `rivals`
    that were drawn for its place.

    Where there are fewer than count * rivals rows, the rivals are fewer; where there are fewer than `count`,
    so are the faces.
    """
    drawn = rng.permutation(rows)[: count * rivals]
    if not len(drawn):
        return drawn
    errors = error(drawn)
    groups = np.array_split(np.arange(len(drawn)), min(count, len(drawn)))
    return np.array([drawn[group[np.argmin(errors[group])]] for group in groups])


def unlike(faces: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Negative covariance (R,) of `faces` (R, H, W, 3) with the `mean` face (H, W, 3), over pixels.

    Low for frontal, centred, well-lit faces.
    """
    pattern = mean.astype(np.float32) - mean.mean()
    return -np.tensordot(faces.astype(np.float32), pattern, axes=3) / pattern.size
