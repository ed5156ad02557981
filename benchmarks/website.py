"""A server of its own for a benchmark: started on a free port, watched, ended."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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
