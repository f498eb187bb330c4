"""Data that is missing in the middle of a file: what comes behind it is kept, and the hole is told."""

import re
from fractions import Fraction
from itertools import pairwise
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


def clip(path: Path, options: dict[str, str] | None = None, frames: int = 150, first: int = 0) -> Path:
    """A key picture every second, at least; where Matroska, a cluster too. It begins at ``first`` seconds."""
    options = options or ({"cluster_time_limit": "1000"} if path.suffix == ".mkv" else {})
    with av.open(str(path), "w", options=options) as out:
        video: Any = out.add_stream("libx264", rate=25, options={"g": "25"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound: Any = out.add_stream("aac", rate=48000, layout="mono")
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, 64, 48), format="rgb24")
            frame.pts, frame.time_base = 25 * first + index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start in range(0, frames * 1920, 1024):
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 48000 * first + start, Fraction(1, 48000)
            out.mux(sound.encode(heard))
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


def read(path: Path) -> tuple[list[float], list[str]]:
    with VideoSource(path, SourceOptions(size=32)) as source:
        return [float(frame.time) for frame in source], source.faults


@pytest.mark.parametrize("gap", [9, 3700, 90_000])
def test_a_cut_that_says_so_is_no_hole(tmp_path: Path, gap: int) -> None:
    part = clip(tmp_path / "a.ts", frames=100).read_bytes()
    later = clip(tmp_path / "b.ts", {"mpegts_flags": "initial_discontinuity"}, 100, gap).read_bytes()
    (tmp_path / "c.ts").write_bytes(part + later)
    times, faults = read(tmp_path / "c.ts")
    assert len(times) == 200 and faults == []
    assert (times[100] - times[99] > 4) == (gap == 9)


@pytest.mark.parametrize("gap", [3700, 90_000])
def test_hours_between_recordings_that_are_joined_are_not_missing(tmp_path: Path, gap: int) -> None:
    """They are put end to end, and nothing between them is left out."""
    part, later = clip(tmp_path / "a.ts", frames=100), clip(tmp_path / "b.ts", frames=100, first=gap)
    (tmp_path / "c.ts").write_bytes(part.read_bytes() + later.read_bytes())
    times, faults = read(tmp_path / "c.ts")
    assert len(times) == 200 and times[-1] - times[0] < 9 and faults == []


def test_a_cut_that_does_not_say_so_may_be_one(tmp_path: Path) -> None:
    part, later = clip(tmp_path / "a.ts", frames=100), clip(tmp_path / "b.ts", frames=100, first=9)
    (tmp_path / "c.ts").write_bytes(part.read_bytes() + later.read_bytes())
    times, faults = read(tmp_path / "c.ts")
    assert len(times) == 200
    assert faults == ["data is missing between 4.00 and 8.92 s, or was cut out: pictures and sound are missing there"]


def test_a_hole_in_the_second_recording_is_told_where_it_is_in_the_result(tmp_path: Path) -> None:
    part = clip(tmp_path / "a.ts").read_bytes()
    half = len(part) // 376 * 188
    (tmp_path / "b.ts").write_bytes(part + part[:half] + bytes(20 * 188) + part[half + 20 * 188 :])
    times, (fault,) = read(tmp_path / "b.ts")
    before, after = max(pairwise(times), key=lambda pair: pair[1] - pair[0])
    told = [float(time) for time in re.findall(r"\d+\.\d+", fault)]
    assert before > 6 and told == pytest.approx([before, after], abs=0.15) and "cut out" not in fault


def test_uneven_times_of_a_whole_stream_are_no_hole(tmp_path: Path) -> None:
    pts = [0, 512, 1024, 40_000, 40_512, 90_000, 90_512]
    with VideoSource(make_clip(tmp_path / "a.ts", pts=pts).path, SourceOptions(size=32)) as source:
        assert len(list(source)) == 7 and source.faults == []
