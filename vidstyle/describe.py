"""What is known of a stream once its first picture is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av

from vidstyle import orientation
from vidstyle.convert import alpha_of
from vidstyle.errors import SourceError
from vidstyle.frame import MATRIX_709, MATRIX_2020, PRIMARIES_2020, RANGE_LIMITED, Colour, VideoInfo, working_size
from vidstyle.limits import MAX_RATE, check_picture, check_total
from vidstyle.mastering import read_mastering
from vidstyle.picture_tags import read_orientation
from vidstyle.reading import Reading
from vidstyle.source_options import SourceOptions
from vidstyle.tags import bits_of, carries_alpha, dynamic_metadata, is_ycgco, is_yuv, side_data, unreadable

#: containers whose length counts from 0, and not from their first packet
FROM_ZERO = ("matroska", "asf", "nut")
MAX_ASPECT = 8  # of a pixel; more is a mistake, or would make a picture of pixels without number


def describe(
    reading: Reading, frame: Any, colour: Colour, name: str, options: SourceOptions, note: Callable[[str], None]
) -> VideoInfo:
    """Of the stream, from its first picture.

    Args:
        colour: of ``frame``.
        name: of the input, for messages.
        note: gets what is worth knowing.

    Raises:
        TooLargeError: it is beyond the limit.
        SourceError: its colours cannot be read.
    """
    stream = reading.stream
    codec = stream.codec_context.name
    data = side_data(frame, codec)
    if what := unreadable(colour, data):
        raise SourceError(f"{name}: its colours are stored as {what}, which cannot be read: convert it first")
    turn, aspect = _turn(reading, frame), aspect_of(stream, note)
    width, height = frame.width, frame.height
    working = working_size(width, height, aspect, options.size, options.enlarge)
    if orientation.swaps_sides(turn):
        width, height, working, aspect = height, width, working[::-1], 1 / aspect
    duration, rate = _duration(reading, options), rate_of(stream)
    frames = _estimate(stream, duration, rate, options)
    check_picture(name, width, height, options.limit)
    check_picture(name, working[1], working[0], options.limit)
    check_total(name, width, height, frames, options.limit)
    _describe_hdr(data, note)
    return VideoInfo(
        width=width,
        height=height,
        working=working,
        time_base=Fraction(stream.time_base),
        rate=rate,
        aspect=aspect,
        start=frame.pts * Fraction(stream.time_base),
        duration=duration,
        frames=frames,
        colour=_output_colour(frame, replace(colour, height=height), options, reading.series is not None),
        orientation=turn,
        codec=codec,
        pix_fmt=frame.format.name,
        alpha=_has_alpha(frame, stream) or (reading.series is not None and reading.series.alpha),
        bits=bits_of(frame.format),
        mastering=read_mastering(data) if colour.is_hdr and options.hdr == "keep" else None,
    )


def _turn(reading: Reading, frame: Any) -> int:
    """The orientation of its pictures: of a series that of the first, whose file says it."""
    series = reading.series
    if series is None:
        return orientation.of_frame(frame, reading.stream.codec_context.name)
    return read_orientation(series.path(series.first).read_bytes())


def aspect_of(stream: Any, note: Callable[[str], None] = lambda _: None) -> Fraction:
    """Width of a video stream's pixels divided by their height, before it is turned."""
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if 1 <= aspect * MAX_ASPECT <= MAX_ASPECT**2:
        return aspect
    note(f"its pixels are said to be {aspect} times as wide as high; they were taken as square")
    return Fraction(1)


def _has_alpha(frame: Any, stream: Any) -> bool:
    """GIF always has the channel, even where all of it is opaque."""
    if not carries_alpha(frame):
        return False
    return stream.codec_context.name != "gif" or bool(alpha_of(frame, frame.width, frame.height).min() < 255)


def _output_colour(frame: Any, colour: Colour, options: SourceOptions, stills: bool) -> Colour:
    if colour.is_hdr and options.hdr == "keep":
        return replace(colour, matrix=MATRIX_2020, primaries=PRIMARIES_2020)
    if colour.is_hdr:
        return Colour(1, 1, 1, RANGE_LIMITED, colour.height)
    if stills:  # which mean sRGB where they do not say; that of JPEG and WebP is stored as no player expects of video
        primaries, transfer = (1 if said == 2 else said for said in (colour.primaries, colour.transfer))
        return Colour(MATRIX_709, primaries, transfer, RANGE_LIMITED, colour.height)
    if is_yuv(frame.format) and not is_ycgco(frame, colour):
        return colour
    return replace(colour, matrix=MATRIX_709, range=RANGE_LIMITED)  # as every player expects of video


def _describe_hdr(data: dict[str, bytes], note: Callable[[str], None]) -> None:
    for name in dynamic_metadata(data):
        note(f"{name} metadata is not kept: it says how to show the pictures as they were")


def _duration(reading: Reading, options: SourceOptions) -> Fraction | None:
    stream, whole = reading.stream, reading.joined_length
    if whole is None and stream.duration:
        whole = stream.duration * Fraction(stream.time_base)
    elif whole is None and reading.container.duration:
        whole = Fraction(reading.container.duration, av.time_base)
        if reading.container.format.name.startswith(FROM_ZERO) and 0 < reading.origin < whole:
            whole -= reading.origin
    if whole is None:
        return options.end and options.end - (options.start or 0)
    return min(whole, options.end or whole) - (options.start or 0)


def rate_of(stream: Any) -> Fraction | None:
    """Pictures a second of a video stream; None where it does not say one that can be."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= MAX_RATE:
            return Fraction(rate)
    return None


def _estimate(stream: Any, duration: Fraction | None, rate: Fraction | None, options: SourceOptions) -> int | None:
    if stream.frames and not (options.start or options.end):
        return int(stream.frames)
    return max(1, round(duration * rate)) if duration and rate else None
