"""Resumable downloads, checked by size, content and checksum.

A download grows in `NAME.part` beside its goal and takes its name only once size, first and last bytes, and
checksum are right. An interrupted one continues where it stopped. Finished files stay in `cache_folder()`, so
that nothing is fetched twice.
"""

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faces.core.console import Report
from faces.ingest.archives import HTML

TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 5  # failures in a row, without progress in between, before giving up
PAUSE = 1.0  # seconds before the second attempt; doubles with each further one
CHUNK = 1 << 16  # bytes: at most so many are lost when a connection breaks
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses that another attempt may not meet
DENIED = {
    401: "a login is needed",
    403: "access denied (a private link, or a quota)",
    404: "no such file",
    410: "the file was removed",
}


class FetchError(RuntimeError):
    """A download failed for good. The message names the address and the reason."""


class HtmlPage(FetchError):
    """A web page came instead of the file: a quota, virus-scan or login notice. `page` is its text."""

    def __init__(self, url: str, page: str) -> None:
        super().__init__(
            f"{url}: an HTML page came instead of the file (a quota, virus-scan or login notice)"
        )
        self.page = page


class _Interrupted(Exception):
    """This attempt failed; a retry may succeed."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand; empty where unknown."""

    size: int | None = None  # bytes
    checksum: tuple[str, str] | None = None  # algorithm as hashlib calls it, hexadecimal digest
    start: bytes = b""
    end: bytes = b""

    def fault(self, path: Path) -> str:
        """What is wrong with the file at `path`; "" where nothing is."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"{size:,} bytes, expected {self.size:,}"
        with path.open("rb") as file:
            if not file.read(len(self.start)) == self.start:
                return f"does not begin with {self.start!r}: not a file of its kind"
            file.seek(max(0, size - len(self.end)))
            if file.read() != self.end and self.end:
                return f"does not end with {self.end!r}: cut short"
            if self.checksum:
                file.seek(0)
                name, digest = self.checksum
                if (found := hashlib.file_digest(file, name).hexdigest()) != digest:
                    return f"{name} {found}, expected {digest}"
        return ""


def cache_folder() -> Path:
    """Where downloads are kept: FACES_CACHE, by default ~/.cache/facemorph."""
    return Path(os.environ.get("FACES_CACHE") or "~/.cache/facemorph").expanduser()


def download(url: str, goal: Path, expected: Expected, report: Report) -> None:
    """Fetch `url` into the file `goal`, unless it is there already. Raises FetchError; what has come by then
    is kept for the next time.
    """
    if goal.is_file():
        if not expected.fault(goal):
            return
        goal.unlink()
    goal.parent.mkdir(parents=True, exist_ok=True)
    part = goal.with_name(goal.name + ".part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _go_on(url, part, expected, report)
            break
        except _Interrupted as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                kept = f"; {_size(part):,} bytes are kept, run again to go on" if _size(part) else ""
                raise FetchError(f"{url}: {error}, {failures} times in a row{kept}") from None
            time.sleep(PAUSE * 2 ** (failures - 1))
    if fault := expected.fault(part):
        part.unlink()
        raise FetchError(f"{url}: {fault}; thrown away")
    os.replace(part, goal)


def fetch_json(url: str) -> Any:
    """A small JSON document. Raises FetchError."""
    for attempt in range(ATTEMPTS):
        try:
            with _open(url, {}) as response:
                return json.load(response)
        except json.JSONDecodeError:
            raise FetchError(f"{url}: expected JSON, found something else") from None
        except (_Interrupted, OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS - 1:
                raise FetchError(f"{url}: {error}, {ATTEMPTS} times in a row") from None
            time.sleep(PAUSE * 2**attempt)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _open(url: str, headers: dict[str, str]) -> Any:
    """An answer of the 200s. Raises FetchError where trying again is no use, otherwise _Interrupted."""
    request = urllib.request.Request(url, headers={"User-Agent": "facemorph", **headers})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in PASSING or error.code == 416:
            raise _Interrupted(f"HTTP {error.code} {error.reason}") from error
        raise FetchError(f"{url}: HTTP {error.code}, {DENIED.get(error.code, error.reason)}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(getattr(error, "reason", "") or error or type(error).__name__)) from None


def _go_on(url: str, part: Path, expected: Expected, report: Report) -> None:
    """Fetch what `part` still lacks. Returns when all has come; raises _Interrupted when the connection ends
    before.
    """
    done = _size(part)
    if done and done == expected.size:
        return
    try:
        response = _open(url, {"Range": f"bytes={done}-"} if done else {})
    except _Interrupted as error:
        if getattr(error.__cause__, "code", None) == 416:
            part.unlink()  # longer than the file, or complete but of unknown size: begin again
        raise
    with response:
        if response.status != 206:
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            part.unlink()
            raise _Interrupted("the server went on at another place than asked")
        total = _total(response)
        piece = _read(response)
        if not done:
            _inspect(url, piece, total, expected)
        with part.open("ab" if done else "wb") as file:
            while piece:
                file.write(piece)
                done += len(piece)
                report(done // 10**6, (total or expected.size or done) // 10**6, "MB")
                piece = _read(response)
    if total is not None and done < total:
        raise _Interrupted(f"connection lost after {done:,} of {total:,} bytes")


def _inspect(url: str, start: bytes, total: int | None, expected: Expected) -> None:
    """Refuse what cannot be the file before anything of it is kept."""
    if start[:512].lstrip().lower().startswith(HTML):
        raise HtmlPage(url, start.decode("utf-8", "replace"))
    if not start.startswith(expected.start):
        raise FetchError(
            f"{url}: begins with {start[:8]!r}, expected {expected.start!r}: not a file of its kind"
        )
    if total is not None and expected.size is not None and total != expected.size:
        raise FetchError(f"{url}: the server offers {total:,} bytes, expected {expected.size:,}")


def _read(response: Any) -> bytes:
    """The next bytes, none at the end."""
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"connection lost ({error})") from None


def _total(response: Any) -> int | None:
    """The size of the whole file, where the server says it."""
    if response.status == 206:
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        whole = response.headers.get("Content-Length", "")
    return int(whole) if whole.isdigit() else None
