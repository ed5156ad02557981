"""A server and a browser of its own for a benchmark: started on a free port, watched, ended."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from web import ort

PAGE = Path(__file__).parents[1] / "web" / "page"
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [  # with which it is started, in tests too: among them a camera that shows a test picture
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@dataclass(frozen=True)
class Server:
    port: int
    process: subprocess.Popen

    def memory(self) -> tuple[float, float]:
        """Resident memory now, and the most there ever was, in MiB (Linux)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        values = {
            line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM"))
        }
        return int(values["VmRSS"]) / 1024, int(values["VmHWM"]) / 1024

    def healthy(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=30) as answer:
            return answer.status == 200


@contextmanager
def serve(export: Path, page: Path) -> Iterator[Server]:
    """`python -m web` over `export`, ready to answer; ended with the block. Raises RuntimeError where it does
    not come up in a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "web",
        "--export",
        str(export.resolve()),
        "--page",
        str(page.resolve()),
        "--port",
        str(port),
    ]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.DEVNULL
    )
    server = Server(port, process)
    try:
        for _ in range(240):
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with status {process.returncode}")
            try:
                server.healthy()
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise RuntimeError("the server did not come up within a minute")
        yield server
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def site(export: Path) -> Iterator[tuple[Browser, str]]:
    """Headless Chromium (CHROMIUM, or the one on the path) and the address of the website over `export`, the
    runtime for models in the browser fetched; both ended with the block.
    """
    ort.fetch()
    with serve(export, PAGE) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser, f"http://127.0.0.1:{server.port}/"
        browser.close()
