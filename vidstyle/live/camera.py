"""Pictures with the time of their capture, on a thread of their own; a camera that goes away is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vidstyle.errors import SourceError
from vidstyle.live.change import Rect
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.frame import LiveFrame
from vidstyle.live.mailbox import Mailbox
from vidstyle.live.statistics import Meter

FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0  # seconds between two tries to open a camera again
SILENCE = 3.0  # seconds without a picture before it is said
NOTHING = "no picture of it can be decoded (damaged, encrypted or cut short)"


@dataclass(frozen=True)
class CameraInfo:
    """What a camera gives, which may not be what was asked for.

    Attributes:
        is_endless: its end is a fault.
        is_device: a sensor's pictures, no two of them the same.
    """

    label: str
    width: int
    height: int
    rate: float | None
    coding: str
    is_endless: bool = True
    is_device: bool = True

    def __str__(self) -> str:
        rate = f" at {self.rate:.4g} fps" if self.rate else ""
        return f"{self.label}: {self.width}x{self.height}{rate}, {self.coding}"


class Camera(Protocol):
    """An opened camera, or what stands in for one."""

    @property
    def info(self) -> CameraInfo: ...

    @property
    def area(self) -> Rect | None:
        """Where the newest picture's own part is; None for everywhere."""

    def pictures(self, stop: Flag) -> Iterator[tuple[float, np.ndarray]]:
        """(seconds of the clock at capture, uint8 [H, W, 3] RGB of the session's size), until its end or ``stop``.

        Raises:
            SourceError: it went away.
        """

    def close(self) -> None: ...


class Capture:
    """Puts a camera's newest picture into ``captured``; opens the camera now, and again when it went away.

    A file is not waited for: it ends, and ``failure`` says why where that is before its end.

    Args:
        open_camera: called once here and once a try after a loss.
        say: shows a line to the person.

    Raises:
        SourceError: it cannot be opened the first time.
    """

    def __init__(self, open_camera: Callable[[], Camera], clock: Clock, say: Callable[[str], None]) -> None:
        self.captured: Mailbox[LiveFrame] = Mailbox(clock)
        self.meter = Meter()
        self.is_waiting = self.has_ended = False
        self.failure: SourceError | None = None
        self._open, self._clock, self._say = open_camera, clock, say
        self._stop = Flag(clock)
        self._thread = clock.thread(self._run, "capture")
        self._camera: Camera | None = open_camera()
        self.info = self._camera.info
        self._last = clock.now()

    def start(self) -> None:
        self._last = self._clock.now()  # the look was loaded meanwhile
        self._thread.start()

    def stop(self, patience: float) -> bool:
        """End the thread and free the camera; False where the camera does not answer in ``patience`` seconds."""
        self._stop.set()
        self.captured.close()
        if self._thread.ident is not None and not self._clock.join(self._thread, patience):
            return False  # closing what is being read would end the process
        self._close()
        return True

    @property
    def silence(self) -> float:
        """Seconds since the last picture, or since the camera was opened."""
        return self._clock.now() - self._last

    def _run(self) -> None:
        while not self._stop.is_set:
            reason = self._read()
            if self._stop.is_set:
                break
            self._close()
            if self._is_over:
                self.failure = SourceError(f"cannot read {self.info.label}: {reason}") if reason else None
                self.has_ended = True
                break
            self._say(f"the {self.info.label} is gone ({reason}): waiting for it, the last picture is shown")
            self.is_waiting = True
            self._reopen()
            self.is_waiting = False

    def _read(self) -> str:
        """Pass pictures on; the reason why there are no more, empty where this is the end."""
        assert self._camera is not None
        try:
            for time, image in self._camera.pictures(self._stop):
                self._last = self._clock.now()
                self.meter.tick(self._last)
                self.captured.put(LiveFrame(image, time, self.meter.count, self._camera.area))
                if self._stop.is_set:
                    break
        except SourceError as error:
            return str(error)
        except Exception as error:  # foreign code reads the device; whatever it raises, the camera may come back
            return f"{type(error).__name__}: {error}"
        if not self.info.is_device and not self.meter.count:
            return NOTHING
        return "it ended" if self.info.is_endless else ""

    @property
    def _is_over(self) -> bool:
        """Whether opening it again would be of no use: it is a file, at its end or without any picture."""
        return not self.info.is_endless or not (self.info.is_device or self.meter.count)

    def _reopen(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.wait(wait):
            try:
                self._camera = self._open()
            except Exception:  # not there yet, or not yet ready: whatever it says, it may still come
                wait = min(LONGEST_WAIT, wait * 2)
                continue
            self.info, self._last = self._camera.info, self._clock.now()
            self._say(f"the camera is back: {self.info}")
            return

    def _close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None
