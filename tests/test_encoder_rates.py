"""Encoders that know but some rates, or no fine clock: they count pictures, and every picture keeps its time."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import left_behind, make_clip, save_tiny, video_times

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import UsageError
from vidstyle.job import FileJob, stylize_file
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

UNEVEN = [3600 * i + (900 if i % 3 else 0) for i in range(20)]


@pytest.fixture
def job(home: Path, tmp_path: Path) -> FileJob:
    clip = make_clip(tmp_path / "in.ts", pts=UNEVEN, time_base=Fraction(1, 90000))
    return FileJob(clip.path, parse_recipe(str(save_tiny(home, "tiny"))))


@pytest.mark.parametrize(
    ("codec", "file"),
    [("mpeg2video", "out.mkv"), ("mpeg2video", "out.mp4"), ("mpeg2video", "out.ts"), ("mpeg4", "out.mp4")],
)
@pytest.mark.parametrize("between", ["0", "2"])
def test_every_picture_keeps_its_time(job: FileJob, tmp_path: Path, codec: str, file: str, between: str) -> None:
    writing = SinkOptions(EncoderOptions(codec, extra=(("bf", between),)))
    report = stylize_file(replace(job, output=tmp_path / file, writing=writing))
    assert report.frames_out == len(UNEVEN) and report.pts_equal and report.losses == []
    times = video_times(tmp_path / file)
    assert [time - times[0] for time in times] == [Fraction(pts - UNEVEN[0], 90000) for pts in UNEVEN]


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "libvpx"])
def test_large_pictures_are_as_good_as_small_ones(job: FileJob, tmp_path: Path, codec: str) -> None:
    clip = make_clip(tmp_path / "large.mp4", frames=6, size=(640, 480), audio=0)
    look = parse_recipe(str(next(tmp_path.rglob("tiny.safetensors"))), 0.0)
    job = replace(job, source=clip.path, recipe=look, reading=SourceOptions(None))
    found = {}
    for name, options in {
        "exact": EncoderOptions("ffv1"),
        "usual": EncoderOptions(codec),
        "small": EncoderOptions(codec, extra=(("b", "5k"),)),
    }.items():
        output = tmp_path / f"{name}.mkv"
        stylize_file(replace(job, output=output, writing=SinkOptions(options)))
        with VideoSource(output, SourceOptions(None)) as source:
            found[name] = list(source)[-1].image.mean(-1)
    error = {name: np.square(image - found["exact"]).mean() for name, image in found.items()}
    assert error["usual"] < 6.5  # 40 dB
    assert error["small"] > 2 * error["usual"]  # who gives a bit rate gets it


def test_a_rate_that_is_none_of_them_is_refused(job: FileJob, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=[i * 985 for i in range(12)])  # 13 a second
    with pytest.raises(UsageError, match=r"mpeg2video refuses [^{}]*does not support [^{}]*fps$"):
        stylize_file(replace(job, source=clip.path, writing=SinkOptions(EncoderOptions("mpeg2video"))))
    assert left_behind(tmp_path, "in.mp4", "in.ts") == []


def test_the_roomiest_container_is_not_advised_in_its_own_place(job: FileJob, tmp_path: Path) -> None:
    for name in ("out.mkv", "out.mp4"):
        with pytest.raises(UsageError, match=r"cannot hold dvvideo video: use \.mov, or another --codec$"):
            stylize_file(replace(job, output=tmp_path / name, writing=SinkOptions(EncoderOptions("dvvideo"))))
