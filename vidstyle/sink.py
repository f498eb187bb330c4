"""Write styled frames to a video file with everything else of the source: the last stage of the pipeline."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from array import array
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from vidstyle.codecs import EncoderOptions, choose_encoder, container_format, encoder_rate
from vidstyle.errors import SinkError, UsageError
from vidstyle.frame import RANGE_LIMITED, Frame, VideoInfo
from vidstyle.remux import Remuxer
from vidstyle.report import Report, StreamNote
from vidstyle.source import VideoSource
from vidstyle.verify import verify


@dataclass(frozen=True)
class SinkOptions:
    """``compare``: the source left and the result right of it, at the source's size each."""

    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    compare: bool = False
    overwrite: bool = False


def check_output(path: Path, source: Path, overwrite: bool) -> None:
    """Refuse an output before any work is done.

    Raises:
        UsageError: unknown extension, or the output is the source, also through links.
        SinkError: it exists, its folder is missing or not writable.
    """
    container_format(path)
    folder = path.parent
    try:
        exists = path.exists()
    except OSError as error:
        raise _as_sink_error(error, path) from error
    if not folder.is_dir():
        raise SinkError(f"no folder {folder} to write {path.name} to: make it first")
    if exists:
        if path.samefile(source):
            raise UsageError(f"the output {path} is the source itself: give another name with -o")
        if path.is_dir():
            raise SinkError(f"{path} is a folder: give a file's name")
        if not overwrite:
            raise SinkError(f"{path} exists: give another name with -o, or --overwrite")
    if not os.access(folder, os.W_OK):
        raise SinkError(f"not allowed to write to {folder}: choose another folder with -o")


class FileSink:
    """Encode frames, copy the source's other streams, and put the file in place when all is written.

    A context manager: at an error nothing is left behind, and an existing output stays as it was. Times
    are the source's own, in its own time base.
    """

    def __init__(self, path: Path, source: VideoSource, options: SinkOptions, report: Report) -> None:
        self.path, self.options, self.report = path, options, report
        self._info = source.info
        self._part = _part_name(path)
        self._muxer = container_format(path)
        self._choice = choose_encoder(path, _canvas(source.info, options.compare), options.encoder)
        self._pts = array("q")  # 8 bytes a picture: hours of film must not fill the memory
        self._durations: dict[int, int] = {}
        self._zero = _zero(source)
        report.time_shift = -float(self._zero)
        self._remuxer: Remuxer | None = None
        self.reached = Fraction(0)  # seconds of the source's time: the end of what was copied
        try:
            # "file:" keeps a name with a colon a name.
            self._container = av.open(f"file:{self._part}", "w", format=self._muxer, options=self._muxer_options())
            self._stream = self._add_video()
            self._others = source.others()
            self._remuxer = Remuxer(self._others, self._container, self._muxer, self._zero)
            self._container.metadata.update(self._metadata(self._others.metadata))
            self._stream.metadata.update(source.stream.metadata)
            self._start_encoding()
        except BaseException as error:
            self._discard()
            raise _as_sink_error(error, path) from error
        report.streams.append(StreamNote(source.stream.index, "video", source.info.codec, "styled"))
        report.encoder = f"{self._choice.encoder} {' '.join(f'{k}={v}' for k, v in self._choice.options.items())}"

    def _muxer_options(self) -> dict[str, str]:
        if self._muxer not in ("mp4", "mov"):
            return {}
        # A late start is an edit list in the movie's clock: at its usual 1000 Hz it would be rounded.
        clock = self._info.time_base.denominator
        options = {"movflags": "+faststart+use_metadata_tags"}
        return options | ({"movie_timescale": str(clock)} if 1000 <= clock <= 1_000_000 else {})

    def _start_encoding(self) -> None:
        """Open the encoder and write the header now, so that what they refuse is told before any work."""
        try:
            self._container.start_encoding()
        except (ValueError, av.error.FFmpegError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EACCES, errno.EIO):
                raise
            settings = " ".join(f"{k}={v}" for k, v in self._choice.options.items())
            what = f"{self._choice.encoder} or {self._muxer}"
            raise UsageError(f"{what} refuses these settings: {settings} ({error})") from error

    @staticmethod
    def _metadata(metadata: dict[str, str]) -> dict[str, str]:
        own = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # the muxer writes these
        return {key: value for key, value in metadata.items() if key.lower() not in own}

    def _add_video(self) -> Any:
        info, choice = self._info, self._choice
        rate, options = encoder_rate(info), dict(choice.options)
        stream: Any = self._container.add_stream(choice.encoder, rate=rate, options=options)
        canvas = _canvas(info, self.options.compare)
        stream.width, stream.height, stream.pix_fmt = canvas.width, canvas.height, choice.pix_fmt
        context = stream.codec_context
        context.time_base = info.time_base
        context.sample_aspect_ratio = info.aspect
        context.thread_count = self.options.encoder.threads
        colour = info.colour
        context.colorspace = colour.matrix if colour.matrix not in (0, 3) else colour.matrix_used
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        context.color_range = colour.range_used
        return stream

    def write(self, frame: Frame) -> None:
        """Encode one frame; frames come with increasing pts.

        Raises:
            SinkError: the disk is full, or the encoder refuses.
        """
        assert self._remuxer is not None
        try:
            self._remuxer.copy_until(frame.time)
            pts = frame.pts - round(self._zero / frame.time_base)
            picture = self._picture(frame)
            picture.pts, picture.time_base = pts, frame.time_base
            self._pts.append(pts)
            if frame.duration:
                self._durations[pts] = frame.duration
            self._mux(self._stream.encode(picture))
        except Exception as error:
            raise _as_sink_error(error, self.path) from error

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.pts in self._durations:  # the last picture's length would be lost otherwise
                packet.duration = self._durations.pop(packet.pts)
            self._container.mux(packet)

    def _picture(self, frame: Frame) -> Any:
        """The frame as the encoder wants it: the source's size, its matrix and its range."""
        info = self._info
        image = frame.image
        canvas = _canvas(info, self.options.compare)
        if self.options.compare:
            image = _side_by_side(frame, info)
        return av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24").reformat(
            width=canvas.width,
            height=canvas.height,
            format=self._choice.pix_fmt,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            dst_colorspace=info.colour.matrix_used,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG if info.colour.range_used == RANGE_LIMITED else ColorRange.JPEG,
            threads=1,
        )

    def _finish(self) -> None:
        assert self._remuxer is not None
        self._mux(self._stream.encode(None))
        self._remuxer.finish()
        self.reached = self._remuxer.reached
        self._others.close()
        self._container.close()
        with open(self._part, "rb+") as file:
            os.fsync(file.fileno())
        self.report.streams += self._remuxer.notes
        self.report.streams.sort(key=lambda note: note.index)
        self.report.frames_out = len(self._pts)
        verify(self._part, self._pts, self._info.time_base, self._remuxer.digests, self._muxer, self.report)
        self._part.replace(self.path)

    def close(self) -> None:
        """Write what is left, read the file back, and put it in place."""
        try:
            self._finish()
        except BaseException as error:
            self._discard()
            raise _as_sink_error(error, self.path) from error

    def _discard(self) -> None:
        """Close everything and leave nothing behind."""
        if hasattr(self, "_others"):
            self._others.close()
        if hasattr(self, "_container"):
            with contextlib.suppress(OSError, av.error.FFmpegError, ValueError):
                self._container.close()  # a full disk fails again at the trailer; the file goes anyway
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> FileSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()


def _zero(source: VideoSource) -> Fraction:
    """Seconds of the source's time that become 0 in the output.

    Its own 0, unless a part is cut out, or pictures lie before 0: an edit list would hide those.
    """
    if source.options.start is not None:
        return source.origin + source.options.start
    return min(source.info.start, Fraction(0))


def _part_name(path: Path) -> Path:
    """A hidden-free sibling name that fits in 255 bytes."""
    name = os.fsencode(path.name)
    if len(name) > 240:
        return path.with_name(f"vidstyle-{hashlib.sha256(name).hexdigest()[:16]}.part")
    return path.with_name(path.name + ".part")


def _canvas(info: VideoInfo, compare: bool) -> VideoInfo:
    return replace(info, width=2 * info.width) if compare else info


def _side_by_side(frame: Frame, info: VideoInfo) -> np.ndarray:
    assert frame.original is not None, "comparing needs SourceOptions(originals=True)"
    right = frame.image
    if right.shape != frame.original.shape:
        scaled = av.VideoFrame.from_ndarray(np.ascontiguousarray(right), format="rgb24").reformat(
            width=info.width, height=info.height, interpolation=Interpolation.BICUBIC
        )
        right = scaled.to_ndarray()
    return np.concatenate([frame.original, right], axis=1)


def _as_sink_error(error: BaseException, path: Path) -> BaseException:
    """One line for what the system or FFmpeg refused; anything else as it is."""
    if not isinstance(error, (OSError, av.error.FFmpegError, ValueError)):
        return error
    code = getattr(error, "errno", None)
    if code == errno.ENOSPC:
        return SinkError(f"the disk is full; {path} was not written: free some space or choose another folder with -o")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SinkError(f"not allowed to write {path}: choose another folder with -o")
    if code == errno.ENAMETOOLONG:
        return SinkError(f"the name {path.name[:40]}... is too long for this disk: give a shorter one with -o")
    return SinkError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
