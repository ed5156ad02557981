"""Exports that are elsewhere: on the Hugging Face hub, or in another Git revision of a DVC project."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemorph.export import BadExport

HUB = "hf://"


def from_hub(name: str, rev: str | None) -> Path:
    """The folder of a model OWNER/NAME of the hub, in the hub client's cache. Raises BadExport."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 (an extra)
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415
    except ImportError:
        raise BadExport(f"{HUB}{name}: needs the hub's client; pip install huggingface_hub") from None
    try:
        return Path(
            snapshot_download(name, revision=rev, allow_patterns=["*.json", "*.onnx", "arrays.safetensors"])
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise BadExport(f"{HUB}{name}: {first_line(error)}") from None


@contextmanager
def of_revision(folder: Path, rev: str) -> Iterator[Path]:
    """`folder` of a DVC project as it was in the Git revision `rev`, from DVC's cache or its remote.

    A copy, removed at the end of the block. Raises BadExport.
    """
    try:
        from dvc.api import DVCFileSystem  # noqa: PLC0415 (an extra)
        from dvc.exceptions import DvcException  # noqa: PLC0415
        from dvc.scm import SCMError  # noqa: PLC0415
    except ImportError:
        raise BadExport("rev: needs DVC; pip install dvc") from None
    root = project(folder.absolute())
    with tempfile.TemporaryDirectory(prefix="facemorph-") as keeper:
        copy = Path(keeper) / "export"
        try:
            files = DVCFileSystem(str(root), rev=rev)
            files.get(folder.absolute().relative_to(root).as_posix(), str(copy), recursive=True)
        except (DvcException, SCMError, OSError) as error:
            raise BadExport(f"{folder} of revision {rev}: {first_line(error)}") from None
        yield copy


def project(folder: Path) -> Path:
    """The DVC project around `folder`, which need not exist. Raises BadExport."""
    for parent in (folder, *folder.parents):
        if (parent / ".dvc").is_dir():
            return parent
    raise BadExport(f"{folder} is in no DVC project, so it has no revisions")


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
