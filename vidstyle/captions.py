"""Closed captions inside the coded pictures (CEA-608 and 708 in ATSC A/53's cc_data): a source's into an output's.

They are a string of blocks of bytes here, one of each message: the flags with the count of triples, one reserved byte,
and the triples, as they stood. Also room left empty is kept: the codes of CEA-608 that come twice, and the rate of 708,
are told by what lies between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Any

import av

#: what the report says, as notes of the reading; the first is a loss only where the output cannot carry them
CAPTIONS = "closed captions lie inside the pictures"
ASTRAY = "closed captions of some pictures are not kept: the pictures are missing, or their times"
CARRIERS = ("h264", "hevc")
_SOURCES = (*CARRIERS, "mpeg2video")

_A53 = b"\xb5\0\x31GA94\x03"  # of ITU-T T.35: the country, ATSC, and its kind of message
_MARK = _A53[3:]
_T35 = 4  # type of a SEI message
_START = b"\0\0\1"
_USER_DATA = 0xB2  # of MPEG-2
_SEI = {"h264": 6, "hevc": 39}
_SLICES = {"h264": (1, 2, 3, 4, 5, 14, 20), "hevc": tuple(range(32))}


class Captions:
    """Those of one stream, from the packets that go into its decoder to the pictures that come out of it.

    A picture has them as its ``opaque``. They find it by its time, not by FFmpeg's side data: PyAV's and their picture
    hold each other, and its memory would wait for the collector; nor as a packet's ``opaque``, which the decoder's
    threads would give back while whoever ends them may hold the interpreter's lock.
    """

    def __init__(self, stream: Any, note: Callable[[str], None]) -> None:
        """``note`` is told `CAPTIONS` and `ASTRAY`, again and again."""
        context = stream.codec_context
        self._codec, self._note = context.name, note
        self._prefix = prefix_of(self._codec, context.extradata)
        self._waiting: dict[int, bytes] = {}  # by pts, in the order of decoding
        self._begun = False  # whether there was a picture

    def carried(self, decode: Callable[[Iterable[Any]], Iterator[Any]], packets: Iterable[Any]) -> Iterator[Any]:
        """What ``decode`` makes of ``packets``."""
        if self._codec not in _SOURCES:
            yield from decode(packets)
            return
        yield from map(self._given, decode(map(self._watched, packets)))
        self._pass(self._waiting)

    def _watched(self, packet: Any) -> Any:
        if packet.size and not packet.is_discard:
            found = captions_in(bytes(packet), self._codec, self._prefix)
            if found and says_something(found):
                self._note(CAPTIONS)
            if found and packet.pts is not None:
                self._waiting[packet.pts] = self._waiting.get(packet.pts, b"") + found
            elif says_something(found):
                self._note(ASTRAY)
        return packet

    def _given(self, frame: Any) -> Any:
        if frame.pts in self._waiting:
            # What was sent later may still come, also where times begin again.
            before = takewhile(lambda pts: pts != frame.pts, self._waiting)
            self._pass([pts for pts in before if pts < frame.pts])
            frame.opaque = self._waiting.pop(frame.pts)
        self._begun = True
        return frame

    def _pass(self, times: Iterable[int]) -> None:
        """No picture of these comes any more; before the very first one lie those that cannot be decoded."""
        passed = [self._waiting.pop(pts) for pts in list(times)]
        if self._begun and any(map(says_something, passed)):
            self._note(ASTRAY)


def carrier(encoder: str) -> str:
    """The codec of an encoder of FFmpeg's, where `with_captions` takes its packets; else empty."""
    codec = av.Codec(encoder, "w").canonical_name
    return codec if codec in CARRIERS else ""


def prefix_of(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before every NAL unit of H.264 or HEVC; 0 where start codes part them (Annex B)."""
    data = extradata or b""
    if codec not in CARRIERS or len(data) < 7 or data.startswith((_START, b"\0" + _START)):
        return 0
    return 1 + (data[4 if codec == "h264" else min(21, len(data) - 1)] & 3)


def captions_in(packet: bytes, codec: str, prefix: int) -> bytes:
    """The captions of a coded picture of ``codec`` (FFmpeg's name); empty where there are none.

    Args:
        prefix: see `prefix_of`.
    """
    if _MARK not in packet:  # nearly all; no byte is put in between by "emulation prevention"
        return b""
    if codec == "mpeg2video":
        users = (unit[1:] for unit in packet.split(_START)[1:] if unit[:1] == bytes([_USER_DATA]))
        return b"".join(_block(data[len(_MARK) :]) for data in users if data.startswith(_MARK))
    units = (packet[start:end] for start, end in _units(packet, prefix))
    messages = (m for unit in units if _type(unit, codec) == _SEI[codec] for m in _messages(unit, codec))
    return b"".join(_block(message[len(_A53) :]) for message in messages if message.startswith(_A53))


def _block(data: bytes) -> bytes:
    """The flags, the reserved byte and the triples at the beginning of ``data``; empty where it is cut short."""
    size = 2 + 3 * (data[0] & 31) if data else 0
    return data[:size] if len(data) >= size else b""


def says_something(captions: bytes) -> bool:
    """Whether there is more in them than room left empty, as there is in most pictures."""
    while block := _block(captions):
        triples = zip(*[iter(block[2:])] * 3, strict=True)
        if any(head & 4 and (head & 2 or (one | two) & 0x7F) for head, one, two in triples):
            return True
        captions = captions[len(block) :]
    return False


def with_captions(packet: bytes, codec: str, prefix: int, captions: bytes) -> bytes:
    """A coded picture of H.264 or HEVC with ``captions``, in a SEI unit before its first slice.

    Args:
        captions: not empty, as from `captions_in`.
    """
    for start, end in _units(packet, prefix):
        header = packet[start : min(end, start + 2)]
        if _type(header, codec) in _SLICES[codec]:
            unit = _sei(codec, header, captions)
            if prefix:
                start -= prefix
                return packet[:start] + len(unit).to_bytes(prefix, "big") + unit + packet[start:]
            start -= 4 if packet[max(0, start - 4) : start] == b"\0" + _START else 3
            return packet[:start] + b"\0" + _START + unit + packet[start:]
    return packet


def _sei(codec: str, slice_header: bytes, captions: bytes) -> bytes:
    """A NAL unit. HEVC's is of its picture's layer and sub-layer in time."""
    header = bytes([_SEI["h264"]])
    if codec == "hevc":
        header = bytes([_SEI["hevc"] << 1 | slice_header[0] & 1, slice_header[1]])
    body = b""
    while block := _block(captions):
        message = _A53 + block + b"\xff"
        body += bytes([_T35]) + b"\xff" * (len(message) // 255) + bytes([len(message) % 255]) + message
        captions = captions[len(block) :]
    return header + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", body + b"\x80")


def _type(unit: bytes, codec: str) -> int:
    """Of a NAL unit; -1 where that is empty."""
    if not unit:
        return -1
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def _units(packet: bytes, prefix: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every NAL unit in ``packet``, without what parts them."""
    if prefix:
        start = prefix
        while start < len(packet):
            end = start + int.from_bytes(packet[start - prefix : start], "big")
            yield start, min(end, len(packet))
            start = end + prefix
        return
    found = packet.find(_START)
    while found >= 0:
        start, found = found + 3, packet.find(_START, found + 3)
        yield start, found if found >= 0 else len(packet)


def _messages(unit: bytes, codec: str) -> Iterator[bytes]:
    """Of type `_T35`, in a SEI unit."""
    body = unit[1 if codec == "h264" else 2 :].replace(b"\0\0\3", b"\0\0")
    at = 0
    while at + 2 < len(body):  # the last byte ends them
        kind, at = _number(body, at)
        size, at = _number(body, at)
        if kind == _T35:
            yield body[at : at + size]
        at += size


def _number(body: bytes, at: int) -> tuple[int, int]:
    """What begins at ``at``, with 255 for every byte that does not end it; and where it ends."""
    value = 0
    while at < len(body) and body[at] == 255:
        value, at = value + 255, at + 1
    return value + (body[at] if at < len(body) else 0), at + 1
