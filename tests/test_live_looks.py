"""Looks that change while the pictures go on, and what the controls do to a picture."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from live_fakes import Bench, Collector, FakeCamera, FakeLook, SimulatedClock, numbered

from vidstyle.errors import SinkError, SourceError
from vidstyle.live.camera import Capture
from vidstyle.live.controls import Controls
from vidstyle.live.looks import Looks
from vidstyle.live.session import Session

INTERVAL = 1 / 30


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> object:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_looks_change_without_a_gap(bench: Bench) -> None:
    """The next look takes a second to load and as long for its first picture; no interval is missed meanwhile."""
    out, made = Collector(bench.clock), dict[str, FakeLook]()

    def load(name: str) -> FakeLook:
        if name != "one":
            bench.clock.sleep(1.0)
        made[name] = FakeLook(bench.clock, 0.01, mark={"one": 1, "two": 2, "three": 3}[name])
        return made[name]

    bench.at += [(2.0, lambda: bench.controls.command("next")), (5.0, lambda: bench.controls.command("look", "one"))]
    session = bench.run(10, load, [("out", out)])
    times = np.array([time for time, *_ in out.sent])
    assert np.diff(times).max() <= INTERVAL + 0.02, "a change stopped the pictures"
    marks = [mark for _, _, mark, _, _ in out.sent]
    changes = [mark for mark, before in zip(marks, [0, *marks], strict=False) if mark != before]
    assert changes == [1, 2, 1]
    assert next(s["loading"] for s in out.statuses if s["loading"]) == "two"
    assert made["two"].is_closed and made["one"].is_closed and session.status()["shown"] == "one"


def test_the_newest_wish_for_a_look_counts(bench: Bench) -> None:
    loaded = []

    def load(name: str) -> FakeLook:
        loaded.append(name)
        if name != "one":
            bench.clock.sleep(1.0)
        return FakeLook(bench.clock)

    presses = [(2.0 + i / 10, lambda: bench.controls.command("next")) for i in range(4)]  # two, three, one, two
    bench.at += presses
    session = bench.run(10, load, [("out", Collector(bench.clock))])
    assert session.status()["shown"] == "two" and len(loaded) <= 3, loaded


@pytest.mark.parametrize(("command", "value"), [("strength", 0), ("freeze", True)])
def test_looks_change_while_no_picture_needs_one(bench: Bench, command: str, value: float) -> None:
    marks = {"one": 1, "two": 2, "three": 3}
    out = Collector(bench.clock)
    bench.at += [
        (1.0, lambda: bench.controls.command(command, value)),
        (2.0, lambda: bench.controls.command("look", "two")),
        (4.0, lambda: bench.controls.command("look", "three")),
        (6.0, lambda: bench.controls.command(command, 1 if command == "strength" else False)),
    ]
    bench.run(8, lambda name: FakeLook(bench.clock, mark=marks[name]), [("out", out)])
    waiting = [status["loading"] for status, sent in zip(out.statuses, out.sent, strict=True) if sent[0] > 1005.8]
    assert set(waiting) == {""}
    assert 2 not in {mark for _, _, mark, _, _ in out.sent} and out.sent[-1][2] == 3


def test_a_look_that_cannot_be_loaded_leaves_the_present_one(bench: Bench) -> None:
    def load(name: str) -> FakeLook:
        if name == "two":
            raise RuntimeError("its file is damaged")
        return FakeLook(bench.clock, mark=len(name))

    out = Collector(bench.clock)
    bench.at += [(1.0, lambda: bench.controls.command("next")), (3.0, lambda: bench.controls.command("next"))]
    session = bench.run(5, load, [("out", out)])
    assert "the look two cannot be shown: its file is damaged" in bench.said
    assert session.status()["shown"] == "three", "the next one can still be reached"
    assert {mark for _, _, mark, _, _ in out.sent} == {3, 5}
    told = [status["problems"] for status in out.statuses if status["problems"]]
    assert told and all(words == ["the look two cannot be shown: its file is damaged"] for words in told)
    assert session.status()["problems"] == [], "another look is shown"


def test_the_first_look_and_the_camera_must_be_good(bench: Bench) -> None:
    def bad(_: str) -> FakeLook:
        raise SinkError("bad look")

    with pytest.raises(SinkError, match="bad look"):
        Looks(bad, "one", numbered(0), bench.clock)

    def no_camera() -> FakeCamera:
        raise SourceError("no camera")

    with pytest.raises(SourceError, match="no camera"):
        Capture(no_camera, bench.clock, print)


def test_freeze_holds_the_picture_and_readers_stay(bench: Bench) -> None:
    out = Collector(bench.clock)
    bench.at += [
        (2.0, lambda: bench.controls.command("freeze")),
        (4.0, lambda: bench.controls.command("freeze", False)),
    ]
    session = bench.run(6, FakeLook(bench.clock), [("out", out)])
    held = [number for time, number, *_ in out.sent if 2.2 < time - bench.start < 4]
    assert len(set(held)) == 1 and len(held) >= 15
    assert session.held == pytest.approx(60, abs=3)
    assert next(s["state"] for s in out.statuses if s["repeat"]) == "frozen"
    assert out.sent[-1][1] >= 178, "it goes on with the newest picture"


def test_the_controls_act_on_every_picture() -> None:
    source, styled = np.zeros((4, 8, 3), np.uint8), np.full((4, 8, 3), 200, np.uint8)
    source[:, 0] = 50

    class Whole:
        def __call__(self, picture: np.ndarray) -> np.ndarray:
            self.given = picture
            return styled

        def status(self) -> dict[str, object]:
            return {}

        def close(self) -> None:
            pass

    clock, look = SimulatedClock(), Whole()
    controls = Controls(["one"], "one")
    session = Session(
        Capture(lambda: FakeCamera(clock), clock, print),
        Looks(lambda _: look, "one", source, clock),  # type: ignore[arg-type,return-value]
        [("out", Collector(clock))],
        controls,
        clock,
    )
    assert (session._picture(source) == 200).all()
    controls.command("strength", 0.5)
    assert session._picture(source)[0, :, 0].tolist() == [125] + [100] * 7
    controls.command("mirror")
    session._picture(source)
    assert look.given[0, -1, 0] == 50 and look.given[0, 0, 0] == 0
    controls.command("wipe")
    half = session._picture(source)
    assert half[0, :, 0].tolist() == [0, 0, 255, 255, 100, 100, 100, 125], "the source, a line, the look"
    controls.command("strength", 0.0)
    controls.command("wipe", False)
    assert (session._picture(source) == source[:, ::-1]).all()
    session.stop()
