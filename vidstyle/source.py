"""Read a video as frames with exact times: the first stage of the pipeline."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np

from vidstyle.containers import contents
from vidstyle.convert import INTERPOLATION, SHRINK, Converter
from vidstyle.describe import describe
from vidstyle.errors import SourceError
from vidstyle.frame import Frame
from vidstyle.inputs import PIPE, Input, parse_input
from vidstyle.limits import Limit, TooLargeError
from vidstyle.others import OtherStreams, SecondReading, Span
from vidstyle.reading import Reading, SourceOptions, best_video
from vidstyle.tags import colour_of

__all__ = [
    "INTERPOLATION",
    "SHRINK",
    "ChangedError",
    "Limit",
    "SourceOptions",
    "TooLargeError",
    "VideoSource",
    "best_video",
    "picture_check",
]


class ChangedError(SourceError):
    """The source is not the one that an interrupted run had read."""


def picture_check(image: np.ndarray) -> int:
    """Checksum of a `Frame.image`, uint8 [H, W, 3]: about a millisecond at 720p."""
    return zlib.crc32(np.ascontiguousarray(image).data)


class VideoSource:
    """Frames of the best video stream, upright and at the working size. A context manager.

    The first picture is decoded at opening, since only it tells rotation and colour for sure. An undecodable
    picture ends the stream. Frames are taken once, by iterating or by `frames_after`, on one thread.

    Attributes:
        input: where it is read from; ``path`` is None where that is no file.
        info: of the pictures.
        colour: of the source's first picture; ``info.colour`` is that of an output.
    """

    def __init__(self, path: Input | Path, options: SourceOptions = SourceOptions()) -> None:
        """
        Raises:
            SourceError: it cannot be read, or has no picture that can; TooLargeError where it is beyond the limit.
            UsageError: standard input is closed or a terminal.
        """
        self.input = path if isinstance(path, Input) else parse_input(path)
        self.path, self.options = self.input.path, options
        self._notes: list[str] = []
        self._stopped = Event()
        self._reading = Reading(self.input, options, self._stopped)
        try:
            self._first = next(iter(self._reading), None)
            if self._first is None:
                self._refuse_empty()
            self.colour = colour_of(self._first)
            note = self._notes.append
            self.info = describe(self._reading, self._first, self.colour, self.input.name, options, note)
            self._converter = Converter(self.info, self.colour, options.originals, note)
        except BaseException:
            self._reading.close()
            raise

    def _refuse_empty(self) -> None:
        name = self.input.name
        if self.faults:
            why = "damaged, encrypted or cut short"
            if self.input.kind == PIPE:
                why += "; or its index is at the end, as of many .mp4: give its path instead"
            raise SourceError(f"{name}: no picture of it can be decoded ({why})")
        part = self.options.start or self.options.end
        what = "no pictures between --start and --end" if part else "no pictures in it"
        raise SourceError(f"{name}: {what} could be decoded: is it complete?")

    @property
    def stream(self) -> Any:
        """PyAV's, of the video that is read."""
        return self._reading.stream

    @property
    def faults(self) -> list[str]:
        """What of the source could not be read and is lost, so far."""
        return list(self._reading.faults)

    @property
    def notes(self) -> list[str]:
        """What was done to the source and is no loss, so far: repaired times, a tone map, another size."""
        return [*self._notes, *self._reading.notes]

    @property
    def deinterlaced(self) -> bool:
        return self._reading.deinterlaced

    @property
    def reached(self) -> Fraction:
        """Seconds: the end of the last decoded picture."""
        return self._reading.reached

    @property
    def origin(self) -> Fraction:
        """Seconds: where the stream's own time begins; --start and --end count from here."""
        return self._reading.origin

    @property
    def span(self) -> Span:
        """(start, end) in seconds of the stream's time; None where open."""
        return self._reading.span

    @property
    def declared_end(self) -> Fraction | None:
        """Seconds: where the container says it ends; None where it does not, or only a part is wanted."""
        container = self._reading.container
        if self.options.end is not None or not container.duration:
            return None
        return Fraction((container.start_time or 0) + container.duration, av.time_base)

    def contents(self) -> list[tuple[str, str]]:
        """(kind, codec) of everything besides the styled stream: see `vidstyle.containers.contents`."""
        container = self._reading.container
        return contents((s for s in container.streams if s.index != self.stream.index), container.chapters())

    def others(self) -> OtherStreams:
        """The streams besides the styled one; whoever asks closes them.

        Of a file they are read again, as often as is asked. Of a pipe or a URL they come from the one reading:
        ask once, and before the frames are taken.
        """
        if self._reading.tee is None:
            return SecondReading(self.input, self.stream.index, self.span)
        self._reading.tee.asked = True
        return self._reading.tee

    def __iter__(self) -> Iterator[Frame]:
        return map(self._convert, self._pictures())

    def frames_after(self, pts: int, check: int | None = None) -> Iterator[Frame]:
        """The frames after the one at ``pts``, the same in every bit as iterating gives them.

        Args:
            check: `picture_check` of the frame at ``pts``. With it, a file is read from a little before ``pts`` on
                where the container can do that, and the picture at ``pts`` proves that it did. Otherwise, and
                without ``check``, all of it is decoded from the beginning.

        Raises:
            ChangedError: there is no picture at ``pts``.
        """
        return map(self._convert, self._pictures_after(pts, check))

    def frames_since(self, pts: int, warm: int = 1, whole: bool = False) -> Iterator[Frame]:
        """Up to ``warm`` frames before ``pts``, then all from there on, as iterating gives them.

        Where the container can do that, a file is read from a little before on. Whether that gave the same picture
        shows in the `picture_check` of the frame before ``pts``; with ``whole`` all is decoded from the beginning.
        """
        return map(self._convert, self._pictures_since(pts, max(1, warm), whole))

    @property
    def exact(self) -> bool:
        """Whether pictures in the middle can be read without all those before them."""
        return self._reading.exact

    def _pictures_since(self, pts: int, warm: int, whole: bool) -> Iterator[Any]:
        held = None if whole else self._near(pts, warm)
        if held is None:
            held = _last_before(self._pictures(), pts, warm)
        yield from held
        yield from self._pictures()

    def _near(self, pts: int, warm: int) -> list[Any] | None:
        """`_last_before` by a reading of its own, which is read on from there; None where that is not to be trusted."""
        usual = 1 / (self.info.rate or 25) / self.info.time_base
        reading = Reading(self.input, self.options, self._stopped, self.deinterlaced)
        try:
            if not reading.jump_before(pts - round((warm - 1) * usual)):
                return None
            held = _last_before(iter(reading), pts, warm)
            if sum(frame.pts < pts for frame in held) < warm or reading.repaired:
                return None
            reading, self._reading, self._first = self._reading, reading, None
            return held
        finally:
            reading.close()

    def _pictures(self) -> Iterator[Any]:
        tee = self._reading.tee
        if tee is not None and not tee.asked:
            tee.stop_keeping()
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._reading

    def _pictures_after(self, pts: int, check: int | None) -> Iterator[Any]:
        if check is None or self.path is None or not self._jump_to(pts, check):
            self._skip_to(pts, check)
        yield from self._pictures()

    def _jump_to(self, pts: int, check: int) -> bool:
        """Read on from ``pts`` with a reading of its own; whether its picture there is the right one."""
        reading = Reading(self.input, self.options, self._stopped, self.deinterlaced)
        try:
            if reading.jump_before(pts):
                frame = next((frame for frame in reading if frame.pts >= pts), None)
                if self._is_the_one(frame, pts, check) and not reading.repaired:
                    reading, self._reading, self._first = self._reading, reading, None
                    return True
            return False
        finally:
            reading.close()

    def _skip_to(self, pts: int, check: int | None) -> None:
        """Decode all up to the picture at ``pts``."""
        frame = next((frame for frame in self._pictures() if frame.pts >= pts), None)
        where = f"its picture at {float(pts * self.info.time_base):.2f} s"
        if frame is None or frame.pts != pts:
            raise ChangedError(f"{self.input.name} is not as it was when this was begun ({where} is gone): begin again")
        if check is not None and not self._is_the_one(frame, pts, check):
            # FFmpeg does not mend damage in the same way twice when several threads decode.
            self._notes.append(f"{where} is not to the bit the one that was read before; the source may be damaged")

    def _is_the_one(self, frame: Any, pts: int, check: int) -> bool:
        return frame is not None and frame.pts == pts and picture_check(self._convert(frame).image) == check

    def _convert(self, frame: Any) -> Frame:
        return self._converter(frame)

    def stop(self) -> None:
        """From any thread: end a pipe that waits for its writer, as if it had ended."""
        self._stopped.set()

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """`stop` at an error in the block: for whoever then joins the thread that reads."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def close(self) -> None:
        self._reading.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _last_before(pictures: Iterator[Any], pts: int, count: int) -> list[Any]:
    """The last ``count`` pictures before ``pts``, and the one that follows them, if there is one."""
    held: deque[Any] = deque(maxlen=count + 1)
    for frame in pictures:
        held.append(frame)
        if frame.pts >= pts:
            return list(held)
    return list(held)[-count:]
