"""Data that is missing in the middle of a file: what comes behind it is kept, and the hole is told."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import make_clip, picture, save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.holes import holes_in_matroska
from vidstyle.inputs import Input
from vidstyle.job import FileJob, stylize_file
from vidstyle.others import SecondReading
from vidstyle.report import Report
from vidstyle.source import SourceOptions, VideoSource

NO_END = (None, None)


def clip(path: Path, options: dict[str, str] | None = None, frames: int = 150) -> Path:
    """A key picture every second, at least; where Matroska, a cluster too."""
    options = options or ({"cluster_time_limit": "1000"} if path.suffix == ".mkv" else {})
    with av.open(str(path), "w", options=options) as out:
        video: Any = out.add_stream("libx264", rate=25, options={"g": "25"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound: Any = out.add_stream("aac", rate=48000, layout="mono")
        for index in range(frames):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(index, 64, 48), format="rgb24")))
        out.mux(video.encode(None))
        for start in range(0, frames * 1920, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return path


def zeroed(path: Path, begin: float, end: float) -> Path:
    data = bytearray(path.read_bytes())
    first, last = int(begin * len(data)), int(end * len(data))
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    return path


def styled(path: Path, reading: SourceOptions = SourceOptions(size=32)) -> Report:
    recipe = parse_recipe(str(save_tiny(path.parent, "tiny")))
    return stylize_file(FileJob(path, recipe, path.with_name("out.mkv"), reading=reading))


@pytest.mark.parametrize(("begin", "end", "first"), [(0.4, 0.6, 2), (0.1, 0.3, 0)])
def test_a_hole_in_matroska_is_told(tmp_path: Path, begin: float, end: float, first: float) -> None:
    report = styled(zeroed(clip(tmp_path / "a.mkv"), begin, end))
    losses = [loss for loss in report.losses if loss.startswith("data is missing")]
    (times,) = (re.findall(r"\d+\.\d+", loss) for loss in losses)
    assert float(times[0]) == pytest.approx(first, abs=0.6) and float(times[1]) - float(times[0]) >= 1
    assert 75 < report.frames_out < 140


def test_a_hole_outside_of_the_wanted_part_is_none(tmp_path: Path) -> None:
    path = zeroed(clip(tmp_path / "a.mkv"), 0.4, 0.6)
    assert len(holes_in_matroska(path, NO_END)) == 1
    assert styled(path, SourceOptions(size=32, end=Fraction(1))).losses == []
    assert holes_in_matroska(path, (Fraction(5), None)) == holes_in_matroska(path, (None, Fraction(1))) == []


@pytest.mark.parametrize("options", [{}, {"live": "1"}, {"cues_to_front": "1"}, {"reserve_index_space": "5000"}])
def test_whole_matroska_files_have_none(tmp_path: Path, options: dict[str, str]) -> None:
    path = clip(tmp_path / "a.mkv", options)
    assert holes_in_matroska(path, NO_END) == []
    path.write_bytes(path.read_bytes() + bytes(3000))  # behind the last cluster, as what a crash leaves
    assert holes_in_matroska(path, NO_END) == []
    path.write_bytes(path.read_bytes()[:-6000])
    assert holes_in_matroska(path, NO_END) == []


def test_a_hole_in_a_transport_stream_is_told(tmp_path: Path) -> None:
    report = styled(zeroed(clip(tmp_path / "a.ts"), 0.5, 0.54))
    assert any(loss.startswith("data is missing between") for loss in report.losses)
    assert 130 < report.frames_out < 150


@pytest.mark.parametrize("piped", [False, True])
def test_behind_a_long_hole_a_transport_stream_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piped: bool
) -> None:
    """FFmpeg looks 64 kB far, and gives up then."""
    data = clip(tmp_path / "a.ts").read_bytes()
    half = len(data) // 376 * 188
    (tmp_path / "a.ts").write_bytes(data[:half] + bytes(200_000) + data[half + 20 * 188 :])
    with open(tmp_path / "a.ts") as file:
        monkeypatch.setattr("sys.stdin", file)
        with VideoSource(Input("pipe", "-") if piped else tmp_path / "a.ts", SourceOptions(size=32)) as source:
            assert 130 < len(list(source)) < 150
            assert any(fault.startswith("data is missing between") for fault in source.faults)
    with SecondReading(tmp_path / "a.ts", 0, NO_END) as others:
        times = [time for time, _ in others.until({1}, None)]
    assert times[-1] - times[0] > 5.5


def test_a_joint_is_no_hole(tmp_path: Path) -> None:
    part = clip(tmp_path / "a.ts", frames=50).read_bytes()
    (tmp_path / "b.ts").write_bytes(part * 2)
    with VideoSource(tmp_path / "b.ts", SourceOptions(size=32)) as source:
        assert len(list(source)) == 100 and source.faults == []


def test_uneven_times_of_a_whole_stream_are_no_hole(tmp_path: Path) -> None:
    pts = [0, 512, 1024, 40_000, 40_512, 90_000, 90_512]
    with VideoSource(make_clip(tmp_path / "a.ts", pts=pts).path, SourceOptions(size=32)) as source:
        assert len(list(source)) == 7 and source.faults == []
