"""Read a video as frames with exact times: the first stage of the pipeline."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np

from vidstyle.containers import contents
from vidstyle.convert import Converter
from vidstyle.describe import FROM_ZERO, describe
from vidstyle.errors import SourceError
from vidstyle.frame import Frame, working_size
from vidstyle.inputs import PIPE, Input, parse_input
from vidstyle.on_device import Device, DeviceConverter, Surface, refusal
from vidstyle.others import OtherStreams, SecondReading, Span
from vidstyle.pictures import Pictures
from vidstyle.playlists import HLS
from vidstyle.source_options import Shots, SourceOptions
from vidstyle.tags import colour_of

__all__ = ["SourceOptions", "VideoSource", "picture_check"]


def picture_check(image: Any) -> int:
    """Checksum of a `Frame.image`, uint8 [H, W, 3], wherever it is: about a millisecond at 720p."""
    array = image if isinstance(image, np.ndarray) else image.cpu().numpy()
    return zlib.crc32(np.ascontiguousarray(array).data)


class VideoSource:
    """Frames of the best video stream, upright and at the working size. A context manager.

    The first picture is decoded at opening, since only it tells rotation and colour for sure. A packet that cannot be
    decoded costs its own pictures, and is named in `faults`. Frames are taken once, on one thread: by iterating, by
    `frames_after` or by `frames_since`.

    Attributes:
        input: where it is read from; ``path`` is None where that is no file.
        info: of the pictures.
        colour: of the source's first picture; ``info.colour`` is that of an output.
        device: where the frames' images are; None for the machine's memory.
        route: what is done on a device and what not, where that was asked for.
    """

    def __init__(
        self, path: Input | Path, options: SourceOptions = SourceOptions(), device: Device | None = None
    ) -> None:
        """
        Args:
            device: make the frames there, as far as that is possible; its `Route` says how far.

        Raises:
            SourceError: it cannot be read, or has no picture that can; TooLargeError where it is beyond the limit.
            UsageError: standard input is closed or a terminal.
        """
        self.input = path if isinstance(path, Input) else parse_input(path)
        self.path, self.options = self.input.path, options
        self._notes: list[str] = []
        self._stopped = Event()
        self.device: Device | None = None
        self.route = device.route if device is not None else None
        self._pictures = Pictures(self.input, options, self._stopped)
        try:
            first = self._pictures.first
            if first is None:
                self._refuse_empty()
            self.colour = colour_of(first)
            note = self._notes.append
            self.info = describe(self._pictures.reading, first, self.colour, self.input.name, options, note)
            if self.input.series is not None and (caveat := self.input.series.caveat()):
                note(caveat)
            self._converter: Converter | DeviceConverter = Converter(self.info, self.colour, options.originals, note)
            if device is not None:
                self._move_to(device, self._converter)
            self._set_shots(options.shots)
        except BaseException:
            self.close()
            raise

    def _move_to(self, device: Device, host: Converter) -> None:
        """Make the frames on ``device``, and decode there too where it can; else all stays as it is."""
        first = self._pictures.first
        why = refusal(self.info, self.colour, first, self.options.originals, self.deinterlaced)
        if why is not None:
            device.route.converted = f"RGB on the CPU ({why})"
            return
        self.device, device.route.converted = device, ""
        self._converter = DeviceConverter(self.info, self.colour, host, first, device)
        if device.is_gpu and self.input.file is not None:
            self._pictures.decode_on(device)

    def _refuse_empty(self) -> None:
        name = self.input.name
        if self.faults:
            why = "damaged, encrypted or cut short"
            if self.input.kind == PIPE:
                why += "; or its index is at the end, as of many .mp4: give its path instead"
            raise SourceError(f"{name}: no picture of it can be decoded ({why})")
        start, length = self.options.start, self.reached - self.origin
        what = "no pictures between --start and --end" if start or self.options.end else "no pictures in it"
        if start and 0 < length <= start:
            raise SourceError(f"{name}: {what}: it ends at {float(length):.2f} s")
        if length > 0 and (start or self.options.end):
            raise SourceError(f"{name}: {what}: one may be shown there, none begins there: give a longer part")
        raise SourceError(f"{name}: {what} could be decoded: is it complete?")

    @property
    def stream(self) -> Any:
        """PyAV's, of the video that is read."""
        return self._pictures.reading.stream

    @property
    def faults(self) -> list[str]:
        """What of the source could not be read and is lost, so far."""
        return list(self._pictures.reading.faults)

    @property
    def notes(self) -> list[str]:
        """What was done to the source and is no loss, so far: repaired times, a tone map, another size."""
        return [*self._notes, *self._pictures.reading.notes]

    @property
    def deinterlaced(self) -> bool:
        return self._pictures.reading.deinterlaced

    @property
    def interlaced(self) -> bool:
        """Whether the stream says so."""
        return self._pictures.reading.interlaced

    @property
    def reached(self) -> Fraction:
        """Seconds: the end of the last decoded picture."""
        return self._pictures.reading.reached

    @property
    def origin(self) -> Fraction:
        """Seconds: where the stream's own time begins; --start and --end count from here."""
        return self._pictures.reading.origin

    @property
    def span(self) -> Span:
        """(start, end) in seconds of the stream's time; None where open."""
        return self._pictures.reading.span

    @property
    def declared_end(self) -> Fraction | None:
        """Seconds: where the container says it ends; None where it does not or cannot, or only a part is wanted."""
        container = self._pictures.reading.container
        listed = container.format.name == HLS  # a playlist has the lengths of all its parts
        if self.options.end is not None or not container.duration or (not listed and self._pictures.reading.joined):
            return None
        begins = 0 if container.format.name.startswith(FROM_ZERO) else container.start_time or 0
        return Fraction(begins + container.duration, av.time_base)

    def contents(self) -> list[tuple[str, str]]:
        """(kind, codec) of everything besides the styled stream: see `vidstyle.containers.contents`."""
        container = self._pictures.reading.container
        return contents((s for s in container.streams if s.index != self.stream.index), container.chapters())

    def glances(self, moments: Iterable[Fraction], short_side: int) -> Iterator[Frame]:
        """The first picture, then key pictures of an input that is `seekable`.

        Before the frames are taken, which stay.

        Args:
            moments: seconds from the input's beginning, increasing; each gives the key picture there or before it,
                or the frame of the moment before once more where there is no later one.
            short_side: of the pictures, at most.

        Raises:
            SourceError: a server does not go on.
        """
        converter = Converter(self.info, self.colour, False, lambda _: None)
        converter.work_at(self._working(short_side))
        first: Any = self._pictures.first
        made = converter(first.downloaded() if isinstance(first, Surface) else first)
        yield made
        for frame in self._pictures.glances(moments):
            if frame is not None and frame.pts > made.pts:
                made = converter(frame)
            yield made

    def work_at(self, short_side: int, shots: Shots = ()) -> None:
        """Give pictures of this short side, also enlarged, or by ``shots``; before the first is taken."""
        self.info = replace(self.info, working=self._working(short_side, enlarge=True))
        self._converter.work_at(self.info.working)
        self._set_shots(shots)

    def _working(self, short_side: int, enlarge: bool = False) -> tuple[int, int]:
        return working_size(self.info.width, self.info.height, self.info.aspect, short_side, enlarge)

    def _set_shots(self, shots: Shots) -> None:
        self._starts = [pts for pts, _ in shots]
        self._sizes = [self._working(short_side, enlarge=True) for _, short_side in shots]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the frames: all that there are, the largest first."""
        return sorted({*self._sizes}, reverse=True) or [self.info.working]

    def others(self) -> OtherStreams:
        """The streams besides the styled one; whoever asks closes them.

        Of a file they are read again, as often as is asked. Of a pipe or a URL they come from the one reading:
        ask once, and before the frames are taken.
        """
        if self.path is not None:
            return SecondReading(self.input, self.stream.index, self.span)
        tee = self._pictures.reading.tee
        assert tee is not None, "what is no file is read once"
        tee.asked = True
        return tee

    def __iter__(self) -> Iterator[Frame]:
        return map(self._convert, self._pictures.all())

    def frames_after(self, pts: int, check: int | None = None) -> Iterator[Frame]:
        """The frames after the one at ``pts``, the same in every bit as iterating gives them.

        Args:
            check: `picture_check` of the frame at ``pts``. With it, a file is read from a little before ``pts`` on
                where the container can do that, and the picture at ``pts`` proves that it did. Otherwise, and
                without ``check``, all of it is decoded from the beginning.

        Raises:
            ChangedError: there is no picture at ``pts``.
        """

        def is_the_one(frame: Any) -> bool:
            return check is None or picture_check(self._convert(frame).image) == check

        return map(self._convert, self._pictures.after(pts, is_the_one, check is not None, self._notes.append))

    def frames_since(self, pts: int, warm: int = 1, whole: bool = False) -> Iterator[Frame]:
        """Up to ``warm`` frames before ``pts``, then all from there on, as iterating gives them.

        Where the container can do that, a file is read from a little before on. Whether that gave the same picture
        shows in the `picture_check` of the frame before ``pts``; with ``whole`` all is decoded from the beginning.
        """
        usual = 1 / (self.info.rate or 25) / self.info.time_base
        return map(self._convert, self._pictures.since(pts, max(1, warm), round((max(1, warm) - 1) * usual), whole))

    def _convert(self, frame: Any) -> Frame:
        if self._sizes:  # by the picture's time alone, so that it is the same wherever reading began
            self._converter.work_at(self._sizes[max(0, bisect_right(self._starts, frame.pts) - 1)])
        made = self._converter(frame)
        return replace(made, captions=frame.opaque) if frame.opaque else made

    @property
    def exact(self) -> bool:
        """Whether pictures in the middle can be read without all those before them."""
        return self._pictures.reading.exact

    @property
    def repaired(self) -> bool:
        """Whether a picture's time was missing or wrong so far."""
        return self._pictures.reading.repaired

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
        self._pictures.reading.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
