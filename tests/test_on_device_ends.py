"""Pictures that stay on a device: how a run goes on, and how it ends where the device fails or is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from media import make_clip
from on_device import HOST, Stopped

from vidstyle.engine_options import EngineOptions
from vidstyle.errors import DeviceLostError, EngineError, OutOfMemoryError, UsageError
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.workfolder import work_path

pytest_plugins = "on_device_fixtures"


def interrupted(job: FileJob, frames: int) -> None:
    def stop(progress: Progress) -> None:
        if progress.frames == frames:
            raise Stopped

    with pytest.raises(Stopped):
        stylize_file(job, stop)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    job: FileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 5))
    clip = make_clip(tmp_path / "keys.mp4", 30, size=(96, 64))
    job = replace(job, source=clip.path)
    stylize_file(replace(job, output=tmp_path / "straight.mp4"))
    interrupted(job, 22)
    report = stylize_file(replace(job, resume=True))
    assert (report.frames_out, report.pts_equal) == (30, True)
    assert job.target.read_bytes() == (tmp_path / "straight.mp4").read_bytes()


def test_where_the_pictures_are_is_a_part_of_the_fingerprint(job: FileJob) -> None:
    host = replace(job, engine=HOST)
    assert job.fingerprint() != host.fingerprint()
    on = [replace(job, engine=EngineOptions("cuda", device)).fingerprint() for device in ("auto", "cuda:0", "cuda:1")]
    assert on[0] == on[1] == on[2] != replace(job, engine=EngineOptions("cuda", pictures="host")).fingerprint()


def test_only_engines_of_an_nvidia_gpu_keep_pictures_there_by_themselves() -> None:
    there = [("cuda", "auto"), ("tensorrt", "cuda:1"), ("torch", "cuda:0")]
    assert all(EngineOptions(*names).on_device for names in there)
    assert not any(EngineOptions(*names).on_device for names in [("torch", "auto"), ("openvino", "auto")])
    assert not any(EngineOptions(*names, pictures="host").on_device for names in there)


def test_an_engine_that_takes_no_device_pictures_is_refused(job: FileJob) -> None:
    with pytest.raises(EngineError, match=r"pictures are on cpu, which OpenVINO .* does not read"):
        stylize_file(replace(job, engine=EngineOptions("openvino", "cpu", pictures="device")))


def test_a_device_that_is_not_there_is_named(job: FileJob) -> None:
    with pytest.raises(EngineError, match=r"there is no device 'cuda:0'"):
        stylize_file(replace(job, engine=EngineOptions("torch", "cuda:0")))
    assert not job.target.exists() and not work_path(job.target).exists()


def test_one_video_takes_one_device(job: FileJob) -> None:
    with pytest.raises(UsageError, match=r"one video takes one device.*vidstyle batch"):
        stylize_file(replace(job, engine=EngineOptions("cuda", "cuda:0,cuda:1")))


def test_a_lost_device_ends_the_run_and_what_was_finished_stays(
    job: FileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.torch import TorchEngine

    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 5))
    clip = make_clip(tmp_path / "keys.mp4", 30, size=(96, 64))
    job = replace(job, source=clip.path)
    styled, calls = TorchEngine.submit_on_device, iter(range(100))

    def lose(engine: TorchEngine, batch: Any) -> Callable[[], Any]:
        if next(calls) == 22:
            raise DeviceLostError("cpu stopped answering (unspecified launch failure): start again")
        return styled(engine, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "submit_on_device", lose)
        with pytest.raises(DeviceLostError, match="stopped answering") as caught:
            stylize_file(job)
    assert any("--resume" in note for note in caught.value.__notes__)
    assert stylize_file(replace(job, resume=True)).frames_out == 30


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("CUDA error: unspecified launch failure", DeviceLostError),
        ("CUDA error: out of memory", OutOfMemoryError),
    ],
)
def test_what_a_device_raises_between_two_calls_is_named_too(
    job: FileJob, monkeypatch: pytest.MonkeyPatch, said: str, named: type[Exception]
) -> None:
    """Where two pictures are compared the host waits for the device: what went wrong on it before comes up there."""

    def equal(*_: Any) -> bool:
        raise torch.AcceleratorError(said)

    monkeypatch.setattr(torch.Tensor, "equal", equal)
    with pytest.raises(named, match=r"cpu .*CUDA error"):
        stylize_file(job)
