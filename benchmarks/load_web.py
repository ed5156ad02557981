"""Many people dragging sliders at once: how long each frame takes, and how many there are.

    python -m benchmarks.load_web data/export --clients 32 --seconds 60

Each client draws a face of its own and then moves one slider to and fro, as the page does: the next request
leaves when the last frame has come, at most 60 times a second. A frame is the whole way, from sending the
sliders to holding the pixels. Ends with status 1 if any answer was not 200.
"""

import argparse
import asyncio
import json
import math
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

from benchmarks.website import Server, serve

REACH = 2  # changes of the label, either way
PACE = 1 / 60  # seconds between two events of a dragged slider


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
) -> tuple[int, bytes]:
    """One POST of JSON over an open connection: status and body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


async def drag(port: int, seed: int, attribute: str, until: float) -> list[tuple[int, float]]:
    """One person: (status, seconds) of every frame."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, content = await ask(reader, writer, "/api/sample", json.dumps({"seed": seed}).encode())
    code = json.loads(content)["code"]
    frames = []
    while (now := time.monotonic()) < until:
        strength = REACH * math.sin(now + seed)
        status, _ = await ask(
            reader,
            writer,
            "/api/edit",
            json.dumps({"code": code, "strengths": {attribute: strength}}).encode(),
        )
        took = time.monotonic() - now
        frames.append((status, took))
        await asyncio.sleep(max(0.0, PACE - took))
    writer.close()
    return frames


async def crowd(server: Server, clients: int, seconds: float) -> list[tuple[int, float]]:
    """`clients` people for `seconds`: all their frames."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/model", timeout=30) as answer:
        attribute = json.load(answer)["attributes"][0]
    until = time.monotonic() + seconds
    people = [drag(server.port, seed, attribute["name"], until) for seed in range(clients)]
    return [frame for frames in await asyncio.gather(*people) for frame in frames]


def report(frames: list[tuple[int, float]], clients: int, seconds: float) -> bool:
    """Print one line; whether all went well."""
    times = np.array([took for _, took in frames]) * 1000
    wrong = sum(status != 200 for status, _ in frames)
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    print(
        f"{clients} clients, {seconds:.0f} s: {len(frames)} frames, {len(frames) / seconds:.0f} a second, "
        f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, slowest {times.max():.0f} ms, errors {wrong}",
        flush=True,
    )
    return wrong == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--page", type=Path, default=Path("web/page"))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    with serve(chosen.export, chosen.page) as server:
        alone = report(asyncio.run(crowd(server, 1, min(10, chosen.seconds))), 1, min(10, chosen.seconds))
        many = report(
            asyncio.run(crowd(server, chosen.clients, chosen.seconds)), chosen.clients, chosen.seconds
        )
        print(f"memory of the server: {server.memory()[0]:.0f} MiB, {server.memory()[1]:.0f} MiB at most")
        good = alone and many and server.healthy()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
