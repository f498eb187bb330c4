"""A live session on a simulated clock: the newest frame wins, nothing waits, nothing ends the call."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import psutil
import pytest
from live_fakes import Bench, Collector, FakeCamera, FakeLook, numbered

from vidstyle.errors import Interrupted, SinkError, SourceError
from vidstyle.live.clock import Flag

INTERVAL = 1 / 30


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> object:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ages(sent: list[tuple[float, int, int, float, bool]]) -> np.ndarray:
    return np.array([time - captured for time, _, _, captured, _ in sent])


def test_every_picture_arrives_in_order_where_the_look_keeps_up(bench: Bench) -> None:
    out = Collector(bench.clock)
    session = bench.run(10, FakeLook(bench.clock, 0.02), [("out", out)])
    numbers = [number for _, number, _, _, _ in out.sent]
    assert numbers == list(range(len(numbers))) and len(numbers) >= 299
    assert ages(out.sent) == pytest.approx(0.02)
    status = session.status()
    assert status["dropped"] == 0 and status["repeated"] == 0 and session.failed == 0
    assert status["latency"] == {"p50": 20.0, "p95": 20.0, "max": 20.0}
    assert status["fps_in"] == pytest.approx(30, abs=0.3) and status["fps_out"] == pytest.approx(30, abs=0.3)


@pytest.mark.parametrize("rate", [50, 120, 240])
def test_a_quick_cameras_rate_is_told(bench: Bench, rate: int) -> None:
    camera = FakeCamera(bench.clock, rate)
    status = bench.run(8, FakeLook(bench.clock), [("out", Collector(bench.clock))], lambda: camera).status()
    assert [status["fps_in"], status["fps_out"]] == pytest.approx([rate, rate], rel=0.01)


def test_three_times_too_slow_is_never_behind(bench: Bench) -> None:
    """The age of what is sent: at most one inference and one interval, at the end as at the beginning."""
    out, inference = Collector(bench.clock), 3.12 * INTERVAL
    session = bench.run(60, FakeLook(bench.clock, inference), [("out", out)])
    age = ages(out.fresh)
    assert np.percentile(age, 95) <= inference + INTERVAL + 1e-6
    assert age[-100:].mean() == pytest.approx(age[:100].mean(), abs=0.002)
    numbers = [number for _, number, _, _, _ in out.sent]
    assert numbers == sorted(numbers)
    assert len(out.fresh) == pytest.approx(577, abs=3)
    status = session.status()
    in_flight = status["captured"] - status["sent"] - status["dropped"]
    assert 0 <= in_flight <= 2
    assert queued_age(60, inference) > 10 * np.percentile(age, 95)


def queued_age(seconds: float, inference: float) -> float:
    """The age of the last picture sent where every one of them is queued: what a session must not do."""
    clock, queue = 0.0, deque(i * INTERVAL for i in range(round(seconds / INTERVAL)))
    age = 0.0
    while queue and clock < seconds:
        captured = queue.popleft()
        clock = max(clock, captured) + inference
        age = clock - captured
    return age


def test_a_slow_output_delays_no_other(bench: Bench) -> None:
    quick, slow = Collector(bench.clock), Collector(bench.clock, seconds=0.25)
    bench.run(10, FakeLook(bench.clock, 0.01), [("quick", quick), ("slow", slow)])
    assert ages(quick.sent).max() == pytest.approx(0.01) and len(quick.sent) >= 299
    assert len(slow.sent) == pytest.approx(40, abs=2)
    assert ages(slow.sent).max() <= 0.01 + INTERVAL + 0.25 + 1e-6


def test_a_failing_look_shows_the_source_and_says_why_once(bench: Bench) -> None:
    out = Collector(bench.clock)
    look = FakeLook(bench.clock, fails=lambda number: 100 <= number < 200, mark=9)
    session = bench.run(10, look, [("out", out)])
    marks = {number: mark for _, number, mark, _, _ in out.fresh}
    assert set(marks) == set(range(len(marks))), "no picture is left out"
    assert all((mark == 9) != (100 <= number < 200) for number, mark in marks.items())
    assert session.failed == 100
    assert [line for line in bench.said if "the engine broke" in line] == [
        "the look fails, the camera's own picture is shown: the engine broke"
    ]
    assert bench.said[-1] == "the look works again"


def test_an_unplugged_camera_is_waited_for(bench: Bench) -> None:
    out, opened = Collector(bench.clock), []

    def camera() -> FakeCamera:
        opened.append(bench.clock.now())
        if len(opened) in (2, 3):
            raise SourceError("not connected")
        first = FakeCamera(bench.clock, length=60, fault="No such device")
        return first if len(opened) == 1 else FakeCamera(bench.clock, first=1000)

    bench.run(10, FakeLook(bench.clock), [("out", out)], camera)
    assert bench.said[0] == ("the fake camera is gone (No such device): waiting for it, the last picture is shown")
    assert bench.said[1].startswith("the camera is back: fake camera: 16x16 at 30 fps")
    assert len(opened) == 4 and np.diff(opened)[1:].tolist() == pytest.approx([1.0, 2.0])
    numbers = [number for _, number, _, _, _ in out.sent]
    assert numbers[:60] == list(range(60)) and 1000 in numbers and numbers == sorted(numbers)
    times = np.array([time for time, *_ in out.sent])
    assert np.diff(times).max() <= 0.1 + 1e-6, "readers get a picture all the while"
    waiting = {s["state"] for s, entry in zip(out.statuses, out.sent, strict=True) if entry[4]}
    assert waiting == {"waiting for the camera"}


def test_a_camera_that_needs_a_moment_for_its_first_picture_is_not_called_silent(bench: Bench) -> None:
    """At the start, where the look was loaded since it was opened, and when it is back after a while."""
    opened: list[FakeCamera] = []

    class Slow(FakeCamera):
        def pictures(self, stop: Flag) -> Iterator[tuple[float, np.ndarray]]:
            stop.wait(0.5)
            yield from super().pictures(stop)

    def camera() -> FakeCamera:
        if len(opened) == 1 and bench.clock.now() - bench.start < 6:
            raise SourceError("not connected")
        opened.append(Slow(bench.clock, length=None if opened else 30, fault="No such device"))
        return opened[-1]

    def load(_: str) -> FakeLook:
        bench.clock.sleep(5)
        return FakeLook(bench.clock)

    bench.run(15, load, [("out", Collector(bench.clock))], camera)
    assert len(opened) == 2 and [line for line in bench.said if "no picture" in line] == []


def test_a_fixed_delay_is_kept_to_the_frame(bench: Bench) -> None:
    out = Collector(bench.clock)
    session = bench.run(10, FakeLook(bench.clock, 0.02), [("out", out)], delay=0.2)
    assert ages(out.fresh) == pytest.approx(0.2, abs=1e-6)
    numbers = [number for _, number, _, _, _ in out.fresh]
    assert numbers == list(range(len(numbers))) and len(numbers) >= 290
    assert session.status()["dropped"] == 0 and session.status()["delay"] == 200


def test_a_delay_that_is_too_short_changes_nothing(bench: Bench) -> None:
    out = Collector(bench.clock)
    bench.run(10, FakeLook(bench.clock, 0.1), [("out", out)], delay=0.05)
    assert np.percentile(ages(out.fresh), 95) <= 0.1 + INTERVAL + 1e-6


def test_a_file_ends_the_session_when_all_of_it_was_sent(bench: Bench) -> None:
    out, slow = Collector(bench.clock), Collector(bench.clock, seconds=0.02)
    camera = FakeCamera(bench.clock, length=45, endless=False)
    bench.run(100, FakeLook(bench.clock, 0.03), [("out", out), ("slow", slow)], lambda: camera)
    assert bench.clock.now() - bench.start < 2
    for collector in (out, slow):
        assert [number for _, number, *_ in collector.fresh] == list(range(45)) and collector.closed == 1
    assert camera.is_closed and bench.said == []


@pytest.mark.parametrize(
    ("camera", "says"),
    [
        ({"length": 20, "fault": "Invalid data"}, "cannot read fake camera: Invalid data"),
        ({"length": 0}, "cannot read fake camera: no picture of it can be decoded"),
        ({"length": 0, "endless": True}, "no picture of it can be decoded"),  # with --loop
    ],
)
def test_a_file_that_cannot_be_read_ends_the_session(bench: Bench, camera: dict[str, Any], says: str) -> None:
    out = Collector(bench.clock)
    source = FakeCamera(bench.clock, device=False, **{"endless": False} | camera)
    with pytest.raises(SourceError, match=says):
        bench.run(100, FakeLook(bench.clock), [("out", out)], lambda: source)
    assert [number for _, number, *_ in out.fresh] == list(range(camera["length"])), "what came before is sent"
    assert bench.clock.now() - bench.start < 2 and source.is_closed and out.closed == 1 and bench.said == []


def test_an_output_that_breaks_is_left_out(bench: Bench) -> None:
    broken, good = Collector(bench.clock, breaks_at=30), Collector(bench.clock)
    session = bench.run(5, FakeLook(bench.clock), [("camera", broken), ("page", good)])
    assert bench.said == ["the camera failed and was closed: the driver is gone"]
    assert session.status()["problems"] == bench.said == good.statuses[-1]["problems"]
    assert broken.closed == good.closed == 1 and len(good.sent) >= 149
    assert session.status()["sent"] >= 149, "the figures are those of an output that is left"


def test_a_fault_of_our_own_ends_the_session_rather_than_freeze_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: np.ndarray) -> np.ndarray:
        raise MemoryError("no room")

    monkeypatch.setattr("vidstyle.live.session.mirrored", broken)
    bench.at.append((1.0, lambda: bench.controls.command("mirror")))
    with pytest.raises(MemoryError, match="no room"):
        bench.run(100, FakeLook(bench.clock), [("out", Collector(bench.clock))])
    assert bench.clock.now() - bench.start < 2


def test_without_any_output_left_the_session_ends(bench: Bench) -> None:
    broken = Collector(bench.clock, breaks_at=3)
    camera = FakeCamera(bench.clock)
    with pytest.raises(SinkError, match="the camera failed, and there is no other output: the driver is gone"):
        bench.run(5, FakeLook(bench.clock), [("camera", broken)], lambda: camera)
    assert camera.is_closed


def test_an_output_that_cannot_be_closed_is_told_after_the_rest_is_closed(bench: Bench) -> None:
    class Full(Collector):
        def close(self) -> None:
            raise SinkError("the disk is full")

    camera, look, other = FakeCamera(bench.clock), FakeLook(bench.clock), Collector(bench.clock)
    with pytest.raises(SinkError, match="the disk is full"):
        bench.run(1, look, [("recording", Full(bench.clock)), ("page", other)], lambda: camera)
    assert camera.is_closed and look.is_closed and other.closed == 1


@pytest.mark.parametrize(
    ("takes", "says"), [(4.0, []), (60.0, ["the recording does not end within 5 s: it is left as it is"])]
)
def test_a_recording_on_a_slow_disk_is_waited_for(bench: Bench, takes: float, says: list[str]) -> None:
    class Slow(Collector):
        patience = 5.0

    def interrupt() -> None:
        raise Interrupted(130)

    out = Slow(bench.clock, seconds=takes)
    bench.at.append((0.5, interrupt))
    with pytest.raises(Interrupted):
        bench.run(100, FakeLook(bench.clock), [("recording", out)])
    assert out.closed == (not says) and bench.said == says
    bench.clock.sleep(takes)  # its thread ends


def test_an_interrupt_does_not_hide_what_could_not_be_closed(bench: Bench) -> None:
    class Full(Collector):
        def close(self) -> None:
            raise SinkError("the recording could not be finished:\nit is out.mp4.part")

    def interrupt() -> None:
        raise Interrupted(130)

    bench.at.append((1.0, interrupt))
    with pytest.raises(Interrupted):
        bench.run(100, FakeLook(bench.clock), [("recording", Full(bench.clock))])
    assert bench.said == ["the recording could not be finished: it is out.mp4.part"]


def test_a_camera_that_says_nothing_is_named(bench: Bench) -> None:
    class Stuck(FakeCamera):
        def pictures(self, stop):  # type: ignore[no-untyped-def]
            yield self._clock.now(), numbered(7)
            stop.wait(6.0)
            yield from super().pictures(stop)

    out = Collector(bench.clock)
    bench.run(9, FakeLook(bench.clock), [("out", out)], lambda: Stuck(bench.clock))
    assert bench.said == ["no picture from the fake camera for 3 s; the last one is shown"]
    assert np.diff([time for time, *_ in out.sent]).max() <= 0.1 + 1e-6


def test_a_slow_camera_is_not_silent_between_two_pictures(bench: Bench) -> None:
    out = Collector(bench.clock)
    bench.run(38, FakeLook(bench.clock), [("out", out)], lambda: FakeCamera(bench.clock, rate=0.2))
    assert bench.said == [] and len(out.fresh) == 8
    assert {status["state"] for status in out.statuses} == {"running"}


def test_an_interrupt_ends_at_once_and_frees_everything(bench: Bench) -> None:
    camera, look, out = FakeCamera(bench.clock), FakeLook(bench.clock, 0.3), Collector(bench.clock)

    def interrupt() -> None:
        raise KeyboardInterrupt

    bench.at.append((3.0, interrupt))
    with pytest.raises(KeyboardInterrupt):
        bench.run(100, look, [("out", out)], lambda: camera)
    assert bench.clock.now() - bench.start <= 4.0
    assert camera.is_closed and look.is_closed and out.closed == 1


def _hours(hours: float) -> tuple[list[tuple[float, int, float]], int, float]:
    """Megabytes in use, objects alive and latency after a tenth, at half and at the end; pictures taken; latency."""
    bench, process = Bench(), psutil.Process()
    seen: list[tuple[float, int, float]] = []

    def look_at() -> None:
        gc.collect()
        latency = bench.session.status()["latency"]["p95"]
        seen.append((process.memory_info().rss / 1e6, sys.getallocatedblocks(), latency))

    bench.at += [(hours * 3600 * share, look_at) for share in (0.1, 0.5, 0.99)]
    out = Collector(bench.clock, keep=False)
    session = bench.run(hours * 3600, FakeLook(bench.clock, 0.0517), [("out", out)])
    return seen, session.status()["captured"], session.whole_latency()["p95"]


@pytest.mark.parametrize("hours", [pytest.param(2.0, marks=pytest.mark.slow), 0.1])
def test_hours_leave_memory_and_latency_flat(hours: float) -> None:
    """At the end as after the first tenth: memory in use, objects alive, and how late a picture is.

    In a process of its own: what other tests left to the allocator moves the memory of this one by megabytes.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as own:
        seen, captured, late = own.submit(_hours, hours).result()
    megabytes, blocks, latency = zip(*seen, strict=True)
    assert max(megabytes) - megabytes[0] < 2, megabytes
    assert max(blocks) - blocks[0] < 2000, blocks
    assert max(latency) - min(latency) < 2, latency
    assert captured == pytest.approx(hours * 3600 * 30, abs=3)
    assert late <= 1000 * (0.0517 + INTERVAL) + 1
