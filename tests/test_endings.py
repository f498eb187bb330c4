"""Where a source ends: what is whole is never called cut short."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media import make_clip, save_tiny
from remuxing import source

from vidstyle.catalog import parse_recipe
from vidstyle.job import FileJob, cut_short, stylize_file
from vidstyle.source import VideoSource


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
