"""The source's streams besides the styled one, as packets in the file's order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import av

from vidstyle.containers import kind_of
from vidstyle.errors import SourceError
from vidstyle.holes import demuxed
from vidstyle.inputs import Input, open_input, parse_input
from vidstyle.joins import Joins, begins_again
from vidstyle.subtitles import LONGEST

Span = tuple[Fraction | None, Fraction | None]
#: bytes of packets that may wait: what a pipe's sound may run ahead of, or behind, its pictures
HELD = 256 << 20
SLACK = 10  # seconds after the wanted part in which a container may still bring packets of it
LEAD = 30  # seconds before it in which a subtitle may begin that is still shown


class OtherStreams(Protocol):
    """What a sink copies. A context manager.

    Attributes:
        streams: every stream of the source but the styled one.
        metadata: of the whole file.
        chapters: as PyAV gives them; empty where there are none.
        span: (start, end) in seconds of the source's time, None where open: packets outside are left out.
    """

    streams: list[Any]
    metadata: dict[str, str]
    chapters: list[Any]
    span: Span

    def until(self, wanted: set[int], seconds: Fraction | None) -> Iterator[tuple[Fraction, Any]]:
        """(decoding time in seconds, packet) of the ``wanted`` stream indices due by ``seconds``; None: the rest.

        The same ``wanted`` in every call. What one call has given the next does not.
        """

    def close(self) -> None: ...


def _time_of(packet: Any) -> Fraction | None:
    """Decoding time in seconds; None for the empty packet that ends a stream."""
    time = packet.dts if packet.dts is not None else packet.pts
    return None if time is None else time * Fraction(packet.time_base)


def _time_in(packet: Any, span: Span) -> Fraction | None:
    """As `_time_of`; None for a packet outside of the span. A subtitle on the screen at its start begins there."""
    start, end = span
    seconds = _time_of(packet)
    if seconds is not None and start is not None and seconds < start:
        seconds = _cut_to(packet, start)
    return seconds if seconds is not None and (end is None or seconds < end) else None


def _cut_to(packet: Any, start: Fraction) -> Fraction | None:
    """Let a subtitle that is shown until after ``start`` begin there; None for all else that began before."""
    base, length = Fraction(packet.time_base), packet.duration or 0
    if packet.stream.type != "subtitle" or packet.pts is None or length * base > LONGEST:
        return None
    first = ceil(start / base)
    left = packet.pts + length - first
    if left <= 0:
        return None
    packet.pts = packet.dts = first
    packet.duration = left
    return first * base


def _is_beyond(packet: Any, span: Span) -> bool:
    """Whether it is so far behind the span that none of its stream in it follows."""
    end, seconds = span[1], _time_of(packet)
    return end is not None and seconds is not None and seconds >= end + SLACK


class SecondReading:
    """The other streams by reading the file once more, so that neither reader waits for, or stores, the other's."""

    def __init__(self, source: Input | Path, styled: int, span: Span) -> None:
        self._input = source if isinstance(source, Input) else parse_input(source)
        self._container = open_input(self._input)
        self._styled, self.span = styled, span
        self.streams = [stream for stream in self._container.streams if stream.index != styled]
        self.metadata = dict(self._container.metadata)
        self.chapters = list(self._container.chapters())
        self._pending: Generator[tuple[Fraction, Any], None, None] | None = None
        self._next: tuple[Fraction, Any] | None = None

    def until(self, wanted: set[int], seconds: Fraction | None) -> Iterator[tuple[Fraction, Any]]:
        if self._pending is None:
            self._pending = self._packets(wanted)
            self._next = next(self._pending, None)
        while self._next is not None and (seconds is None or self._next[0] <= seconds):
            yield self._next
            self._next = next(self._pending, None)

    def _packets(self, wanted: set[int]) -> Generator[tuple[Fraction, Any], None, None]:
        if not wanted:
            return
        self._go_to_start(wanted)
        awaited = self._awaited(wanted)
        for packet in Joins()(demuxed(self._container)):
            if _is_beyond(packet, self.span):
                awaited.discard(packet.stream_index)
                if not awaited:
                    return
            elif packet.stream_index in wanted and (seconds := _time_in(packet, self.span)) is not None:
                yield seconds, packet

    def _go_to_start(self, wanted: set[int]) -> None:
        start = self.span[0]
        if not start or begins_again(self._container, self._input, self._styled):
            return
        texts = any(self._container.streams[index].type == "subtitle" for index in wanted)
        if (place := start - LEAD * texts) > 0:
            with suppress(av.error.FFmpegError, OSError):  # else all is read from the beginning
                self._container.seek(int(place * av.time_base), backward=True)

    def _awaited(self, wanted: set[int]) -> set[int]:
        """The streams that tell when all of the wanted part is read: others may have no packet behind it."""
        streams = (self._container.streams[index] for index in {self._styled, *wanted} if index >= 0)
        return {stream.index for stream in streams if kind_of(stream) in ("audio", "video")}

    def close(self) -> None:
        if self._pending is not None:
            self._pending.close()
        self._container.close()

    def __enter__(self) -> SecondReading:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Tee:
    """The other streams of an input that can be read once: its one reader leaves their packets here.

    The reader iterates `styled` on its own thread; the sink takes from here on another. What waits here is what
    lies between the last picture written and the last one decoded (some dozen), and at most `HELD` bytes.
    """

    def __init__(
        self,
        container: Any,
        styled: int,
        span: Span,
        name: str,
        timeout: float,
        note: Callable[[str], None],
        demux: Callable[[Any, int, Joins], Iterator[Any]],
        ask: Callable[..., Any],
    ) -> None:
        """
        Args:
            note: is told where timestamps begin again.
            demux: `vidstyle.holes.Watch.packets`.
            ask: makes a call that reads, as `vidstyle.remote.Aside`.
        """
        self._container, self._styled, self._name, self._timeout = container, styled, name, timeout
        self._note, self._packets, self._ask = note, demux, ask
        self.span = span
        self.streams = [stream for stream in container.streams if stream.index != styled]
        self.metadata = dict(container.metadata)
        self.chapters = list(container.chapters())
        self.asked = False  # whether anybody wants to have them
        self._wanted: set[int] | None = None  # None until it is known
        self._waiting: deque[tuple[Fraction, Any]] = deque()
        self._bytes = 0
        self._guard = threading.Lock()  # of what waits
        self._reading = threading.Lock()  # of the container
        self._demuxed = self._demux()

    def _demux(self) -> Iterator[Any]:
        return self._packets(self._container, self._styled, Joins(self._note))

    def restart(self) -> None:
        """Forget what waits: the container was moved to another place."""
        with self._reading, self._guard:
            self._demuxed = self._demux()
            self._waiting.clear()
            self._bytes = 0

    def styled(self) -> Generator[Any, None, None]:
        """The styled stream's packets; those of the others are kept on the way.

        Raises:
            SourceError: the connection is lost, or more would wait than may.
        """
        while (packet := self._read()) is not None:
            if packet.stream.index == self._styled:  # the empty packet at its end has no other index
                yield packet

    def _read(self) -> Any:
        """The next packet, kept where it is another stream's; None at the end."""
        with self._reading:
            try:
                packet = self._ask(next, self._demuxed, None)
            except av.error.InvalidDataError:
                raise
            except (OSError, av.error.FFmpegError) as error:
                from vidstyle.remote import reason

                raise SourceError(f"cannot read on in {self._name}: {reason(error, self._timeout)}") from error
        if packet is not None and packet.stream.index != self._styled:
            self._keep(packet)
        return packet

    def _keep(self, packet: Any) -> None:
        with self._guard:
            unwanted = self._wanted is not None and packet.stream_index not in self._wanted
            if unwanted or (seconds := _time_in(packet, self.span)) is None:
                return
            self._waiting.append((seconds, packet))
            self._bytes += packet.size
            if self._bytes > HELD:
                what = f"more than {HELD >> 20} MB of other streams lie before the next pictures"
                raise SourceError(f"{self._name}: {what}: save it to a file and give its path")

    def until(self, wanted: set[int], seconds: Fraction | None) -> Iterator[tuple[Fraction, Any]]:
        """As `OtherStreams.until`. ``None`` ends the reading of pictures: what is left of them is passed over."""
        with self._guard:
            self._wanted = wanted
        while True:
            while (entry := self._take(seconds)) is not None:
                if entry[1].stream_index in wanted:
                    yield entry
            if seconds is not None or not self._read_on():
                return

    def _take(self, seconds: Fraction | None) -> tuple[Fraction, Any] | None:
        with self._guard:
            if not self._waiting or (seconds is not None and self._waiting[0][0] > seconds):
                return None
            entry = self._waiting.popleft()
            self._bytes -= entry[1].size
            return entry

    def _read_on(self) -> bool:
        """Read one packet more after the pictures; whether others may follow."""
        try:
            packet = self._read()
        except av.error.InvalidDataError:
            return False
        if packet is None:
            return False
        return not _is_beyond(packet, self.span)

    def stop_keeping(self) -> None:
        """Nobody asks for the others: packets need not be kept."""
        with self._guard:
            self._wanted = set()
            self._waiting.clear()
            self._bytes = 0

    def close(self) -> None:
        self.stop_keeping()

    def __enter__(self) -> Tee:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
