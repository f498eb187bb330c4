"""A piece of the styled video: about ten seconds, encoded on its own, with its packets' exact times beside it.

Segments make a run that was killed go on where it stood, and are the unit of work of many machines. Their
borders depend on the pictures' times alone, so every run cuts a video alike. Matroska holds the packets
(it loses nothing when it is cut off, and takes nearly every codec) but counts in milliseconds; the times
are therefore kept in a JSON file, which is written last: a segment that has one is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.containers import can_hold
from vidstyle.encoder import Encoder, Encoding
from vidstyle.frame import Frame
from vidstyle.source import picture_check
from vidstyle.whole import write_whole

SECONDS = 10


@dataclass(frozen=True)
class Segment:
    """A complete one.

    Attributes:
        number: of its ten seconds, counted from the first picture; some may hold no picture.
        file: its name in the work folder.
        bytes, sha256: of the file.
        pts, durations: of every packet, in decoding order, in the output's time and the source's time base.
        after: pts of the picture before it in the source's own time, None for the first segment.
        last: pts of its last picture in the source's own time.
        check: `vidstyle.source.picture_check` of the source's picture at ``last``, None at the source's end.
        faults, notes: what the source had found to say of itself until then.
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


def number_of(time: Fraction, start: Fraction) -> int:
    """Which segment a picture at ``time`` belongs to; ``start`` is the first picture's."""
    return int((time - start) // SECONDS)


def marked(frames: Iterator[Frame], start: Fraction) -> Iterator[Frame]:
    """The same frames; the last of every segment with its `Frame.check`."""
    from dataclasses import replace

    held = next(frames, None)
    for frame in frames:
        assert held is not None
        if number_of(held.time, start) != number_of(frame.time, start):
            held = replace(held, check=picture_check(held.image))
        yield held
        held = frame
    if held is not None:
        yield held


class SegmentWriter:
    """Encode the frames of one segment into a file of ``folder``."""

    def __init__(self, folder: Path, number: int, encoding: Encoding, muxer: str, zero: int) -> None:
        """``muxer``: the output's, taken where Matroska cannot hold the codec. ``zero``: pts that becomes 0."""
        codec = av.Codec(encoding.choice.encoder, "w").canonical_name
        carrier = "matroska" if can_hold("matroska", codec) else muxer
        self._folder, self._number, self._zero = folder, number, zero
        self.path = folder / f"{number:05d}.{'mkv' if carrier == 'matroska' else carrier}"
        self._pts: list[int] = []
        self._durations: list[int] = []
        self._last: Frame | None = None
        self._container = av.open(f"file:{self.path}", "w", format=carrier)
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
            self._container.mux(packet)

    def finish(self, after: int | None, faults: list[str], notes: list[str]) -> Segment:
        """Close the file, bring it to the disk, and write its times beside it."""
        assert self._last is not None, "a segment has at least one picture"
        self._mux(self._encoder.flush())
        self._container.close()
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        size, digest = self.path.stat().st_size, sha256(self.path)
        last = self._last
        times = (self._pts, self._durations, after, last.pts, last.check, list(faults), list(notes))
        segment = Segment(self._number, self.path.name, size, digest, *times)
        write_whole(self._folder / f"{self._number:05d}.json", json.dumps(asdict(segment)).encode())
        return segment

    def discard(self) -> None:
        with suppress(OSError, av.error.FFmpegError, ValueError):  # a full disk fails again at the trailer
            self._container.close()
        self.path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def complete_segments(folder: Path) -> list[Segment]:
    """The segments in ``folder`` from the first on, up to the first that is damaged."""
    found: list[Segment] = []
    for path in sorted(folder.glob("[0-9]*.json")):
        try:
            segment = Segment(**json.loads(path.read_text()))
            file = folder / segment.file
            whole = file.stat().st_size == segment.bytes and sha256(file) == segment.sha256
        except (OSError, ValueError, TypeError):
            break
        if not whole or segment.after != (found[-1].last if found else None):
            break
        found.append(segment)
    return found
