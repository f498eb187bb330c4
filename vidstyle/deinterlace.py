"""Interlaced pictures hold two moments, line by line; a network would draw the comb between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, groupby
from typing import Any

import av

MODES = ("auto", "always", "never")
_PROGRESSIVE = (0, 1)  # AVFieldOrder: not said, progressive


def wanted(mode: str, stream: Any, first: Any) -> bool:
    """Whether to deinterlace: in "auto" when the stream or its first picture is flagged as interlaced."""
    if mode != "auto":
        return mode == "always"
    return bool(first.interlaced_frame) or int(stream.codec_context.field_order) not in _PROGRESSIVE


def may_be_wanted(mode: str, stream: Any) -> bool:
    """`wanted`, as far as that is known before the first picture."""
    return mode == "always" or (mode == "auto" and int(stream.codec_context.field_order) != _PROGRESSIVE[1])


def deinterlace(frames: Iterable[Any], stream: Any, every: bool) -> Iterator[Any]:
    """One whole picture per decoded one, at its time, by bwdif; ``every``: also those that are not flagged."""
    for _, alike in groupby(frames, _kind):
        yield from _filtered(alike, stream, every)


def _kind(frame: Any) -> tuple[Any, ...]:
    """What a filter must not see change."""
    return frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range


def _filtered(frames: Iterator[Any], stream: Any, every: bool) -> Iterator[Any]:
    graph = av.filter.Graph()
    first = next(frames)
    source = graph.add_buffer(template=first, time_base=stream.time_base)
    bwdif = graph.add("bwdif", f"mode=send_frame:parity=auto:deint={'all' if every else 'interlaced'}")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    for frame in chain([first], frames, [None]):
        graph.push(frame)
        yield from _ready(graph, stream, first)


def _ready(graph: Any, stream: Any, like: Any) -> Iterator[Any]:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):  # needs the next picture; or there is none
            return
        time = frame.pts * Fraction(frame.time_base)  # the filter counts in halves
        frame.pts, frame.time_base = round(time / Fraction(stream.time_base)), stream.time_base
        frame.duration = frame.duration // 2
        frame.colorspace, frame.color_range = like.colorspace, like.color_range  # the filter forgets them
        yield frame
