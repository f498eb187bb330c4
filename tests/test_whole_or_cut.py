"""Where a source begins and ends: what is whole is never called cut short, and what is cut is told."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media import make_clip, packets, picture, save_tiny, video_times
from remuxing import source

from vidstyle.account import cut_short
from vidstyle.catalog import parse_recipe
from vidstyle.job import FileJob, stylize_file
from vidstyle.source import SourceOptions, VideoSource


@pytest.mark.parametrize("extension", [".mkv", ".wmv", ".ts", ".mp4"])
def test_where_a_late_start_ends(tmp_path: Path, extension: str) -> None:
    codec = "msmpeg4" if extension == ".wmv" else "libx264"
    late: dict[str, Any] = {"pts": list(range(250, 275)), "time_base": Fraction(1, 25), "codec": codec, "audio": 0}
    with VideoSource(make_clip(tmp_path / f"late{extension}", **late).path) as video:
        assert len(list(video)) == 25
        end, declared = video.reached, video.declared_end
    assert declared is not None and abs(declared - end) < Fraction(1, 10) and not cut_short(end, declared)


def test_a_subtitle_that_is_left_out_may_have_been_the_longest(home: Path, tmp_path: Path) -> None:
    with source(tmp_path / "in.mkv") as made:
        made.subtitles("subrip", [(0, 9000, "long after")])
    job = FileJob(tmp_path / "in.mkv", parse_recipe(str(save_tiny(home, "tiny"))), tmp_path / "out.ts")
    report = stylize_file(job)
    assert [note.action for note in report.streams if note.kind == "subtitle"] == ["dropped"]
    assert report.losses == []


def recording(path: Path, missing: int) -> Path:
    """30 pictures with a key picture in 10, without the first ``missing`` ones."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"x264-params": "keyint=10:scenecut=0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for index in range(30):
            frame = av.VideoFrame.from_ndarray(picture(index, 64, 48), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        out.start_encoding()
        for packet in packets[missing:]:
            out.mux(packet)
    return path


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("extension", [".ts", ".mkv"])
def test_pictures_before_the_first_key_picture_are_told(tmp_path: Path, extension: str, threads: int) -> None:
    notes = []
    for name, missing in (("whole", 0), ("cut", 3)):
        path = recording(tmp_path / f"{name}{extension}", missing)
        with VideoSource(path, SourceOptions(threads=threads)) as video:
            assert len(list(video)) == (20 if missing else 30)
            notes.append(video.notes)
    assert notes == [[], ["7 pictures before the first key picture cannot be decoded: passed over"]]


def test_a_recording_by_the_clock_of_day_is_as_long_as_its_pictures(tmp_path: Path) -> None:
    """Matroska counts a file's length from 0: as many pictures as since 1970 would be refused as too many."""
    now = 1_700_000_000
    late = make_clip(tmp_path / "now.mkv", pts=[25 * now + i for i in range(25)], time_base=Fraction(1, 25), audio=0)
    with VideoSource(late.path) as video:
        assert video.info.start == now and video.info.frames == 25
        assert [frame.time for frame in video] == late.times


def test_a_part_that_begins_later_lacks_nothing(tmp_path: Path) -> None:
    with VideoSource(recording(tmp_path / "cut.ts", 3), SourceOptions(start=Fraction(1, 2))) as video:
        assert len(list(video)) > 10 and video.notes == []


def test_a_part_of_a_slow_clock_keeps_sound_in_step(home: Path, tmp_path: Path) -> None:
    """AVI counts pictures: at 5 a second --start lies up to 0.1 s beside one."""
    slow: dict[str, Any] = {"pts": list(range(20)), "time_base": Fraction(1, 5), "codec": "mpeg4"}
    clip = make_clip(tmp_path / "slow.avi", **slow)
    recipe, reading = parse_recipe(str(save_tiny(home, "tiny"))), SourceOptions(start=Fraction(109, 100))
    stylize_file(FileJob(clip.path, recipe, tmp_path / "out.mkv", reading))
    before, after = (
        {data: time for time, data in packets(path, "audio")[0]} for path in (clip.path, tmp_path / "out.mkv")
    )
    first = next(iter(after))
    moved = video_times(tmp_path / "out.mkv")[0] - next(time for time in clip.times if time >= reading.start)
    assert abs(after[first] - before[first] - moved) < Fraction(1, 100)
