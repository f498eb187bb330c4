"""Copy every stream that is not the styled video from the source to the output, packet by packet."""

from __future__ import annotations

import hashlib
import logging
from fractions import Fraction
from typing import Any

import av

from vidstyle.codecs import can_hold
from vidstyle.others import OtherStreams
from vidstyle.report import StreamNote
from vidstyle.source import ATTACHED_PIC

log = logging.getLogger(__name__)


def payload(packet: Any) -> bytes:
    """A packet's bytes without the ADTS header that transport streams put before AAC and others take off."""
    data = bytes(packet)
    context = packet.stream.codec_context
    if context is not None and context.name.startswith("aac") and data[:1] == b"\xff" and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]
    return data


class Remuxer:
    """Packets of the source's other streams, written in time order between the video's.

    Args:
        others: the streams; the caller closes them.
        zero: seconds of the source's time that are 0 in the output.

    Attributes:
        notes: what became of every stream but the styled one.
        digests: output stream index -> sha256 of its packets' bytes, in order.
    """

    def __init__(self, others: OtherStreams, output: Any, muxer: str, zero: Fraction) -> None:
        self.notes: list[StreamNote] = []
        self.digests: dict[int, Any] = {}
        self._counts: dict[int, int] = {}
        self._output, self._muxer = output, muxer
        self._others = others
        self.reached = Fraction(0)  # seconds of the source's time: the end of the last packet copied
        self._zero = zero
        self._streams: dict[int, Any] = {}
        for stream in others.streams:
            self._add(stream)
        self._chapters()

    def _add(self, stream: Any) -> None:
        codec = stream.codec_context.name if stream.codec_context is not None else ""
        canonical = stream.codec_context.codec.canonical_name if codec else ""
        if (reason := self._refusal(stream, codec, canonical)) is not None:
            self.notes.append(StreamNote(stream.index, stream.type, canonical, "dropped", reason))
            return
        try:
            if stream.type == "attachment":
                self._output.add_attachment(stream.name, stream.mimetype, bytes(stream.data))
                self.notes.append(StreamNote(stream.index, "attachment", codec, "kept"))
                return
            copy = self._output.add_stream_from_template(stream, opaque=stream.type in ("audio", "video", "subtitle"))
        except (ValueError, av.error.FFmpegError, OSError) as error:
            self.notes.append(StreamNote(stream.index, stream.type, codec, "dropped", f"cannot be copied ({error})"))
            return
        copy.time_base = stream.time_base
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        self._streams[stream.index] = copy

    def _refusal(self, stream: Any, codec: str, canonical: str) -> str | None:
        """Why a stream cannot be copied into this container; None where it can."""
        if stream.type == "data":
            if self._others.chapters and codec in ("", "bin_data"):
                return "it holds the chapters, which are kept as such"
            if self._muxer != "mov":
                return f"{self._muxer} cannot hold data tracks"
        if stream.type == "attachment":
            return None if self._muxer == "matroska" else f"{self._muxer} cannot hold attachments (use .mkv)"
        if not codec:
            return "its codec is unknown"
        if stream.type == "video" and not stream.disposition & ATTACHED_PIC:
            return "a second video; only the best one is styled"
        if stream.type != "data" and not can_hold(self._muxer, canonical, codec):
            return f"{self._muxer} cannot hold {canonical or codec} (use .mkv)"
        return None

    def _chapters(self) -> None:
        chapters = self._others.chapters
        if not chapters:
            return
        if self._others.span != (None, None):
            self.notes.append(StreamNote(-1, "chapters", "", "dropped", "only a part of the video is made"))
            return
        if self._muxer == "mpegts":
            self.notes.append(StreamNote(-1, "chapters", "", "dropped", f"{self._muxer} cannot hold chapters"))
            return
        self._output.set_chapters(chapters)
        self.notes.append(StreamNote(-1, "chapters", "", "kept", packets=len(chapters)))

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write everything due before ``seconds`` of the source's time; None: all that is left."""
        for time, packet in self._others.until(set(self._streams), seconds):
            self.reached = max(self.reached, time + (packet.duration or 0) * Fraction(packet.time_base))
            index = packet.stream_index
            copy = self._streams[index]
            self.digests.setdefault(copy.index, hashlib.sha256()).update(payload(packet))
            self._counts[index] = self._counts.get(index, 0) + 1
            if self._zero:
                shift = round(self._zero / Fraction(packet.time_base))
                packet.pts = packet.pts - shift if packet.pts is not None else None
                packet.dts = packet.dts - shift if packet.dts is not None else None
            packet.stream = copy
            self._output.mux(packet)

    def finish(self) -> None:
        """Write the rest and complete ``notes``."""
        self.copy_until(None)
        for index, copy in self._streams.items():
            codec = copy.codec_context.codec.canonical_name if copy.codec_context is not None else ""
            self.notes.append(StreamNote(index, copy.type, codec, "copied", packets=self._counts.get(index, 0)))
        self.notes.sort(key=lambda note: note.index)
