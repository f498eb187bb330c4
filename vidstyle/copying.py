"""Packets of a stream as they are, in another container."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from vidstyle.containers import codec_of
from vidstyle.reencode import named_layout

UNKNOWN_AFTER = 1 << 31  # milliseconds: Matroska's way to say that a subtitle's length is not known
#: video codecs whose packets begin in another way in transport streams than elsewhere
_ANNEX_B = ("h264", "hevc", "vvc")
#: those whose kinds MOV tells apart by the name alone
_NAMED_KINDS = ("prores", "dnxhd")


def payload(packet: Any) -> bytes:
    """A packet's bytes without the ADTS header that transport streams put before AAC and others take off."""
    data = bytes(packet)
    context = packet.stream.codec_context
    if context is not None and context.name.startswith("aac") and data[:1] == b"\xff" and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]
    return data


class StandingTimes:
    """Repairs the times of sound packets that hardly move on: each lasts, but all are said to begin at once.

    Some AVI files count packets where they should count ticks. A packet that begins less than half of its
    predecessor's length after it is moved to the predecessor's end, and what follows with it.
    """

    def __init__(self) -> None:
        self.repaired = 0
        self._offset = self._last = self._length = 0  # ticks

    def __call__(self, packet: Any) -> None:
        """Change the packet's times where they need it."""
        if packet.pts is None or packet.dts is None:
            return
        step = packet.pts - self._last
        if self._length and 0 <= step < self._length / 2:
            self.repaired += 1
            self._offset += self._length - step
        elif step > 2 * self._length:
            self._offset = max(0, self._offset - (step - self._length))
        self._last, self._length = packet.pts, packet.duration or 0
        packet.pts += self._offset
        packet.dts += self._offset


class SampleClock:
    """Times of sound packets in samples: containers that count in milliseconds leave them uneven.

    A time within one tick of where the packet before ended is that end; any other is taken as it is.
    """

    def __init__(self, rate: int, tick: Fraction) -> None:
        self._rate, self._tick = rate, tick
        self._end: int | None = None

    def __call__(self, time: Fraction, samples: int) -> int:
        """The packet's time in samples."""
        at = round(time * self._rate)
        if self._end is not None and abs(self._end - at) <= self._tick * self._rate:
            at = self._end
        self._end = at + samples
        return at


class Copy:
    """A stream whose packets are copied; see `vidstyle.remux.Track`.

    Args:
        source: the stream.
        zero: seconds of the source's time that are 0 in the output.
        end: seconds of the source's time where the output ends, None where it is not cut.

    Attributes:
        digest: sha256 of the packets' `payload`, in order.
        exact: the container keeps the packets' bytes, and adds none of its own, as MP4 does between cues.
    """

    def __init__(self, source: Any, output: Any, muxer: str, zero: Fraction, end: Fraction | None) -> None:
        self._zero, self._end, self._type = zero, end, source.type
        self.packets, self.repaired = 0, 0
        self.digest = hashlib.sha256()
        coded = source.codec_context is not None
        self.stream = output.add_stream_from_template(source, **({"opaque": True} if coded else {}))
        self.stream.time_base = source.time_base
        codec = codec_of(source)
        reads_annex_b = source.container.format.name == "mpegts"
        self._strict = source.type in ("audio", "video") or muxer == "mpegts"
        self.exact = codec != "mov_text" and (codec not in _ANNEX_B or (muxer == "mpegts") == reads_annex_b)
        if muxer in ("mp4", "mov"):
            self._suit_mp4(source, codec)
        self._last_dts: int | None = None
        self._last_step = 0
        self._shift = Fraction(0), 0  # a tick, and `zero` in ticks
        self._clock = _sample_clock(source) if muxer in ("mp4", "mov") else None
        self._samples_in = _counter(source, codec)

    def _suit_mp4(self, source: Any, codec: str) -> None:
        if codec == "hevc":
            self.stream.codec_context.codec_tag = "hvc1"  # what Apple's players show
        elif codec in _NAMED_KINDS:
            self.stream.codec_context.codec_tag = source.codec_context.codec_tag
        if codec.startswith("pcm_"):  # refused where it does not say which speakers
            self.stream.codec_context.layout = named_layout(source.codec_context.layout)

    def take(self, packet: Any) -> Iterator[Any]:
        self.packets += 1
        self.digest.update(payload(packet))
        if self._type == "audio":
            self._complete(packet)
        elif self._type == "subtitle":
            self._cut(packet)
        shift = self._shift_in(packet.time_base) if self._zero else 0
        packet.pts = packet.pts - shift if packet.pts is not None else None
        packet.dts = packet.dts - shift if packet.dts is not None else None
        self._keep_order(packet)
        packet.stream = self.stream
        yield packet

    def _shift_in(self, base: Fraction) -> int:
        """The output's 0 in ticks; the same for all packets, as a rule."""
        if base != self._shift[0]:
            self._shift = base, round(self._zero / base)
        return self._shift[1]

    def due(self, seconds: Fraction | None) -> Iterator[Any]:  # noqa: ARG002
        return iter(())

    def outcome(self) -> tuple[str, bool]:
        return ("with times that ran backwards repaired" if self.repaired else ""), True

    def _complete(self, packet: Any) -> None:
        """Give a sound packet a length, without which MP4 would hide the last one, and a time exact to the sample."""
        samples = self._samples_in(packet)
        if not packet.duration:
            packet.duration = round(samples * self._ticks(packet)) if samples else self._last_step
        if self._clock is not None and samples and packet.pts is not None:
            clock, rate = self._clock
            at = clock(packet.pts * Fraction(packet.time_base), samples)
            packet.time_base = Fraction(1, rate)
            packet.pts = packet.dts = at
            packet.duration = samples

    def _ticks(self, packet: Any) -> Fraction:
        """Ticks of the packet's time base in a sample."""
        return 1 / (Fraction(packet.time_base) * (self.stream.codec_context.sample_rate or 1))

    def _cut(self, packet: Any) -> None:
        """End a subtitle where the output ends, and leave out a length that means "unknown"."""
        base = Fraction(packet.time_base)
        if packet.duration and packet.duration * base * 1000 >= UNKNOWN_AFTER:
            packet.duration = 0
        if self._end is not None and packet.pts is not None and packet.duration:
            packet.duration = min(packet.duration, max(0, round(self._end / base) - packet.pts))

    def _keep_order(self, packet: Any) -> None:
        """Decoding times must not run backwards, and those of sound and pictures not stand still either.

        Readers of transport streams take two subtitles at one time for one.
        """
        if packet.dts is None:
            return
        if self._last_dts is not None:
            least = self._last_dts + self._strict
            if packet.dts < least:
                self.repaired += 1
                packet.dts = least
                packet.pts = None if packet.pts is None else max(packet.pts, least)
            self._last_step = packet.dts - self._last_dts
        self._last_dts = packet.dts


def _sample_clock(source: Any) -> tuple[SampleClock, int] | None:
    """For sound whose source counts in something coarser than samples."""
    if source.type != "audio" or not (rate := source.codec_context.sample_rate):
        return None
    tick = Fraction(source.time_base)
    return (SampleClock(rate, tick), rate) if tick > Fraction(1, rate) else None


def _counter(source: Any, codec: str) -> Any:
    """A function from a packet to the number of its samples, 0 where that is not known."""
    if source.type != "audio":
        return lambda _: 0
    context = source.codec_context
    if codec.startswith("pcm_") and (bits := re.search(r"\d+", codec) or re.search("law", codec)):
        width = int(bits[0]) // 8 if bits[0].isdigit() else 1
        frame = width * max(1, context.layout.nb_channels)
        return lambda packet: packet.size // frame
    fixed = context.frame_size if codec in ("aac", "ac3", "mp1", "mp2", "mp3", "alac") else 0
    return lambda _: fixed
