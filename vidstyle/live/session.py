"""A live session: capture, look and outputs on their own threads, the newest frame wins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vidstyle.errors import SinkError
from vidstyle.live.camera import SILENCE, Capture
from vidstyle.live.change import Rect
from vidstyle.live.clock import Clock
from vidstyle.live.controls import Controls
from vidstyle.live.frame import LiveFrame
from vidstyle.live.looks import Looks
from vidstyle.live.mailbox import DelayLine, Mailbox
from vidstyle.live.outlet import Outlet, Output
from vidstyle.live.pixels import blended, mirrored, wiped

PATIENCE = 0.8  # seconds that the threads get to end
WAIT = 0.5  # seconds between two looks at the controls where no picture comes
MOST_REASONS = 20  # different failures of the look that are told


class Session:
    """Runs until ``quit``, the end of a file, or the loss of every output.

    Args:
        capture, looks: made and not started; the session starts and stops them.
        outputs: (name, output); the first one's figures are the session's.
        delay: seconds from capture to sending that are kept where the pictures are ready earlier.
        say: shows a line to the person.
    """

    def __init__(
        self,
        capture: Capture,
        looks: Looks,
        outputs: Sequence[tuple[str, Output]],
        controls: Controls,
        clock: Clock,
        say: Callable[[str], None] = lambda _: None,
        delay: float = 0.0,
    ) -> None:
        self.capture, self.looks, self.controls = capture, looks, controls
        self.newest: LiveFrame | None = None  # as it was given to the outputs
        self.failed = 0  # pictures shown without the look because it failed
        self.held = 0  # pictures not shown while frozen
        self._crash: Exception | None = None  # of the thread that styles
        self._error: Exception | None = None  # of an output that could not be closed well
        self._clock, self._say, self._delay = clock, say, delay
        self._done = 0  # pictures taken from the capture and passed on
        self._reasons: set[str] = set()
        self._is_failing = self._was_silent = False
        self._lost: list[str] = []  # outputs, and why
        self._outlets = [Outlet(name, output, self._box(), clock, self.status) for name, output in outputs]
        self._first = self._outlets[0]  # whose figures are shown
        self._changed = clock.condition()
        self._thread = clock.thread(self._run, "session")

    def _box(self) -> Mailbox[LiveFrame]:
        if not self._delay:
            return Mailbox(self._clock)
        rate = self.capture.info.rate or 30
        return DelayLine(self._clock, self._delay, math.ceil(self._delay * max(rate, 30)) + 2)

    def run(self, tick: Callable[[], None] = lambda: None, interval: float = 0.05) -> None:
        """Call ``tick`` every ``interval`` seconds on this thread until the end, within a ``with`` of the session.

        Raises:
            SinkError: every output failed.
            SourceError: a file cannot be read to its end.
        """
        while not self.has_ended:
            tick()
            self._look_after()
            with self._changed:
                self._clock.wait_for(self._changed, lambda: self.has_ended, interval)
        if self.capture.failure is not None:
            raise self.capture.failure

    def __enter__(self) -> Session:
        """Start every thread."""
        for outlet in self._outlets:
            outlet.start()
        self.looks.start()
        self._thread.start()
        self.capture.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Stop everything; an output that could not be closed well raises, or is told where something else ends it."""
        self.stop()
        if (error := self._crash or self._error) is None:
            return
        if kind is None:
            raise error
        self._say(" ".join(str(error).split()))

    @property
    def has_ended(self) -> bool:
        over = self.capture.has_ended and self._is_idle
        return over or self.controls.has_ended or self._crash is not None

    @property
    def _is_idle(self) -> bool:
        """Whether every captured picture was sent or dropped."""
        taken = self._done + self.capture.captured.dropped
        return taken == self.capture.meter.count and all(outlet.is_idle for outlet in self._outlets)

    def _look_after(self) -> None:
        """Tell of what went wrong meanwhile, and drop outputs that failed."""
        for outlet in [outlet for outlet in self._outlets if outlet.failure is not None]:
            reason = " ".join(str(outlet.failure).split())
            self._lost.append(f"the {outlet.name} failed and was closed: {reason}")
            self._say(self._lost[-1])
            self._outlets.remove(outlet)
            self._close(outlet)
            if not self._outlets:
                raise SinkError(f"the {outlet.name} failed, and there is no other output: {reason}")
            self._first = self._outlets[0]
        limit = max(SILENCE, 2 / (self.capture.info.rate or 30))  # a slow camera is not silent between two pictures
        is_silent = self.capture.silence > limit and not (self.capture.is_waiting or self.capture.has_ended)
        if is_silent and not self._was_silent:
            self._say(f"no picture from the {self.capture.info.label} for {limit:.2g} s; the last one is shown")
        self._was_silent = is_silent

    def stop(self) -> None:
        """Join every thread, free the camera, close the outputs; a second call does nothing."""
        end = self._clock.now() + PATIENCE
        self.capture.captured.close()
        for outlet in self._outlets:
            outlet.box.close()
        self.capture.stop(self._left(end))
        if self._thread.ident is None or self._clock.join(self._thread, self._left(end)):
            self.looks.stop(self._left(end))
        for outlet in self._outlets:
            self._close(outlet, self._left(end))
        self._outlets = []

    def _left(self, end: float) -> float:
        return max(0.05, end - self._clock.now())

    def _close(self, outlet: Outlet, patience: float = PATIENCE) -> None:
        try:
            outlet.stop(patience)
        except Exception as error:  # the others must be closed all the same
            self._error = self._error or error

    # --- the thread that styles

    def _run(self) -> None:
        try:
            self._style_all()
        except Exception as error:  # no person's fault: told as any other, rather than a picture that stands still
            self._crash = error

    def _style_all(self) -> None:
        captured = self.capture.captured
        while not captured.is_closed:
            frame = captured.get(WAIT)
            self.looks.want(self.controls.look)
            if frame is None:
                continue
            if self.controls.frozen and self.newest is not None:
                self.held += 1
            else:
                self.newest = replace(frame, image=self._picture(frame.image, frame.area))
                for outlet in tuple(self._outlets):
                    outlet.put(self.newest)
            self._done += 1

    def _picture(self, source: np.ndarray, area: Rect | None = None) -> np.ndarray:
        """What is shown of a camera's picture, with every control applied."""
        controls = self.controls
        if controls.mirror:
            source, area = mirrored(source), area and area.mirrored(source.shape[1])
        strength, wipe = controls.strength, controls.wipe
        result = blended(source, self._styled_in(source, area), strength) if strength else source
        return result if wipe is None else wiped(source, result, wipe)

    def _styled_in(self, source: np.ndarray, area: Rect | None) -> np.ndarray:
        """The look of what the camera gave; bars around it stay black, and cost nothing."""
        if area is None:
            return self._styled(source)
        result = source.copy()
        result[area.slices] = self._styled(np.ascontiguousarray(source[area.slices]))
        return result

    def _styled(self, source: np.ndarray) -> np.ndarray:
        """The look, or the source itself where the look fails; why is told once."""
        try:
            styled = self.looks(source)
        except Exception as error:  # a call must go on, whatever the engine raises
            self.failed += 1
            self._is_failing = True
            reason = " ".join(f"{error}".split())
            if reason not in self._reasons and len(self._reasons) < MOST_REASONS:
                self._reasons.add(reason)
                self._say(f"the look fails, the camera's own picture is shown: {reason}")
            return source
        if self._is_failing:
            self._is_failing = False
            self._say("the look works again")
        return styled

    # --- figures

    def status(self) -> dict[str, Any]:
        """JSON-ready: rates, counts, milliseconds; the controls' own state is theirs."""
        capture, first, now = self.capture, self._first, self._clock.now()
        return {
            "state": self._state(),
            "camera": str(capture.info),
            "fps_in": round(capture.meter.rate(now), 1),
            "fps_out": round(first.meter.rate(now), 1),
            "latency": first.latencies.recent(),
            "captured": capture.meter.count,
            "sent": first.meter.count,
            "repeated": first.repeated,
            "dropped": capture.captured.dropped + first.box.dropped,
            "failed": self.failed,
            "held": self.held,
            "delay": round(self._delay * 1000),
            "outputs": [outlet.name for outlet in self._outlets],
            "problems": self._problems(),
            **self.looks.status(),
        }

    def _problems(self) -> list[str]:
        """What was lost, or is not as it was asked for, as long as that holds."""
        partial = [outlet.problem for outlet in self._outlets]
        return [*self._lost, *filter(None, [*partial, self.looks.problem])]

    def _state(self) -> str:
        if self.capture.is_waiting or self._was_silent:
            return "waiting for the camera"
        if self._is_failing:
            return "without the look"
        return "frozen" if self.controls.frozen else "running"

    def whole_latency(self) -> dict[str, float]:
        """Milliseconds from capture to the first output's sending, of all pictures; empty where there was none."""
        return self._first.latencies.whole()
