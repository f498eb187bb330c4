"""Cameras: what a name stands for, pictures at their times, and one line for everything that can be in the way."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from live_fakes import SimulatedClock
from media import make_clip, picture

from vidstyle.errors import SourceError, UsageError
from vidstyle.live import av_camera, devices
from vidstyle.live.av_camera import AVCamera, open_device
from vidstyle.live.camera import Capture
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import Opening, Wish, find_camera, find_microphone, list_cameras
from vidstyle.live.opencv_camera import OpenCVCamera
from vidstyle.live.pixels import Fit, to_i420

SMALL = Fit(64, 48)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


def take(camera: Any, clock: SimulatedClock, count: int) -> list[tuple[float, np.ndarray]]:
    """The first ``count`` pictures, or all there are."""
    stop, taken = Flag(clock), []
    for time, image in camera.pictures(stop):
        taken.append((time, image))
        if len(taken) == count:
            stop.set()
    camera.close()
    return taken


def camera(clock: SimulatedClock, text: str, fit: Fit = SMALL, **wish: Any) -> AVCamera:
    return AVCamera(find_camera(text, Wish(**wish)), Wish(**wish), fit, clock)


# Pictures


def test_a_file_gives_its_pictures_at_its_own_times(tmp_path: Path, clock: SimulatedClock) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=8, pts=[0, 512, 1024, 2048, 2560, 5120, 5632, 6144], audio=1)
    taken = take(camera(clock, str(clip.path)), clock, 100)
    times = np.array([time for time, _ in taken]) - taken[0][0]
    assert len(taken) == 8 and clock.now() - taken[0][0] == pytest.approx(float(clip.times[-1]), abs=2e-3)
    assert times == pytest.approx([float(t) for t in clip.times], abs=2e-3)
    for index, (_, image) in enumerate(taken):
        assert image.shape == (48, 64, 3) and image.flags.c_contiguous
        assert np.abs(image.astype(int) - picture(index, 64, 48)).mean() < 6


def test_a_file_begins_again_only_where_asked(tmp_path: Path, clock: SimulatedClock) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=5)
    assert len(take(camera(clock, str(clip.path)), clock, 100)) == 5
    taken = take(camera(clock, str(clip.path), loop=True), clock, 17)
    assert len(taken) == 17
    assert np.diff([time for time, _ in taken]) == pytest.approx(1 / 25, abs=1e-3), "no hitch where it begins again"
    assert np.abs(taken[0][1].astype(int) - taken[5][1]).max() <= 1


def test_the_test_picture_has_the_size_and_rate_asked_for(clock: SimulatedClock) -> None:
    test = camera(clock, "test", size=(320, 240), rate=50)
    assert (test.info.width, test.info.height, test.info.rate) == (320, 240, 50)
    taken = take(test, clock, 10)
    assert np.diff([time for time, _ in taken]) == pytest.approx(1 / 50)
    assert len({image.tobytes() for _, image in taken}) == 10


def test_pictures_that_queued_up_in_the_driver_are_left_out(clock: SimulatedClock) -> None:
    """Converting takes longer than a picture lasts: what comes out is still at most three intervals old."""
    source, stop, seen = camera(clock, "lavfi:testsrc2=size=64x48:rate=30"), Flag(clock), []
    for time, _ in source.pictures(stop):
        clock.sleep(0.05)
        seen.append((time, clock.now() - time))
        if len(seen) == 100:
            break
    source.close()
    assert max(age for _, age in seen) <= 3 / 30 + 0.05 + 1e-6
    assert np.diff([time for time, _ in seen]).min() > 0.03 and seen[-1][0] - seen[0][0] == pytest.approx(5, abs=0.3)


def test_a_late_reader_gets_no_old_times(clock: SimulatedClock) -> None:
    """Whoever is away for long goes on with the present, as a camera does."""
    stop = Flag(clock)
    times = []
    for time, _ in camera(clock, "lavfi:testsrc=size=64x48:rate=10").pictures(stop):
        times.append(clock.now() - time)
        if len(times) == 3:
            clock.sleep(20)
        if len(times) == 10:
            break
    assert max(times) <= 1.0 + 1e-6


@pytest.mark.parametrize(
    ("mode", "corner", "middle"), [("letterbox", (0, 0), (40, 80)), ("crop", (200, 200), (40, 80))]
)
def test_another_shape_is_fitted(
    tmp_path: Path, clock: SimulatedClock, mode: str, corner: tuple[int, int], middle: tuple[int, int]
) -> None:
    path = tmp_path / "tall.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 40, 80, "bgr0"
        image = np.full((80, 40, 3), 200, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        out.mux(stream.encode(None))
    (_, image), *_ = take(camera(clock, str(path), Fit(160, 80, mode)), clock, 1)
    assert image.shape == (80, 160, 3)
    assert abs(int(image[0, 0, 0]) - corner[0]) <= 1 and abs(int(image[*middle, 0]) - 200) <= 1
    columns = np.flatnonzero(image[40, :, 0] > 100)
    assert (columns[0], columns[-1]) == ((60, 99) if mode == "letterbox" else (0, 159))


def test_a_turned_phone_video_stands_upright(clock: SimulatedClock, shared: Callable[[str], Path]) -> None:
    path = shared("media/internal_emulator_transformer_output_180_rotated.mp4")
    (_, turned), *_ = take(camera(clock, str(path), Fit(256, 144)), clock, 1)
    with av.open(str(path)) as container:
        raw = next(container.decode(video=0)).reformat(256, 144, "rgb24").to_ndarray()
    inner = turned[:, 30:-30]
    same, other = np.abs(inner.astype(int) - raw[::-1, ::-1][:, 30:-30]), np.abs(inner.astype(int) - raw[:, 30:-30])
    assert same.mean() < other.mean() / 2


def test_colours_are_those_of_the_stream(tmp_path: Path, clock: SimulatedClock) -> None:
    """Full-range pictures, as webcams' JPEGs are, and limited ones; BT.601 and BT.709."""
    for name, options in {
        "jpeg.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "colorspace": 5},
        "tv.mkv": {"codec": "libx264", "pix_fmt": "yuv444p", "colorspace": 1},
    }.items():
        clip = make_clip(tmp_path / name, frames=2, audio=0, **options)  # type: ignore[arg-type]
        (_, image), *_ = take(camera(clock, str(clip.path)), clock, 1)
        assert np.abs(image.astype(int) - picture(0, 64, 48)).mean() < 4, name


def test_i420_says_the_same_as_ffmpeg() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (48, 64, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    theirs = frame.reformat(format="yuv420p", dst_colorspace=5, interpolation=32 | 0x40000).to_ndarray()
    ours = to_i420(image)
    assert ours.shape == theirs.shape and np.abs(ours.astype(int) - theirs).max() <= 2


# What is in the way


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOENT, "not connected"),
        (errno.EBUSY, "another program uses it: close that one"),
        (errno.EACCES, "usermod -aG video"),
        (errno.ENOTTY, "no camera"),
        (errno.EIO, "--list"),
    ],
)
def test_a_refusal_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch, code: int, says: str) -> None:
    tried = []

    def refuse(_: str, **more: object) -> None:
        tried.append(more["options"])
        raise OSError(code, "in the system's words")

    monkeypatch.setattr(av_camera.av, "open", refuse)
    opening = Opening("camera X", "/dev/video0", "v4l2", ({"input_format": "mjpeg"}, {}), is_device=True)
    with pytest.raises(SourceError, match=says) as caught:
        open_device(opening)
    assert "camera X" in str(caught.value) and "\n" not in str(caught.value)
    assert len(tried) == (2 if code == errno.EIO else 1), "only what other options may change is tried again"


def test_real_refusals(clock: SimulatedClock, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("asks v4l2")
    for device, says in (("/dev/video99", "not connected"), ("/dev/null", "it is no camera")):
        with pytest.raises(SourceError, match=says):
            camera(clock, device)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"text\.mp4"):
        camera(clock, str(tmp_path / "text.mp4"))
    with pytest.raises(SourceError, match="nobody answers"):
        camera(clock, "http://127.0.0.1:9/stream")
    sound = make_clip(tmp_path / "in.mkv", frames=2).path
    with av.open(str(sound)) as source, av.open(str(tmp_path / "sound.mka"), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(SourceError, match="no pictures"):
        camera(clock, str(tmp_path / "sound.mka"))


def test_a_size_the_camera_cannot_give_is_refused(tmp_path: Path, clock: SimulatedClock) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2)
    with pytest.raises(SourceError, match="cannot give 1920x1080, it gives 64x48: leave --camera-size out or name"):
        camera(clock, str(clip.path), size=(1920, 1080))
    camera(clock, str(clip.path), size=(64, 48)).close()


def test_a_few_broken_pictures_are_left_out_many_are_the_end(
    tmp_path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "in.mkv", frames=60, audio=0, codec="mjpeg", pix_fmt="yuvj420p")

    class Broken:
        def decode(self) -> None:
            raise av.error.InvalidDataError(1, "Invalid data")

    real = av_camera.timed_packets

    def some(*args: Any) -> Any:
        for number, (time, packet) in enumerate(real(*args)):
            yield time, (Broken() if number in broken else packet)

    monkeypatch.setattr(av_camera, "timed_packets", some)
    broken = range(3)
    assert len(take(camera(clock, str(clip.path)), clock, 100)) == 57
    broken = range(10, 50)
    with pytest.raises(SourceError, match="cannot be decoded"):
        take(camera(clock, str(clip.path)), clock, 100)


def test_a_fit_that_is_none_is_refused() -> None:
    for bad in ((15, 48), (64, 49), (8, 8)):
        with pytest.raises(UsageError, match="even numbers"):
            Fit(*bad)
    with pytest.raises(UsageError, match="letterbox, crop"):
        Fit(64, 48, "stretch")


# Names


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


@contextmanager
def serving(clip: Path) -> Iterator[str]:
    """The address of a camera as phones have it: a clip's pictures, a part each, once a request."""
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


def test_the_drivers_own_time_counts_where_it_is_of_this_clock() -> None:
    assert av_camera._capture_time(99.95, 100.0) == 99.95
    for stamp in (100.1, 98.0, 1.7e9):
        assert av_camera._capture_time(stamp, 100.0) == 100.0


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera at /dev/video0")
def test_a_real_camera_gives_pictures() -> None:
    real = AVCamera(find_camera("/dev/video0", Wish()), Wish(), Fit(), Clock())
    stop = Flag(Clock())
    for count, (_, image) in enumerate(real.pictures(stop)):
        assert image.shape == (720, 1280, 3)
        if count == 5:
            stop.set()
    real.close()
    assert count >= 5
