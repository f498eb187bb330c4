"""The bars around a camera's picture of another shape: no look is drawn on them, and they cost nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from live_fakes import Bench, Collector, FakeCamera, FakeLook
from media import make_clip

from vidstyle.live import run
from vidstyle.live.av_camera import AVCamera
from vidstyle.live.change import Rect
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import Wish, find_camera
from vidstyle.live.pixels import Fit
from vidstyle.live.session import Session


class Negative(FakeLook):
    """A look that would draw on bars."""

    shapes: set[tuple[int, ...]]

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        self.shapes.add(picture.shape)
        return np.asarray(255 - picture)


def shown(source: np.ndarray, area: Rect | None, *commands: tuple[str, object]) -> tuple[np.ndarray, Negative]:
    """What a session shows of a picture, and the look."""
    bench = Bench()
    camera, look = FakeCamera(bench.clock), Negative(bench.clock)
    look.shapes = set()
    session: Session = bench.run(0.2, look, [("out", Collector(bench.clock))], lambda: camera)
    look.shapes.clear()
    for name, value in commands:
        bench.controls.command(name, value)
    return session._picture(source, area), look


@pytest.mark.parametrize("mirror", [False, True])
def test_bars_stay_black_and_the_look_does_not_see_them(mirror: bool) -> None:
    area = Rect(0, 5, 16, 22)  # one pixel nearer to the left
    source = np.zeros((16, 28, 3), np.uint8)
    source[area.slices] = np.random.default_rng(0).integers(1, 255, (16, 17, 3))
    result, look = shown(source, area, *([("mirror", True)] if mirror else []))
    expected = np.zeros_like(source)
    expected[area.slices] = 255 - source[area.slices]
    assert np.array_equal(result, expected[:, ::-1] if mirror else expected)
    assert look.shapes == {(16, 17, 3)}


@pytest.mark.parametrize(
    ("fit", "area"),
    [
        (Fit(160, 80), Rect(0, 40, 80, 120)),
        (Fit(80, 160), Rect(40, 0, 120, 80)),
        (Fit(160, 80, "crop"), None),
        (Fit(80, 80), None),
    ],
)
def test_a_camera_says_where_its_picture_is(tmp_path: Path, fit: Fit, area: Rect | None) -> None:
    path = make_clip(tmp_path / "square.mp4", frames=3, size=(96, 96)).path
    clock = Clock()
    camera = AVCamera(find_camera(str(path), Wish()), Wish(), fit, clock)
    stop = Flag(clock)
    _, picture = next(camera.pictures(stop))
    assert camera.area == area
    outside = np.ones(picture.shape[:2], bool)
    outside[area.slices if area else ...] = False
    assert not picture[outside].any()
    stop.set()
    camera.close()


def test_the_look_is_made_ready_for_the_picture_without_its_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the first picture of the camera would wait until its own size is loaded."""
    path = make_clip(tmp_path / "square.mp4", frames=3, size=(96, 96)).path
    shapes = []

    class Look:
        def __call__(self, picture: np.ndarray) -> np.ndarray:
            shapes.append(picture.shape)
            return picture

        def close(self) -> None:
            pass

    monkeypatch.setattr(run, "LookLoader", lambda *_: lambda _: Look())
    job = run.LiveJob(str(path), fit=Fit(160, 80), virtual_camera=False, record=tmp_path / "a.mkv")
    run.open_session(job, lambda _: None).session.stop()
    assert shapes == [(80, 80, 3)]
