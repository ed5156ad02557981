"""Files under an address that fsspec knows: s3://, gs://, file:// and others."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class RemoteError(ValueError):
    """An address cannot be used. The message names it and the way out."""


def system_of(place: str) -> tuple["AbstractFileSystem", str]:
    """The file system of an address, and the path in it. Raises RemoteError."""
    import fsspec  # noqa: PLC0415 (only where there are addresses)

    try:
        return fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise RemoteError(f"{place}: {error}; pip install what it names beside the pipeline") from None


def opened(place: str, mode: str) -> Any:
    """A file under an address; folders above it are made. Raises RemoteError."""
    system, path = system_of(place)
    try:
        if "w" in mode:
            system.makedirs(system._parent(path), exist_ok=True)
        return system.open(path, mode)
    except OSError as error:
        raise RemoteError(f"{place} cannot be opened ({error}); are address and credentials right?") from None
