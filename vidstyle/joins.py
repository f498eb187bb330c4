"""Timestamps that begin again: recordings put end to end, each with a clock of its own, on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import av
from av.format import Flags

from vidstyle.containers import codec_of, kind_of
from vidstyle.inputs import Input, open_input
from vidstyle.playlists import HLS, has_breaks

BACK = 1.0  # seconds; what runs back by less is no new beginning, and is repaired where it is met
LEAP = 3600.0  # seconds; a longer gap is another clock: one that is behind FFmpeg takes for one that wrapped around
FAR_AHEAD = "a time far ahead of those around it was repaired, at {:.2f} s"
SLIGHT = 0.1  # seconds that a packet's length may be off by
LOOKS = 256  # places of a file that are looked at for another clock
URL_LOOKS = 24  # each asks a server, which takes a while
_WHOLE = ("mp1", "mp2", "mp3")  # codecs whose packets are given as soon as they are whole, not when the next begins
_MAY = Flags.ts_discont.value  # formats that are made to be joined: transport and program streams
_BY_TIME_ALONE = Flags.no_byte_seek.value  # of them, playlists: their parts are found by the list


@dataclass
class _Track:
    """Where a stream is, on the one clock.

    Attributes:
        leads: pictures and sound tell where a clock begins; others follow.
        held: packets that the demuxer may not have given yet when another stream begins again.
        reached: seconds: the end of the last packet, by its decoding time.
        delay: ticks from decoding to showing, of the first packet.
        decoded, length, shown: ticks: of the last packet, and the latest end of one that is shown.
        unordered: the last packet had no decoding time, and was placed by the time it is shown at.
        joinable: of a format that is made to be joined.
    """

    base: Fraction
    leads: bool
    held: int = 0
    reached: float | None = None
    delay: int = 0
    decoded: int = 0
    length: int = 0
    shown: int = 0
    unordered: bool = False
    joinable: bool = False

    @classmethod
    def of(cls, stream: Any, base: Fraction) -> _Track:
        kind = kind_of(stream)
        held = 2 if kind == "video" else int(codec_of(stream) not in _WHOLE)
        return cls(base, kind in ("audio", "video"), held, joinable=_is_joinable(stream.container))

    def advance(self, packet: Any) -> None:
        decoded = packet.dts if packet.dts is not None else packet.pts
        begun, step = self.reached is not None, decoded - self.decoded
        if not begun and packet.pts is not None:
            self.delay = packet.pts - decoded
        # A longer step is a gap, and no packet's length.
        self.length = packet.duration or (step if begun and 0 < step * self.base < BACK else self.length)
        end = (packet.pts if packet.pts is not None else decoded + self.delay) + self.length
        self.shown = max(self.shown, end) if begun else end
        self.decoded, self.unordered = decoded, packet.dts is None
        # A packet may be said to last longer than until the next, which is no new beginning.
        self.reached = decoded * float(self.base) + min(self.length * float(self.base), BACK / 2)

    def tells(self, packet: Any) -> bool:
        """Whether a packet's time shows where the clock is: not where that of showing stands for that of decoding.

        Matroska's first pictures have no decoding time, and those shown late lie far ahead of what is decoded next.
        """
        if packet.dts is None:
            return bool(packet.is_keyframe)
        return not self.unordered

    def leaps(self, packet: Any, seconds: float) -> bool:
        """Whether the time of a packet, on the one clock, is too far ahead to be of the same recording."""
        known = self.joinable and self.leads and self.reached is not None and self.tells(packet)
        return known and seconds - (self.reached or 0.0) > LEAP

    def end(self, again: bool) -> Fraction:
        """Seconds: where its part ends, at the latest; ``again``: it is the stream that begins again."""
        return (self.shown + (0 if again else self.held * self.length)) * self.base


class Joins:
    """Moves packets' times onto one clock: where they begin again, all streams go on at the end of what was before.

    Every reader gives it the packets of all streams, so that all find the same clock. The tail of one stream may
    come after the first packets of the next part of another. A single packet that lies far ahead of those around it
    has a broken time, and gets that of its place.

    Args:
        note: is told of every new beginning.
    """

    def __init__(self, note: Callable[[str], None] = lambda _: None) -> None:
        self._note = note
        self._offsets = [Fraction(0)]  # of the parts so far, seconds
        self._tracks: dict[int, _Track] = {}
        self._ahead: dict[int, Any] = {}  # by stream: a packet far ahead, until the next one tells whether that is so

    def __call__(self, packets: Iterable[Any]) -> Iterator[Any]:
        for packet in packets:
            if self._ahead:
                yield from self._waited(packet)
            if self._is_far_ahead(packet):
                self._ahead[packet.stream_index] = packet
                continue
            self._move(packet)
            yield packet
        yield from self._waited(None)

    def _waited(self, following: Any) -> Iterator[Any]:
        """What waited for ``following``; at the end of a stream, whose packet is empty and of any index, all."""
        ends = following is None or _time_of(following) is None
        for index in list(self._ahead) if ends else [following.stream_index]:
            if (packet := self._ahead.pop(index, None)) is not None:
                if not ends and self._is_far_ahead(packet):  # it is not where another stream has shown a joint
                    self._repair(packet, following)
                self._move(packet)
                yield packet

    def _is_far_ahead(self, packet: Any) -> bool:
        track, time = self._tracks.get(packet.stream_index), _time_of(packet)
        if track is None or time is None or track.reached is None or not track.tells(packet):
            return False
        offset = self._offset(track, packet, time * float(track.base))
        end = (track.decoded + track.length) * float(track.base)
        return offset is not None and time * float(track.base) + float(offset) - end >= BACK

    def _repair(self, packet: Any, following: Any) -> None:
        """Put ``packet`` where it belongs, if ``following`` lies just one packet behind the one before it."""
        track = self._tracks[packet.stream_index]
        time, after = _time_of(packet), _time_of(following)
        assert time is not None and after is not None
        offset = self._offset(track, following, after * float(track.base))
        step = track.decoded + 2 * track.length - after
        if offset is None or not track.length or abs(step * float(track.base) - float(offset)) > SLIGHT:
            return
        moved = after - track.length - time
        packet.pts = None if packet.pts is None else packet.pts + moved
        packet.dts = None if packet.dts is None else packet.dts + moved
        self._note(FAR_AHEAD.format(float((after - track.length) * track.base + offset)))

    def _move(self, packet: Any) -> None:
        if (time := _time_of(packet)) is None:
            return
        track = self._tracks.get(packet.stream_index)
        if track is None:
            track = self._tracks[packet.stream_index] = _Track.of(packet.stream, Fraction(packet.time_base))
        seconds = time * float(track.base)
        offset = self._offset(track, packet, seconds)
        if offset is None or track.leaps(packet, seconds + float(offset)):
            offset = self._join(packet, track)
        if offset:
            shift = round(offset / track.base)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        if track.leads:
            track.advance(packet)

    def _offset(self, track: _Track, packet: Any, seconds: float) -> Fraction | None:
        """Of the part that a packet with this time belongs to; None where a new one begins."""
        known = self._offsets[-2:]
        if not track.leads or track.reached is None or not track.tells(packet):
            now = self._now
            return min(known, key=lambda offset: abs(seconds + float(offset) - now))
        ahead = [(seconds + float(offset) - track.reached, offset) for offset in known]
        newest = ahead[-1]
        fitting = [(abs(by), offset) for by, offset in ahead[:-1] if -SLIGHT <= by < BACK]
        if newest[0] >= -BACK:
            fitting.append((abs(newest[0]), newest[1]))
        return min(fitting)[1] if fitting else None

    @property
    def _now(self) -> float:
        return max((track.reached for track in self._tracks.values() if track.reached is not None), default=0.0)

    def _join(self, packet: Any, track: _Track) -> Fraction:
        begun = [(known, index in self._ahead) for index, known in self._tracks.items() if known.reached is not None]
        end = max(known.end(again or known is track) for known, again in begun)
        first = packet.pts if packet.pts is not None else packet.dts
        self._offsets.append(end - first * track.base)
        self._note(f"timestamps begin again at {float(end):.2f} s: joined")
        return self._offsets[-1]


def placed(frames: Iterator[Any], origin: int, base: Fraction, note: Callable[[str], None]) -> Iterator[Any]:
    """Pictures as they are shown; a single one far ahead of the next has a broken time, and gets that of its place.

    Args:
        origin: ticks of ``base`` (seconds): where the stream begins.
    """
    last: int | None = None
    for frame in frames:
        following = None
        before = origin if last is None else last
        if frame.pts is not None and (frame.pts - before) * base >= BACK:
            following = next(frames, None)
            time = following.pts if following is not None else None
            if time is not None and before <= time and (frame.pts - time) * base >= BACK:
                step = min(frame.duration or (time - before) // 2, time - before - 1)
                frame.pts = max(before, time - step if last is None else last + step)
                note(FAR_AHEAD.format(float(frame.pts * base)))
        for each in (frame, following):
            if each is not None:
                last = last if each.pts is None else each.pts
                yield each


def _time_of(packet: Any) -> int | None:
    """In ticks, as the demuxer orders them."""
    return packet.dts if packet.dts is not None else packet.pts


def _is_joinable(container: Any) -> bool:
    flags = container.format.flags
    return bool(flags & _MAY and not flags & _BY_TIME_ALONE)


def begins_again(container: Any, source: Input, index: int) -> bool:
    """Whether the clock of stream ``index`` is another somewhere in the file, so that times cannot be looked for.

    ``container``: of the file or URL, open; it is not moved.
    """
    if container.format.name == HLS:
        return source.seekable and has_breaks(source)
    return joined_length(container, source, index) is not None


def joined_length(container: Any, source: Input, index: int) -> Fraction | None:
    """Seconds, about, of stream ``index`` where `begins_again`; None for one clock: the container knows its length."""
    if not _is_joinable(container) or not source.seekable:
        return None
    try:
        changed = source.path.stat().st_mtime_ns if source.path is not None else 0
    except OSError:
        return None
    return _joined_length(source, index, container.size, changed)


@lru_cache(64)
def _joined_length(source: Input, index: int, size: int, changed: int) -> Fraction | None:  # noqa: ARG001
    if source.path is not None:
        looks = _looks_at(source, index, _places(size, LOOKS))
    else:
        from vidstyle.remote import heeding_signals

        looks = heeding_signals(_looks_at, source, index, _places(size, URL_LOOKS))
    steps = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(looks)]
    known = [step for step in steps if -SLIGHT <= step[1] <= LEAP]
    if len(known) == len(steps):
        return None
    lengths = [sum(each) for each in zip(*known, strict=True)] or [1, 0]  # of bytes and seconds on one clock
    return Fraction(lengths[1]) * size / max(1, lengths[0])


def _looks_at(source: Input, index: int, places: list[int]) -> list[tuple[int, Fraction]]:
    with open_input(source) as container:
        return list(_looked_at(container, container.streams[index], places))


def _places(size: int, looks: int) -> list[int]:
    """Bytes: evenly all over a file, and closer to its ends, where a short part may lie.

    That the second part is met earlier in its time than the first one was left takes places less than twice as far
    as those before them; at the end any place in the last part tells.
    """
    begin = [place for halves in range(24) if (place := int(size / 2 ** (halves / 2))) * looks < size]
    places = {*(size * look // looks for look in range(looks)), *begin, size - min(begin, default=1)}
    return sorted(place for place in places if 0 <= place < size)  # a server may not tell the size


def _looked_at(container: Any, stream: Any, places: list[int]) -> Iterator[tuple[int, Fraction]]:
    """(byte, decoding time in seconds) of packets at places all over the file."""
    for place in places:
        try:
            container.seek(place, unsupported_byte_offset=True)
            time = next((p.dts for p in container.demux(stream) if p.size and p.dts is not None), None)
        except (av.error.FFmpegError, OSError):
            continue
        if time is not None:
            yield place, time * stream.time_base
