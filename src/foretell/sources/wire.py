"""The wire format of protocol buffers, read field by field without any message's definition."""

from __future__ import annotations

import struct
from collections.abc import Iterator

LONGEST_VARINT = 10  # bytes; protobuf.dev/programming-guides/encoding


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give number and content of each field: an int for varints, bytes for others. Raises ValueError when broken."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field has the unknown wire type {kind}")
        if at + size > end:
            raise ValueError("a field is longer than its message")
        yield number, message[at : at + size]
        at += size


def text(content: int | bytes) -> str:
    """Read a field as text."""
    if isinstance(content, int):
        raise ValueError("a number stands where a text should")
    return content.decode("utf-8", "replace")


def signed(content: int | bytes) -> int:
    """Read a field as a 64-bit number with sign."""
    if not isinstance(content, int):
        raise ValueError("no number stands where one should")
    value = content & 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value


def real(content: int | bytes) -> float:
    """Read a field as a float of four or eight bytes."""
    if isinstance(content, bytes) and len(content) in (4, 8):
        return float(struct.unpack("<f" if len(content) == 4 else "<d", content)[0])
    raise ValueError("no real number stands where one should")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + LONGEST_VARINT, len(message))):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise ValueError("a number breaks off")
