"""A clock that jumps, and a camera, a look and an output with exact speeds, for the tests of live sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidstyle.errors import SourceError
from vidstyle.live.camera import CameraInfo, Capture
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.controls import Controls
from vidstyle.live.looks import LiveStylizer, Looks
from vidstyle.live.outlet import Output
from vidstyle.live.session import Session


@dataclass
class _Waiter:
    condition: threading.Condition
    predicate: Callable[[], bool]
    deadline: float


class SimulatedClock(Clock):
    """Time that stands still while any thread works, and jumps to the next deadline when all of them wait.

    It knows the thread that made it and those from `thread`. All conditions share one lock.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._time = 1000.0
        self._threads = 1
        self._waiting: list[_Waiter] = []
        self._ended: set[int] = set()
        self._end = threading.Condition(self._lock)

    def now(self) -> float:
        return self._time

    def condition(self) -> threading.Condition:
        return threading.Condition(self._lock)

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        waiter = _Waiter(condition, predicate, float("inf") if timeout is None else self._time + timeout)
        self._waiting.append(waiter)
        try:
            while not self._is_due(waiter):
                self._jump()
                if not self._is_due(waiter):
                    condition.wait()
            return predicate()
        finally:
            self._waiting.remove(waiter)

    def _is_due(self, waiter: _Waiter) -> bool:
        return waiter.predicate() or self._time >= waiter.deadline

    def _jump(self) -> None:
        if len(self._waiting) < self._threads:
            return
        if not any(map(self._is_due, self._waiting)):
            self._time = min(waiter.deadline for waiter in self._waiting)
            assert self._time < float("inf"), "every thread waits for ever"
        for waiter in self._waiting:
            if self._is_due(waiter):
                waiter.condition.notify_all()

    def sleep(self, seconds: float) -> None:
        never = self.condition()
        with never:
            self.wait_for(never, lambda: False, seconds)

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        def counted() -> None:
            try:
                run()
            finally:
                with self._lock:
                    self._threads -= 1
                    self._ended.add(threading.get_ident())
                    self._end.notify_all()
                    self._jump()

        class Counted(threading.Thread):
            def start(thread) -> None:  # noqa: N805
                with self._lock:
                    self._threads += 1
                super().start()

        return Counted(target=counted, name=f"vidstyle-{name}", daemon=True)

    def join(self, thread: threading.Thread, timeout: float) -> bool:
        with self._end:
            ended = self.wait_for(self._end, lambda: thread.ident in self._ended, timeout)
        if ended:
            thread.join()
        return ended


def numbered(index: int, width: int = 16, height: int = 16) -> np.ndarray:
    """A picture that tells its index, up to 2 ** 24."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = index & 255, index >> 8 & 255, index >> 16
    return image


def number_of(image: np.ndarray) -> int:
    red, green, blue = (int(value) for value in image[0, 0])
    return red | green << 8 | blue << 16


class FakeCamera:
    """Gives `numbered` pictures at a rate, from ``first`` on; ``length`` of them, then ``fault`` or the end."""

    def __init__(
        self,
        clock: SimulatedClock,
        rate: float = 30.0,
        length: int | None = None,
        fault: str = "",
        first: int = 0,
        endless: bool = True,
        device: bool = True,
    ) -> None:
        self.info = CameraInfo("fake camera", 16, 16, rate, "numbers", endless, device)
        self.is_closed, self.area = False, None
        self._clock, self._rate, self._length, self._fault, self._first = clock, rate, length, fault, first

    def pictures(self, stop: Flag) -> Iterator[tuple[float, np.ndarray]]:
        start = self._clock.now()
        index = 0
        while self._length is None or index < self._length:
            due = start + index / self._rate
            if stop.wait(max(0.0, due - self._clock.now())):
                return
            yield due, numbered(self._first + index)
            index += 1
        if self._fault:
            raise SourceError(self._fault)

    def close(self) -> None:
        self.is_closed = True


class FakeLook:
    """Takes ``seconds`` a picture and gives it back darker by 0; ``fails`` decides by the picture's number."""

    def __init__(
        self, clock: SimulatedClock, seconds: float = 0.0, fails: Callable[[int], bool] = lambda _: False, mark: int = 0
    ) -> None:
        self.is_closed, self.calls = False, 0
        self._clock, self._seconds, self._fails, self._mark = clock, seconds, fails, mark

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        assert not self.is_closed, "a closed look was used"
        self.calls += 1
        if self._seconds:
            self._clock.sleep(self._seconds)
        if self._fails(number_of(picture)):
            raise RuntimeError("the engine\nbroke")
        styled = picture.copy()
        styled[-1] = self._mark  # the last row tells the look
        return styled

    def status(self) -> dict[str, Any]:
        return {"working": [16, 16]}

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Collector:
    """An output that notes (seconds, number, mark of the look, capture time, repeat) of everything sent."""

    clock: SimulatedClock
    seconds: float = 0.0
    breaks_at: int | None = None
    sent: list[tuple[float, int, int, float, bool]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    keep: bool = True

    def send(self, picture: np.ndarray, status: dict[str, Any]) -> None:
        if self.breaks_at is not None and len(self.sent) >= self.breaks_at:
            raise OSError("the driver\nis gone")
        if self.seconds:
            self.clock.sleep(self.seconds)
        entry = (self.clock.now(), number_of(picture), int(picture[-1, 0, 0]), status["time"], status["repeat"])
        if not self.keep:
            self.sent.clear()
            self.statuses.clear()
        self.sent.append(entry)
        self.statuses.append(status)

    def close(self) -> None:
        self.closed += 1

    @property
    def fresh(self) -> list[tuple[float, int, int, float, bool]]:
        """Without the repeated ones."""
        return [entry for entry in self.sent if not entry[4]]


@dataclass
class Bench:
    """A session of fakes; `run` ends it after so many simulated seconds."""

    clock: SimulatedClock = field(default_factory=SimulatedClock)
    said: list[str] = field(default_factory=list)
    at: list[tuple[float, Callable[[], None]]] = field(default_factory=list)  # what is done when

    def run(
        self,
        seconds: float,
        look: LiveStylizer | Callable[[str], LiveStylizer],
        outputs: list[tuple[str, Output]],
        cameras: Callable[[], FakeCamera] | None = None,
        delay: float = 0.0,
    ) -> Session:
        clock = self.clock
        self.controls = Controls(["one", "two", "three"], "one")
        load = look if not isinstance(look, FakeLook) else lambda _: look
        capture = Capture(cameras or (lambda: FakeCamera(clock)), clock, self.said.append)
        looks = Looks(load, "one", numbered(0), clock, self.said.append)  # type: ignore[arg-type]
        self.session = Session(capture, looks, outputs, self.controls, clock, self.said.append, delay)
        self.start = clock.now()
        self.at.append((seconds, lambda: self.controls.command("quit")))
        with self.session:
            self.session.run(self._tick)
        return self.session

    def _tick(self) -> None:
        for moment in [moment for moment in self.at if self.clock.now() - self.start >= moment[0]]:
            self.at.remove(moment)
            moment[1]()
