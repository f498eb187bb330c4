"""Put numbered pictures in place of an output file: every packet of the styled video is one of them."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.assembly import zero_of
from vidstyle.encoder import Encoder, Encoding
from vidstyle.errors import SourceError
from vidstyle.numbering import listed, names_in
from vidstyle.pattern import Pattern
from vidstyle.picture import read_picture
from vidstyle.picture_codecs import CARRIER, PICTURES
from vidstyle.remux import Remuxer
from vidstyle.report import Report, StreamNote
from vidstyle.segment import Segment
from vidstyle.source import VideoSource
from vidstyle.whole import write_whole
from vidstyle.workfolder import PLACING

_RATES = tuple(  # that pictures are usually shown at
    Fraction(each, by) for each in (24, 25, 30, 48, 50, 60, 120) for by in (1, Fraction(1001, 1000))
)


class PictureAssembly:
    """As `vidstyle.assembly.Assembly`, but the pictures are files of ``folder`` until `place`.

    The source's other streams have no place in them, and are named in the report.

    Args:
        folder: of the work.
        pattern: of the pictures' names.
    """

    def __init__(self, folder: Path, pattern: Pattern, source: VideoSource, encoding: Encoding, report: Report) -> None:
        self.zero = zero_of(source)
        self._folder, self._pattern, self._encoding, self._report = folder, pattern, encoding, report
        self._index, self._series, self._rate = source.stream.index, source.input.series, source.info.rate
        self._begin = round(self.zero / source.info.time_base)
        self._pts, self._numbers = array("q"), array("q")
        self._container: Any = None
        others = source.others()
        try:
            self._notes = Remuxer(others, None, PICTURES, self.zero).notes
        finally:
            others.close()

    def encoder(self) -> Encoder:
        """An encoder of the pictures, opened."""
        self._container = av.open(os.devnull, "w", format=CARRIER)  # nothing is written into it
        encoder = Encoder(self._container, CARRIER, self._encoding, {})
        encoder.start()
        return encoder

    def write(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._write(packet.pts, bytes(packet))

    def join(self, folder: Path, segments: list[Segment]) -> None:
        """Write the pictures of all segments."""
        for segment in segments:
            with open(folder / segment.file, "rb") as file:
                for pts, size in zip(segment.pts, segment.sizes, strict=True):
                    self._write(pts, file.read(size))

    def _write(self, pts: int, data: bytes) -> None:
        number = len(self._numbers) + 1 if self._series is None else self._series.first + self._begin + pts
        with open(self._made(number), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._pts.append(pts)
        self._numbers.append(number)

    def _made(self, number: int) -> Path:
        """The file of a picture that is not in its place yet."""
        return self._folder / f"picture-{number}{self._pattern.pattern.suffix.lower()}"

    def finish(self) -> Fraction:
        """Report what there is; no other stream was copied, until 0 seconds."""
        self.discard()
        report, count = self._report, len(self._numbers)
        report.streams += [*self._notes, StreamNote(self._index, "video", self._encoding.info.codec, "styled")]
        report.streams.sort(key=lambda note: note.index)
        report.frames_out = count
        report.numbers = f"{self._numbers[0]} to {self._numbers[-1]}" if count > 1 else f"{self._numbers[0]}"
        if count != self._numbers[-1] - self._numbers[0] + 1:
            report.numbers += ", with gaps"
        if self._series is None and count > 1:
            self._tell_rate()
        return Fraction(0)

    def _tell_rate(self) -> None:
        base = self._encoding.info.time_base
        if (rate := even_rate(self._pts, base, self._rate)) is not None:
            self._report.notes.append(f"pictures have no times of their own: play them at {rate} a second")
        else:
            mean = (len(self._pts) - 1) / ((self._pts[-1] - self._pts[0]) * base)
            less = "the source's times are uneven, and pictures have none"
            self._report.reductions.append(f"{less}: they were {float(mean):.2f} a second on average")

    def _verify(self) -> None:
        """Read the first and the last one back; of all, that they are there and not empty."""
        there = sum(self._made(number).stat().st_size > 0 for number in self._numbers)
        if there != len(self._numbers):
            self._report.losses.append(f"{len(self._numbers)} pictures were written, {there} are there")
        width, height = self._encoding.size
        for number in sorted({self._numbers[0], self._numbers[-1]}):
            name = self._pattern.name(number)
            try:
                found = read_picture(self._made(number)).rgb.shape[:2]
            except SourceError as error:
                self._report.losses.append(f"{name} cannot be read back: {error}")
                continue
            if found != (height, width):
                self._report.losses.append(f"{name} is {found[1]}x{found[0]}, expected {width}x{height}")

    def place(self, _: Path, __: Path) -> None:
        """Read some back, and give each its name; those that are there already and are of no number stay."""
        self._verify()
        write_whole(self._folder / PLACING, b"")
        for number in self._numbers:
            self._made(number).replace(self._pattern.path(number))
        ours = set(self._numbers)
        left = [number for number in self._pattern.numbers(names_in(self._pattern.folder)) if number not in ours]
        if left:
            what = "was there before, and is" if len(left) == 1 else "were there before, and are"
            self._report.notes.append(f"{listed(self._pattern, left)} {what} none of these")

    def discard(self) -> None:
        """Close everything; the files are the caller's to remove."""
        if self._container is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError, ValueError):
                self._container.close()
            self._container = None


def even_rate(pts: array[int], base: Fraction, said: Fraction | None) -> Fraction | None:
    """Pictures a second of even times, exact to a tick of their clock; None of uneven ones.

    Args:
        pts: increasing, in units of ``base`` seconds.
        said: by the source, which is believed where the times are as it says.
    """
    steps, length = len(pts) - 1, pts[-1] - pts[0]
    mean = steps / (length * base)
    return next((rate for rate in _candidates(said, mean) if _is_even(pts, base, rate)), None)


def _candidates(said: Fraction | None, mean: Fraction) -> list[Fraction]:
    usual = sorted(_RATES, key=lambda rate: abs(rate - mean))[:2]
    told = [said] if said else []
    return [*(rate for rate in told if rate in _RATES), *usual, *told, mean.limit_denominator(1001), mean]


def _is_even(pts: array[int], base: Fraction, rate: Fraction) -> bool:
    step = 1 / (rate * base)  # in ticks; in whole numbers below, since fractions take long
    over, under = step.numerator, step.denominator
    return all(abs((time - pts[0]) * under - index * over) <= under for index, time in enumerate(pts))
