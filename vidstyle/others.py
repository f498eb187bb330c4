"""The source's streams besides the styled one, as packets in the file's order."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av

from vidstyle.inputs import open_input

Span = tuple[Fraction | None, Fraction | None]


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


class SecondReading:
    """The other streams by reading the file once more, so that neither reader waits for, or stores, the other's."""

    def __init__(self, path: Path, styled: int, span: Span) -> None:
        self._container = open_input(path)
        self.span = span
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
        start, end = self.span
        if start:
            self._container.seek(int(start * av.time_base), backward=True)
        for packet in self._container.demux([self._container.streams[i] for i in sorted(wanted)]):
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:  # the empty packet that ends a stream
                continue
            seconds = time * Fraction(packet.time_base)
            if (start is None or seconds >= start) and (end is None or seconds < end):
                yield seconds, packet

    def close(self) -> None:
        if self._pending is not None:
            self._pending.close()
        self._container.close()

    def __enter__(self) -> SecondReading:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
