"""Packets to pictures; a packet that cannot be decoded costs its own pictures, not the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

import av

#: VP8 and VP9 carry alpha beside the pictures, where FFmpeg's own decoders leave it
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
#: codec of stills -> what makes its decoder refuse a damaged picture: a JPEG cut short would be grey below, AV1 torn.
#: Others refuse by themselves, or would refuse harmless oddities too.
STRICT = {"mjpeg": {"err_detect": "explode"}, "av1": {"strict": "1"}}
TAIL = 512  # packets since the last key picture that are kept for looking at the end again
HOPELESS = 1000  # packets in a row that cannot be decoded: the rest cannot be either


class Decoder:
    """Of one stream.

    PyAV hides an error that comes up while the decoder is emptied at the end, and loses the pictures after it; with
    many threads those are the last dozen. Where too few came out, the end is decoded once more by one thread.

    Args:
        max_pixels: a picture that claims more is refused by the decoder, before it takes memory; None for no limit.
        fault: is called with the number of pictures so far and FFmpeg's reason where one cannot be decoded.
        missed: is called with the number of pictures before the first one given, where there are any: those of a
            recording that begins between two key pictures.
        stills: each packet was a file of its own: a damaged one is given up, as `vidstyle.picture` does.
    """

    def __init__(
        self,
        stream: Any,
        threads: int,
        max_pixels: int | None,
        fault: Callable[[int, str], None],
        missed: Callable[[int], None],
        stills: bool = False,
    ) -> None:
        self._stream, self._fault, self._missed = stream, fault, missed
        self._early: list[int] | None = []  # pts of packets until it is known which come before the first picture
        self._first: int | None = None  # pts of the first picture
        own = stream.codec_context
        name = ALPHA_DECODERS.get(own.name, own.name) if stream.metadata.get("alpha_mode") == "1" else own.name
        self._context = own if name == own.name else self._fresh(name)
        self._options = {} if max_pixels is None else {"max_pixels": str(max_pixels)}
        if stills:
            self._options |= STRICT.get(own.codec.canonical_name, {})
        self._configure(self._context, threads)
        self._restart()

    def _fresh(self, name: str) -> Any:
        own = self._stream.codec_context
        context: Any = av.CodecContext.create(name, "r")
        context.extradata, context.width, context.height = own.extradata, own.width, own.height
        context.codec_tag = own.codec_tag
        return context

    def _configure(self, context: Any, threads: int) -> None:
        context.thread_type, context.thread_count, context.options = "AUTO", threads, self._options

    def _restart(self) -> None:
        self.count = 0  # pictures given
        self._owed = 0  # pictures that packets were sent for and that did not come yet
        self._failed_in_a_row = 0
        self._tail: list[Any] = []  # the packets since the last key picture
        self._tail_failed = 0
        self._last: int | None = None  # pts of the last picture given

    def flush(self) -> None:
        """Forget what was sent: what follows is from another place."""
        self._context.flush_buffers()
        self._early = None
        self._restart()

    def pictures(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Of packets up to the empty one that ends the stream."""
        for packet in packets:
            before = self.count
            if packet.size:
                self._count_early(packet)
                self._remember(packet)
            yield from self._decode(packet)
            if not packet.size:
                self._tell_missed()
            if not packet.size and self.count - before < self._owed:
                yield from self._look_again()
            if self._failed_in_a_row == HOPELESS:
                return

    def _count_early(self, packet: Any) -> None:
        if self._early is None:
            return
        if self._first is not None and (packet.is_keyframe or len(self._early) > TAIL):
            self._tell_missed()
        elif packet.pts is not None and not packet.is_discard:
            self._early.append(packet.pts)

    def _tell_missed(self) -> None:
        first = self._first
        if self._early and first is not None and (count := sum(time < first for time in self._early)):
            self._missed(count)
        self._early = None

    def _remember(self, packet: Any) -> None:
        if packet.is_keyframe:
            self._tail, self._tail_failed = [], 0
        if len(self._tail) < TAIL:
            self._tail.append(packet)
        self._owed += not packet.is_discard

    def _decode(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self._context.decode(packet)
        except av.error.EOFError:  # it was emptied before
            return
        except (av.error.FFmpegError, OSError) as error:
            self._fail(error)
            return
        for frame in frames:
            self._failed_in_a_row = 0
            self._owed -= bool(packet.size)
            self.count += 1
            self._last = frame.pts
            if self._first is None:
                self._first = frame.pts
            yield frame

    def _fail(self, error: Any) -> None:
        self._failed_in_a_row += 1
        self._tail_failed += 1
        self._owed -= 1
        self._fault(self.count, error.strerror or str(error))

    def _look_again(self) -> Iterator[Any]:
        """The pictures that an error at the end has hidden."""
        if self._last is None or not 0 < len(self._tail) < TAIL:
            return
        context = self._fresh(self._context.name)
        self._configure(context, 1)
        found: list[Any] = []
        errors: list[Any] = []
        for packet in (*self._tail, None):
            try:
                found += context.decode(packet)
            except (av.error.FFmpegError, OSError) as error:
                errors.append(error)
        times = [frame.pts for frame in found]
        if self._last not in times or None in times:
            return  # this codec needs more than the packets
        for hidden in errors[self._tail_failed :]:
            self._fail(hidden)
        for frame in found[times.index(self._last) + 1 :]:
            self.count += 1
            yield frame


def first_key(packets: Iterable[Any]) -> Generator[Any, None, None]:
    """The first key picture's packet, and the empty one that makes the decoder give it."""
    yield from islice((packet for packet in packets if packet.is_keyframe), 1)
    yield av.Packet()


def again(packet: Any, packets: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """``packet``, which was taken from ``packets``, before the rest of them."""
    try:
        yield packet
        yield from packets
    finally:
        packets.close()
