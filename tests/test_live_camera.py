"""Cameras: what a name stands for, pictures at their times, and one line for everything that can be in the way."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live_fakes import SimulatedClock
from media import make_clip, picture

from vidstyle.errors import SourceError, UsageError
from vidstyle.live import av_camera
from vidstyle.live.av_camera import AVCamera, open_device
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import Opening, Wish, find_camera
from vidstyle.live.pixels import Fit, to_i420
from vidstyle.source import SourceOptions, VideoSource

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


def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are(tmp_path: Path, clock: SimulatedClock) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 40, 80, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        image = np.full((80, 40, 3), 200, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    (_, image), *_ = take(camera(clock, str(path), Fit(160, 80)), clock, 1)
    columns = np.flatnonzero(image[40, :, 0] > 100)
    assert (columns[0], columns[-1]) == (40, 119)


def test_the_best_video_of_a_file_is_shown(clock: SimulatedClock, shared: Callable[[str], Path]) -> None:
    best = camera(clock, str(shared("media/nasa_13013.mp4")))
    best.close()
    assert (best.info.width, best.info.height) == (480, 270)


@pytest.mark.parametrize("name", ["hlg10-color-test.mp4", "hdr10-av1.mp4", "h264_white_frame_sar_16_9.mp4"])
def test_a_picture_is_that_of_vidstyle_file(clock: SimulatedClock, shared: Callable[[str], Path], name: str) -> None:
    path = shared(f"media/{name}")
    with VideoSource(path, SourceOptions(size=64)) as source:
        height, width = source.info.working
        expected = next(iter(source)).image
    fit = Fit(width + width % 2, height + height % 2, "letterbox")
    (_, image), *_ = take(camera(clock, str(path), fit), clock, 1)
    assert np.abs(image[:height, :width].astype(int) - expected).mean() < 1


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


def test_a_file_without_a_picture_is_not_read_for_ever(clock: SimulatedClock, shared: Callable[[str], Path]) -> None:
    for name in ("invalid_userdata.mp4", "test_case_1185230.mp4", "sample_with_sdt.ts"):
        assert take(camera(clock, str(shared(f"media/{name}")), loop=True), clock, 1) == []


def test_a_rate_that_cannot_be_is_not_believed(clock: SimulatedClock, shared: Callable[[str], Path]) -> None:
    """Its average reads 1000: the look would have a millisecond."""
    opened = camera(clock, str(shared("media/sample.mkv")))
    opened.close()
    assert opened.info.rate == 60


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
