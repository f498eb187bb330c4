"""Put an output file together: the styled video's packets, and everything else of the source."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.containers import DEFAULT, kind_of
from vidstyle.encoder import Encoder, Encoding
from vidstyle.metadata import muxer_options, of_file, of_styled
from vidstyle.remux import Remuxer
from vidstyle.report import Report, StreamNote
from vidstyle.segment import Segment
from vidstyle.source import VideoSource
from vidstyle.verify import verify
from vidstyle.whole import led_to


def zero_of(source: VideoSource) -> Fraction:
    """Seconds of the source's time that become 0 in the output.

    Its own 0, unless a part is cut out, or pictures lie before 0: an edit list would hide those. A part begins on a
    tick of the pictures' clock, which may be as long as a picture: rounded, they would be moved against the sound.
    """
    if source.options.start is not None:
        return (source.origin + source.options.start) // source.info.time_base * source.info.time_base
    return min(source.info.start, Fraction(0))


def decoding_times(segments: Iterable[list[int]]) -> Iterator[int]:
    """dts for packets with these pts, given in decoding order: increasing, none after its pts.

    Every encoder orders its pictures by dts of its own; those of two segments would overlap at the joint.
    """
    ordered, delay = array("q"), 0
    for pts in segments:
        rank = {time: index for index, time in enumerate(sorted(pts))}
        delay = max(delay, *(index - rank[time] for index, time in enumerate(pts)))
        ordered.extend(rank)  # segments follow each other
    delay = min(delay, len(ordered) - 1)
    for index, time in enumerate(ordered):
        # The first pictures are decoded before the first is shown.
        yield ordered[index - delay] if index >= delay else time - (ordered[delay] - ordered[0])


class Assembly:
    """An output container being written: the styled stream, and copies of the source's others.

    Args:
        file: a path, or a binary file object to stream into.
        muxer: FFmpeg's name of the container.
        encoding: how the styled stream is encoded.
        report: gets what became of every stream.
    """

    def __init__(self, file: Any, muxer: str, source: VideoSource, encoding: Encoding, report: Report) -> None:
        self.muxer, self._encoding, self._report = muxer, encoding, report
        self.info = encoding.info
        self.zero = zero_of(source)
        self.pts = array("q")  # 8 bytes a picture: hours of film must not fill the memory
        self._index = source.stream.index
        start, rate = source.options.start or Fraction(0), self.info.rate or Fraction(0)
        self._metadata = of_styled(dict(source.stream.metadata), muxer, start, rate)
        self._stream: Any = None
        self._remuxer: Remuxer | None = None
        self._others = source.others()
        try:
            cover = any(kind_of(stream) == "cover" for stream in self._others.streams)
            options = muxer_options(muxer, self.info.time_base, self._others.metadata, cover)
            if muxer in ("matroska", "webm"):
                options["fflags"] = "+bitexact"  # or every file, and every stream of it, would get a random number
            target = f"file:{file}" if isinstance(file, Path) else file  # "file:" keeps a name with a colon a name
            self._container = av.open(target, "w", format=muxer, options=options)
        except BaseException:
            self._others.close()
            raise
        self._container.metadata.update(of_file(self._others.metadata, start, rate))

    def encoder(self) -> Encoder:
        """An encoder of the styled stream that writes straight into this container, its header written."""
        encoder = Encoder(self._container, self.muxer, self._encoding, self._metadata)
        self._stream = encoder.stream
        self._copy_others()
        encoder.start()
        return encoder

    def _copy_others(self) -> None:
        self._stream.disposition = DEFAULT  # also where the source has another video before it
        self._remuxer = Remuxer(self._others, self._container, self.muxer, self.zero)

    def write(self, packets: Iterable[Any]) -> None:
        """Mux packets of the styled stream, and what is due of the other streams before each."""
        assert self._remuxer is not None
        base = self.info.time_base
        for packet in packets:
            due = packet.dts if packet.dts is not None else packet.pts
            self._remuxer.copy_until(due * base + self.zero if self.zero else due * base)
            self.pts.append(packet.pts)
            self._container.mux(packet)

    def join(self, folder: Path, segments: list[Segment]) -> None:
        """Mux the packets of all segments, one after the other."""
        decoding = decoding_times(segment.pts for segment in segments)
        for segment in segments:
            with av.open(f"file:{folder / segment.file}") as container:
                video = container.streams.video[0]
                if self._stream is None:
                    self._adopt(video)
                self.write(self._timed(container.demux(video), segment, decoding))

    def _adopt(self, video: Any) -> None:
        """Add the styled stream as the first segment has it; its container is less exact than the source."""
        self._stream = self._container.add_stream_from_template(video, opaque=True)
        self._stream.time_base = self.info.time_base
        self._stream.sample_aspect_ratio = self.info.aspect
        if self.info.rate:  # H.264 and HEVC say their clock's, 24000 a second, which Matroska would take
            self._stream.codec_context.framerate = self.info.rate
        self._stream.metadata.update(self._metadata)
        # MOV tells the kinds of ProRes and DNxHD apart by this name alone, which a template leaves out.
        own = video.codec_context.codec_tag.strip("\0") if self.muxer == "mov" else ""
        if tag := self._encoding.choice.tag or own:
            self._stream.codec_tag = tag
        self._copy_others()

    def _timed(self, packets: Iterable[Any], segment: Segment, decoding: Iterator[int]) -> Iterator[Any]:
        """A segment's packets with the times that its container could not hold."""
        full = (packet for packet in packets if packet.size)
        for packet, pts, duration in zip(full, segment.pts, segment.durations, strict=True):
            packet.stream, packet.time_base = self._stream, self.info.time_base
            packet.pts, packet.dts, packet.duration = pts, next(decoding), duration
            yield packet

    def finish(self) -> Fraction:
        """Write the rest of the other streams and the trailer; seconds of source time copied until."""
        assert self._remuxer is not None
        self._remuxer.finish()
        self._others.close()
        self._container.close()
        report = self._report
        report.streams += self._remuxer.notes
        report.streams.append(StreamNote(self._index, "video", self.info.codec, "styled"))
        report.streams.sort(key=lambda note: note.index)
        report.frames_out = len(self.pts)
        report.time_shift = -float(self.zero)
        return self._remuxer.reached

    def verify(self, path: Path) -> None:
        """Bring the finished file to the disk, read it back, and report what is in it."""
        assert self._remuxer is not None
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        pts = array("q", sorted(self.pts))
        verify(path, pts, self.info.time_base, self._remuxer.digests, self.muxer, self._report)

    def place(self, file: Path, path: Path) -> None:
        """`verify` the finished file, and give it its name."""
        self.verify(file)
        file.replace(led_to(path))

    def discard(self) -> None:
        """Close everything; the file is the caller's to remove."""
        self._others.close()
        with contextlib.suppress(OSError, av.error.FFmpegError, ValueError):
            self._container.close()  # a full disk fails again at the trailer
