"""The last stage of the pipeline: styled frames into a file, or into a pipe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.assembly import Assembly, zero_of
from vidstyle.codecs import EncoderChoice, EncoderOptions, choose_encoder
from vidstyle.containers import container_format
from vidstyle.encoder import Encoding, doubled, squared
from vidstyle.frame import Frame, VideoInfo
from vidstyle.leaving import planes_on
from vidstyle.outputs import standard_output
from vidstyle.picture_assembly import PictureAssembly
from vidstyle.picture_codecs import PICTURES, numbered
from vidstyle.pixel_formats import written_colour
from vidstyle.planning import Plan
from vidstyle.refusal import as_sink_error
from vidstyle.report import Report
from vidstyle.segment import Segment, SegmentWriter
from vidstyle.source import VideoSource
from vidstyle.workfolder import WorkFolder


@dataclass(frozen=True)
class SinkOptions:
    """``compare``: the source left and the result right of it, at the source's size each."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    compare: bool = False
    overwrite: bool = False


def _encoding(name: Path, source: VideoSource, options: SinkOptions, report: Report) -> Encoding:
    info, choice = source.info, _choice(name, source.info, options)
    if info.aspect != 1 and _loses_aspect(name, choice.encoder):
        info = squared(info)
        choice = _choice(name, info, options)
        what = f"pixels {source.info.aspect} times as wide as high were scaled"
        instead = "" if numbered(name) is not None else ": use .mp4 or h264"
        report.reductions.append(f"{what} to {info.width}x{info.height}, shown as square ones{instead}")
    report.reductions += choice.reductions
    if options.compare and source.info.alpha:
        report.reductions.append("the source is transparent; --compare shows its pictures on black")
    report.notes += choice.notes
    report.encoder = " ".join([choice.encoder, *(f"{k}={v}" for k, v in choice.options.items())])
    muxer = PICTURES if numbered(name) is not None else ""
    info = replace(info, colour=written_colour(choice.encoder, choice.pix_fmt, info.colour, muxer))
    if info.colour.range_used < source.info.colour.range_used:
        report.notes.append(f"written in limited range (the source's is full), since {choice.encoder} cannot say which")
    there = planes_on(source.device, choice, info) if source.device is not None else None
    settled = there or choice, options.compare, options.encoder.threads
    luma = source.info.colour.range_used
    return Encoding(info, *settled, source.device, planes_there=there is not None, luma_range=luma)


def _choice(name: Path, info: VideoInfo, options: SinkOptions) -> EncoderChoice:
    return choose_encoder(name, doubled(info) if options.compare else info, options.encoder)


def _loses_aspect(name: Path, encoder: str) -> bool:
    """Matroska gets the pixels' shape from PyAV for no codec; H.264 and HEVC carry it themselves."""
    carried = av.Codec(encoder, "w").canonical_name in ("h264", "hevc")
    return numbered(name) is not None or (name.suffix.lower() in (".mkv", ".webm") and not carried)


class SegmentSink:
    """Encode frames into segments of a folder; they can be joined with others later.

    Frames of segments before ``first`` are not written: they are there to warm up what has a memory, and the last
    one proves that this decoding gave the pictures that the segments before were made of.

    Args:
        path: of the whole output.
        folder: of the segments.
        done: segments before these, from the beginning on; new ones are appended.
    """

    def __init__(
        self,
        path: Path,
        source: VideoSource,
        options: SinkOptions,
        report: Report,
        folder: Path,
        plan: Plan,
        done: list[Segment],
        first: int = 0,
    ) -> None:
        self.path, self.report = path, report
        self.encoding = _encoding(path, source, options, report)
        self.muxer = container_format(path)
        self._source, self._folder, self._plan, self._done, self._first = source, folder, plan, done, first
        self._zero = round(zero_of(source) / source.info.time_base)
        self._writer: SegmentWriter | None = None
        self._warm: Frame | None = None  # the last one that was not written

    def write(self, frame: Frame) -> bool:
        """Encode one frame; frames come with increasing pts. False for one that only warms up.

        Raises:
            SinkError: the disk is full, or the encoder refuses.
        """
        try:
            number = self._plan.number_of(frame.pts)
            if number < self._first:
                self._warm = frame
                return False
            if self._writer is None or self._writer.number != number:
                self._finish()
                self._writer = SegmentWriter(self._folder, number, self.encoding, self.muxer, self._zero)
            self._writer.write(frame)
            return True
        except Exception as error:
            raise as_sink_error(error, self.path) from error

    def finish(self) -> None:
        """Complete the segment under way, if there is one; raises as `write`."""
        try:
            self._finish()
        except Exception as error:
            raise as_sink_error(error, self.path) from error

    def _finish(self) -> None:
        if self._writer is None:
            return
        after = self._done[-1].last if self._done else None
        before: int | None = None
        if self._warm is not None:
            after, before, self._warm = self._warm.pts, self._warm.check, None
        segment = self._writer.finish(after, before, self._source.faults, self._source.notes)
        self._writer = None
        self._done.append(segment)

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()


def _assembly(
    file: Any, path: Path, muxer: str, source: VideoSource, encoding: Encoding, report: Report
) -> Assembly | PictureAssembly:
    """What ``path`` becomes of, while it is ``file``, or while it is pictures beside that."""
    pattern = numbered(path)
    if pattern is not None:
        return PictureAssembly(file.parent, pattern, source, encoding, report)
    return Assembly(file, muxer, source, encoding, report)


class FileSink:
    """Encode frames in segments; at the end join them with the source's other streams, and put the file in place.

    A context manager: an existing output stays as it was until then. Times are the source's own, in its own
    time base. What container and encoder refuse is told at opening, before any work.

    Attributes:
        reached: seconds of the source's time: the end of what was copied, after closing.
    """

    def __init__(self, path: Path, source: VideoSource, options: SinkOptions, report: Report, work: WorkFolder) -> None:
        self.path, self.report = path, report
        self.reached = Fraction(0)
        self._source, self._work = source, work
        plan = work.plan(source)
        self._segments = SegmentSink(path, source, options, report, work.path, plan, work.segments, work.next)
        try:
            self._rehearse()
        except BaseException as error:
            raise as_sink_error(error, path) from error

    def _assembly(self, file: Path, report: Report) -> Assembly | PictureAssembly:
        return _assembly(file, self.path, self._segments.muxer, self._source, self._segments.encoding, report)

    def _rehearse(self) -> None:
        """Write a header with every stream and throw it away: a refusal must not come after hours of work."""
        file = self._work.path / "rehearsal"
        assembly = self._assembly(file, Report("", ""))
        try:
            assembly.encoder()
        finally:
            assembly.discard()
            file.unlink(missing_ok=True)

    def write(self, frame: Frame) -> bool:
        """See `SegmentSink.write`."""
        return self._segments.write(frame)

    def close(self) -> None:
        """Join what was written, read the file back, and put it in place."""
        file = self._work.path / f"whole{self.path.suffix}"
        assembly: Assembly | PictureAssembly | None = None
        try:
            self._segments.finish()
            assembly = self._assembly(file, self.report)
            assembly.join(self._work.path, self._work.segments)
            self.reached = max(assembly.finish(), self._pictures_end())
            assembly.place(file, self.path)
            self._work.done = True
        except BaseException as error:
            if assembly is not None:
                assembly.discard()
            raise as_sink_error(error, self.path) from error

    def _pictures_end(self) -> Fraction:
        """Seconds of the source's time."""
        return self._work.segments[-1].end * self._source.info.time_base + zero_of(self._source)

    def __enter__(self) -> FileSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            self.close()
        else:
            self._segments.discard()


def check_stream(path: Path | None, source: VideoSource, options: SinkOptions, muxer: str = "matroska") -> None:
    """Refuse what a `StreamSink` of these would, and write nothing.

    Raises:
        UsageError: standard output is closed or a terminal; the container cannot hold what the encoder gives.
    """
    if path is None:
        standard_output()
    _encoding(path or _piped(muxer), source, options, Report("", ""))


def _piped(muxer: str) -> Path:
    """A name for what goes to standard output."""
    return Path("pipe.y4m" if muxer == "yuv4mpegpipe" else "pipe.mkv")


class StreamSink:
    """Encode frames straight into the output container: for sources that can be read once, and for pipes.

    Nothing can be gone on with later. A file gets its name at the end; a pipe cannot be read back. ``path``: None for
    standard output, in Matroska, or the ``muxer`` given.
    """

    def __init__(
        self,
        path: Path | None,
        source: VideoSource,
        options: SinkOptions,
        report: Report,
        work: WorkFolder | None,
        muxer: str = "matroska",
    ) -> None:
        self.path, self._work = path or Path("standard output"), work
        self.reached = Fraction(0)
        name = path or _piped(muxer)
        self._file: Any = work.path / f"whole{name.suffix}" if work is not None else standard_output()
        muxer = container_format(name) if path is not None else muxer
        self._assembly: Assembly | PictureAssembly | None = None
        try:
            encoding = _encoding(name, source, options, report)
            self._assembly = _assembly(self._file, name, muxer, source, encoding, report)
            self._encoder = self._assembly.encoder()
            if muxer == "yuv4mpegpipe":
                report.notes.append("y4m has one fixed rate and pictures alone: uneven times are not in it")
        except BaseException as error:
            self._discard()
            raise as_sink_error(error, self.path) from error
        self._zero = round(self._assembly.zero / source.info.time_base)

    def write(self, frame: Frame) -> bool:
        """Encode one frame; as `FileSink.write`."""
        assert self._assembly is not None
        try:
            self._assembly.write(self._encoder.encode(frame, frame.pts - self._zero))
        except Exception as error:
            raise as_sink_error(error, self.path) from error
        return True

    def close(self) -> None:
        """Write what is left; a file is read back and put in place."""
        assert self._assembly is not None
        try:
            self._assembly.write(self._encoder.flush())
            self.reached = self._assembly.finish()
            if self._work is not None:
                self._assembly.place(self._file, self.path)
                self._work.done = True
        except BaseException as error:
            self._discard()
            raise as_sink_error(error, self.path) from error

    def _discard(self) -> None:
        if self._assembly is not None:
            self._assembly.discard()

    def __enter__(self) -> StreamSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()
