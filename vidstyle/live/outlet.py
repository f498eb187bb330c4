"""Sends pictures to one output, on a thread of its own: a slow output delays no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from vidstyle.errors import SinkError
from vidstyle.live.clock import Clock
from vidstyle.live.frame import LiveFrame
from vidstyle.live.mailbox import Mailbox
from vidstyle.live.statistics import Latencies, Meter

REPEAT = 0.1  # seconds after which the last picture is sent again: readers of a virtual camera freeze without


class Output(Protocol):
    """Where pictures go.

    One that keeps them may have ``patience``: seconds that it gets for the last one at the end, or all would be lost.
    One that goes on without a part of it may have ``problem``: what that is, for people.
    """

    def send(self, picture: np.ndarray, status: dict[str, Any]) -> None:
        """Take a picture, uint8 [H, W, 3] RGB, never to be written to.

        ``status`` is the session's (see `vidstyle.live.session.Session.status`) and of this picture: ``time``, the
        seconds of its capture, and ``repeat``, whether it is sent again for want of a newer one.
        """

    def close(self) -> None: ...


class Outlet:
    """An output with its thread and its figures.

    Args:
        name: of the output, for messages.
        box: where the session leaves the pictures: a `Mailbox`, or a `DelayLine` for a fixed delay.
        status: what to send beside a picture.

    Attributes:
        failure: what the output raised; it gets no more pictures then.
    """

    def __init__(
        self, name: str, output: Output, box: Mailbox[LiveFrame], clock: Clock, status: Callable[[], dict[str, Any]]
    ) -> None:
        self.name, self.box = name, box
        self.meter, self.latencies = Meter(), Latencies()
        self.repeated = self._put = 0
        self.failure: Exception | None = None
        self._output, self._clock, self._status = output, clock, status
        self._thread = clock.thread(self._run, name.replace(" ", "-"))

    def start(self) -> None:
        self._thread.start()

    def put(self, frame: LiveFrame) -> None:
        if self.failure is None:
            self._put += 1
            self.box.put(frame)

    @property
    def is_idle(self) -> bool:
        """Whether everything put was sent or dropped."""
        return self.failure is not None or self._put == self.meter.count + self.box.dropped

    @property
    def problem(self) -> str:
        return getattr(self._output, "problem", "")

    def stop(self, patience: float) -> None:
        """End the thread and close the output; one whose thread does not end in time is left as it is.

        Raises:
            VidstyleError: what closing it says, as that a recording could not be finished; or there was no end of it.
        """
        self.box.close()
        own = getattr(self._output, "patience", 0.0)
        if self._thread.ident is None or self._clock.join(self._thread, max(patience, own)):
            self._output.close()
        elif own:
            raise SinkError(f"the {self.name} does not end within {own:g} s: it is left as it is")

    def _run(self) -> None:
        last: LiveFrame | None = None
        while self.failure is None:
            frame = self.box.get(REPEAT)
            if self.box.is_closed:
                return
            if frame is not None or last is not None:
                self._send(frame or last, frame is None)  # type: ignore[arg-type]
            last = frame or last

    def _send(self, frame: LiveFrame, repeat: bool) -> None:
        try:
            self._output.send(frame.image, self._status() | {"time": frame.time, "repeat": repeat})
        except Exception as error:  # of a driver or a library: the session tells and goes on without this output
            self.failure = error
            return
        if repeat:
            self.repeated += 1
            return
        now = self._clock.now()
        self.latencies.add(now - frame.time)
        self.meter.tick(now)
