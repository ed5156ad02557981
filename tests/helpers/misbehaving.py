"""A web server on this machine that does what real ones do on a bad day."""

import hashlib
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    body: bytes = b""
    status: int = 200
    kind: str = "application/octet-stream"
    cut: int | None = None  # hang up after so many bytes of the body
    ranges: bool = True  # honour Range requests
    shift: int = 0  # answer a Range request at another place than asked
    sized: bool = True  # say how long the body is


class Server:
    """`replies[path]` is a Reply, or a list of them for the first, second, ... request; the last one stays.

    `log` holds (path, query, range) of each.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply | list[Reply]] = {}
        self.log: list[tuple[str, str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                server.log.append((path, query, self.headers.get("Range")))
                self.answer(server.next(path))

            def answer(self, reply: Reply) -> None:
                body = reply.body
                status = reply.status
                total = len(reply.body)
                headers = {"Content-Type": reply.kind}
                if (
                    reply.ranges
                    and status == 200
                    and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")))
                ):
                    start = int(asked[1]) + reply.shift
                    if start >= total:
                        status = 416
                        body = b""
                    else:
                        status = 206
                        body = body[start:]
                        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if reply.sized:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if reply.cut is None else body[: reply.cut])

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def next(self, path: str) -> Reply:
        reply = self.replies.get(path, Reply(status=404))
        if isinstance(reply, list):
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply

    def asked(self, path: str) -> list[str | None]:
        """The Range header of each request for `path`, in order."""
        return [span for place, _, span in self.log if place == path]


@contextmanager
def serving():
    """A Server, running until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
