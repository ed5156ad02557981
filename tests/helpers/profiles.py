"""Colour profiles for tests, written by hand."""

import struct


def gray_profile(gamma):
    """An ICC profile of gray with that gamma, by hand: header, three tags."""
    white = struct.pack(">iii", 63190, 65536, 54061)  # D50
    tags = [
        (b"wtpt", b"XYZ \0\0\0\0" + white),
        (b"kTRC", b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)),
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"gray\0" + bytes(79)),
    ]
    start = 132 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    data = b""
    for name, content in tags:
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[:4] = struct.pack(">I", start + len(data))
    head[8:12] = b"\2\x10\0\0"
    head[12:24] = b"mntrGRAYXYZ "
    head[36:40] = b"acsp"
    head[68:80] = white
    return bytes(head) + table + data
