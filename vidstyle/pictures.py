"""The decoded pictures of an input, from its beginning or from its middle on; by a GPU's decoder where that can."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from threading import Event
from typing import Any

from vidstyle.errors import SourceError
from vidstyle.inputs import Input
from vidstyle.on_device import Device, Route, unlike
from vidstyle.reading import Reading
from vidstyle.source_options import SourceOptions

ON_GPU = "decoded on the GPU (NVDEC)"


class ChangedError(SourceError):
    """The source is not the one that an interrupted run had read."""


class Pictures:
    """Taken once, by one of `all`, `since` and `after`.

    Attributes:
        reading: that they come from; another one where reading began anew.
        first: the very first picture, until it is taken; None where there is none.
    """

    def __init__(self, source: Input, options: SourceOptions, stopped: Event) -> None:
        self._input, self._options, self._stopped = source, options, stopped
        self._hardware: Any = None
        self._route: Route | None = None
        self.reading = Reading(source, options, stopped)
        try:
            self.first = next(iter(self.reading), None)
        except BaseException:
            self.reading.close()
            raise

    def glances(self, moments: Iterable[Fraction]) -> Iterator[Any]:
        """`Reading.glances`, by a reading of its own: the other methods give all pictures as before.

        Raises:
            SourceError: a server does not go on.
        """
        reading = Reading(self._input, replace(self._options, start=None, deinterlace="never"), self._stopped)
        try:
            yield from reading.glances(moments)
        finally:
            reading.close()

    def _read(self) -> Reading:
        """Another reading of the same input."""
        return Reading(self._input, self._options, self._stopped, self.reading.deinterlaced, self._hardware)

    def decode_on(self, device: Device) -> None:
        """Let the GPU's decoder go on, if its first picture is the same; the device's `Route` says what came of it."""
        self._hardware, self._route = device.hardware, device.route
        try:
            reading = self._read()
        except SourceError:
            why: str | None = "the GPU's decoder does not start"
        else:
            first = next(iter(reading), None)
            if (why := unlike(first, self.first)) is None:
                reading, self.reading, self.first = self.reading, reading, first
            reading.close()
        if why is not None:
            self._hardware = None
        device.route.decoded = ON_GPU if why is None else f"decoded on the CPU ({why})"

    def all(self, last: int | None = None) -> Iterator[Any]:
        """Those that are left; ``last``: pts of the one before them."""
        tee = self.reading.tee
        if tee is not None and not tee.asked:
            tee.stop_keeping()
        first, self.first = self.first, None
        for frame in self.reading if first is None else chain([first], self.reading):
            if self._hardware_failed:
                break
            last = frame.pts
            yield frame
        if self._hardware_failed:
            yield from self._in_software(last)

    @property
    def _hardware_failed(self) -> bool:
        return self._hardware is not None and bool(self.reading.faults)

    def _in_software(self, last: int | None) -> Iterator[Any]:
        """The pictures after the one at ``last``, where the GPU's decoder has failed: damage is met as everywhere."""
        self._hardware = None
        failed, self.reading = self.reading, self._read()
        failed.close()
        if self._route is not None:
            self._route.decoded = f"{ON_GPU}, and on the CPU from where that failed"
        yield from (frame for frame in self.reading if last is None or frame.pts > last)

    def since(self, pts: int, warm: int, back: int, whole: bool) -> Iterator[Any]:
        """Up to ``warm`` pictures before ``pts``, usually ``back`` before it, then all from there on."""
        held = None if whole else self._near(pts, warm, back)
        if held is None:
            held = _last_before(self.all(), pts, warm)
        yield from held
        yield from self.all(held[-1].pts if held else None)

    def _near(self, pts: int, warm: int, back: int) -> list[Any] | None:
        """`_last_before` by a reading of its own, which is read on from there; None where that is not to be trusted."""
        reading = self._read()
        try:
            if not reading.jump_before(pts - back):
                return None
            held = _last_before(iter(reading), pts, warm)
            if sum(frame.pts < pts for frame in held) < warm or reading.repaired:
                return None
            reading, self.reading, self.first = self.reading, reading, None
            return held
        finally:
            reading.close()

    def after(
        self, pts: int, is_the_one: Callable[[Any], bool], near: bool, note: Callable[[str], None]
    ) -> Iterator[Any]:
        """Those after the one at ``pts``.

        Args:
            is_the_one: of a picture at ``pts``, whether it is the one that was there before.
            near: it tells: reading may begin a little before. Else all is decoded.
            note: is told where it is another one although all was decoded.

        Raises:
            ChangedError: there is no picture at ``pts``.
        """
        if not near or self._input.path is None or not self._jump_to(pts, is_the_one):
            self._skip_to(pts, is_the_one, note)
        yield from self.all(pts)

    def _jump_to(self, pts: int, is_the_one: Callable[[Any], bool]) -> bool:
        """Read on from ``pts`` with a reading of its own; whether its picture there is the right one."""
        reading = self._read()
        try:
            if reading.jump_before(pts):
                frame = next((frame for frame in reading if frame.pts >= pts), None)
                if frame is not None and frame.pts == pts and is_the_one(frame) and not reading.repaired:
                    reading, self.reading, self.first = self.reading, reading, None
                    return True
            return False
        finally:
            reading.close()

    def _skip_to(self, pts: int, is_the_one: Callable[[Any], bool], note: Callable[[str], None]) -> None:
        """Decode all up to the picture at ``pts``."""
        frame = next((frame for frame in self.all() if frame.pts >= pts), None)
        where, name = f"its picture at {float(pts * self.reading.stream.time_base):.2f} s", self._input.name
        if frame is None or frame.pts != pts:
            raise ChangedError(f"{name} is not as it was when this was begun ({where} is gone): begin again")
        if not is_the_one(frame):
            # FFmpeg does not mend damage in the same way twice when several threads decode.
            note(f"{where} is not to the bit the one that was read before; the source may be damaged")


def _last_before(pictures: Iterator[Any], pts: int, count: int) -> list[Any]:
    """The last ``count`` pictures before ``pts``, and the one that follows them, if there is one."""
    held: deque[Any] = deque(maxlen=count + 1)
    for frame in pictures:
        held.append(frame)
        if frame.pts >= pts:
            return list(held)
    return list(held)[-count:]
