"""Where pictures go: virtual camera, window, recording, snapshot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from live_fakes import FakeCamera, FakeLook, SimulatedClock, numbered
from media import left_behind, picture

from vidstyle.errors import SinkError
from vidstyle.health import WARN, Finding
from vidstyle.live import outputs
from vidstyle.live.camera import Capture
from vidstyle.live.controls import Controls
from vidstyle.live.looks import Looks
from vidstyle.live.outputs import VirtualCamera, Window
from vidstyle.live.pixels import to_i420
from vidstyle.live.session import Session
from vidstyle.live.snapshot import save_snapshot

pyvirtualcam = pytest.importorskip("pyvirtualcam")


class Driver:
    """A back end of pyvirtualcam that keeps what arrives."""

    arrived: list[np.ndarray]
    opened: list[dict[str, Any]]

    def __init__(self, **options: Any) -> None:
        if options["device"] == "taken":
            raise RuntimeError("Device taken is already in use.")
        if options["device"] == "missing":
            raise RuntimeError("Device missing does not exist.")
        self.opened.append(options)
        self.closed = False

    def send(self, frame: np.ndarray) -> None:
        assert not self.closed
        self.arrived.append(frame.copy())

    def close(self) -> None:
        self.closed = True

    def device(self) -> str:
        return "Test Camera"

    def native_fourcc(self) -> None:
        return None


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> type[Driver]:
    """Registered with pyvirtualcam, in the place of the system's drivers."""
    from pyvirtualcam import camera

    monkeypatch.setattr(camera, "BACKENDS", {})
    monkeypatch.setattr(Driver, "arrived", [], raising=False)
    monkeypatch.setattr(Driver, "opened", [], raising=False)
    pyvirtualcam.register_backend("test", Driver)
    return Driver


# The virtual camera


def test_what_arrives_is_what_was_sent(driver: type[Driver]) -> None:
    camera = VirtualCamera(64, 48, 30.0)
    assert camera.device == "Test Camera"
    assert driver.opened[0]["fourcc"] == int.from_bytes(b"I420", "little") and driver.opened[0]["width"] == 64
    for index in range(3):
        camera.send(picture(index, 64, 48), {})
    camera.close()
    assert len(driver.arrived) == 3
    for index, frame in enumerate(driver.arrived):
        assert np.array_equal(frame, to_i420(picture(index, 64, 48)).reshape(-1))
        planes = av.VideoFrame.from_ndarray(frame.reshape(72, 64), format="yuv420p")
        rgb = planes.reformat(format="gbrp", src_colorspace=5).reformat(format="rgb24").to_ndarray()
        assert np.abs(rgb.astype(int) - picture(index, 64, 48))[:-2, :-2].mean() < 6


def test_a_session_reaches_the_driver_in_order(driver: type[Driver]) -> None:
    """Camera to look to pyvirtualcam: every picture, styled, none twice, none out of order."""
    clock = SimulatedClock()
    controls = Controls(["one"], "one")
    capture = Capture(lambda: FakeCamera(clock, length=30, endless=False), clock, print)
    looks = Looks(lambda _: FakeLook(clock, 0.01, mark=255), "one", numbered(0), clock)
    with Session(capture, looks, [("virtual camera", VirtualCamera(16, 16, 30.0))], controls, clock) as session:
        session.run()
    expected = []
    for index in range(30):
        styled = numbered(index)
        styled[-1] = 255
        expected.append(to_i420(styled).reshape(-1))
    assert np.array_equal(driver.arrived, expected)


@pytest.mark.usefixtures("driver")
def test_a_taken_device_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "find_driver", lambda: Finding(WARN, "without exclusive_caps", "load it again"))
    with pytest.raises(SinkError, match=r"already in use.*close the program that sends.*--no-virtual-camera") as e:
        VirtualCamera(64, 48, 30.0, "taken")
    assert "\n" not in str(e.value)


@pytest.mark.usefixtures("driver")
def test_a_missing_driver_is_one_line_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "find_driver", lambda: Finding(WARN, "no driver", "sudo modprobe v4l2loopback"))
    with pytest.raises(SinkError, match=r"no driver.*sudo modprobe v4l2loopback.*--no-virtual-camera"):
        VirtualCamera(64, 48, 30.0, "missing")


def test_a_missing_pyvirtualcam_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match=r"pip install 'vidstyle\[live\]'"):
        VirtualCamera(64, 48, 30.0)


@pytest.mark.skipif(not Path("/sys/module/v4l2loopback").exists(), reason="the module v4l2loopback is not loaded")
def test_a_real_loopback_device_gives_it_back() -> None:
    camera = VirtualCamera(64, 48, 30.0)
    try:
        camera.send(picture(3, 64, 48), {})
        with av.open(camera.device, format="v4l2") as container:
            camera.send(picture(3, 64, 48), {})
            shown = next(container.decode(video=0)).reformat(format="rgb24").to_ndarray()
        assert np.abs(shown.astype(int) - picture(3, 64, 48)).mean() < 6
    finally:
        camera.close()


# The window


def test_a_build_without_windows_says_what_to_do() -> None:
    import cv2

    if "GUI:                           NONE" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has windows")
    with pytest.raises(SinkError, match="pip uninstall opencv-python-headless"):
        Window(Controls(["one"], "one"), 64, 48)


def test_the_window_shows_the_newest_and_takes_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    shown: list[np.ndarray] = []
    keys, visible = [ord("m"), -1, ord("q")], [1.0]
    fake = SimpleNamespace(
        **{name: getattr(cv2, name) for name in ("cvtColor", "COLOR_RGB2BGR", "error")},
        **{name: getattr(cv2, name) for name in ("WINDOW_NORMAL", "WINDOW_KEEPRATIO", "WND_PROP_VISIBLE")},
        namedWindow=lambda *_: None,
        resizeWindow=lambda *_: None,
        imshow=lambda _, image: shown.append(image),
        waitKey=lambda _: keys.pop(0) if keys else -1,
        getWindowProperty=lambda *_: visible[0],
        destroyAllWindows=lambda: shown.clear(),
    )
    monkeypatch.setattr(outputs, "opencv", lambda: fake)
    controls = Controls(["one"], "one")
    window = Window(controls, 64, 48)
    window.show()  # before the first picture
    assert shown == [] and controls.mirror
    for index in range(3):
        window.send(picture(index, 64, 48), {})
    window.show()
    assert len(shown) == 1 and np.array_equal(shown[0][..., ::-1], picture(2, 64, 48)) and not controls.has_ended
    window.show()
    assert controls.has_ended
    other = Controls(["one"], "one")
    visible[0] = 0.0
    Window(other, 64, 48).show()
    assert other.has_ended, "closing the window ends the session"


# Snapshots


def test_snapshots_are_exact_and_never_replace_another(tmp_path: Path, shown: Callable[[Path], np.ndarray]) -> None:
    paths = [save_snapshot(picture(index, 64, 48), tmp_path) for index in range(3)]
    assert len(set(paths)) == 3 and left_behind(tmp_path, *(p.name for p in paths)) == []
    for index, path in enumerate(paths):
        assert np.array_equal(shown(path), picture(index, 64, 48))
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot write"):
        save_snapshot(picture(0, 64, 48), tmp_path / "file")


@pytest.fixture
def shown() -> Callable[[Path], np.ndarray]:
    from vidstyle.picture import read_picture

    return lambda path: read_picture(path).rgb
