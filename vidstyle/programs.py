"""The names of a transport stream's programs, which PyAV does not tell (ETSI EN 300 468: SDT, service descriptor)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PID, _TABLE, _DESCRIPTOR = 0x11, 0x42, 0x48
_LOOKED_THROUGH = 4 << 20  # bytes: the table comes about every second
_SYNC = 0x47


def programs_of(path: Path) -> list[tuple[str, str]]:
    """(name, provider) of every program; empty where nothing is said."""
    with open(path, "rb") as file:
        data = file.read(_LOOKED_THROUGH)
    for section in _sections(data):
        if section[0] == _TABLE:
            return list(_services(section))
    return []


def _packets(data: bytes) -> Iterator[bytes]:
    """Of 188 bytes each; Blu-ray puts 4 before them, broadcasts may put 16 after."""
    for size, lead in ((188, 0), (192, 4), (204, 0)):
        if data[lead::size][:8].count(_SYNC) >= min(8, len(data) // size) > 0:
            yield from (data[at + lead : at + lead + 188] for at in range(0, len(data) - size + 1, size))
            return


def _sections(data: bytes) -> Iterator[bytes]:
    section = b""
    for packet in _packets(data):
        if int.from_bytes(packet[1:3], "big") & 0x1FFF != _PID or not packet[3] & 0x10:
            continue
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if packet[1] & 0x40:  # a section begins
            section = payload[1 + payload[0] :] if payload else b""
        elif section:
            section += payload
        length = 3 + (int.from_bytes(section[1:3], "big") & 0xFFF)
        if len(section) >= max(length, 4):
            yield section[:length]
            section = b""


def _services(section: bytes) -> Iterator[tuple[str, str]]:
    at, end = 11, len(section) - 4  # a checksum ends it
    while at + 5 <= end:
        stop = at + 5 + (int.from_bytes(section[at + 3 : at + 5], "big") & 0xFFF)
        at += 5
        while at + 2 <= min(stop, end):
            tag, body = section[at], section[at + 2 : at + 2 + section[at + 1]]
            if tag == _DESCRIPTOR and len(body) >= 3:
                provider, rest = body[2 : 2 + body[1]], body[2 + body[1] :]
                yield _text(rest[1 : 1 + rest[0]]) if rest else "", _text(provider)
            at += 2 + section[at + 1]
        at = stop


def _text(data: bytes) -> str:
    """DVB's text: a first byte below 0x20 names the character set; without one it is nearly Latin 1."""
    if data[:1] == b"\x15":
        return data[1:].decode("utf-8", "replace")
    if data[:1] and 0 < data[0] < 0x0C:
        return data[1:].decode(f"iso8859-{data[0] + 4}" if data[0] != 8 else "latin-1", "replace")
    return data.decode("latin-1")
