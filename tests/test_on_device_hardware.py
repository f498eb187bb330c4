"""A GPU's decoder and encoder, by stand-ins that behave as PyAV's hardware frames do, on the CPU as the device."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media import make_clip, save_tiny, video_times

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.engine_options import EngineOptions
from vidstyle.inputs import open_input
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.on_device import Device, Surface
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions

DEVICE = EngineOptions("torch", "cpu", "f32", pictures="device")
LOSSLESS = SinkOptions(EncoderOptions(crf=0))


class Plane:
    """Of a hardware frame: DLPack without a stream, and no buffer."""

    def __init__(self, plane: Any) -> None:
        self._plane = plane

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        if stream is not None:
            raise NotImplementedError("Pass stream=None and synchronize before calling __dlpack__.")
        return self._plane.__dlpack__()


class Hardware:
    """A frame of format "cuda", as PyAV 18.1 gives them with ``is_hw_owned``."""

    downloads = 0

    def __init__(self, frame: Any) -> None:
        name = "nv12" if frame.format.components[0].bits == 8 else "p010le"
        self._frame, self._planes = frame, frame.reformat(format=name)
        self.format, self.sw_format = av.VideoFormat("nv12"), self._planes.format
        self.pts = frame.pts

    @property
    def planes(self) -> tuple[Plane, ...]:
        return tuple(map(Plane, self._planes.planes))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frame, name)

    def reformat(self, **wanted: Any) -> Any:
        type(self).downloads += 1
        return self._planes.reformat(**wanted)

    def to_ndarray(self, **_: Any) -> Any:
        raise AssertionError("a picture in the GPU's memory was copied down unasked")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A GPU whose decoder takes everything; the list has what each file was opened with."""
    asked: list[Any] = []

    def without(source: Any, timeout: float, stopped: Any, hardware: Any) -> Any:
        asked.append(hardware)
        return open_input(source, timeout, stopped)

    monkeypatch.setattr(Hardware, "downloads", 0)
    monkeypatch.setattr("vidstyle.reading.open_input", without)
    monkeypatch.setattr("vidstyle.reading.surface", lambda frame: Surface(Hardware(frame)))
    monkeypatch.setattr(Device, "is_gpu", True)
    return asked


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    made, found = Device.__init__, list[Device]()

    def remember(device: Device, name: str) -> None:
        made(device, name)
        found.append(device)

    monkeypatch.setattr(Device, "__init__", remember)
    return found


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileJob:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 5))
    clip = make_clip(tmp_path / "in.mp4", 30, size=(96, 64), colorspace=1, color_range=1)
    recipe = parse_recipe(str(save_tiny(tmp_path, "tiny")))
    return FileJob(clip.path, recipe, tmp_path / "out.mp4", SourceOptions(48), LOSSLESS, DEVICE)


@pytest.fixture
def in_software(job: FileJob, tmp_path: Path) -> Callable[[], bytes]:
    """The result of the same job with the CPU's decoder."""

    def run() -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Device, "is_gpu", False)
            stylize_file(replace(job, output=tmp_path / "software.mp4"))
        return (tmp_path / "software.mp4").read_bytes()

    return run


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_pictures_never_leave_the_gpu_before_they_are_styled(
    job: FileJob,
    tmp_path: Path,
    opened: list[Any],
    devices: list[Device],
    in_software: Callable[[], bytes],
    pix_fmt: str,
) -> None:
    make_clip(tmp_path / "in.mp4", 30, size=(96, 64), pix_fmt=pix_fmt)
    report = stylize_file(job)
    [device] = devices
    assert report.places == "decoded on the GPU (NVDEC), RGB and look on cpu, encoded by libx264 on the CPU"
    assert (device.memory.uploaded, Hardware.downloads) == (0, 0)
    assert [hardware is None for hardware in opened[:2]] == [True, False]  # the first picture tells what it is
    assert opened[1].is_hw_owned and opened[1].device_id == 0
    assert job.target.read_bytes() == in_software()


def test_an_interrupted_run_goes_on_with_the_gpus_decoder(
    job: FileJob, opened: list[Any], in_software: Callable[[], bytes]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.frames == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_file(job, stop)
    report = stylize_file(replace(job, resume=True))
    assert "decoded on the GPU" in report.places and opened[-1] is not None
    assert job.target.read_bytes() == in_software()


def test_a_decoder_that_fails_is_taken_over_from_by_the_cpu(
    job: FileJob, opened: list[Any], in_software: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter(range(100))

    def fail(frame: Any) -> Surface:
        if next(given) == 12:
            raise av.error.InvalidDataError(1, "hardware error")
        return Surface(Hardware(frame))

    monkeypatch.setattr("vidstyle.reading.surface", fail)
    report = stylize_file(job)
    assert report.places.startswith("decoded on the GPU (NVDEC), and on the CPU from where that failed, RGB and look")
    assert (report.losses, report.frames_out, report.pts_equal) == ([], 30, True)
    assert len(opened) >= 3
    assert job.target.read_bytes() == in_software()


def test_a_codec_that_the_gpu_refuses_is_decoded_on_the_cpu(
    job: FileJob, opened: list[Any], in_software: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.reading.surface", lambda frame: frame)  # PyAV falls back by itself, unsaid
    report = stylize_file(job)
    assert report.places.startswith("decoded on the CPU (the GPU does not decode yuv420p of this kind), RGB and look")
    assert opened[1] is not None
    assert job.target.read_bytes() == in_software()


@pytest.mark.parametrize("wrong", ["pts", "width"])
def test_a_decoder_that_gives_another_picture_is_not_used(
    job: FileJob, opened: list[Any], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def other(frame: Any) -> Surface:
        surface = Surface(Hardware(frame))
        setattr(surface, wrong, 8)
        return surface

    monkeypatch.setattr("vidstyle.reading.surface", other)
    report = stylize_file(job)
    assert report.places.startswith("decoded on the CPU (the GPU's decoder gives another picture)")
    assert (report.frames_out, opened[1] is None) == (30, False)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_pyav_without_a_gpu_is_heard(
    job: FileJob, in_software: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV's own words for it, nothing stood in for."""
    monkeypatch.setattr(Device, "is_gpu", True)
    report = stylize_file(job)
    assert report.places.startswith("decoded on the CPU (the GPU's decoder does not start), RGB and look on cpu")
    assert job.target.read_bytes() == in_software()


#: what FFmpeg asks of NVIDIA's driver where torch has begun: its context is there, with flags of its own
DRIVER = """
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
int cuCtxGetCurrent(void **context) { static int torch; *context = &torch; return 0; }
int cuCtxCreate_v2(void **context, unsigned flags, int device) { return 2; }
"""
OPENING = """
import sys
import av
from vidstyle.on_device import Device
with Device("cpu").hardware() as hardware, av.open(sys.argv[1], hwaccel=hardware) as container:
    print(container.streams.video[0].codec_context.is_hwaccel)
print(av.CodecContext.create("h264_nvenc", "w", hwaccel=hardware).name)
"""


@pytest.mark.skipif(not (sys.platform == "linux" and shutil.which("cc")), reason="needs a C compiler")
def test_ffmpeg_joins_the_context_that_torch_has_made(tmp_path: Path) -> None:
    """FFmpeg itself with a stand-in for NVIDIA's driver: what each other function does is not looked at."""
    libraries = Path(av.__file__).parent.with_name("av.libs").glob("libavutil*")
    names = {name.decode() for path in libraries for name in re.findall(rb"\b(cu[A-Z]\w+)\0", path.read_bytes())}
    rest = "".join(f"int {name}(void) {{ return 0; }}\n" for name in names if f" {name}(" not in DRIVER)
    (tmp_path / "driver.c").write_text(DRIVER + rest)
    command = ["cc", "-shared", "-fPIC", "-w", "-o", tmp_path / "libcuda.so.1", tmp_path / "driver.c"]
    subprocess.run(command, check=True)
    clip = make_clip(tmp_path / "in.mp4", 1).path
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    opening = [sys.executable, "-c", OPENING, str(clip)]
    done = subprocess.run(opening, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["True", "h264_nvenc"], done.stderr


def test_a_picture_of_another_size_is_copied_down_to_be_fitted(
    job: FileJob, tmp_path: Path, opened: list[Any], in_software: Callable[[], bytes]
) -> None:
    parts = [make_clip(tmp_path / f"{w}.h264", 5, size=(w, 64), audio=0) for w in (96, 64)]
    (tmp_path / "in.mp4").write_bytes(b"".join(part.path.read_bytes() for part in parts))
    report = stylize_file(job)
    assert (report.frames_out, Hardware.downloads, opened[1] is None) == (10, 5, False)
    assert job.target.read_bytes() == in_software()


def test_a_surface_has_nothing_that_copies_it_down(tmp_path: Path) -> None:
    with av.open(str(make_clip(tmp_path / "a.mp4", 1).path)) as container:
        surface = Surface(Hardware(next(container.decode(video=0))))
    assert (surface.width, surface.format.name, len(surface.planes)) == (64, "nv12", 2)
    for name in ("reformat", "to_ndarray", "to_image", "to_rgb"):
        with pytest.raises(AttributeError, match="in the GPU's memory has no"):
            getattr(surface, name)


# --- the GPU's encoder


def test_an_encoder_on_the_gpu_gets_the_planes_there(
    job: FileJob, devices: list[Device], opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """libx264 in place of NVENC: PyAV's own `from_dlpack`, with the context that it would need."""
    made = av.VideoFrame.from_dlpack
    asked: list[dict[str, Any]] = []

    def from_dlpack(planes: Any, **given: Any) -> Any:
        asked.append(given)
        return made(planes, **given)

    monkeypatch.setattr("vidstyle.leaving.from_dlpack", from_dlpack)
    monkeypatch.setattr("vidstyle.leaving._encodes", lambda *_: True)
    monkeypatch.setattr("vidstyle.encoder.hardware_of", lambda _: nullcontext())
    report = stylize_file(job)
    [device] = devices
    assert report.places.endswith("encoded by libx264 on the GPU")
    assert device.memory.downloaded == 0
    assert {given["format"] for given in asked} == {"nv12"}
    assert all(given["cuda_context"].device_id == 0 for given in asked)
    assert all(given["cuda_context"].current_ctx and not given["cuda_context"].primary_ctx for given in asked)
    assert video_times(job.target) == video_times(job.input.path) and opened  # type: ignore[arg-type]


def test_nvenc_without_a_gpu_is_fed_from_the_machines_memory() -> None:
    from vidstyle.codecs import EncoderChoice
    from vidstyle.frame import VideoInfo
    from vidstyle.leaving import _encodes

    info = VideoInfo(64, 48, (48, 64), Fraction(1, 1000), Fraction(25))
    device = Device("cpu")
    assert not _encodes(device, EncoderChoice("h264_nvenc", "yuv420p", {}), info)
    device.name = "cuda:0"
    assert not _encodes(device, EncoderChoice("h264_nvenc", "yuv444p", {}), info)
    assert not _encodes(device, EncoderChoice("libx264", "yuv420p", {}), info)
    if not Path("/dev/nvidiactl").exists():
        assert not _encodes(device, EncoderChoice("h264_nvenc", "yuv420p", {}), info)


def test_nvenc_gets_rows_that_it_can_read_in_the_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `pitch` must be a multiple of 4 (nvEncodeAPI.h); others are copied up by PyAV."""
    from types import SimpleNamespace

    from vidstyle.codecs import EncoderChoice
    from vidstyle.frame import VideoInfo
    from vidstyle.leaving import _encodes

    opened = SimpleNamespace(create=lambda *_, **__: SimpleNamespace(open=lambda: None))
    monkeypatch.setattr("vidstyle.leaving.av.CodecContext", opened)
    monkeypatch.setattr(Device, "is_gpu", True)
    device, choice = Device("cpu"), EncoderChoice("h264_nvenc", "yuv420p", {})
    for width, height, taken in ((1364, 768, True), (1366, 768, False), (1364, 767, False)):
        info = VideoInfo(width, height, (height, width), Fraction(1, 1000), Fraction(25))
        assert _encodes(device, choice, info) is taken
