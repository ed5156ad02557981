"""ASGI middleware before the application: who may ask, how much, how long, and the headers of every answer.

It acts before a body is read.

Nothing of a request is kept or logged but one count per route and status.
"""

import asyncio
import ipaddress
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
log = logging.getLogger("facemorph.web")

LOCAL = ("127.0.0.1", "localhost", "::1")
JSON_BYTES = 2 * 2**20
PICTURES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/avif",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "image/heic",
)
FORM = "multipart/form-data"
# that programs give to JPEG, BMP and HEIC
OTHER_NAMES = ("image/jpg", "image/pjpeg", "image/x-ms-bmp", "image/x-bmp", "image/heif")
PATIENCE = 20.0  # seconds for a body to arrive
BODIES = 16  # pictures that may be arriving at once
REQUESTS = 256  # requests of /api that may be under way at once
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
}


class Refusal(Exception):
    """An answer that is not what was asked for: HTTP status, one word, one line for a person."""

    def __init__(self, status: int, word: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.word = word
        self.detail = detail

    def response(self) -> tuple[int, dict[str, str], bytes]:
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        if self.status == 429:
            headers["retry-after"] = "1"
        if self.status in (408, 413):
            headers["connection"] = "close"  # the rest of the body is not worth reading
        return self.status, headers, json.dumps({"error": self.word, "detail": self.detail}).encode("ascii")


FAILED = Refusal(500, "failed", "the server failed; nothing of the request was kept")


def host_name(authority: str) -> str:
    """The host of "host:port", lower case, without brackets; empty where it cannot be read."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def is_local(host: str) -> bool:
    """Whether a host to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """The middleware. `hosts`: names besides the local ones; `picture_bytes`: cap on a picture."""

    def __init__(self, app: Any, hosts: tuple[str, ...], picture_bytes: int) -> None:
        self.app = app
        self.hosts = {*LOCAL, *(host.lower() for host in hosts)}
        self.picture_bytes = picture_bytes
        self.bodies = self.requests = 0
        self.counts: Counter[str] = Counter()
        self.told = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.count(scope["path"], message["status"])
                present = {name for name, _ in message["headers"]}
                extra = {**HEADERS, "cache-control": "no-cache"}
                added = [
                    (name.encode(), value.encode())
                    for name, value in extra.items()
                    if name.encode() not in present
                ]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self.admit(scope, receive, guarded_send)
            return
        except Refusal as error:
            refusal = error
        except Exception as error:
            where = error.__traceback__
            while where is not None and where.tb_next is not None:
                where = where.tb_next
            place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "nowhere"
            log.error("a request failed: %s at %s", type(error).__name__, place)  # never its content
            refusal = FAILED
        if not started:
            await answer(guarded_send, refusal, scope["method"] == "HEAD")

    def count(self, path: str, status: int) -> None:
        """Count an answer, and write the counts down once a minute."""
        route = (
            path
            if path.startswith("/api/") and len(path) < 20 and path.isascii() and path.isprintable()
            else "other"
        )
        self.counts[f"{route} {status}"] += 1
        if time.monotonic() - self.told >= 60 or len(self.counts) > 100:
            log.info(
                "answers: %s", ", ".join(f"{name}: {number}" for name, number in sorted(self.counts.items()))
            )
            self.counts.clear()
            self.told = time.monotonic()

    async def admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        self.check_caller(scope, headers)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        picture = scope["path"] == "/api/encode"
        content_type = headers.get("content-type", [""])[-1]
        kind = content_type.split(";")[0].strip().lower()
        if scope["method"] == "POST" and kind not in (
            (*PICTURES, *OTHER_NAMES, FORM) if picture else ("application/json",)
        ):
            raise Refusal(
                415,
                "unsupported",
                f"send the picture as {', '.join(PICTURES)}, or one file as {FORM}"
                if picture
                else "send application/json",
            )
        if self.requests >= REQUESTS or (picture and self.bodies >= BODIES):
            raise Refusal(429, "busy", "too many requests at once; try again in a moment")
        self.requests += 1
        self.bodies += picture
        try:
            body = await read_body(headers, receive, self.picture_bytes if picture else JSON_BYTES)
            if kind == FORM:
                body = file_of_form(body, content_type)
            await self.app(scope, once(body, receive), send)
        finally:
            self.requests -= 1
            self.bodies -= picture

    def check_caller(self, scope: Scope, headers: dict[str, list[str]]) -> None:
        """Host against DNS rebinding, Origin and Sec-Fetch-Site against other sites. Raises Refusal."""
        host = headers.get("host", [])
        if len(host) != 1 or host_name(host[0]) not in self.hosts:
            raise Refusal(
                403,
                "forbidden",
                "this site does not go by that name; the server's option --allow-host adds one",
            )
        api = scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(("/api/", "/export/"))
        for origin in headers.get("origin", []):
            if origin.lower() not in (f"http://{host[0].lower()}", f"https://{host[0].lower()}"):
                raise Refusal(403, "forbidden", "requests from other sites are refused")
        if api and any(site not in ("same-origin", "none") for site in headers.get("sec-fetch-site", [])):
            raise Refusal(403, "forbidden", "requests from other sites are refused")


async def read_body(headers: dict[str, list[str]], receive: Receive, limit: int) -> bytes:
    """The whole body, counted as it arrives: a length that was promised is not trusted. Raises Refusal."""
    too_large = Refusal(413, "too_large", f"the body may have at most {limit // 2**20} MiB")
    length = headers.get("content-length", ["0"])[-1]
    if len(length) > 12 or (length.isascii() and length.isdigit() and int(length) > limit):
        raise too_large
    parts = []
    size = 0
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(408, "slow", "the connection closed before the body was complete")
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Refusal(408, "slow", f"the body took longer than {PATIENCE:.0f} seconds to arrive") from None


def file_of_form(body: bytes, content_type: str) -> bytes:
    """The one file of a form (RFC 7578), as curl -F and browsers send it. Raises Refusal.

    Cut at the boundary, since the standard library's `email` parses by lines: a body of 12 MiB of line ends
    would hold the server up for half a minute.
    """
    found = re.search(r"""boundary=(?:"([^"]{1,70})"|([^;,\s"]{1,70}))""", content_type)
    if found is None:
        raise Refusal(415, "unsupported", f"{FORM} without a boundary: send the picture itself")
    mark = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    files = []
    for part in (b"\r\n" + body).split(mark)[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        if re.search(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", head, re.IGNORECASE | re.MULTILINE):
            files.append(content)
    if len(files) != 1:
        raise Refusal(422, "invalid", f"a form with one picture is needed, this one has {len(files)} files")
    return files[0]


def once(body: bytes, receive: Receive) -> Receive:
    """An ASGI receive that gives a body already read, then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def answer(send: Send, refusal: Refusal, head: bool) -> None:
    """Send a refusal."""
    status, headers, body = refusal.response()
    headers["content-length"] = str(len(body))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if head else body})
