"""The working size follows the machine: the decision on simulated timings, then whole looks with a clock of ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media import save_tiny
from still_scenes import backdrop, with_box

from vidstyle.catalog import parse_recipe
from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import EngineError
from vidstyle.live import keepup
from vidstyle.live.adaptive import BACKOFF, GRID, HOLD_DOWN, AdaptiveSize, Cost, Sample, Size, working_sizes
from vidstyle.live.fade import LENGTH, Fade
from vidstyle.live.keepup import KeepUp
from vidstyle.stylizer import Stylizer

HD = working_sizes(720, 1280)
BUDGET = 0.025


def pixels(size: Size) -> int:
    return size[0] * size[1]


class Machine:
    """Takes so many seconds for a pixel, which may change in time; pictures come at 30 a second at most."""

    def __init__(self, adaptive: AdaptiveSize, per_pixel: Callable[[float], float]) -> None:
        self.adaptive, self.per_pixel, self.time = adaptive, per_pixel, 0.0
        self.changes: list[tuple[float, Size]] = []

    def run(self, seconds: float) -> None:
        history: list[Sample] = []
        until = self.time + seconds
        while self.time < until:
            before = self.adaptive.size
            took = self.per_pixel(self.time) * pixels(before)
            self.time += max(took, 1 / 30)
            history.append(Sample(self.time, took))
            if self.adaptive.decide(history) != before:
                self.changes.append((self.time, self.adaptive.size))
                history.clear()


def started(per_pixel: float) -> AdaptiveSize:
    adaptive = AdaptiveSize(HD, BUDGET)
    adaptive.start([(size, per_pixel * pixels(size)) for size in (HD[-1], HD[3])])
    return adaptive


def test_sizes_go_down_in_steps_and_fit_the_network() -> None:
    assert [size[0] for size in HD] == [720, 640, 576, 512, 448, 384, 320]
    assert all(side % GRID == 0 for size in HD for side in size)
    assert all(abs(width / height / (1280 / 720) - 1) < 0.02 for height, width in HD)
    assert working_sizes(480, 640)[:2] == ((480, 640), (448, 592))
    assert working_sizes(1080, 1920)[0] == (720, 1280)
    assert working_sizes(1280, 720)[1] == (1136, 640)
    assert working_sizes(100, 300) == ((100, 300),)


def test_the_cost_is_fitted_and_never_negative() -> None:
    cost = Cost.fitted([((100, 100), 0.011), ((200, 200), 0.041)])
    assert (cost.base, cost.per_pixel) == (pytest.approx(0.001), pytest.approx(1e-6))
    assert cost.seconds((300, 300)) == pytest.approx(0.091)
    steep = Cost.fitted([((100, 100), 0.001), ((200, 200), 0.040)])
    assert steep.base == 0 and steep.per_pixel > 0
    falling = Cost.fitted([((100, 100), 0.02), ((200, 200), 0.01)])
    assert falling.per_pixel == 0 and falling.base == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("per_pixel", "short"), [(1e-8, 720), (0.85 * BUDGET / pixels(HD[2]), 576), (6e-8, 448), (1e-6, 320)]
)
def test_the_start_is_the_largest_size_within_the_budget(per_pixel: float, short: int) -> None:
    adaptive = started(per_pixel)
    assert adaptive.size[0] == short
    assert short == 320 or per_pixel * pixels(adaptive.size) <= BUDGET


def test_a_steady_machine_is_left_alone() -> None:
    for per_pixel in np.geomspace(1e-8, 1e-6, 15):
        machine = Machine(started(per_pixel), lambda _, cost=per_pixel: cost)
        machine.run(40)
        assert machine.changes == []


def test_jitter_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    machine = Machine(started(4e-8), lambda _: 4e-8 * rng.lognormal(0, 0.15) * (4 if rng.random() < 0.05 else 1))
    machine.run(300)
    assert len(machine.changes) <= 1


def test_load_takes_it_down_step_by_step_and_its_end_brings_it_back() -> None:
    machine = Machine(started(3e-8), lambda now: 9e-8 if 20 < now < 60 else 3e-8)
    first = machine.adaptive.size
    machine.run(60)
    loaded = machine.adaptive.size
    assert 9e-8 * pixels(loaded) <= BUDGET
    places = [HD.index(first), *(HD.index(size) for _, size in machine.changes)]
    assert np.abs(np.diff(places)).tolist() == [1] * (len(places) - 1), "one step at a time"
    times = [time for time, _ in machine.changes]
    assert times[0] >= 20.5 and min(np.diff(times)) >= HOLD_DOWN
    machine.run(400)
    assert machine.adaptive.size == first


def test_a_size_that_proved_too_large_is_tried_ever_more_rarely() -> None:
    """A machine whose larger sizes cost more than expected."""
    adaptive = started(3e-8)
    slow = pixels(adaptive.size)
    machine = Machine(adaptive, lambda _: 3e-8 if pixels(adaptive.size) < slow else 9e-8)
    adaptive.cost = Cost(0.02, 1e-9)  # it thinks that sizes hardly differ
    machine.run(1200)
    tries = [time for time, size in machine.changes if pixels(size) == slow]
    assert 3 <= len(tries) <= 8
    assert all(np.diff(tries) >= BACKOFF) and np.diff(tries)[-1] > 3 * np.diff(tries)[0]


def test_it_goes_down_at_once_to_the_largest_size_that_is_allowed_and_not_above() -> None:
    machine = Machine(started(1e-8), lambda _: 1e-8)
    assert machine.adaptive.size == HD[0]
    machine.adaptive.largest = 3
    machine.run(20)
    assert [size for _, size in machine.changes] == [HD[3]]
    machine.adaptive.largest = 1
    machine.run(60)
    assert machine.adaptive.size == HD[1]


# --- whole looks


@pytest.fixture
def recipe(home: Path) -> Recipe:
    return parse_recipe(str(save_tiny(home, "t")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, our_threads: Callable[[], list[str]]) -> Iterator[None]:
    """Sizes small enough for a test, and no waiting."""
    monkeypatch.setattr("vidstyle.live.adaptive.STEPS", (96, 64, 48))
    monkeypatch.setattr("vidstyle.live.adaptive.HOLD_DOWN", 0.5)
    monkeypatch.setattr("vidstyle.live.adaptive.HOLD_UP", 0.5)
    yield
    assert not our_threads()


class Time:
    """A clock that a computation moves on by its size: ``seconds`` for every pixel the network saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, per_pixel: float) -> None:
        self.now, self.per_pixel = 0.0, per_pixel
        styled = KeepUp._styled
        call = KeepUp.__call__

        def slow(look: KeepUp, region: keepup.RegionStylizer, picture: np.ndarray) -> np.ndarray:
            self.now += self.per_pixel * pixels(region.size)
            return styled(look, region, picture)

        def paced(look: KeepUp, picture: np.ndarray) -> np.ndarray:
            self.now += 1 / 30  # until the camera gives the next
            return call(look, picture)

        monkeypatch.setattr(KeepUp, "_styled", slow)
        monkeypatch.setattr(KeepUp, "__call__", paced)
        monkeypatch.setattr(KeepUp, "_measure", lambda _look, size, _picture: self.per_pixel * pixels(size))

    def __call__(self) -> float:
        return self.now


def until_size(look: KeepUp, short: int, pictures: Iterator[np.ndarray]) -> list[np.ndarray]:
    """Looks up to the first of a working size; waits for the thread that loads it."""
    looks = []
    for picture in pictures:
        looks.append(look(picture))
        if look.status()["working"][1] == short:
            return looks
        time.sleep(0.002)
    raise AssertionError(f"never came to {short}: {look.status()}")


def moving(height: int = 96, width: int = 128) -> Iterator[np.ndarray]:
    back = backdrop(height, width)
    for index in range(2000):
        yield with_box(back, index % 60, index % 90, index)


@pytest.mark.parametrize("size", [None, 96, 720])
def test_at_its_own_size_the_look_is_the_networks(recipe: Recipe, size: int | None) -> None:
    look = KeepUp(recipe, size, EngineOptions(precision="f32"), rate=0.1)
    with Stylizer(recipe, precision="f32") as whole:
        for picture, _ in zip(moving(), range(5), strict=False):
            assert np.abs(look(picture).astype(int) - whole(picture)).max() <= 1
    assert look.status()["working"] == [128, 96]
    look.close()


@pytest.mark.usefixtures("quick")
def test_a_smaller_size_gives_full_pictures(recipe: Recipe) -> None:
    look = KeepUp(recipe, 48, EngineOptions())
    picture = next(moving())
    styled = look(picture)
    assert styled.shape == picture.shape and styled.dtype == np.uint8
    assert look.status()["working"] == [64, 48] and look.status()["size"] == 48
    assert look(picture.copy()) is styled and look.unchanged == 1
    other = look(backdrop(48, 80))  # another size of picture in the middle
    assert other.shape == (48, 80, 3) and look.status()["working"] == [80, 48]
    look.close()


@pytest.mark.usefixtures("quick")
def test_it_goes_down_under_load_and_up_again_without_a_jump(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time(monkeypatch, 1e-6)
    look = KeepUp(recipe, None, EngineOptions(), now=clock)
    assert clock.per_pixel * 96 * 128 < look._budget
    looks = until_size(look, 96, moving())
    clock.per_pixel = 3e-6
    still = [backdrop(96, 128), with_box(backdrop(96, 128), 0, 0, 1, 8)]  # all but a corner stays as it is
    looks = until_size(look, 64, (still[index % 2] for index in range(2000)))
    shown = [*looks[-1:], *(look(still[index % 2]) for index in range(LENGTH + 4))]
    inside = [picture[16:, 16:].astype(int) for picture in [looks[-2], *shown]]
    steps = [np.abs(b - a).mean() for a, b in pairwise(inside)]
    jump = np.abs(inside[-1] - inside[0]).mean()
    assert jump > 0.5, "the two sizes look different"
    assert max(steps) < 0.3 * jump
    clock.per_pixel = 1e-7
    monkeypatch.setattr("vidstyle.live.adaptive.BACKOFF", 0.0)
    look._adaptive._refused.clear()
    until_size(look, 96, moving())
    look.close()


@pytest.mark.usefixtures("quick")
def test_a_size_that_cannot_be_loaded_leaves_the_present_one(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time(monkeypatch, 1e-6)
    look = KeepUp(recipe, None, EngineOptions(), now=clock)
    pictures = moving()
    look(next(pictures))
    clock.per_pixel = 3e-6

    def broken(*_: object) -> None:
        raise EngineError("no memory\nfor it")

    monkeypatch.setattr(KeepUp, "_load", broken)
    for picture in pictures:
        look(picture)
        time.sleep(0.001)
        if "error" in look.status():
            break
    assert look.status()["error"] == "no memory for it" and look.status()["working"] == [128, 96]
    look.close()


@pytest.mark.usefixtures("quick")
def test_closing_while_a_size_is_loaded_leaves_nothing(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gate = Time(monkeypatch, 1e-6), threading.Event()
    look = KeepUp(recipe, None, EngineOptions(), now=clock)
    pictures = moving()
    look(next(pictures))
    clock.per_pixel = 3e-6
    load, closed = KeepUp._load, []

    def slowly(self: KeepUp, size: Size) -> keepup.RegionStylizer:
        gate.wait(5)
        region = load(self, size)
        close = region.close
        region.close = lambda: (closed.append(size), close())  # type: ignore[method-assign]
        return region

    monkeypatch.setattr(KeepUp, "_load", slowly)
    while look._coming is None:
        look(next(pictures))
    gate.set()
    look.close()
    assert closed == [(64, 80)]


def test_a_known_cost_is_not_measured_again(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeepUp, "_measure", lambda *_: pytest.fail("measured"))
    look = KeepUp(recipe, None, EngineOptions(), cost=Cost(0.0, 2e-7))
    look(backdrop(720, 1280)[:, :960])
    assert look.status()["working"] == [432, 320]
    look.close()


def test_a_fade_drops_what_moved() -> None:
    source, old, new = (np.full((64, 64, 3), value, np.uint8) for value in (100, 140, 120))
    fade = Fade(source, old, new)
    moved = source.copy()
    moved[:, 32:] = 200
    shown = fade(moved, new)
    assert (shown[:, :16] == 138).all() and (shown[:, 48:] == 120).all()
    values = [shown[0, 0, 0], *(fade(moved, new)[0, 0, 0] for _ in range(LENGTH))]
    assert values[-1] == 120 and fade.left == 0 and (np.diff(np.array(values, int)) <= 0).all()
