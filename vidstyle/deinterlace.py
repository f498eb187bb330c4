"""Interlaced pictures hold two moments, line by line; a network would draw the comb between them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

MODES = ("auto", "always", "never")
_PROGRESSIVE = (0, 1)  # AVFieldOrder: not said, progressive


def wanted(mode: str, stream: Any, first: Any) -> bool:
    """Whether to deinterlace: in "auto" when the stream or its first picture is flagged as interlaced."""
    if mode != "auto":
        return mode == "always"
    return bool(first.interlaced_frame) or int(stream.codec_context.field_order) not in _PROGRESSIVE


def deinterlace(frames: Iterator[Any], stream: Any, every: bool) -> Iterator[Any]:
    """One whole picture per decoded one, at its time, by bwdif; ``every``: also those that are not flagged."""
    graph = av.filter.Graph()
    source = graph.add_buffer(template=stream)
    filtered = graph.add("bwdif", f"mode=send_frame:parity=auto:deint={'all' if every else 'interlaced'}")
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    for frame in frames:
        graph.push(frame)
        yield from _ready(graph, stream, frame)
    graph.push(None)
    yield from _ready(graph, stream, None)


def _ready(graph: Any, stream: Any, like: Any) -> Iterator[Any]:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):  # needs the next picture; or there is none
            return
        time = frame.pts * Fraction(frame.time_base)  # the filter counts in halves
        frame.pts, frame.time_base = round(time / Fraction(stream.time_base)), stream.time_base
        frame.duration = frame.duration // 2
        if like is not None:
            frame.colorspace, frame.color_range = like.colorspace, like.color_range
        yield frame
