"""Subtitles in text from one format to another, packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av

from vidstyle.subtitle_text import WRITERS, Cue, Span, keeps, parse, styles_of

LONGEST = 86400  # seconds: what says it lasts longer does not know
USUAL = Fraction(4)  # seconds, where no length is known and no other cue comes before
_EXACT = "mov"  # beginning of FFmpeg's name of formats in which no length is one of nothing, and not an unknown one
EMPTY = b"\0\0"  # a sample of timed text that shows nothing
#: of a track: what FFmpeg's encoders ask for; every cue brings its own styling
_HEADER = (
    b"[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Underline, Alignment\r\n"
    b"Style: Default,Arial,16,&Hffffff,0,0,0,2\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Text\r\n"
)


@dataclass(frozen=True)
class Shown:
    """A cue on the screen; seconds of the output's time. ``open``: until the next one, where that is before its end."""

    start: Fraction
    end: Fraction
    cue: Cue
    open: bool = False


class Timeline:
    """Cues that may overlap, as samples that follow each other without gaps, as timed text needs them.

    Cues come ordered by their starts; what is shown together becomes one sample of all their lines.
    """

    def __init__(self) -> None:
        self._now = Fraction(0)
        self._active: list[Shown] = []

    def add(self, shown: Shown) -> Iterator[Shown]:
        """The samples before this cue begins."""
        yield from self.advance(shown.start)
        if shown.start > self._now:
            yield self._sample(shown.start)
        self._active.append(shown)

    def advance(self, time: Fraction | None) -> Iterator[Shown]:
        """The samples that end by ``time``; None: all, and an empty one that ends the last."""
        while self._active and (time is None or self._end <= time):
            if self._end > self._now:
                yield self._sample(self._end)
            self._active = [shown for shown in self._active if shown.end > self._now]
        if time is None and self._now:
            yield Shown(self._now, self._now, Cue(()))

    @property
    def _end(self) -> Fraction:
        return min(shown.end for shown in self._active)

    def _sample(self, end: Fraction) -> Shown:
        """What is shown from now to ``end``."""
        spans: list[Span] = []
        for shown in self._active:
            spans += [*([Span("\n")] if spans else []), *shown.cue.spans]
        sample = Shown(self._now, end, Cue(tuple(spans)))
        self._now = end
        return sample


class TextConversion:
    """A subtitle stream written in another codec: what is shown when stays, and its styling where it can.

    Args:
        source: the stream; its packets are given to `take`.
        codec: a key of `vidstyle.subtitle_text.WRITERS`.
        zero: seconds of the source's time that are 0 in the output.
        end: seconds of the source's time where the output ends, None where it is not cut.

    Attributes:
        stream: of the output.
        packets: cues taken.
        plain: nothing of their styling was left out.
    """

    def __init__(self, source: Any, output: Any, codec: str, zero: Fraction, end: Fraction | None) -> None:
        self._codec, self._zero, self._end = codec, zero, end
        source.codec_context.open(strict=False)
        self._decoder = source.codec_context
        self._styles = styles_of(self._decoder.subtitle_header)
        self.plain = self._decoder.codec.canonical_name != "ass"  # its fonts and margins have no place elsewhere
        self.packets, self.bad = 0, 0
        self.stream = output.add_stream(codec)
        self.stream.codec_context.subtitle_header = _HEADER
        base = Fraction(source.time_base or Fraction(1, 1000))
        # The MP4 writer would cut cues short whose clock is coarser than the pictures'.
        self._base = base / max(1, round(base * 1_000_000))
        self.stream.time_base = self.stream.codec_context.time_base = self._base
        self._timeline = Timeline() if codec == "mov_text" else None
        self._knows_lengths = source.container.format.name.startswith(_EXACT)
        self._open: Shown | None = None  # waits for the cue that ends it

    def take(self, packet: Any) -> Iterator[Any]:
        """Packets to write once ``packet`` of the source is in."""
        shown = self._decode(packet)
        if shown is None:
            return
        self.packets += 1
        self.plain = self.plain and keeps(self._codec, shown.cue)
        yield from self._ended(shown.start)
        if shown.open:
            self._open = shown
        elif shown.end > shown.start:
            yield from self._write(shown)

    def due(self, seconds: Fraction | None) -> Iterator[Any]:
        """Packets of what ends by ``seconds`` of the source's time; None: the rest."""
        time = None if seconds is None else seconds - self._zero
        if self._open is not None and (time is None or self._open.end <= time):
            yield from self._ended(self._open.end)
        if self._timeline and (self._open is None or time is None):
            for sample in self._timeline.advance(time):
                yield self._packet(sample)

    def _ended(self, time: Fraction) -> Iterator[Any]:
        """Packets of the open cue, where there is one: it is shown until ``time``."""
        shown, self._open = self._open, None
        if shown is not None and time > shown.start:
            yield from self._write(replace(shown, end=min(shown.end, time)))

    def _write(self, shown: Shown) -> Iterator[Any]:
        for sample in self._timeline.add(shown) if self._timeline else (shown,):
            yield self._packet(sample)

    def outcome(self) -> tuple[str, bool]:
        """What it is now, in words, and whether that is no loss."""
        less = [] if self.plain else ["part of its styling is left out"]
        less += [f"{self.bad} packets could not be decoded"] if self.bad else []
        return ", ".join([self._codec, *less]), not less

    def _decode(self, packet: Any) -> Shown | None:
        try:
            decoded = self._decoder.decode2(packet)
        except av.error.FFmpegError:
            self.bad += 1
            return None
        events = [rect.ass.decode("utf-8", "replace") for rect in decoded or () if rect.type != b"bitmap"]
        cues = [cue for cue in (parse(event, self._styles) for event in events if event) if cue.spans]
        if decoded is None or not cues:
            return None
        start = packet.pts * Fraction(packet.time_base)
        length = (packet.duration or 0) * Fraction(packet.time_base) or Fraction(decoded.end_display_time, 1000)
        known = 0 < length < LONGEST or (not length and self._knows_lengths)
        end = start + (length if known else USUAL)
        if self._end is not None:
            end = min(end, self._end)
        return Shown(start - self._zero, end - self._zero, _joined(cues), not known)

    def _packet(self, sample: Shown) -> Any:
        packet = av.Packet(WRITERS[self._codec](sample.cue) if sample.cue.spans else EMPTY)
        packet.stream, packet.time_base, packet.is_keyframe = self.stream, self._base, True
        packet.pts = packet.dts = round(sample.start / self._base)
        packet.duration = round(sample.end / self._base) - packet.pts
        return packet


def _joined(cues: list[Cue]) -> Cue:
    """The cues of one packet as one, a line each."""
    spans: list[Span] = []
    for cue in cues:
        spans += [*([Span("\n")] if spans else []), *cue.spans]
    return Cue(tuple(spans), cues[0].align, all(cue.plain for cue in cues))
