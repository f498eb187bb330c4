"""Everything of the source that is not the styled picture, into the output: copied where its container allows."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Protocol

import av

from vidstyle.containers import DEFAULT, Fate, codec_of, converted, fate, kind_of, next_best
from vidstyle.copying import Copy, StandingTimes
from vidstyle.keeping import chapters_within, cover_of, keep_attachment, keep_cover, program_names
from vidstyle.metadata import listed, of_stream, unkept, unkept_of_stream, unkept_uses
from vidstyle.others import OtherStreams
from vidstyle.reencode import SoundConversion
from vidstyle.report import StreamNote
from vidstyle.subtitles import TextConversion


class Track(Protocol):
    """One stream on its way into the output.

    Attributes:
        stream: of the output.
        packets: of the source, taken.
    """

    stream: Any
    packets: int

    def take(self, packet: Any) -> Iterable[Any]:
        """Packets to write once ``packet`` of the source is in."""

    def due(self, seconds: Fraction | None) -> Iterable[Any]:
        """Packets that were held back until ``seconds`` of the source's time; None: the rest."""

    def outcome(self) -> tuple[str, bool]:
        """What it is now, in words, and whether that is no loss."""


class Remuxer:
    """Packets of the source's other streams, written in time order between the video's.

    What the container refuses is known when this is made: every stream is tried in a container of its own first.

    Args:
        others: the streams; the caller closes them.
        output: the container; the styled stream is in it already, as its first.
        muxer: FFmpeg's name of it.
        zero: seconds of the source's time that are 0 in the output.

    Attributes:
        notes: what became of every stream but the styled one; complete after `finish`.
        digests: stream index in the finished file -> sha256 of its packets' `payload`, in order, of every copied
            stream that has packets. Valid after `finish`.
        reached: seconds of the source's time: the end of the last packet taken.
    """

    def __init__(self, others: OtherStreams, output: Any, muxer: str, zero: Fraction) -> None:
        self.notes: list[StreamNote] = []
        self.digests: dict[int, Any] = {}
        self._others, self._output, self._muxer, self._zero = others, output, muxer, zero
        self._tracks: dict[int, Track] = {}
        self._fates: dict[int, Fate] = {}
        self._failed: dict[int, str] = {}
        self._times: dict[int, StandingTimes] = {}  # of sound
        self._ends: dict[int, tuple[int, Fraction]] = {}  # of what was taken: ticks, and what one is
        self._covers: list[Any] = []  # packets of MP4's cover art, to be written first
        # In a finished file, what is no track comes after the tracks.
        for stream in sorted(others.streams, key=lambda stream: kind_of(stream) in ("attachment", "cover")):
            self._add(stream)
        self._chapters()
        self._metadata()
        self._programs()

    def _note(self, stream: Any, action: str, reason: str = "", packets: int = 0, harmless: bool = False) -> None:
        note = StreamNote(stream.index, kind_of(stream), codec_of(stream), action, reason, packets, harmless)
        self.notes.append(note)

    def _add(self, stream: Any) -> None:
        kind, codec = kind_of(stream), codec_of(stream)
        way = fate(self._muxer, kind, codec)
        if self._holds_chapters(stream, kind, codec):
            kept = fate(self._muxer, "chapters", "").action == "keep"
            self._note(
                stream, *(("kept", "as chapters") if kept else ("dropped", "it holds the chapters")), harmless=True
            )
        elif kind == "timecode" and way.action == "keep":
            styled = self._output.streams[0].metadata
            if "timecode" not in {key.lower() for key in styled}:
                styled["timecode"] = stream.metadata["timecode"]
            self._note(stream, "kept", "as the styled video's timecode")
        elif kind in ("attachment", "cover") and way.action == "keep":
            self._keep(stream, kind)
        else:
            self._add_track(stream, self._settled(stream, way))

    def _holds_chapters(self, stream: Any, kind: str, codec: str) -> bool:
        """MP4 keeps the chapters' titles in a track of its own."""
        return kind == "data" and codec == "bin_data" and 0 < len(self._others.chapters) == stream.frames

    def _settled(self, stream: Any, way: Fate) -> Fate:
        """``way`` if it can be gone, or the next best."""
        if way.action == "copy" and (refusal := self._tried(stream, way)):
            way = converted(self._muxer, kind_of(stream), codec_of(stream), f"it cannot be copied ({refusal})")
        while way.action == "convert" and (refusal := self._tried(stream, way)):
            refused = Fate("drop", reason=f"{way.reason}, nor can it be converted ({refusal})")
            way = next_best(self._muxer, kind_of(stream), way) or refused
        return way

    def _tried(self, stream: Any, way: Fate) -> str:
        """Why a container with this stream alone is refused; "" where it is not."""
        file = io.BytesIO()
        try:
            with av.open(file, "w", format=self._muxer) as trial:
                self._track(stream, way, trial)
                trial.start_encoding()
                if stream.type == "data":
                    _write_one(trial)
            if stream.type == "data":
                with av.open(io.BytesIO(file.getvalue())) as read:
                    return "" if codec_of(read.streams[0]) == codec_of(stream) else "it is not of a kind that is known"
        except (ValueError, av.error.FFmpegError, OSError) as error:
            return str(getattr(error, "strerror", None) or error)
        return ""

    def _track(self, stream: Any, way: Fate, output: Any) -> Track:
        track: Track
        if way.action == "copy":
            track = Copy(stream, output, self._muxer, self._zero, self._others.span[1])
        elif stream.type == "audio":
            track = SoundConversion(stream, output, way.encoder, self._zero)
        else:
            track = TextConversion(stream, output, way.encoder, self._zero, self._others.span[1])
        track.stream.metadata.update(of_stream(stream.metadata, self._muxer, changed=way.action != "copy"))
        disposition = int(stream.disposition)
        track.stream.disposition = disposition & ~DEFAULT if stream.type == "video" else disposition
        return track

    def _add_track(self, stream: Any, way: Fate) -> None:
        if way.action == "drop":
            self._note(stream, "dropped", way.reason)
            return
        self._tracks[stream.index] = self._track(stream, way, self._output)
        self._fates[stream.index] = way
        if stream.type == "audio":
            self._times[stream.index] = StandingTimes()

    def _keep(self, stream: Any, kind: str) -> None:
        if kind == "attachment":
            keep_attachment(self._output, stream)
        elif (data := cover_of(stream)) is None:
            self._note(stream, "dropped", "a cover picture is read from files alone")
            return
        else:
            number = sum(note.kind == "cover" and note.action == "kept" for note in self.notes)
            packet = keep_cover(self._output, self._muxer, stream, data, number)
            self._covers += [packet] if packet is not None else []
        self._note(stream, "kept")

    def _chapters(self) -> None:
        chapters = chapters_within(self._others.chapters, self._others.span, self._zero)
        if not chapters:
            return
        way = fate(self._muxer, "chapters", "")
        if way.action == "keep":
            self._output.set_chapters(chapters)
            self.notes.append(StreamNote(-1, "chapters", "", "kept", packets=len(chapters)))
        else:
            self.notes.append(StreamNote(-1, "chapters", "", "dropped", way.reason))

    def _metadata(self) -> None:
        has_cover = any(kind_of(stream) == "cover" for stream in self._others.streams)
        if keys := unkept(self._muxer, self._others.metadata, has_cover):
            beside = " beside a cover picture (use .mkv)" if self._muxer == "mp4" else ""
            reason = f"{self._muxer} cannot hold {listed(keys)}{beside}"
            self.notes.append(StreamNote(-1, "metadata", "", "dropped", reason))

    def _programs(self) -> None:
        names = program_names(self._others.streams)
        if not names:
            return
        if self._muxer in ("mpegts", "matroska", "webm") and len(names) == 1:
            self._output.metadata.update(service_name=names[0][0], service_provider=names[0][1])
            self.notes.append(StreamNote(-1, "program", "", "kept", f"the name {names[0][0]!r}"))
        else:
            listing = listed(repr(name) for name, _ in names)
            self.notes.append(
                StreamNote(-1, "program", "", "dropped", f"{self._muxer} does not get the name {listing}")
            )

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write everything due before ``seconds`` of the source's time; None: all that is left."""
        self._output.start_encoding()  # or the first packet would find encoders that are not open
        while self._covers:
            self._output.mux(self._covers.pop(0))
        for _, packet in self._others.until(set(self._tracks), seconds):
            index = packet.stream_index
            self._note_end(index, packet)
            if index in self._times:
                self._times[index](packet)
            self._write(index, self._tracks[index].take(packet))
        for index, track in self._tracks.items():
            self._write(index, track.due(seconds))

    def _note_end(self, index: int, packet: Any) -> None:
        """In ticks: fractions for every packet would take longer than copying it."""
        begin = packet.dts if packet.dts is not None else packet.pts
        end = begin + (packet.duration or 0)
        if index not in self._ends:
            self._ends[index] = end, Fraction(packet.time_base)
        elif end > self._ends[index][0]:
            self._ends[index] = end, self._ends[index][1]

    @property
    def reached(self) -> Fraction:
        return max((end * base for end, base in self._ends.values()), default=Fraction(0))

    def _write(self, index: int, packets: Iterable[Any]) -> None:
        """Mux packets of one track. One that is refused on the way ends its track, not the whole file."""
        if index in self._failed:
            return
        try:
            for packet in packets:
                self._output.mux(packet)
        except (ValueError, av.error.FFmpegError) as error:
            if isinstance(error, OSError):  # the disk, or a pipe that was closed
                raise
            self._failed[index] = str(getattr(error, "strerror", None) or error)

    def finish(self) -> None:
        """Write the rest and complete ``notes`` and ``digests``."""
        self.copy_until(None)
        streams = {stream.index: stream for stream in self._others.streams}
        for index, track in self._tracks.items():
            self._conclude(streams[index], track)
        self.notes.sort(key=lambda note: note.index)
        self._collect_digests()

    def _conclude(self, stream: Any, track: Track) -> None:
        way = self._fates[stream.index]
        words, harmless = track.outcome()
        times = self._times.get(stream.index)
        repaired = "with times repaired that stood still" if times is not None and times.repaired else ""
        uses = listed(unkept_uses(self._muxer, stream.disposition))
        unmarked = f"not marked as {uses} any more" if uses else ""
        if trouble := self._failed.get(stream.index):
            self._note(stream, "dropped", f"it cannot be written after {track.packets} packets ({trouble})")
        elif not self._is_in_file(track):
            self._note(stream, "dropped", "it is empty", harmless=True)
        elif way.action == "convert":
            reason = ", ".join(filter(None, [f"{way.reason}; now {words}", repaired, unmarked]))
            self._note(stream, "converted", reason, track.packets, harmless)
        else:
            tags = listed(unkept_of_stream(self._muxer, stream.metadata))
            reason = ", ".join(filter(None, [words, repaired, tags and f"without its tags {tags}", unmarked]))
            self._note(stream, "copied", reason, track.packets)

    def _is_in_file(self, track: Track) -> bool:
        """Whether the finished file has it: MP4's and MOV's writer leaves out what is empty, but for timed text."""
        return bool(track.packets or self._muxer not in ("mp4", "mov") or codec_of(track.stream) == "mov_text")

    def _collect_digests(self) -> None:
        """The styled stream is 0 in the file, and the tracks that are there follow in the order they were added."""
        written = [(index, track) for index, track in self._tracks.items() if self._is_in_file(track)]
        for place, (index, track) in enumerate(written, start=1):
            if isinstance(track, Copy) and track.exact and track.packets and index not in self._failed:
                self.digests[place] = track.digest


def _write_one(trial: Any) -> None:
    packet = av.Packet(b"\0")
    packet.stream, packet.time_base = trial.streams[0], Fraction(1, 1000)
    packet.pts = packet.dts = 0
    packet.duration = 1
    trial.mux(packet)
