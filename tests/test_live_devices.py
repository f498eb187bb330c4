"""What names of cameras stand for, and cameras over the network and through OpenCV."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from live_fakes import SimulatedClock
from media import make_clip, picture
from web import Site, self_signed, serve

from vidstyle.errors import SourceError
from vidstyle.live import devices
from vidstyle.live.av_camera import AVCamera
from vidstyle.live.camera import Capture
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import Device, Wish, find_camera, find_microphone, list_cameras
from vidstyle.live.opencv_camera import OpenCVCamera
from vidstyle.live.pixels import Fit
from vidstyle.remote import options_of

SMALL = Fit(64, 48)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Linux machine with a virtual camera, a built-in one whose second node is metadata, and another."""
    nodes = {"video0": ("virtual", "0"), "video1": ("usb", "0"), "video2": ("usb", "1"), "video4": ("usb", "0")}
    for name, (bus, index) in nodes.items():
        node = tmp_path / "devices" / bus / name
        node.mkdir(parents=True)
        (node / "index").write_text(index)
        (tmp_path / "class").mkdir(exist_ok=True)
        (tmp_path / "class" / name).symlink_to(node)
    titles = ("vidstyle", "Integrated Camera", "Integrated Camera", "HD Pro Webcam")
    found = [SimpleNamespace(name=f"/dev/{n}", description=t, media_types=["video"]) for n, t in zip(nodes, titles)]  # noqa: B905
    monkeypatch.setattr(devices, "_SYSFS", tmp_path / "class")
    monkeypatch.setattr(devices.av, "enumerate_input_devices", lambda _: found)
    monkeypatch.setattr(sys, "platform", "linux")


def test_a_device_is_listed_by_its_name_once() -> None:
    told = [str(Device(0, "/dev/video0", "Webcam")), str(Device(1, "default", "default"))]
    assert told == ["0 Webcam (/dev/video0)", "1 default"]


@pytest.mark.usefixtures("three")
def test_names_numbers_and_the_first() -> None:
    listed = [(d.index, d.title, d.is_virtual) for d in list_cameras()]
    assert listed == [(0, "vidstyle", True), (1, "Integrated Camera", False), (4, "HD Pro Webcam", False)]
    for text, address in {
        None: "/dev/video1",  # the first that is no virtual one
        "4": "/dev/video4",
        "0": "/dev/video0",
        "pro webcam": "/dev/video4",
        "/dev/video4": "/dev/video4",
        "/dev/video9": "/dev/video9",  # the system says what is wrong with it
    }.items():
        opening = find_camera(text, Wish())
        assert (opening.address, opening.format, opening.is_device) == (address, "v4l2", True), text
    best = find_camera("4", Wish((640, 360), 60)).tries[0]
    assert best == {"video_size": "640x360", "framerate": "60", "input_format": "mjpeg"}


@pytest.mark.usefixtures("three")
def test_an_unknown_name_lists_what_there_is() -> None:
    there = r"name one of 0 vidstyle \(/dev/video0\), 1 Integrated Camera \(/dev/video1\), 4 HD Pro"
    with pytest.raises(SourceError, match=f"no camera 'Logitech': {there}"):
        find_camera("Logitech", Wish())
    with pytest.raises(SourceError, match="no camera '7': name one of"):
        find_camera("7", Wish())
    with pytest.raises(SourceError, match="several cameras"):
        find_camera("a", Wish())


def test_no_camera_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "list_cameras", list)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(SourceError, match=r"no camera found: connect one, or try .* --camera test"):
        find_camera(None, Wish())
    with pytest.raises(SourceError, match=r"no camera 'x\.mp4', and none is connected \(no file of that name"):
        find_camera("x.mp4", Wish())


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_formats", lambda: {"dshow", "avfoundation"})
    found = [SimpleNamespace(name=f"@id{i}", description=f"Cam {i}", media_types=["video", "audio"]) for i in range(2)]
    monkeypatch.setattr(devices.av, "enumerate_input_devices", lambda _: found)
    monkeypatch.setattr(sys, "platform", "win32")
    windows = find_camera("Cam 1", Wish())
    assert (windows.address, windows.format) == ("video=@id1", "dshow") and windows.tries[0]["vcodec"] == "mjpeg"
    monkeypatch.setattr(sys, "platform", "darwin")
    mac = find_camera("1", Wish())
    assert (mac.address, mac.format) == ("1:none", "avfoundation")
    assert find_microphone("default").address == ":0"
    monkeypatch.setattr(devices, "_formats", set)  # a PyAV without the system's input
    assert find_camera("1", Wish()).format == "opencv" and find_camera("1", Wish()).address == "1"


def test_streams_are_read_at_once_and_reopened() -> None:
    rtsp = find_camera("rtsp://camera/1", Wish())
    assert rtsp.is_device and rtsp.is_endless and rtsp.tries[0]["rtsp_transport"] == "tcp"
    assert find_camera("http://camera/video", Wish()).is_endless


@pytest.mark.parametrize("scheme", ["http", "HTTPS", "rtsp", "srt"])
def test_a_password_is_not_shown(scheme: str) -> None:
    for text in (f"{scheme}://me:secret@camera/1?key=secret", f"opencv:{scheme}://me:secret@camera/1"):
        opening = find_camera(text, Wish())
        assert "secret" not in opening.label and "camera/1" in opening.label
        assert "me:secret@" in opening.address and opening.is_device


def test_addresses_are_opened_as_those_of_vidstyle_file() -> None:
    web = find_camera("https://camera/a b", Wish())
    assert web.address == "https://camera/a%20b"
    whole = options_of("https", 10.0)
    assert web.of_film(Wish()).tries == (whole,)
    assert {name for name in whole if name not in web.tries[0]} == {name for name in whole if "reconnect" in name}
    (rtsp, other), udp = find_camera("rtsp://camera/1", Wish()).tries, find_camera("udp://camera:1", Wish()).tries
    assert rtsp["protocol_whitelist"] == other["protocol_whitelist"] and "rtsp_transport" not in other
    assert "protocol_whitelist" not in udp[0]  # what vidstyle file does not read


def test_a_film_at_an_address_ends_as_a_file_does(tmp_path: Path, clock: SimulatedClock) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=5)
    with serve(Site(clip.path.parent)) as site:
        for loop in (False, True):
            film = AVCamera(find_camera(f"{site.url}/in.mp4", Wish()), Wish(loop=loop), SMALL, clock)
            assert (film.info.is_endless, film.info.is_device) == (loop, False)
            shown = sum(1 for _, _ in zip(range(12), film.pictures(Flag(clock)), strict=False))
            assert shown == (12 if loop else 5)
            film.close()
        with pytest.raises(SourceError, match=r"cannot open http://127.*/none\.mp4: the server has no such file"):
            AVCamera(find_camera(f"{site.url}/none.mp4", Wish()), Wish(), SMALL, clock)


def test_a_cameras_own_certificate_is_taken_when_that_is_asked_for(tmp_path: Path, clock: SimulatedClock) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=5)
    with serve(Site(clip.path.parent), self_signed(tmp_path)) as site:
        address, wish = f"{site.url}/in.mp4", Wish(any_certificate=True)
        with pytest.raises(SourceError, match=r"not valid \(self-signed certificate\); .*: --any-certificate"):
            AVCamera(find_camera(address, Wish()), Wish(), SMALL, clock)
        camera = AVCamera(find_camera(address, wish), wish, SMALL, clock)
        assert sum(1 for _ in camera.pictures(Flag(clock))) == 5
        camera.close()


@contextmanager
def serving(clip: Path, stalls: float = 0.0) -> Iterator[str]:
    """The address of a camera as phones have it: a clip's pictures, a part each, once a request.

    It says nothing for ``stalls`` seconds after them.
    """
    with av.open(str(clip)) as container:
        jpegs = [bytes(packet) for packet in container.demux(video=0) if packet.size]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=b")
            self.end_headers()
            for jpeg in jpegs:
                head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                self.wfile.write(head + jpeg + b"\r\n")
            time.sleep(stalls)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/video"
        finally:
            server.shutdown()
            thread.join()


def test_a_stream_over_http_is_a_camera(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=6, audio=0, codec="mjpeg", pix_fmt="yuvj420p")
    shown = []
    with serving(clip.path) as address:
        stream = AVCamera(find_camera(address, Wish()), Wish(), SMALL, Clock())
        with pytest.raises(SourceError):  # the end of a stream is a fault, to be waited out
            for _, image in stream.pictures(Flag(Clock())):
                shown.append(image)
        stream.close()
    assert len(shown) >= 5
    assert all(np.abs(image.astype(int) - picture(i, 64, 48)).mean() < 6 for i, image in enumerate(shown))


def test_a_stream_that_stalls_is_told_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.live.av_camera.PATIENCE", (10.0, 0.3))
    clip = make_clip(tmp_path / "in.mkv", frames=6, audio=0, codec="mjpeg", pix_fmt="yuvj420p")
    with serving(clip.path, stalls=1.0) as address:
        stream = AVCamera(find_camera(address, Wish()), Wish(), SMALL, Clock())
        with pytest.raises(SourceError, match=r"^no data for 0\.3 s$"):
            list(stream.pictures(Flag(Clock())))
        stream.close()


def test_a_stream_that_ends_is_opened_again(tmp_path: Path) -> None:
    """Over a real connection, closed by the other side after three pictures."""
    clip = make_clip(tmp_path / "in.mkv", frames=3, audio=0, codec="mjpeg", pix_fmt="yuvj420p")
    said: list[str] = []
    with serving(clip.path) as address:
        capture = Capture(lambda: AVCamera(find_camera(address, Wish()), Wish(), SMALL, Clock()), Clock(), said.append)
        capture.start()
        numbers = []
        while len(numbers) < 4:
            frame = capture.captured.get(20.0)
            assert frame is not None, "it was not opened again"
            numbers.append(frame.number)
        assert capture.stop(10.0)
    assert numbers == sorted(numbers) and numbers[-1] > 3
    assert "is gone" in said[0] and "is back" in said[1]


def test_opencv_reads_what_it_is_given(tmp_path: Path, clock: SimulatedClock) -> None:
    clip = make_clip(tmp_path / "in.avi", frames=5, audio=0, codec="mjpeg", pix_fmt="yuvj420p")
    opening = find_camera(f"opencv:{clip.path}", Wish())
    reader = OpenCVCamera(opening, Wish(), SMALL, clock)
    assert (reader.info.width, reader.info.height) == (64, 48)
    taken = []
    with pytest.raises(SourceError, match="no more pictures"):
        for _, image in reader.pictures(Flag(clock)):
            taken.append(image)
    reader.close()
    assert len(taken) == 5
    assert np.abs(taken[2].astype(int) - picture(2, 64, 48)).mean() < 8
    with pytest.raises(SourceError, match="cannot open"):
        OpenCVCamera(find_camera("opencv:99", Wish()), Wish(), SMALL, clock)
    with pytest.raises(SourceError, match="cannot give 320x240"):
        OpenCVCamera(opening, Wish((320, 240)), SMALL, clock)


@pytest.mark.parametrize(("says", "believed"), [(-1.0, None), (0.0, None), (1000.0, None), (29.97, 29.97)])
def test_a_rate_that_opencv_does_not_know_is_none(
    tmp_path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch, says: float, believed: float | None
) -> None:
    """A driver that does not say makes it -1."""
    real = cv2.VideoCapture

    class Vague:
        def __init__(self, *args: Any) -> None:
            self._device = real(*args)

        def get(self, which: int) -> float:
            return says if which == cv2.CAP_PROP_FPS else float(self._device.get(which))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._device, name)

    monkeypatch.setattr(cv2, "VideoCapture", Vague)
    clip = make_clip(tmp_path / "in.avi", frames=5, audio=0, codec="mjpeg", pix_fmt="yuvj420p")
    camera = OpenCVCamera(find_camera(f"opencv:{clip.path}", Wish()), Wish(), SMALL, clock)
    assert camera.info.rate == believed and (" fps" in str(camera.info)) == bool(believed)
    camera.close()
