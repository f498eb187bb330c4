"""Pictures that stay on a device, with the CPU as the device: the same videos as by the CPU's own path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cuda_fakes
import numpy as np
import pytest
import torch
from media import make_clip, packets, video_times
from on_device import HOST, LOSSLESS, Stopped

from engines.device.memory import DeviceMemory
from vidstyle.codecs import EncoderOptions
from vidstyle.convert import Converter
from vidstyle.encoder import Encoder
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.on_device import Device
from vidstyle.report import Report
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

pytest_plugins = "on_device_fixtures"


def pictures(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(np.float64)


def both(job: FileJob) -> tuple[Report, Report, Path]:
    """The job on the device and on the host, whose output has another name."""
    assert job.output is not None
    host = job.output.with_stem("host")
    return stylize_file(job), stylize_file(replace(job, output=host, engine=HOST)), host


def worst_decibels(one: Path, other: Path) -> float:
    errors = [np.mean((a - b) ** 2) for a, b in zip(pictures(one), pictures(other), strict=True)]
    return float(10 * np.log10(255**2 / max(*errors, 1e-9)))


def untouched(report: Report) -> dict[str, Any]:
    """What of a report does not depend on where the work was done."""
    changing = {"output", "seconds", "fps", "places"}
    return {key: value for key, value in report.as_dict().items() if key not in changing}


def test_a_video_is_as_by_the_cpus_own_path(job: FileJob) -> None:
    ours, usual, host = both(job)
    assert job.output is not None
    assert ours.places == "decoded on the CPU, RGB and look on cpu, encoded by libx264 on the CPU"
    assert f"  {ours.places}" in ours.lines() and not usual.places
    assert (ours.frames_out, ours.pts_equal, ours.audio_equal) == (30, True, True)
    assert untouched(ours) == untouched(usual)
    assert video_times(job.output) == video_times(host)
    assert packets(job.output, "audio") == packets(host, "audio")
    assert worst_decibels(job.output, host) > 45


REAL = [
    "dctnet_demo.mp4",
    "bt709_full_range.mp4",
    "pixel-motion-photo-2-hevc-tracks.mp4",  # turned, full range, uneven times
    "sample_rotate_and_reflect.mp4",
    "sample_with_invalid_nalu.mp4",  # broken pictures
    "bbb_2500ms.ts",
    "bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4",  # pixels that are not square
    "h265_10bits.mp4",
    "iibbibb_editlist_videoonly.mp4",  # 4:4:4
    "sample-with-large-length.avi",  # times that run backwards
]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_videos_too(job: FileJob, shared: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    path = shared(f"media/{name}")
    output = tmp_path / f"out{'.mkv' if path.suffix in ('.avi', '.ts') else path.suffix}"
    job = replace(job, source=path, output=output, reading=SourceOptions(96, end=Fraction(3, 2)))
    ours, usual, host = both(job)
    assert "RGB and look on cpu" in ours.places
    assert untouched(ours) == untouched(usual)
    assert ours.frames_out > 0 and video_times(output) == video_times(host)
    for kind in ("audio", "subtitle"):
        assert packets(output, kind) == packets(host, kind)
    assert worst_decibels(output, host) > 45


@pytest.mark.parametrize(
    ("reading", "writing", "source", "place"),
    [
        ({}, {"compare": True}, {}, "RGB on the CPU (the source's pictures are shown too)"),
        ({"deinterlace": "always"}, {}, {}, "RGB on the CPU (it is interlaced)"),
        ({}, {}, {"codec": "ffv1", "pix_fmt": "yuva420p"}, "RGB on the CPU (it has transparency)"),
        ({}, {}, {"codec": "ffv1", "pix_fmt": "bgr0"}, "RGB on the CPU (bgr0)"),
        ({}, {}, {"codec": "libx265", "pix_fmt": "yuv420p10le", "color_trc": 16}, "RGB on the CPU (HDR)"),
    ],
)
def test_what_the_device_does_not_do_is_done_on_the_cpu_and_said(
    job: FileJob, tmp_path: Path, reading: Any, writing: Any, source: Any, place: str
) -> None:
    clip = make_clip(
        tmp_path / "odd.mkv", 4, size=(96, 64), time_base=Fraction(1, 1000), pts=[0, 40, 80, 120], **source
    )
    options = SourceOptions(48, originals="compare" in writing, **reading)
    job = replace(job, source=clip.path, reading=options, writing=replace(LOSSLESS, **writing))
    if "yuva420p" in source.values():
        job = replace(job, output=tmp_path / "out.mkv", writing=SinkOptions())
    ours, usual, host = both(job)
    assert ours.places.startswith(f"decoded on the CPU, {place}, look on cpu, encoded by ")
    assert untouched(ours) == untouched(usual)
    assert list(map(np.ndarray.tobytes, pictures(job.target))) == list(map(np.ndarray.tobytes, pictures(host)))


def test_planes_that_the_device_cannot_make_are_made_on_the_cpu(job: FileJob, tmp_path: Path) -> None:
    job = replace(job, output=tmp_path / "out.mkv", writing=SinkOptions(EncoderOptions("ffv1", pix_fmt="bgr0")))
    ours, _, host = both(job)
    assert ours.places == "decoded on the CPU, RGB and look on cpu, bgr0 made on the CPU, encoded by ffv1 on the CPU"
    assert worst_decibels(job.target, host) > 50


FINE = {"prores_ks": {}, "mjpeg": {"extra": (("qmin", "1"), ("qmax", "1"))}, "libx265": {"crf": 0.0}}


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("prores_ks", "yuv422p10le"), ("mjpeg", "yuvj420p"), ("libx265", "yuv420p10le")]
)
def test_encoders_of_every_kind_take_the_planes(job: FileJob, tmp_path: Path, codec: str, pix_fmt: str) -> None:
    """Also those whose threads hold pictures for a while, and with ten bits."""
    writing = SinkOptions(EncoderOptions(codec, pix_fmt=pix_fmt, threads=3, **FINE[codec]))
    ours, usual, host = both(replace(job, output=tmp_path / "out.mov", writing=writing))
    assert "made on the CPU" not in ours.places and untouched(ours) == untouched(usual)
    assert worst_decibels(tmp_path / "out.mov", host) > 40
    with pytest.raises(Stopped):
        stylize_file(replace(job, output=tmp_path / "stopped.mov", writing=writing), _stop)
    assert not (tmp_path / "stopped.mov").exists()


def _stop(progress: Progress) -> None:
    if progress.frames == 9:
        raise Stopped


def test_pictures_of_another_size_are_fitted_as_on_the_cpu(job: FileJob, tmp_path: Path) -> None:
    """Two streams of H.264 one after the other: a size that changes in the middle."""
    first, second = (
        make_clip(tmp_path / f"{n}.h264", 5, size=size, audio=0) for n, size in (("a", (96, 64)), ("b", (64, 64)))
    )
    joined = tmp_path / "joined.h264"
    joined.write_bytes(first.path.read_bytes() + second.path.read_bytes())
    ours, usual, host = both(replace(job, source=joined, output=tmp_path / "out.mkv"))
    assert ours.frames_out == 10 and untouched(ours) == untouched(usual)
    assert any("were fitted into the first one's size" in note for note in ours.notes)
    assert worst_decibels(tmp_path / "out.mkv", host) > 45


# --- copies


class Steps:
    """What is called on a decoder's pictures and on the CPU's converter."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.found: list[str] = []
        self.devices: list[Device] = []
        for owner, name in ((Converter, "__call__"), (Encoder, "_picture")):
            patch.setattr(owner, name, self._refused(f"{owner.__name__}.{name}"))
        made = Device.__init__

        def remember(device: Device, name: str) -> None:
            made(device, name)
            self.devices.append(device)

        patch.setattr(Device, "__init__", remember)

    def _refused(self, name: str) -> Callable[..., Any]:
        def refuse(*_: object) -> Any:
            raise AssertionError(f"{name} was called")

        return refuse


@pytest.mark.parametrize(("pix_fmt", "most"), [("yuv420p", 3_200_000), ("yuv444p", 6_300_000)])
def test_a_frame_of_1080p_goes_up_and_down_once_as_planes(
    job: FileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pix_fmt: str, most: int
) -> None:
    clip = make_clip(tmp_path / "large.mp4", 3, size=(1920, 1080), pix_fmt=pix_fmt)
    options = replace(LOSSLESS, encoder=EncoderOptions(preset="ultrafast", pix_fmt=pix_fmt))
    steps = Steps(monkeypatch)
    report = stylize_file(replace(job, source=clip.path, reading=SourceOptions(90), writing=options))
    [device] = steps.devices
    assert report.frames_out == 3
    assert 0 < device.memory.uploaded <= 3 * most
    assert 0 < device.memory.downloaded <= 3 * most


def test_steadying_works_on_the_cpu_and_says_so(job: FileJob) -> None:
    pytest.importorskip("cv2")
    report = stylize_file(replace(job, steady=0.4))
    assert "RGB on the CPU (for --steady), look on cpu" in report.places


# --- the memory itself


def test_what_is_uploaded_and_fetched_is_the_same() -> None:
    memory = DeviceMemory("cpu")
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    there = memory.upload(image)
    assert torch.equal(there, torch.from_numpy(image)) and there.data_ptr() != image.ctypes.data
    assert np.array_equal(memory.fetch(there), image)
    assert (memory.uploaded, memory.downloaded) == (image.nbytes, image.nbytes)


def test_planes_go_up_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch shares a copy among all cores and waits for the last: 13 ms in place of 0.4 where an encoder has them."""
    memory, padded = DeviceMemory("cpu"), torch.arange(6 * 8, dtype=torch.uint8).view(6, 8)

    def shared(*_: Any, **__: Any) -> None:
        raise AssertionError("torch copies")

    monkeypatch.setattr(torch.Tensor, "copy_", shared)
    luma, chroma = memory._placed([padded[:, :5], padded[:3, :4].unflatten(1, (2, 2))])
    assert luma.tolist() == padded[:, :5].tolist() and chroma.flatten(1).tolist() == padded[:3, :4].tolist()
    assert memory.uploaded == 6 * 5 + 3 * 4


def test_ffmpeg_finds_the_devices_context_on_a_thread_that_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, fake, done = DeviceMemory("cpu"), cuda_fakes.Torch(), list[str]()

    @contextmanager
    def device(which: torch.device) -> Iterator[None]:
        done.append(f"on {which}")
        yield
        done.append("off it")

    fake.cuda.device = device  # type: ignore[method-assign]
    monkeypatch.setattr(fake, "zeros", lambda *_, device: done.append(f"launched on {device}"))
    monkeypatch.setattr("engines.device.memory.torch", fake)
    with memory.current():
        done.append("nothing of it on the CPU")
    memory._device, memory._is_cuda = cuda_fakes.DEVICE, True
    with memory.current():
        done.append("opened")
    assert done == ["nothing of it on the CPU", "on cuda:0", "launched on cuda:0", "opened", "off it"]


def test_times_of_a_source_are_those_of_the_cpus(job: FileJob) -> None:
    def times(device: Device | None) -> list[tuple[int, int, bool]]:
        with VideoSource(job.input, job.reading, device) as source:
            return [(frame.pts, frame.duration, frame.on_device) for frame in source]

    assert [(*key, True) for *key, _ in times(None)] == times(Device("cpu"))


def test_paired_planes_of_an_odd_size(job: FileJob, tmp_path: Path) -> None:
    """Raw nv12 of an odd size, whose planes PyAV hands over a row and a column short."""
    frame = av.VideoFrame(37, 25, "nv12")
    for plane in frame.planes:
        plane.update(np.random.default_rng(0).integers(60, 200, plane.buffer_size, np.uint8).tobytes())
    with av.open(str(tmp_path / "odd.nut"), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 37, 25, "nv12"
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    ours, usual, host = both(replace(job, source=tmp_path / "odd.nut", output=tmp_path / "out.mkv"))
    assert ours.frames_out == 1 and untouched(ours) == untouched(usual)
    assert worst_decibels(tmp_path / "out.mkv", host) > 45
