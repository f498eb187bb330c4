"""One pass over the pictures of an input: demultiplexed, decoded, timed, cut to the wanted part, deinterlaced."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext, suppress
from fractions import Fraction
from itertools import chain
from threading import Event
from typing import Any

import av

from vidstyle.captions import Captions
from vidstyle.containers import best_video
from vidstyle.decoding import Decoder, again, first_key
from vidstyle.deinterlace import deinterlace, may_be_wanted, wanted
from vidstyle.holes import Watch
from vidstyle.inputs import URL, Input, open_input
from vidstyle.joins import Joins, begins_again, joined_length, placed
from vidstyle.limits import check_picture
from vidstyle.on_device import surface
from vidstyle.others import Span, Tee
from vidstyle.remote import Aside, AtOnce
from vidstyle.source_options import SourceOptions

#: containers that store every picture's time; others count, and may count differently from the middle on
EXACT = ("mov", "matroska", "mpegts")
GENERATE_TIMES = 1  # AVFMT_FLAG_GENPTS, which PyAV sets
MOST_FAULTS = 20  # faults, and joints, that are told one by one
LATEST = 1 << 62  # pts: FFmpeg counts in 64 bits
MARGIN = Fraction(1, 2)  # seconds before a picture where decoding begins at the latest, to get it as a whole run does


class Reading:
    """Pictures as the decoder gives them, with strictly increasing pts. `close` ends it.

    Attributes:
        container, stream: PyAV's, of the video that is read.
        tee: the other streams of an input that can be read once; None for a file.
        deinterlaced: whether it was found to be needed.
        series: of numbered pictures; None of all else.
        interlaced: whether the stream says that it is, once its first picture is there.
        faults, notes: what is lost, and what is only worth knowing.
        reached: seconds: the end of the last decoded picture.
        repaired: whether a time was missing or wrong so far.
    """

    def __init__(
        self,
        source: Input,
        options: SourceOptions,
        stopped: Event,
        deinterlaced: bool | None = None,
        hardware: Any = None,
    ) -> None:
        """
        Args:
            deinterlaced: as an earlier reading found it; None to find out.
            hardware: `vidstyle.on_device.Device.hardware` of a GPU that decodes; its pictures come as `Surface`.
        """
        self._input, self._options, self._stopped, self._hardware = source, options, stopped, hardware
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._deinterlaced, self.interlaced = deinterlaced, False
        self.reached = Fraction(0)
        self.repaired = False
        self._jumped = False  # whether this began in the middle
        self._landed = 0  # pts of the first picture to come, of a series
        self._one_by_one = False  # whether a single thread decodes
        self._glancing = False
        self.series = source.series
        self.tee: Tee | None = None
        self._watch = Watch(self._lost)
        self._open()
        try:
            if options.start and source.seekable and not self.joined:
                # The first picture is made of the one before it, too, where it is deinterlaced.
                mode = "never" if self.series is not None and options.deinterlace == "auto" else options.deinterlace
                start = options.start - (MARGIN if may_be_wanted(mode, self.stream) else 0)
                self._go_to(min(LATEST, self._origin + int(start / self.stream.time_base)))
        except BaseException:
            self.close()
            raise
        self._pictures = self._timed()

    @property
    def deinterlaced(self) -> bool:
        return bool(self._deinterlaced)

    def _open(self) -> None:
        with self._hardware() if self._hardware is not None else nullcontext() as hardware:
            self.container = open_input(self._input, self._options.timeout, self._stopped, hardware)
        # A time made up for a packet is wrong where pictures are stored in another order than they are shown (AVI).
        self.container.flags &= ~GENERATE_TIMES
        try:
            self.stream = best_video(self.container, self._input.name)
            check_picture(self._input.name, self.stream.width, self.stream.height, self._options.limit)
            self._decoder = self._make_decoder()
        except BaseException:
            self.container.close()
            raise
        self._ask = Aside(self._stopped) if self._input.kind == URL else AtOnce()
        if self._input.path is None:
            whence = self._input.name, self._options.timeout, self._note_join, self._watch.packets, self._ask
            self.tee = Tee(self.container, self.stream.index, self.span, *whence)
        self._packets = self._demux()

    def _make_decoder(self) -> Decoder:
        options = self._options
        threads = 1 if self._hardware is not None or self._one_by_one else options.threads
        most = options.limit.picture if options.limit else None
        return Decoder(self.stream, threads, most, self._fault, self._note_missed, self.series is not None)

    def _note_missed(self, count: int) -> None:
        """Not where a part begins later."""
        which = "the picture" if count == 1 else f"{count} pictures"
        if not self._options.start and self.series is None:
            self._note(f"{which} before the first key picture cannot be decoded: passed over")

    def _fault(self, count: int, reason: str) -> None:
        if self.series is not None:
            return  # told by name, see `Series.accounted`
        where = f"{float(self.reached):.2f} s" if self._jumped else f"{count} pictures"
        self._lost(f"cannot be decoded after {where} ({reason}); pictures are missing there")

    def _lost(self, text: str) -> None:
        if text not in self.faults and len(self.faults) <= MOST_FAULTS:
            self.faults.append(text if len(self.faults) < MOST_FAULTS else "more of the same kind, which is not told")

    def _demux(self) -> Generator[Any, None, None]:
        if self.tee is not None:
            return self.tee.styled()
        packets = self._watch.packets(self.container, self.stream.index, Joins(self._note_join))
        own = (packet for packet in packets if packet.stream.index == self.stream.index)
        return first_key(own) if self._glancing else own

    @property
    def joined(self) -> bool:
        """Whether it is several recordings, each with a clock of its own."""
        return begins_again(self.container, self._input, self.stream.index)

    @property
    def joined_length(self) -> Fraction | None:
        """Seconds, about, of all of them; None where there is one clock, or a server would have to be asked."""
        known = self._input.path is not None
        return joined_length(self.container, self._input, self.stream.index) if known else None

    @property
    def _origin(self) -> int:
        return self.stream.start_time or 0

    @property
    def origin(self) -> Fraction:
        """Seconds: where the stream's own time begins; --start and --end count from here."""
        return self._origin * Fraction(self.stream.time_base)

    @property
    def span(self) -> Span:
        """(start, end) in seconds of the stream's time; None where open."""
        start, end = self._options.start, self._options.end
        return None if start is None else self.origin + start, None if end is None else self.origin + end

    def __iter__(self) -> Iterator[Any]:
        """The pictures that are left. Whoever stops half way may go on with another iterator."""
        while (frame := next(self._pictures, None)) is not None:
            yield frame

    @property
    def exact(self) -> bool:
        """Whether this is a file in a container that can be trusted with times in its middle, or a series."""
        known = self.series is not None or self.container.format.name.startswith(EXACT)
        return self.tee is None and bool(known) and not self.joined

    def jump_before(self, pts: int) -> bool:
        """Go on two key pictures before the one at ``pts``, where the container is one that can be trusted.

        One would do for a closed group of pictures; with two, what an open one lacks has come again by then.
        """
        if not self.exact:
            return False
        self._jumped = True
        landed = self._go_to(pts - int(MARGIN / self.stream.time_base))
        return landed is not None and self._go_to(landed - 1) is not None

    def glances(self, moments: Iterable[Fraction]) -> Iterator[Any]:
        """For each of ``moments``, seconds from the beginning, the key picture there or before it; None for none.

        They alone are quick to reach. Nothing else can be read afterwards.
        """
        self._glancing = True
        for moment in () if self.joined else moments:
            self._pictures.close()
            self._go_to(min(LATEST, self._origin + int(moment / self.stream.time_base)))
            if self.tee is not None:
                self.tee.stop_keeping()
            self._pictures = self._timed()
            yield next(self._pictures, None)

    def _go_to(self, target: int) -> int | None:
        """Go on at a key picture shown at or before ``target``; its time, or None if at the very beginning."""
        back, step = 0, max(1, int(1 / self.stream.time_base))  # a tick may be longer than a second
        while target - back > self._origin:
            self._packets.close()
            try:
                self._ask(self.container.seek, target - back, stream=self.stream, backward=True)
            except (av.error.FFmpegError, OSError):
                break
            self._decoder.flush()
            if (time := self._land()) is not None and time <= target:
                self._landed = time
                return time
            back = 2 * back + step  # some containers land behind the place, or between key pictures
        self._ask.close(self.container)
        self._open()
        self._landed = 0
        return None

    def _land(self) -> int | None:
        """Drop packets up to the next key picture; its time, or None where none can be reached."""
        if self.tee is not None:
            self.tee.restart()
        self._packets = self._demux()
        with suppress(av.error.FFmpegError, OSError):  # as where a numbered picture is gone since
            for packet in self._packets:
                time = packet.pts if packet.pts is not None else packet.dts
                if packet.size and packet.is_keyframe and time is not None:
                    self._packets = again(packet, self._packets)
                    return time
        return None

    def _decoded(self) -> Iterator[Any]:
        """Up to where the container cannot be read on."""
        try:
            captions = Captions(self.stream, self._note)
            pictures = captions.carried(self._decoder.pictures, self._packets)
            yield from pictures if self._hardware is None else map(surface, pictures)
        except (av.error.FFmpegError, OSError) as error:
            self._fault(self._decoder.count, f"{getattr(error, 'strerror', None) or error}; the rest is missing")

    def _whole(self) -> Iterator[Any]:
        """Deinterlaced where wanted."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            return iter(())
        mode = self._options.deinterlace
        self.interlaced = wanted("auto", self.stream, first)
        if self._deinterlaced is None:
            self._deinterlaced = wanted(mode, self.stream, first)
        frames = chain([first], frames)
        return deinterlace(frames, self.stream, mode == "always") if self._deinterlaced else frames

    def _timed(self) -> Generator[Any, None, None]:
        """In the wanted part, with a pts each, strictly increasing."""
        last: int | None = None
        start, end = self.span
        frames = placed(self._whole(), self._origin, self.stream.time_base, self._note_join)
        if self.series is not None and not self._glancing:
            frames = self.series.accounted(frames, self._landed, self._from, self._lost)
        for frame in frames:
            step = frame.duration or 1
            if frame.pts is None or (last is not None and frame.pts <= last):
                frame.pts = self._repaired(frame, last, step)
            last = frame.pts
            time = frame.pts * Fraction(self.stream.time_base)
            self.reached = time + step * Fraction(self.stream.time_base)
            if end is not None and time >= end:
                return
            if start is None or time >= start or self._glancing:
                yield frame

    def _from(self, pts: int) -> Iterator[Any]:
        """The pictures of a series from ``pts`` on, decoded one after the other."""
        self._one_by_one = True
        self._ask.close(self.container)
        self._open()
        self._go_to(pts)
        return (frame for frame in self._whole() if frame.pts >= pts)

    def _repaired(self, frame: Any, last: int | None, step: int) -> int:
        """A time for a picture that has none, or one not after the last."""
        if frame.pts is not None:
            self._note_repair("times that ran backwards were repaired", f", from pts {frame.pts} after {last}")
            return last + 1 if last is not None else 0
        self._note_repair("times that were missing were repaired", ": pictures got that of their place in the file")
        if last is None:
            return frame.dts or 0
        return max(last + 1, frame.dts) if frame.dts is not None else last + step

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _note_join(self, text: str) -> None:
        self.repaired = True
        if len(self.notes) < MOST_FAULTS:
            self._note(text)

    def _note_repair(self, what: str, first: str) -> None:
        """Tell ``what`` once, with what is to be said of the ``first`` picture that needed it."""
        self.repaired = True
        if not any(note.startswith(what) for note in self.notes):
            self.notes.append(what + first)

    def close(self) -> None:
        if hasattr(self, "_pictures"):
            self._pictures.close()
        self._packets.close()
        # It holds this reading, and this holds it: without this its pictures' memory would wait for the collector.
        self.__dict__.pop("_decoder", None)
        self._ask.close(self.container)
