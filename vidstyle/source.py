"""Read a video file as frames with exact times: the first stage of the pipeline."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from vidstyle import orientation
from vidstyle.deinterlace import MODES, deinterlace, wanted
from vidstyle.errors import SourceError, UsageError
from vidstyle.frame import RANGE_LIMITED, Colour, Frame, VideoInfo, working_size
from vidstyle.hdr import ToneMap
from vidstyle.inputs import Input, open_input
from vidstyle.others import OtherStreams, SecondReading

log = logging.getLogger(__name__)

ATTACHED_PIC = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not a video
MAX_RATE = 480  # some headers say 1000 or 90000: the clock, not the rate
#: full chroma resolution when planes become RGB, or saturated edges get stairs
INTERPOLATION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
SHRINK = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND


@dataclass(frozen=True)
class SourceOptions:
    """
    Attributes:
        size: short side of the working picture in pixels, None for the source's own.
        start, end: seconds from the beginning of the stream; None for all.
        originals: carry every picture at its own size too (for comparing).
        threads: of the decoder, 0 for as many as it likes.
        deinterlace: "auto" where the stream is flagged, "always", "never".
    """

    size: int | None = 720
    start: Fraction | None = None
    end: Fraction | None = None
    originals: bool = False
    threads: int = 0
    deinterlace: str = "auto"

    def __post_init__(self) -> None:
        if self.deinterlace not in MODES:
            raise UsageError(f"deinterlace is {self.deinterlace!r}: one of {', '.join(MODES)}")


def best_video(container: Any, path: Path) -> Any:
    """The stream a player would show: not cover art, not an empty track.

    Raises:
        SourceError: there is none.
    """
    videos = [s for s in container.streams.video if not s.disposition & ATTACHED_PIC and s.codec_context is not None]
    if not videos:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceError(f"{path} has no video stream (found: {kinds}): nothing to style")
    best = container.streams.best("video")
    return best if best in videos else max(videos, key=lambda s: (s.width * s.height, s.frames))


def picture_check(image: np.ndarray) -> int:
    """Checksum of a picture, uint8 [H, W, 3]."""
    return zlib.crc32(image)


class VideoSource:
    """Frames of the best video stream, upright and at the working size. A context manager.

    The first picture is decoded at opening, since only it tells rotation and colour for sure. An undecodable
    picture ends the stream; ``faults`` then says so, as it does of every repaired time.
    """

    def __init__(self, path: Path | Input, options: SourceOptions = SourceOptions()) -> None:
        if isinstance(path, Input):
            assert path.path is not None
            path = path.path
        self.path, self.options = path, options
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.deinterlaced = False
        self.reached = Fraction(0)  # seconds: the end of the last decoded picture
        self._container = open_input(path)
        try:
            self.stream = best_video(self._container, path)
            self.stream.thread_type = "AUTO"
            self.stream.codec_context.thread_count = options.threads
            self._seek()
            self._decoded = self._decode()
            self._first = next(self._decoded, None)
            if self._first is None:
                self._refuse_empty()
            self.info = self._describe(self._first)
        except BaseException:
            self._container.close()
            raise

    def _refuse_empty(self) -> None:
        if self.faults:
            raise SourceError(f"{self.path}: no picture of it can be decoded (damaged, encrypted or cut short)")
        part = self.options.start or self.options.end
        what = "no pictures between --start and --end" if part else "no pictures in it"
        raise SourceError(f"{self.path}: {what} could be decoded: is it complete?")

    def _seek(self) -> None:
        if self.options.start:
            origin = self.stream.start_time or 0
            target = origin + int(self.options.start / self.stream.time_base)
            self._container.seek(max(target, origin), stream=self.stream, backward=True)

    @property
    def origin(self) -> Fraction:
        """Seconds: where the stream's own time begins; --start and --end count from here."""
        return (self.stream.start_time or 0) * Fraction(self.stream.time_base)

    @property
    def span(self) -> tuple[Fraction | None, Fraction | None]:
        """(start, end) in seconds of the stream's time; None where open."""
        start, end = self.options.start, self.options.end
        return None if start is None else self.origin + start, None if end is None else self.origin + end

    @property
    def declared_end(self) -> Fraction | None:
        """Seconds: where the container says it ends; None where it does not, or only a part is wanted."""
        if self.options.end is not None or not self._container.duration:
            return None
        return Fraction((self._container.start_time or 0) + self._container.duration, av.time_base)

    def _decode(self) -> Generator[Any, None, None]:
        """Decoded frames in the wanted range, with a pts each, strictly increasing."""
        last: int | None = None
        start, end = self.span
        for frame in self._whole():
            step = frame.duration or 1
            if frame.pts is None or (last is not None and frame.pts <= last):
                self._repair(frame.pts, last)
                frame.pts = 0 if last is None else last + (step if frame.pts is None else 1)
            last = frame.pts
            time = frame.pts * Fraction(self.stream.time_base)
            self.reached = time + step * Fraction(self.stream.time_base)
            if end is not None and time >= end:
                return
            if start is None or time >= start:
                yield frame

    def _repair(self, pts: int | None, last: int | None) -> None:
        if not any("times" in note for note in self.notes):
            self.notes.append(f"times that were missing or ran backwards were repaired, from pts {pts} after {last}")

    def _whole(self) -> Iterator[Any]:
        """Decoded frames, deinterlaced where wanted."""
        frames = self._readable()
        first = next(frames, None)
        if first is None:
            return iter(())
        mode = self.options.deinterlace
        self.deinterlaced = wanted(mode, self.stream, first)
        frames = chain([first], frames)
        return deinterlace(frames, self.stream, mode == "always") if self.deinterlaced else frames

    def _readable(self) -> Iterator[Any]:
        """Decoded frames up to the first that cannot be decoded."""
        count = 0
        try:
            for packet in self._container.demux(self.stream):
                for frame in packet.decode():
                    count += 1
                    yield frame
        except (av.error.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.faults.append(f"cannot be decoded after {count} pictures ({reason}); the rest is missing")

    def _describe(self, frame: Any) -> VideoInfo:
        stream, turn = self.stream, orientation.of_frame(frame)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        self._coded_working = working_size(frame.width, frame.height, aspect, self.options.size)
        width, height, working = frame.width, frame.height, self._coded_working
        if orientation.swaps_sides(turn):
            width, height, working, aspect = height, width, working[::-1], 1 / aspect
        self._turn = turn
        self.colour = Colour(
            int(frame.colorspace),
            int(frame.color_primaries),
            int(frame.color_trc),
            2 if frame.format.name.startswith("yuvj") else int(frame.color_range),
            frame.height,
        )
        self._tone_maps: dict[tuple[int, int], ToneMap] = {}
        duration, rate = self._duration(), self._rate()
        return VideoInfo(
            width=width,
            height=height,
            working=working,
            time_base=Fraction(stream.time_base),
            rate=rate,
            aspect=aspect,
            start=frame.pts * Fraction(stream.time_base),
            duration=duration,
            frames=self._estimate(duration, rate),
            colour=Colour(1, 1, 1, RANGE_LIMITED, height) if self.colour.is_hdr else self.colour,
            orientation=turn,
            codec=stream.codec_context.name,
            pix_fmt=frame.format.name,
        )

    def _duration(self) -> Fraction | None:
        whole = None
        if self.stream.duration:
            whole = self.stream.duration * Fraction(self.stream.time_base)
        elif self._container.duration:
            whole = Fraction(self._container.duration, av.time_base)
        if whole is None:
            return self.options.end and self.options.end - (self.options.start or 0)
        return min(whole, self.options.end or whole) - (self.options.start or 0)

    def _rate(self) -> Fraction | None:
        for rate in (self.stream.average_rate, self.stream.guessed_rate):
            if rate and 0 < rate <= MAX_RATE:
                return Fraction(rate)
        return None

    def _estimate(self, duration: Fraction | None, rate: Fraction | None) -> int | None:
        if self.stream.frames and not (self.options.start or self.options.end):
            return int(self.stream.frames)
        return max(1, round(duration * rate)) if duration and rate else None

    def others(self) -> OtherStreams:
        """The streams besides the styled one; whoever asks closes them."""
        return SecondReading(self.path, self.stream.index, self.span)

    def __iter__(self) -> Iterator[Frame]:
        frame = self._first
        self._first = None
        while frame is not None:
            yield self._convert(frame)
            frame = next(self._decoded, None)

    def frames_after(self, pts: int, check: int | None) -> Iterator[Frame]:
        """The frames after the one at ``pts``."""
        return (frame for frame in self if frame.pts > pts)

    def _convert(self, frame: Any) -> Frame:
        height, width = self._coded_working
        image = self._to_rgb(frame, width, height)
        original = None
        if self.options.originals:
            original = image
            if image.shape[:2] != (self.info.height, self.info.width):
                turned = orientation.swaps_sides(self._turn)
                size = (self.info.height, self.info.width) if turned else (self.info.width, self.info.height)
                original = self._to_rgb(frame, *size)
        return Frame(image, frame.pts, self.info.time_base, frame.duration or 0, original)

    def _to_rgb(self, frame: Any, width: int, height: int) -> np.ndarray:
        shrinks = width * height < frame.width * frame.height
        planes = frame.reformat(
            width=width,
            height=height,
            # A third of the time of going to packed RGB at once, and the same to the byte.
            format="gbrp16le" if self.colour.is_hdr else "gbrp",
            interpolation=SHRINK if shrinks else INTERPOLATION,
            src_colorspace=self.colour.matrix_used,
            src_color_range=ColorRange.MPEG if self.colour.range_used == RANGE_LIMITED else ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        if self.colour.is_hdr:
            planes = self._tone_map(width, height)(planes)
        rgb = planes.reformat(format="rgb24", threads=1)
        return orientation.apply(rgb.to_ndarray(), self._turn)

    def _tone_map(self, width: int, height: int) -> ToneMap:
        if (width, height) not in self._tone_maps:
            self._tone_maps[width, height] = ToneMap(width, height, self.colour.transfer)
        return self._tone_maps[width, height]

    def close(self) -> None:
        self._decoded.close()
        self._container.close()

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
