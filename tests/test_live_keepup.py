"""A look that keeps up: the size follows the machine's load, without a jump and without a stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from still_scenes import backdrop
from style_files import random_weights

from vidstyle import faces
from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import EngineError
from vidstyle.live import keepup, run
from vidstyle.live.adaptive import HOLD_DOWN, HOLD_UP, Cost
from vidstyle.live.keepup import GLANCE, GLANCES, KeepUp
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, weights_sha256
from vidstyle.stylizer import Stylizer

ARCH = Architecture("student", (8, 12), (1, 1), (0, 0), guided=False)
RATE = 6.0  # pictures a second: few of them, since each is really enlarged
FULL = 1280 * 720


class Machine:
    """Time that only passes while pictures are computed, and what they take."""

    def __init__(self, whole: float) -> None:
        self.now, self.whole = 0.0, whole  # seconds that 1280x720 takes
        self.base = 0.0  # and a picture of any size
        self.fails: set[int] = set()  # heights that cannot be loaded
        self.cold: set[int] = set()  # heights that are loaded, and cannot compute a picture
        self.open: list[tuple[int, int]] = []

    def work(self, height: int, width: int) -> None:
        self.now += self.base + self.whole * height * width / FULL


class Region:
    """Stands in for `RegionStylizer`: half as bright, and as slow as the machine."""

    description, noise, cost = "a test's engine", 0.0, 1.0

    def __init__(self, machine: Machine, height: int, width: int) -> None:
        if height in machine.fails:
            raise EngineError(f"no memory for {width}x{height}")
        self.size, self._machine = (height, width), machine
        machine.open.append(self.size)

    def warm(self) -> None:
        if self.size[0] in self._machine.cold:
            raise EngineError("no memory for a picture")

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        assert picture.shape[:2] == self.size
        self._machine.work(*self.size)
        return picture // 2

    def close(self) -> None:
        self._machine.open.remove(self.size)


class Engine(Region):
    """Stands in for the engine that sizes are measured with."""

    def __init__(self, machine: Machine, height: int, width: int) -> None:
        super().__init__(machine, height, width)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return super().__call__(batch[0])[None]

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Machine, KeepUp]]]:
    looks: list[KeepUp] = []

    monkeypatch.setattr(faces, "faces_in", lambda _: a_face(0.05, 0.0))

    def make(whole: float, size: int | None = None, **options: Any) -> tuple[Machine, KeepUp]:
        machine = Machine(whole)
        monkeypatch.setattr(keepup, "RegionStylizer", lambda _, height, width, **__: Region(machine, height, width))
        monkeypatch.setattr(keepup, "load_engine", lambda _, spec, __: Engine(machine, spec.height, spec.width))
        look = KeepUp(recipe(), size, EngineOptions(), rate=RATE, now=lambda: machine.now, **options)
        looks.append(look)
        return machine, look

    yield make
    for look in looks:
        look.close()


def a_face(eyes: float, count: float = 1.0) -> np.ndarray:
    """As `faces.faces_in` tells of it."""
    return np.array([[eyes, count]])


def recipe(arch: Architecture = ARCH) -> Recipe:
    weights = random_weights(arch, 0)
    card = Card("t", "A test's look", arch, "Apache-2.0", "made by a test", sha256=weights_sha256(weights))
    return Recipe(((Style(card, weights), 1.0),))


def scene(count: int) -> Iterator[np.ndarray]:
    """1280x720, smooth, another every time."""
    small = backdrop(45, 80)
    for index in range(count):
        yield cv2.resize(np.roll(small, index, 1), (1280, 720))


def show(machine: Machine, look: KeepUp, seconds: float) -> list[np.ndarray]:
    """Pictures at the camera's rate; sizes that are asked for arrive within one."""
    shown = []
    for picture in scene(round(seconds * RATE)):
        began = machine.now
        shown.append(look(picture))
        machine.now = max(machine.now, began + 1 / RATE)
        if look._coming is not None:
            until = time.monotonic() + 5
            while not look._coming.done() and time.monotonic() < until:
                time.sleep(0.001)
    return shown


def test_the_size_is_the_largest_that_the_machine_keeps_up_with(opened: Any) -> None:
    for whole, wanted in [(0.05, 720), (0.2, 512), (2.5, 320)]:
        machine, look = opened(whole)
        shown = look(next(scene(1)))
        assert shown.shape == (720, 1280, 3)
        assert look.status()["working"][1] == wanted and look.status()["size"] == "auto"
        assert machine.open == [look._region.size]


@pytest.mark.parametrize(("base", "wanted"), [(0.0, 360), (0.03, 360), (0.1, 320)])
def test_a_small_picture_is_measured_at_two_sizes_too(opened: Any, base: float, wanted: int) -> None:
    """Of which there are no more. One alone does not tell what a picture takes apart from its pixels."""
    machine, look = opened(0.2)
    machine.base = base
    look(cv2.resize(next(scene(1)), (640, 360)))
    assert look.status()["working"][1] == wanted
    assert look.cost.base == pytest.approx(base, abs=1e-6)


def test_it_follows_the_load_down_and_up(opened: Any) -> None:
    machine, look = opened(0.2)
    show(machine, look, 1)
    before = look.status()["working"]
    machine.whole = 0.4  # another program takes half of the machine
    show(machine, look, 4 * HOLD_DOWN)
    busy = look.status()["working"]
    assert busy[1] == 384 < before[1]
    machine.whole = 0.1
    show(machine, look, 10 * HOLD_UP)
    assert look.status()["working"][1] > before[1]
    assert len(machine.open) == 1, "sizes that are left are closed"


def test_it_heeds_the_faces(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine could do: somebody who comes close is drawn at a smaller size, until they lean back."""
    machine, look = opened(0.01)
    show(machine, look, 1)
    assert look.status()["working"][1] == 720
    monkeypatch.setattr(faces, "faces_in", lambda _: a_face(0.2))
    show(machine, look, (GLANCES + 2) * GLANCE)
    close = look.status()["working"][1]
    assert 0.2 * close < 90
    monkeypatch.setattr(faces, "faces_in", lambda _: a_face(0.07))
    show(machine, look, (GLANCES + 2) * GLANCE + 6 * HOLD_UP)
    assert look.status()["working"][1] == 720


def test_a_size_that_was_given_does_not_heed_them(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, look = opened(0.01, size=720)
    monkeypatch.setattr(faces, "faces_in", lambda _: pytest.fail("looked for faces"))
    show(machine, look, 3 * GLANCE)
    assert look.status()["working"][1] == 720


def test_a_look_begins_at_the_size_that_suits_the_faces(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, look = opened(0.01)
    monkeypatch.setattr(faces, "faces_in", lambda _: a_face(0.2))
    look(next(scene(1)))
    assert look.status()["working"][1] < 450


def test_a_failed_search_for_faces_leaves_the_load_to_decide(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, look = opened(0.01)
    show(machine, look, 1)

    def failing(_: np.ndarray) -> np.ndarray:
        raise EngineError("no memory")

    monkeypatch.setattr(faces, "faces_in", failing)
    show(machine, look, 4 * GLANCE)
    assert look.status()["working"][1] == 720


def test_another_size_comes_without_a_jump(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still scene but for one pixel: between two pictures at most a quarter of the difference."""
    monkeypatch.setattr(Region, "__call__", lambda self, picture: _by_height(self, picture))
    machine, look = opened(0.2)
    picture = np.full((720, 1280, 3), 90, np.uint8)
    machine_before, shown = machine.whole, []
    for index in range(60):
        machine.whole = machine_before if index < 10 else 0.3
        other = picture.copy()
        other[0, 0] = index % 256
        shown.append(int(look(other)[400, 640, 0]))
        machine.now += 1 / RATE
        if look._coming is not None:
            time.sleep(0.01)
    assert len(set(shown)) > 5 and abs(shown[-1] - shown[0]) >= 10
    assert np.abs(np.diff(shown)).max() <= 0.25 * abs(shown[-1] - shown[0]), "the change is spread over pictures"


def _by_height(region: Region, picture: np.ndarray) -> np.ndarray:
    region._machine.work(*region.size)
    return np.full_like(picture, region.size[0] // 4)


def test_a_size_that_cannot_be_loaded_is_told_and_the_present_one_goes_on(opened: Any) -> None:
    machine, look = opened(0.2)
    show(machine, look, 1)
    before = look.status()["working"]
    machine.fails, machine.whole = {448, 384, 320}, 0.4
    show(machine, look, 3 * HOLD_DOWN)
    status = look.status()
    assert status["working"] == before and "no memory" in status["error"]


def test_a_size_that_fails_with_its_first_picture_is_closed(opened: Any) -> None:
    machine, look = opened(0.2)
    show(machine, look, 1)
    machine.cold, machine.whole = {448, 384, 320}, 0.4
    show(machine, look, 3 * HOLD_DOWN)
    assert "no memory" in look.status()["error"] and machine.open == [tuple(look.status()["working"][::-1])]


def test_a_size_that_was_given_stays_and_nothing_is_measured(opened: Any) -> None:
    machine, look = opened(1.0, 360)
    show(machine, look, 3)
    assert look.status()["working"] == [640, 360] and look.cost is None


def test_what_was_measured_serves_the_next_look(opened: Any) -> None:
    machine, look = opened(0.2)
    look(next(scene(1)))
    spent = machine.now
    _, other = opened(0.2, cost=look.cost)
    other(next(scene(1)))
    assert other.status()["working"] == look.status()["working"]
    assert spent > 0.5 > other._now()


def test_each_kind_of_network_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a quick one takes says nothing about a slow one, which would begin at a size that it cannot keep up with."""

    class Made:
        def __init__(self, *_: Any, cost: Cost | None, **__: Any) -> None:
            self.given = self.cost = cost

    slow, quick = recipe(), recipe(Architecture("student", (4, 6), (1, 1), (0, 0), guided=False))
    looks = {"anime": slow, "anime-fast": quick, "3d": slow, "mix": Recipe(slow.parts * 2)}
    monkeypatch.setattr(run, "parse_recipe", looks.__getitem__)
    monkeypatch.setattr(run, "KeepUp", Made)
    loader: Any = run.LookLoader(run.LiveJob(), 30, True)
    given = []
    for number, name in enumerate(["anime", "anime-fast", "3d", "mix", "anime-fast"]):
        look = loader(name)
        given.append(look.given and look.given.base)
        look.cost = look.given or Cost(number, 0)  # with its first picture
    assert given == [None, None, 0, None, 1]


def test_an_unchanged_picture_is_not_computed(opened: Any) -> None:
    machine, look = opened(0.2)
    picture = next(scene(1))
    first = look(picture)
    spent = machine.now
    assert look(picture.copy()) is first and machine.now == spent and look.unchanged == 1


def test_a_look_that_flickers_is_steadied(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter(range(1000))
    monkeypatch.setattr(Region, "__call__", lambda _, picture: (picture // 2) + np.uint8(20 * (next(turns) % 2)))
    spread = []
    for amount in (0.0, 0.6):
        _, look = opened(0.05, 360, steady=amount)
        still = cv2.resize(backdrop(45, 80), (1280, 720))
        shown = []
        for index in range(12):
            still[0, 0] = index  # or it would not be computed
            shown.append(look(still.copy())[200:500, 300:900].astype(float))
        spread.append(np.abs(np.diff(shown[4:], axis=0)).mean())
    assert spread[0] > 15 and spread[1] < 0.7 * spread[0]


def test_with_a_real_network_it_is_the_look_of_the_small_picture_with_detail(home: Any) -> None:  # noqa: ARG001
    picture = cv2.resize(backdrop(36, 64), (320, 192))
    look = KeepUp(recipe(), 96, EngineOptions(precision="f32"), noise=0.0)
    try:
        shown = look(picture)
        assert look.status()["working"] == [160, 96] and "OpenVINO" in look.status()["engine"]
    finally:
        look.close()
    with Stylizer(recipe(), precision="f32") as whole:
        styled = whole(cv2.resize(picture, (160, 96)))
    assert cv2.PSNR(shown, cv2.resize(styled, (320, 192))) > 25
    assert shown.shape == picture.shape
