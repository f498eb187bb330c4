"""The unit of work: some segments of one video, decoded, styled and encoded; by one machine all of them, by many each.

It can be done again, and by two at one time: the result is the same, and has its name only when it is whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from vidstyle.frame import Frame
from vidstyle.on_device import Device
from vidstyle.planning import Plan
from vidstyle.prefetch import Prefetch
from vidstyle.segment import Segment
from vidstyle.source import VideoSource, picture_check
from vidstyle.stylizer import Stylizer

AHEAD = 4  # frames waiting between two stages: hides jitter, and bounds memory


@dataclass(frozen=True)
class Unit:
    """
    Attributes:
        first, last: numbers of segments, both included; ``last`` None to go on to the video's end.
        warm: frames before the first that go through decoder and look and are not written, so that what has a memory
            is as it would be after all that came before. One at least: it proves that the joint fits.
        whole: decode from the video's beginning, where beginning near the segment gave other pictures.
    """

    first: int = 0
    last: int | None = None
    warm: int = 1
    whole: bool = False


def unit_frames(source: VideoSource, plan: Plan, unit: Unit, done: Sequence[Segment] = ()) -> Iterator[Frame]:
    """The source's frames of a unit, after its warm-up ones; ``done``: the segments before it, where they are known."""
    if done:
        frames = _frames_after(source, plan, unit.warm, done)
    elif unit.first:
        frames = source.frames_since(plan.starts[unit.first], unit.warm, unit.whole)
    else:
        frames = iter(source)
    return _marked(frames, plan, unit.last)


def _frames_after(source: VideoSource, plan: Plan, warm: int, done: Sequence[Segment]) -> Iterator[Frame]:
    """The frames that follow the segments ``done``, and where more than one is asked for the ``warm`` before them."""
    back = len(done)
    if warm > 1:
        while back and sum(len(segment.pts) for segment in done[back:]) < warm:
            back -= 1
    before = done[back - 1] if back else None
    frames = iter(source) if before is None else source.frames_after(before.last, before.check)
    held: deque[Frame] = deque(maxlen=warm + 1)
    for frame in frames:
        held.append(frame)
        if plan.number_of(frame.pts) > done[-1].number:
            break
    return chain(list(held), frames)


def _marked(frames: Iterator[Frame], plan: Plan, last: int | None) -> Iterator[Frame]:
    """The frames up to the end of segment ``last``; the last one of every segment with its `Frame.check`."""
    held = next(frames, None)
    for frame in frames:
        assert held is not None
        number = plan.number_of(frame.pts)
        if plan.number_of(held.pts) != number:
            held = replace(held, check=picture_check(held.image))
        yield held
        if last is not None and number > last:
            return
        held = frame
    if held is not None:
        yield held


def pump(
    source: VideoSource,
    frames: Iterator[Frame],
    stylizer: Stylizer,
    write: Callable[[Frame], object],
    steady: float = 0.0,
) -> None:
    """Every frame through the look and into ``write``; reading and styling on threads of their own.

    ``steady``: see `vidstyle.steady`; the frames then begin with those that `warm_for` it asks for.
    """
    with (
        Prefetch(frames, AHEAD, "source") as read,
        Prefetch(_looks(read, stylizer, steady, source.device), AHEAD, "stylizer") as styled,
        source.stopping(),
    ):
        for frame in styled:
            write(frame)


def _looks(frames: Iterable[Frame], stylizer: Stylizer, steady: float, device: Device | None) -> Iterator[Frame]:
    if device is not None:
        return device.styled(stylizer, frames)
    if not steady:
        return stylizer.frames(frames)
    from vidstyle.steady import steadied  # needs OpenCV, which only some have

    return steadied(frames, stylizer.frames, steady)


def warm_for(steady: float) -> int:
    """`Unit.warm` for this much smoothing."""
    if not steady:
        return 1
    from vidstyle.steady import memory

    return memory(steady)
