"""Data that is missing in the middle of a file, where FFmpeg goes on behind it without a word."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vidstyle.joins import Joins

if TYPE_CHECKING:
    from vidstyle.others import Span

_SEGMENT, _CLUSTER, _INFO, _SCALE, _TIME = 0x18538067, 0x1F43B675, 0x1549A966, 0x2AD7B1, 0xE7
#: Matroska's elements in a segment and a cluster: EBML's own, those of the whole file, then those of a cluster
_KNOWN = {
    *(0x1A45DFA3, 0xEC, 0xBF),
    *(_SEGMENT, _CLUSTER, _INFO, 0x114D9B74, 0x1654AE6B, 0x1C53BB6B, 0x1254C367, 0x1941A469, 0x1043A770),
    *(_TIME, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854, 0xAF),
}
_SHOWS = 3  # packets: the one called torn may be the one before
_PIECE = 1 << 20  # bytes that are looked through at a time
_MISSING = "data is missing {}: pictures and sound are missing there"


@dataclass
class _At:
    """Where a walk through a Matroska file is.

    Attributes:
        place: byte.
        time: seconds, of the last cluster.
        tick: seconds.
        end: byte where the segment ends.
    """

    place: int
    time: Fraction
    tick: Fraction
    end: int


def holes_in_matroska(path: Path, span: Span) -> list[str]:
    """What to say of every place in ``span`` (seconds) that is no Matroska; none where the file cannot be read.

    Costs a look at every packet's first bytes. What lies behind the segment, or is cut off, is not looked at.
    """
    try:
        with open(path, "rb") as file:
            found = list(_holes(file, path.stat().st_size, span[1]))
    except OSError:
        return []
    return [_MISSING.format(_between(*hole)) for hole in found if span[0] is None or hole[1] > span[0]]


def _between(before: Fraction, after: Fraction) -> str:
    return f"between {float(before):.2f} and {float(after):.2f} s"


def _holes(file: BinaryIO, size: int, end: Fraction | None) -> Iterator[tuple[Fraction, Fraction]]:
    """(time of the last cluster before it, of the first behind it) of those that begin before ``end``."""
    at = _At(0, Fraction(0), Fraction(1, 1000), size)
    while at.place < at.end and (end is None or at.time < end):
        if _step(file, at):
            continue
        before = at.time
        if (place := _next_cluster(file, at.place + 1)) is None:
            return  # its end alone is missing, or there never was more
        at.place = place
        while at.place < at.end and at.time == before and _step(file, at):
            pass
        yield before, at.time


def _step(file: BinaryIO, at: _At) -> bool:
    """Pass over one element, or go into it; False where there is none."""
    file.seek(at.place)
    head = file.read(20)
    element, size, length = _element(head)
    if size is None or (element not in _KNOWN and not _leads_on(file, at.place + size + (length or 0))):
        return False
    if element == _SEGMENT and length is not None:
        at.end = min(at.end, at.place + size + length)
    if element == _INFO and length is not None:
        at.tick = _tick(file, at.place + size, length) or at.tick
    if element == _TIME and length is not None and length <= 8:
        at.time = int.from_bytes(head[size : size + length], "big") * at.tick
    at.place += size if element in (_SEGMENT, _CLUSTER) else size + (length or 0)
    return length is not None or element in (_SEGMENT, _CLUSTER)


def _leads_on(file: BinaryIO, place: int) -> bool:
    """Whether there is a known element: then what lies before it is one of another version."""
    file.seek(place)
    return _element(file.read(20))[0] in _KNOWN


def _element(head: bytes) -> tuple[int, int | None, int | None]:
    """(identifier, bytes of its header, of its content) of the element that begins with ``head``; None: not said."""
    for width in range(1, 5):
        if head and head[0] >> (8 - width) == 1 and len(head) > width:
            more = 9 - head[width].bit_length()
            if more > 8 or len(head) < width + more:
                break
            length = int.from_bytes(head[width : width + more], "big") & (1 << 7 * more) - 1
            unknown = length == (1 << 7 * more) - 1
            return int.from_bytes(head[:width], "big"), width + more, None if unknown else length
    return 0, None, None


def _tick(file: BinaryIO, place: int, length: int) -> Fraction | None:
    """Seconds that a cluster's times are counted in, of the segment's information."""
    end = place + length
    while place < end:
        file.seek(place)
        head = file.read(20)
        element, size, inner = _element(head)
        if size is None or inner is None:
            return None
        if element == _SCALE:
            return Fraction(int.from_bytes(head[size : size + inner], "big"), 10**9)
        place += size + inner
    return None


def _next_cluster(file: BinaryIO, place: int) -> int | None:
    mark, rest = _CLUSTER.to_bytes(4, "big"), b""
    file.seek(place)
    while piece := file.read(_PIECE):
        data = rest + piece
        if (found := data.find(mark)) >= 0:
            return place - len(rest) + found
        place, rest = place + len(piece), data[-3:]
    return None


def demuxed(container: Any, hole: Callable[[], None] = lambda: None) -> Generator[Any, None, None]:
    """All packets, also behind a ``hole`` that is so long that FFmpeg gives up looking, and has to be asked again."""
    while True:
        try:
            yield from container.demux()
        except BlockingIOError:
            if container.format.name != "mpegts":
                raise
            hole()
        else:
            return


class Watch:
    """Tells where time is missing in a stream behind a packet that FFmpeg calls torn, or behind a hole.

    Torn alone says little: recordings that are put end to end look so at every joint. Nor does missing time alone: of a
    recording that was cut the packets say so, and are not torn.

    Args:
        fault: is told what is lost.
    """

    def __init__(self, fault: Callable[[str], None]) -> None:
        self._fault = fault
        self._left = 0  # packets until which it shows

    def _hole(self) -> None:
        self._left = _SHOWS

    def packets(self, container: Any, index: int, joins: Joins) -> Generator[Any, None, None]:
        """As `demuxed`, on one clock by ``joins``; ``index`` is that of the stream."""
        own: deque[int] = deque()  # its packets' times on their own clock, until they come out of ``joins``
        decoded = length = shift = self._left = 0  # ticks, of the packet before
        for packet in joins(_noted(demuxed(container, self._hole), index, own)):
            if _counts(packet, index):
                moved = packet.dts - own.popleft()
                if self._left and moved == shift and 2 * (packet.dts - decoded) > 3 * length > 0:
                    base = Fraction(packet.time_base)
                    where = _between((decoded + length) * base, packet.dts * base)
                    # A key picture seldom comes next where something was lost; cuts are made there, and not all say so.
                    self._fault(_MISSING.format(f"{where}, or was cut out" if packet.is_keyframe else where))
                self._left = _SHOWS if packet.is_corrupt else max(0, self._left - 1)
                decoded, length, shift = packet.dts, packet.duration or 0, moved
            yield packet


def _counts(packet: Any, index: int) -> bool:
    return bool(packet.size and packet.dts is not None and packet.stream_index == index)


def _noted(packets: Iterator[Any], index: int, times: deque[int]) -> Iterator[Any]:
    for packet in packets:
        if _counts(packet, index):
            times.append(packet.dts)
        yield packet
