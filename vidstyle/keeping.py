"""What an output holds besides its streams: attachments, cover art, chapters."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.containers import COVERS, codec_of
from vidstyle.errors import SourceError
from vidstyle.inputs import open_input
from vidstyle.others import Span
from vidstyle.programs import programs_of


def keep_attachment(output: Any, stream: Any) -> None:
    name = stream.name or f"attachment {stream.index}"
    output.add_attachment(name, stream.mimetype or "application/octet-stream", bytes(stream.data))


def keep_cover(output: Any, muxer: str, stream: Any, data: bytes, number: int) -> Any:
    """Add cover art; give the packet to write where the container wants one.

    Matroska has it as an attachment that is called so, MP4 among its metadata.

    Args:
        data: of the picture.
        number: how many were added before.
    """
    if muxer == "matroska":
        mime = COVERS[codec_of(stream)]
        name = "cover" if not number else f"cover {number + 1}"
        output.add_attachment(f"{name}.{mime.removeprefix('image/').replace('jpeg', 'jpg')}", mime, data)
        return None
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.time_base, copy.disposition = stream.time_base, int(stream.disposition)
    packet = av.Packet(data)
    packet.stream, packet.time_base, packet.is_keyframe = copy, stream.time_base, True
    packet.pts = packet.dts = 0
    return packet


def cover_of(stream: Any) -> bytes | None:
    """The picture, from a second look into the file; None where there can be none, as into a pipe."""
    if (path := _file_of(stream)) is None:
        return None
    with suppress(av.error.FFmpegError, SourceError), open_input(path) as container:
        return next((bytes(p) for p in container.demux(container.streams[stream.index]) if p.size), None)
    return None


def program_names(streams: list[Any]) -> list[tuple[str, str]]:
    """(name, provider) of the programs of the transport stream that ``streams`` are from; empty where it is none."""
    if not streams or streams[0].container.format.name != "mpegts" or (path := _file_of(streams[0])) is None:
        return []
    return [found for found in programs_of(path) if found[0] and found != ("Service01", "FFmpeg")]  # FFmpeg's own


def _file_of(stream: Any) -> Path | None:
    name = stream.container.name
    if stream.container.file is not None or not name.startswith("file:"):
        return None
    return Path(name.removeprefix("file:"))


def chapters_within(chapters: list[Any], span: Span, zero: Fraction) -> list[Any]:
    """The chapters in the output's time, cut to ``span``; those outside of it left out.

    Args:
        span: (start, end) in seconds of the source's time, None where open.
        zero: seconds of the source's time that are 0 in the output.
    """
    start, end = span
    found = []
    for chapter in chapters:
        base = Fraction(chapter["time_base"])
        first, last = chapter["start"] * base, chapter["end"] * base
        if (end is not None and first >= end) or (start is not None and last <= start):
            continue
        first = first if start is None else max(first, start)
        last = last if end is None else min(last, end)
        found.append(chapter | {"start": round((first - zero) / base), "end": round((last - zero) / base)})
    return found
