"""Where a video is cut into segments: told once, from its packets alone, and the same for every run and machine."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av

from vidstyle import segment
from vidstyle.inputs import Input, open_input
from vidstyle.reading import GENERATE_TIMES

if TYPE_CHECKING:
    from vidstyle.source import VideoSource

MOST = 100_000  # segments: eleven days of film; a header that claims more is wrong


@dataclass(frozen=True)
class Plan:
    """Segment k begins with the first picture at or after ``starts[k]``.

    Attributes:
        starts: pts, increasing, up to where the container says that the video ends.
        step: pts of a segment's usual length: what lies behind the last start is cut evenly.
        seekable: pictures in the middle can be decoded without those before.
    """

    starts: list[int]
    step: int
    seekable: bool

    def number_of(self, pts: int) -> int:
        """The segment that a picture belongs to."""
        beyond = pts - self.starts[-1]
        if beyond >= 0:
            return len(self.starts) - 1 + beyond // self.step
        return max(0, bisect_right(self.starts, pts) - 1)


def make_plan(source: VideoSource) -> Plan:
    """About `vidstyle.segment.SECONDS` a segment; one begins at a key picture where there is one near.

    Encoders put key pictures at scene cuts, where a joint costs nothing, and decoding can begin at them.
    Costs a seek for every segment; nothing is decoded.
    """
    info = source.info
    first, step = round(info.start / info.time_base), max(1, round(segment.SECONDS / info.time_base))
    count = min(MOST, int((info.duration or 0) / info.time_base / step))
    starts = [first + step * number for number in range(1, count + 1)]
    if source.exact and starts:
        starts = list(_at_keys(source.input, source.stream.index, starts, step))
    return Plan([first, *starts], step, source.exact)


def _at_keys(source: Input, index: int, targets: list[int], step: int) -> Iterator[int]:
    """For every target the pts of a key picture less than half a step from it, or itself."""
    with open_input(source) as container:
        container.flags &= ~GENERATE_TIMES
        for target in targets:
            key = _key_near(container, container.streams[index], target)
            near = key is not None and -step < 2 * (key - target) <= step
            yield key if key is not None and near else target


def _key_near(container: Any, stream: Any, target: int) -> int | None:
    """Time of the first key picture that the container finds for ``target``."""
    try:
        container.seek(target, stream=stream, backward=True)
        packets = container.demux(stream)
        return next((p.pts for p in packets if p.size and p.is_keyframe and p.pts is not None), None)
    except (av.error.FFmpegError, OSError):
        return None
