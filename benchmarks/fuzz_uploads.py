"""Throw thousands of damaged pictures at the website's upload and see that it shrugs.

    python -m benchmarks.fuzz_uploads data/export --count 5000

Small pictures of every kind that the server reads are damaged in one to a few ways each: bits flipped, bytes
made extreme, pieces cut out, repeated, exchanged with another picture, lengths and dimensions forged. Ends
with status 1 if any answer was 5xx, a connection broke, memory grew beyond the bound, or the server does not
serve a healthy picture afterwards.
"""

import argparse
import http.client
import io
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.website import serve

MEMORY = 1500  # MiB that the server may take at most
EXTREMES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x00\x00",
    b"\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
)
KINDS = ("image/jpeg", "image/png", "image/webp")


def portrait(side: int) -> Image.Image:
    """A picture with some structure: smooth colour, an ellipse, grain."""
    y, x = np.mgrid[0:side, 0:side] / side
    grain = np.random.default_rng(0).normal(0, 8, (side, side, 3))
    face = ((x - 0.5) ** 2 / 0.09 + (y - 0.5) ** 2 / 0.16 < 1)[..., None]
    colours = np.where(face, (220, 170, 140), np.stack([255 * x, 255 * y, 128 + 0 * x], -1))
    return Image.fromarray(np.clip(colours + grain, 0, 255).astype(np.uint8))


def corpus() -> list[bytes]:
    """Healthy pictures of every kind that the server reads."""
    picture = portrait(96)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    alpha = picture.copy()
    alpha.putalpha(picture.convert("L"))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    made = [
        (picture, "JPEG", {"quality": 90}),
        (picture, "JPEG", {"progressive": True, "exif": exif}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture.convert("L"), "JPEG", {"subsampling": 2}),
        (picture, "PNG", {"exif": exif}),
        (alpha, "PNG", {}),
        (deep, "PNG", {}),
        (picture.quantize(16), "PNG", {"transparency": 3}),
        (picture.convert("1"), "PNG", {}),
        (picture, "WEBP", {"exif": exif}),
        (alpha, "WEBP", {"lossless": True}),
        (picture, "WEBP", {"save_all": True, "append_images": [picture.rotate(90), picture.rotate(180)]}),
    ]
    contents = []
    for image, kind, settings in made:
        buffer = io.BytesIO()
        image.save(buffer, kind, **settings)
        contents.append(buffer.getvalue())
    return contents


def damage(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """`content` with one way of damage. Half of the places are in the first 64 bytes, where formats keep what
    matters.
    """
    data = bytearray(content)
    place = int(rng.integers(min(64, len(data)) if rng.random() < 0.5 else len(data)))
    length = int(rng.integers(1, 1 + min(200, len(data))))
    way = rng.integers(9)
    if way == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif way == 1:
        extreme = EXTREMES[rng.integers(len(EXTREMES))]
        data[place : place + len(extreme)] = extreme
    elif way == 2:
        del data[place:]
    elif way == 3:
        del data[place : place + length]
    elif way == 4:
        data[place:place] = data[place : place + length] * int(rng.integers(1, 20))
    elif way == 5:
        data[place : place + length] = rng.bytes(length)
    elif way == 6:
        other = others[rng.integers(len(others))]
        start = int(rng.integers(len(other)))
        data[place : place + length] = other[start : start + length]
    elif way == 7:
        data[place : place + 4] = int(rng.integers(2**32)).to_bytes(4)
    else:
        for spot in rng.integers(len(data), size=max(1, len(data) // 100)):
            data[spot] = int(rng.integers(256))
    return bytes(data)


def mutated(count: int, seed: int) -> list[bytes]:
    """`count` damaged pictures, the same for the same seed."""
    rng = np.random.default_rng(seed)
    healthy = corpus()
    contents = []
    for number in range(count):
        content = healthy[number % len(healthy)]
        for _ in range(int(rng.integers(1, 5))):
            content = damage(content or b"\x00", healthy, rng)
        contents.append(content)
    return contents


def upload(connection: http.client.HTTPConnection, content: bytes, kind: str) -> int:
    connection.request("POST", "/api/encode", content, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--page", type=Path, default=Path("web/page"))
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    contents = mutated(chosen.count, chosen.seed)
    statuses = Counter()
    broken = 0
    slowest = 0.0
    with serve(chosen.export, chosen.page) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        first = [upload(connection, content, "image/png") for content in corpus()]
        before = server.memory()[0]
        start = time.monotonic()
        for number, content in enumerate(contents):
            begun = time.monotonic()
            try:
                statuses[upload(connection, content, KINDS[number % 3])] += 1
            except (OSError, http.client.HTTPException):
                broken += 1
                connection.close()
            slowest = max(slowest, time.monotonic() - begun)
        seconds = time.monotonic() - start
        last = [upload(connection, content, "image/png") for content in corpus()]
        now, most = server.memory()
    print(f"{chosen.count} damaged pictures in {seconds:.0f} s, the slowest {slowest * 1000:.0f} ms")
    print(
        "answers: "
        + ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
        + f"; broken connections: {broken}"
    )
    print(f"memory of the server: {before:.0f} MiB before, {now:.0f} MiB after, {most:.0f} MiB at most")
    print(f"healthy pictures before: {Counter(first)}, after: {Counter(last)}")
    good = broken == 0 and max(statuses) < 500 and most < MEMORY and set(first) == set(last) == {200}
    print("good" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
