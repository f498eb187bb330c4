"""A piece of the styled video: about ten seconds, encoded on its own, with its packets' exact times beside it.

Segments make a run that was killed go on where it stood, and are the unit of work of many machines. Their
borders are planned from the packets alone (`vidstyle.planning`), so every run cuts a video alike. Matroska holds
the packets (it loses nothing when it is cut off, and takes nearly every codec) but counts in milliseconds; the
times are therefore kept in a JSON file, which is written last: a segment that has one is complete. Both get their
names when they are whole, so that two machines may make the same segment at one time.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av

from vidstyle.containers import can_hold
from vidstyle.encoder import Encoder, Encoding
from vidstyle.frame import Frame
from vidstyle.picture_codecs import CARRIER, PICTURES
from vidstyle.whole import write_whole

SECONDS = 10


@dataclass(frozen=True)
class Segment:
    """A complete one.

    Attributes:
        number: `vidstyle.planning.Plan.number_of` its pictures; some may have none.
        file: its name in the work folder.
        bytes, sha256: of the file.
        pts, durations: of every packet, in decoding order, in the output's time and the source's time base.
        after: pts of the picture before it in the source's own time, None for the first segment.
        last: pts of its last picture in the source's own time.
        check: `vidstyle.source.picture_check` of the source's picture at ``last``, None at the source's end.
        faults, notes: what the source had found to say of itself until then.
        sizes: of every packet of numbered pictures, in bytes, which lie one after the other in the file.
        before: checksum of the picture at ``after`` where decoding began near it, and not with the segments before:
            equal to their ``check`` if that gave the same pictures.
    """

    number: int
    file: str
    bytes: int
    sha256: str
    pts: list[int]
    durations: list[int]
    after: int | None
    last: int
    check: int | None
    faults: list[str]
    notes: list[str]
    before: int | None = None
    sizes: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """pts where its last picture ends, in the output's time."""
        return max(time + duration for time, duration in zip(self.pts, self.durations, strict=True))


def follows(segment: Segment, before: Segment | None) -> bool:
    """Whether the pictures of ``segment`` are those right after the ones of the segment ``before``, to the bit."""
    if before is None:
        return segment.after is None
    return segment.after == before.last and segment.before in (None, before.check)


class SegmentWriter:
    """Encode the frames of one segment into a file of ``folder``."""

    def __init__(self, folder: Path, number: int, encoding: Encoding, muxer: str, zero: int) -> None:
        """``muxer``: the output's, taken where Matroska cannot hold the codec. ``zero``: pts that becomes 0."""
        carrier = _carrier(encoding.choice.encoder, muxer)
        self._folder, self._number, self._zero = folder, number, zero
        self._name = f"{number:05d}.{'mkv' if carrier == 'matroska' else carrier}"
        self.path = folder / f"{number:05d}-{secrets.token_hex(6)}.part"  # of this run alone
        self._pts: list[int] = []
        self._durations: list[int] = []
        self._sizes: list[int] | None = [] if muxer == PICTURES else None
        self._last: Frame | None = None
        options = {"fflags": "+bitexact"}  # or every file would get a random number
        self._container = av.open(f"file:{self.path}", "w", format=carrier, options=options)
        try:
            self._encoder = Encoder(self._container, carrier, encoding, {})
            self._encoder.start()
        except BaseException:
            self.discard()
            raise

    @property
    def number(self) -> int:
        return self._number

    def write(self, frame: Frame) -> None:
        self._last = frame
        self._mux(self._encoder.encode(frame, frame.pts - self._zero))

    def _mux(self, packets: Iterator[Any]) -> None:
        for packet in packets:
            self._pts.append(packet.pts)
            self._durations.append(packet.duration or 0)
            if self._sizes is not None:
                self._sizes.append(packet.size)
            self._container.mux(packet)

    def finish(self, after: int | None, before: int | None, faults: list[str], notes: list[str]) -> Segment:
        """Close the file, bring it to the disk, give it its name, and write its times beside it."""
        assert self._last is not None, "a segment has at least one picture"
        self._mux(self._encoder.flush())
        self._container.close()
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        size, digest = self.path.stat().st_size, sha256(self.path)
        last = self._last
        times = (self._pts, self._durations, after, last.pts, last.check, list(faults), list(notes), before)
        segment = Segment(self._number, self._name, size, digest, *times, self._sizes or [])
        self.path = self.path.rename(self._folder / self._name)
        write_whole(self._folder / f"{self._number:05d}.json", json.dumps(asdict(segment)).encode())
        return segment

    def discard(self) -> None:
        with suppress(OSError, av.error.FFmpegError, ValueError):  # a full disk fails again at the trailer
            self._container.close()
        self.path.unlink(missing_ok=True)


def _carrier(encoder: str, muxer: str) -> str:
    if muxer == PICTURES:
        return CARRIER
    return "matroska" if can_hold("matroska", av.Codec(encoder, "w").canonical_name) else muxer


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def complete_segments(folder: Path) -> list[Segment]:
    """The undamaged segments in ``folder``, in order."""
    found = (read_segment(path) for path in sorted(folder.glob("[0-9]*.json")))
    return [segment for segment in found if segment is not None and is_whole(folder, segment)]


def read_segment(path: Path) -> Segment | None:
    """What a JSON file says; None where it is damaged."""
    try:
        return Segment(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_whole(folder: Path, segment: Segment) -> bool:
    """Whether its file is as it was written."""
    file = folder / segment.file
    try:
        return file.stat().st_size == segment.bytes and sha256(file) == segment.sha256
    except OSError:
        return False


def unbroken(segments: list[Segment]) -> list[Segment]:
    """Those from the beginning up to the first that does not follow the one before it."""
    before = None
    for count, segment in enumerate(segments):
        if not follows(segment, before):
            return segments[:count]
        before = segment
    return segments
